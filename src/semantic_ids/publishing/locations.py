"""Where a published generation, and its tokenizer, is: from any folder that a user may name.

A folder of bundles holds one folder a generation, such as `000007-ab12cd34`, and the text file
`latest` with the name of the newest one. Readers go from `latest` to the manifest of the
generation, and from there to its files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from semantic_ids.errors import BadInput

LATEST = "latest"
"""The file that names the newest generation."""
MANIFEST = "manifest.json"
"""Of a generation: what it is, and the sha256 of all its files; written last."""
TOKENIZER = "tokenizer"
"""The folder of its tokenizer."""
INDEX = "semantic_ids.faiss"
"""The index of its items, where `export.faiss` was on."""
NAME = re.compile(r"(\d{6,})-([0-9a-f]{8})")
"""Names of generations: their number, and 8 hex digits of what is in them."""


def generation(folder: str | Path) -> Path:
    """Return the folder of a generation.

    Args:
        folder: A folder of bundles, whose newest generation is meant, or that of a generation.

    Raises:
        BadInput: It is neither, or what `latest` names is not there.
    """
    folder = Path(folder)
    if (folder / LATEST).is_file():
        return latest(folder)
    if is_generation(folder):
        return folder
    raise BadInput(
        "there is no published generation" if folder.exists() else "there is no such folder",
        where=str(folder),
        expected=f"a folder of bundles, with the file '{LATEST}', or one of its generations",
        make="bundles",
    )


def tokenizer_of(folder: str | Path) -> Path:
    """Return the folder of a tokenizer.

    Args:
        folder: A folder of bundles, of a generation, or of a tokenizer. Any other is returned as it
            is, for the reader of tokenizers to say what is missing.

    Raises:
        BadInput: What `latest` names is not there.
    """
    found = newest(folder)
    return found / TOKENIZER if is_generation(found) else found


def newest(folder: str | Path) -> Path:
    """Return the newest generation of a folder of bundles, and any other path as it is.

    Raises:
        BadInput: What `latest` names is not there.
    """
    folder = Path(folder)
    return latest(folder) if (folder / LATEST).is_file() else folder


def latest(folder: Path) -> Path:
    """Return the folder of the generation that `latest` names.

    Raises:
        BadInput: It names none, or one that is not there.
    """
    file = folder / LATEST
    try:
        name = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise BadInput(f"it cannot be read: {error}", where=str(file)) from error
    if not NAME.fullmatch(name):
        raise BadInput(
            f"it names {name[:40]!r}",
            where=str(file),
            expected="the name of a generation beside it, such as 000001-0123abcd",
            do="write the name of a whole generation into it",
        )
    if not is_generation(folder / name):
        raise BadInput(
            f"it names {name}, which is not there, or has no {MANIFEST}",
            where=str(file),
            expected="a whole generation",
            do="bring that folder back, or write the name of another generation into the file",
        )
    return folder / name


def is_generation(folder: Path) -> bool:
    """Whether a folder is that of a generation: its manifest says so."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "generation" in found
