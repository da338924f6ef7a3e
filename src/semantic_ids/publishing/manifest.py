"""The manifest of a generation: what it is, and which files, of which bytes, belong to it.

It is written last. With numpy alone (and without it) every file can be checked against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from semantic_ids.errors import BadInput
from semantic_ids.publishing.locations import MANIFEST

FORMAT = 1
"""Rises when a generation can no longer be read as before; others are refused."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What a generation says of itself.

    Attributes:
        folder: Its folder.
        values: The object of `manifest.json`.
    """

    folder: Path
    values: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the generation: that of its folder."""
        return self.folder.name

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return int(self.values["generation"])

    @property
    def parent(self) -> str | None:
        """Name of the generation that it was made from; None for the first."""
        return self.values["parent"]


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of a folder that is otherwise complete.

    Args:
        folder: The folder.
        about: What is said beside the format and the files.
    """
    found = {name: _described(folder / name) for name in sorted(_names(folder))}
    values = {"format": FORMAT, **about, "files": found}
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a generation.

    Raises:
        BadInput: It cannot be read, or is of another format.
    """
    file = folder / MANIFEST
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        found = values["format"]
        if not isinstance(values["files"], dict) or int(values["generation"]) < 1:
            raise ValueError("files or number of the generation are not what they should be")
        values["parent"], values["items"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"the manifest cannot be read: {error}",
            where=str(file),
            expected="the manifest of a generation, as it was published",
            do="bring back a copy of the generation",
        ) from error
    if found != FORMAT:
        raise BadInput(
            f"a generation of format {found}",
            where=str(file),
            expected=f"format {FORMAT}",
            do="take the version of semantic-ids that published it, or a newer one",
        )
    return Manifest(folder, values)


def wrong_files(manifest: Manifest) -> Iterator[str]:
    """Say of each file that is missing, other than published, or not of the generation."""
    listed, there = manifest.values["files"], set(_names(manifest.folder)) - {MANIFEST}
    for name in sorted(set(listed) - there):
        yield f"{name} is missing"
    for name in sorted(there - set(listed)):
        yield f"{name} is not of this generation"
    for name in sorted(there & set(listed)):
        expected, found = listed[name], (manifest.folder / name).stat().st_size
        if found != expected["bytes"]:
            yield f"{name} has {found:,} bytes where {expected['bytes']:,} were published"
        elif _described(manifest.folder / name)["sha256"] != expected["sha256"]:
            yield f"{name} has other content than was published"


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files]


def _described(file: Path) -> dict[str, Any]:
    digest, size = sha256(), 0
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}
