"""Where user histories come from: one table, or three that are split already."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.locations import ENDINGS, is_parquet
from semantic_ids.ingestion.source import ParquetSource

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = "whole"
"""The one part of histories that are not split."""
PARTS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test",),
}
"""Part → what its file, or its folder, is called."""
PARAMETER = "histories"


@dataclass(frozen=True)
class HistorySource:
    """Parquet files under one location; nothing is read before it is asked for.

    Attributes:
        location: A file, a folder, a glob or an fsspec URL. A folder that has files (or folders of
            files) called `train`, `valid` and `test`, as in `PARTS`, is split already.
    """

    location: str

    @cached_property
    def parts(self) -> dict[str, ParquetSource]:
        """`WHOLE`, or `train`, `valid` and `test`, each with its files.

        Raises:
            BadInput: There are none, one of the three is missing, or the location cannot be looked
                at.
        """
        found = self._split_already()
        if len(found) < 2:
            return {WHOLE: ParquetSource(self.location, "sequences.parquet", PARAMETER)}
        missing = [part for part in PARTS if part not in found]
        if missing:
            raise BadInput(
                f"there are {' and '.join(found)}, but no {missing[0]}",
                where=self.location,
                expected="train, valid and test, or files of all events",
                do=f"add {missing[0]}.parquet, or give one file with {PARAMETER}=PATH",
            )
        return {
            part: ParquetSource(f"{self.location.rstrip('/')}/{name}", "", PARAMETER)
            for part, name in found.items()
        }

    @property
    def is_split(self) -> bool:
        """Whether there are files of their own to learn from, for validation and for the test."""
        return WHOLE not in self.parts

    @property
    def left_out(self) -> tuple[str, ...]:
        """Sentences about files that are under the location and are not read."""
        return tuple(text for part in self.parts.values() for text in part.left_out)

    def exists(self) -> bool:
        """Whether there is at least one file."""
        try:
            return all(part.files for part in self.parts.values())
        except BadInput:
            return False

    def head(self, n: int) -> pa.Table:
        """Return the first rows."""
        return next(iter(self.parts.values())).head(n)

    def _split_already(self) -> dict[str, str]:
        """Return part → name of its file or folder, of the parts that a folder has."""
        import fsspec

        try:
            system, path = fsspec.core.url_to_fs(self.location)
            if not system.isdir(path):
                return {}
            names = {str(p).rstrip("/").rsplit("/", 1)[-1] for p in system.ls(path, detail=False)}
        except Exception:  # file systems behind URLs raise whatever they like: the source says it
            return {}
        found = {part: _called(names, called) for part, called in PARTS.items()}
        return {part: name for part, name in found.items() if name}


def _called(names: set[str], called: tuple[str, ...]) -> str:
    """Return the file, the folder or the glob of one part among the names in a folder, or nothing.

    `train.parquet`, `train/`, or `train-00000-of-00002.parquet` and those beside it, as Hugging
    Face's datasets are written.
    """
    for name in called:
        for entry in (*(f"{name}{end}" for end in ENDINGS), name):
            if entry in names:
                return entry
        if any(entry.startswith(f"{name}-") and is_parquet(entry) for entry in names):
            return f"{name}-*"
    return ""
