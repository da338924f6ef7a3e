"""The unique IDs that are out: looked up by item id in a published generation.

Nothing is encoded, and vectors are not read: an ID that is out stays what it is, whatever today's
vector of its item is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.codes import written
from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.progress import Progress
from semantic_ids.publishing.locations import generation
from semantic_ids.publishing.mapping import Mapping, read_mapping
from semantic_ids.runtime.files import PIPE, created, opened, require_apart
from semantic_ids.runtime.lines import BLOCK_LINES, read_lines
from semantic_ids.runtime.tables import ids_schema, parquet, read_ids, row_groups

IDS_FILE = "semantic_ids.parquet"
SHOWN = 3
"""Items that an error names."""


class Published:
    """The IDs of a generation.

    Args:
        place: Folder of a generation, or of all, whose newest is taken.

    Attributes:
        place: What was given.
        folder: Folder of the generation.
        mapping: Which item has which ID; held in memory, 30 bytes an item and its id.

    Raises:
        BadInput: There is no generation, or it cannot be read.
    """

    def __init__(self, place: str | Path) -> None:
        parquet()
        self.place, self.folder = Path(place), generation(place)
        self.mapping: Mapping = read_mapping(self.folder / IDS_FILE)
        self.unknown = 0
        self._shown: list[str] = []

    def ids_of(self, items: list[Any]) -> np.ndarray:
        """Return the IDs of items that are published: (m, W) int32.

        Those of others are −1; `require_all` refuses them in the end, when all are counted.
        """
        hashes = item_hash(items)
        rows = np.searchsorted(self.mapping.hashes, hashes)
        found = np.full((len(items), self.mapping.codes.shape[1]), -1, dtype=np.int32)
        for number, item in enumerate(items):
            row = self._row(item, hashes[number], int(rows[number]))
            if row is not None:
                found[number] = self.mapping.codes[row]
                continue
            self.unknown += 1
            if len(self._shown) < SHOWN:
                self._shown.append(repr(item))
        return found

    @property
    def can_grow(self) -> bool:
        """Whether a next generation can follow: the folder of all was given, not one of them."""
        return self.place != self.folder

    def _row(self, item: Any, hashed: np.uint64, row: int) -> int | None:
        """Return the row of an item, of several with the same hash the one with this id."""
        while row < len(self.mapping) and self.mapping.hashes[row] == hashed:
            if str(self.mapping.item_ids[row].as_py()) == str(item):
                return row
            row += 1
        return None

    def require_all(self) -> None:
        """Raise `BadInput` where an item was asked for that is not published."""
        if self.unknown:
            raise BadInput(
                f"{self.unknown:,} items are not published, such as {', '.join(self._shown)}",
                where=str(self.folder),
                expected="items of that generation",
                do="publish them first: give parquet with their vectors and the folder of all"
                " generations, or run the pipeline publish with all items",
            )


def look_up_tables(published: Published, source: str, target: str, id_column: str) -> int:
    """Write `item_id`, `codes` and `semantic_id` of the items in parquet; return the rows.

    Args:
        published: Where IDs are looked up.
        source: A file, a folder or a pattern.
        target: The parquet file that is written whole or not at all.
        id_column: Column of integers or text.

    Raises:
        BadInput: The column is missing, or an item is not published.
    """
    pq = parquet()
    kind, batches = read_ids(source, target, id_column)
    schema = ids_schema(kind, published.mapping.sizes, published.mapping.levels)
    done = 0
    with (
        atomic_file(target, "-o") as temporary,
        Progress("look up", None) as progress,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        found = ((ids, published.ids_of(ids.to_pylist())) for ids in batches)
        for rows in row_groups(found, schema):
            writer.write_table(rows)
            progress.advance(len(rows))
            done += len(rows)
        published.require_all()
    return done


def count_unknown(published: Published, source: str, target: str, id_column: str) -> int:
    """Count the items in parquet that are not published. Args are those of `look_up_tables`."""
    parquet()
    for ids in read_ids(source, target, id_column)[1]:
        published.ids_of(ids.to_pylist())
    return published.unknown


def look_up_lines(published: Published, source: str, target: str, id_name: str) -> int:
    """Write a line with `item_id`, `codes` and `semantic_id` for each line; return the lines.

    Args:
        published: Where IDs are looked up.
        source: JSON lines of ids, or of objects with one, or `-` for stdin.
        target: A file that is written whole or not at all, or `-` for stdout.
        id_name: Name of the id in an object.

    Raises:
        BadInput: A line has no id, or an item is not published.
    """
    require_apart(source, target)
    done = 0
    with opened(source) as file, created(target) as out:
        for items in _blocks(_items(file, "stdin" if source == PIPE else source, id_name)):
            codes = published.ids_of(items)
            if target == PIPE:
                published.require_all()  # before what cannot be taken back
            found = codes.tolist()
            rows = zip(items, found, written(found), strict=True)
            lines = (
                json.dumps({"item_id": item, "codes": row, "semantic_id": text}, ensure_ascii=False)
                for item, row, text in rows
            )
            out.write("".join(f"{line}\n" for line in lines).encode())
            done += len(items)
        published.require_all()
    return done


def _blocks(items: Iterable[Any]) -> Iterator[list[Any]]:
    held: list[Any] = []
    for item in items:
        held.append(item)
        if len(held) == BLOCK_LINES:
            yield held
            held = []
    if held:
        yield held


def _items(file: Any, source: str, name: str) -> Iterator[int | str]:
    """Yield the id of each line."""
    for number, line in enumerate(read_lines(file, source), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            found = error
        item = found.get(name) if isinstance(found, dict) else found
        if not isinstance(item, (int, str)) or isinstance(item, bool):
            raise BadInput(
                f"no id ({line[:40]!r})",
                where=f"{source}, line {number}",
                expected=f"an integer, a text, or an object with '{name}'",
                do="name it with --id-column",
            )
        yield item
