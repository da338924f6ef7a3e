"""A trie on disk: a folder of .npy files that numpy maps, with `manifest.json` written last.

`codes_1.npy`, `starts_1.npy`, `codes_2.npy` … a pair for each level, and `shared.npy` and
`beyond.npy`, as `Trie` has them. The manifest says which arrays there are, their
types and lengths, so that a file that was cut off or exchanged is noticed without reading it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.atomic import atomic_folder, recover, require_replaceable
from semantic_ids.codes import sizes_of
from semantic_ids.errors import BadInput
from semantic_ids.publishing.locations import newest

FOLDER, MANIFEST = "trie", "manifest.json"
FORMAT = 1
"""Rises when a folder can no longer be read as before; others are refused."""


def write(
    folder: str | Path, sizes: tuple[int, ...], arrays: Mapping[str, np.ndarray], made_from: str
) -> None:
    """Write the folder, whole or not at all."""
    folder = Path(folder)
    require_replaceable(
        folder, lambda name: name == MANIFEST or name.endswith(".npy"), "that of a trie"
    )
    with atomic_folder(folder, sum(array.nbytes + 128 for array in arrays.values())) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        manifest = {
            "format": FORMAT,
            "tokens_per_level": list(sizes),
            "semantic_ids": made_from,
            "arrays": {name: [array.dtype.str, len(array)] for name, array in arrays.items()},
        }
        text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
        (temporary / MANIFEST).write_text(text, encoding="utf-8")


def read(folder: str | Path) -> tuple[tuple[int, ...], dict[str, np.ndarray], str]:
    """Map the arrays: sizes of the levels, arrays by name, fingerprint of the IDs.

    Raises:
        BadInput: There is no trie, another format, or a file that is not what the manifest says.
    """
    manifest, folder = read_manifest(folder)
    try:
        sizes, listed = sizes_of(manifest["tokens_per_level"]), dict(manifest["arrays"])
        wanted = {name: (str(dtype), int(length)) for name, (dtype, length) in listed.items()}
    except (BadInput, TypeError, ValueError) as error:
        raise _damaged(folder / MANIFEST, error) from error
    names = _names(sizes)
    if set(wanted) != set(names):
        raise _damaged(folder / MANIFEST, f"its arrays are not those of {len(sizes)} levels")
    arrays = {name: _mapped(folder / f"{name}.npy", *wanted[name]) for name in names}
    nodes = 1
    for number in range(1, len(sizes) + 1):
        codes, starts = (arrays[f"{name}_{number}"] for name in ("codes", "starts"))
        if len(starts) != nodes + 1 or starts[-1] != len(codes):
            raise _damaged(folder, f"the arrays of level {number} do not go together")
        nodes = len(codes)
    if len(arrays["beyond"]) != len(arrays["shared"]) + 1:
        raise _damaged(folder, "the arrays of shared IDs do not go together")
    return sizes, arrays, str(manifest["semantic_ids"])


def _names(sizes: tuple[int, ...]) -> list[str]:
    """Return the names of all arrays."""
    levels = [f"{kind}_{n}" for n in range(1, len(sizes) + 1) for kind in ("codes", "starts")]
    return [*levels, "shared", "beyond"]


def read_manifest(folder: str | Path) -> tuple[dict[str, Any], Path]:
    """Return the manifest of a trie, and the folder it is in.

    Args:
        folder: That folder, one with a folder `trie`, such as a generation, or a folder of bundles,
            whose newest generation is meant.

    Raises:
        BadInput: There is none, or it is of another format.
    """
    folder = newest(folder)
    recover(folder)
    inside = folder / FOLDER
    recover(inside)
    folder = inside if (inside / MANIFEST).is_file() else folder
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        ours = {"format", "tokens_per_level", "semantic_ids", "arrays"} <= set(manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(
            "there is no trie", where=str(folder), do="write one with export.trie=true"
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from error
    if not ours or manifest["format"] != FORMAT:
        raise BadInput(
            "its manifest is that of something else, or of another version",
            where=str(folder),
            expected=f"a trie of format {FORMAT}",
            do="write it again with export.trie=true",
        )
    return manifest, folder


def _mapped(file: Path, dtype: str, length: int) -> np.ndarray:
    """Map a file read-only, as a plain array; an empty one cannot be mapped, and is read."""
    try:
        mode = "r" if length else None
        array = np.load(file, mmap_mode=mode, allow_pickle=False).view(np.ndarray)  # type: ignore[arg-type]
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(file, error) from error
    if array.dtype.str != dtype or array.shape != (length,):
        raise _damaged(file, f"it holds {array.dtype.str} of shape {array.shape}")
    return array


def _damaged(place: Path, reason: object) -> BadInput:
    return BadInput(
        f"cannot be read: {reason}",
        where=str(place),
        expected="a trie as it was written",
        do="write it again with export.trie=true",
    )
