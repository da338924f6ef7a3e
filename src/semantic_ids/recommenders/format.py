"""A trained recommender on disk: a folder of four files, all that it needs to be asked.

`config.json`: `format` (the number below), `options` (those of the recommender), `sizes` of the
levels, `semantic_ids` (the fingerprint of the IDs that it names items by) and `report` of the
training. `model.safetensors`: the tensors of the network by name. `items.safetensors`: the items
that it can recommend,

    codes               (n, L) int32     the ID of each item
    events              (n,) int64       how often it is among the events trained on
    item_ids            (n,) int64       or, of texts,
    item_ids.bytes      (b,) uint8       all of them in UTF-8, one after the other, and
    item_ids.ends       (n,) int64       where each ends

`manifest.json`, written last, says what it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.atomic import atomic_folder, recover, require_replaceable
from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
"""Rises when a folder can no longer be read as before; others are refused."""
CONFIG, MODEL, ITEMS, MANIFEST = (
    "config.json",
    "model.safetensors",
    "items.safetensors",
    "manifest.json",
)
FILES = {CONFIG, MODEL, ITEMS, MANIFEST}


@dataclass(frozen=True, eq=False)
class Saved:
    """What a folder holds.

    Attributes:
        config: See above, without its format.
        tensors: Of the network, by name, on the CPU.
        items: Arrays of the catalogue.
        provenance: What it was made from.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    items: Mapping[str, np.ndarray]
    provenance: Provenance


def write(directory: str | Path, saved: Saved) -> None:
    """Write a folder, whole or not at all; an older recommender there is replaced.

    Raises:
        BadInput: There is a folder with other files, no space left, or it may not be written.
    """
    from safetensors.numpy import save_file as save_arrays
    from safetensors.torch import save_file

    directory = Path(directory)
    recover(directory)
    require_replaceable(directory, FILES.__contains__, "one with an older recommender")
    with atomic_folder(directory) as folder:
        save_file(
            {n: t.detach().cpu().contiguous() for n, t in saved.tensors.items()}, folder / MODEL
        )
        save_arrays({n: np.ascontiguousarray(a) for n, a in saved.items.items()}, folder / ITEMS)
        _write_json(folder / CONFIG, {"format": FORMAT, **saved.config})
        _write_json(folder / MANIFEST, saved.provenance.to_json())


def read(directory: str | Path) -> Saved:
    """Read a folder.

    Raises:
        BadInput: There is none, it is damaged, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file as load_arrays
    from safetensors.torch import load_file

    recover(directory)
    folder = Path(directory)
    if not (folder / CONFIG).is_file():
        raise BadInput(
            "there is no recommender",
            where=str(directory),
            expected=f"a folder with {CONFIG}, {MODEL}, {ITEMS} and {MANIFEST}",
            make="recommender",
        )
    try:
        config, manifest = (
            json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, MANIFEST)
        )
        provenance = Provenance.from_json(manifest)
        _require_format(folder / CONFIG, config)
        tensors, items = load_file(str(folder / MODEL)), load_arrays(str(folder / ITEMS))
    except BadInput:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise damaged(folder, error) from error
    return Saved(config, tensors, items, provenance)


def damaged(folder: str | Path, reason: object) -> BadInput:
    """Return the error for a folder that cannot be read."""
    return BadInput(
        f"the recommender cannot be read: {reason}", where=str(folder), remake="recommender"
    )


def _require_format(file: Path, config: Any) -> None:
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise BadInput(
            f"a recommender of format {found}",
            where=str(file),
            expected=f"format {FORMAT}",
            do="train it again, or take the version of semantic-ids that wrote it",
        )


def _write_json(file: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
