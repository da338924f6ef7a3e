"""JSON lines: from vectors to codes and back, a line an item.

A line is a list of numbers, or an object with an id and such a list. A list becomes a list, an
object an object with `item_id` and `codes`, or `embedding`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from semantic_ids.codes import written
from semantic_ids.errors import BadInput
from semantic_ids.progress import Progress
from semantic_ids.runtime.blocks import Block, converted
from semantic_ids.runtime.checks import Name
from semantic_ids.runtime.files import PIPE, created, opened, require_apart
from semantic_ids.runtime.session import Encoder

BLOCK_LINES = 512
"""Lines that are read, converted and written at a time."""
LONGEST = 1 << 26
"""Bytes of a line beyond which it is taken for no line at all."""


@dataclass(frozen=True)
class Columns:
    """Where in an object the id and the numbers are."""

    ids: str = "item_id"
    numbers: str = "embedding"


def encode_lines(
    encoder: Encoder, source: str, target: str, columns: Columns, *, tokens: bool = False
) -> int:
    """Encode lines of vectors to lines of codes, and return how many there were.

    Args:
        encoder: What encodes.
        source: A file, or `-` for stdin.
        target: A file that is written whole or not at all, or `-` for stdout.
        columns: Names of an object's id and vector.
        tokens: Write a list of codes as a string of tokens, and such a string, `semantic_id`, into
            objects.

    Raises:
        BadInput: A line cannot be read, or has no codes; nothing is written then to a file.
    """
    reading = Reading(columns, encoder.dim, (int, float), np.dtype(np.float32))

    def lines(ids: list[Any], codes: np.ndarray) -> Iterator[Any]:
        rows = codes.tolist()
        strings = written(rows) if tokens else [""] * len(rows)
        for item, row, string in zip(ids, rows, strings, strict=True):
            if item is None:
                yield string or row
            else:
                more = {"semantic_id": string} if tokens else {}
                yield {"item_id": item, "codes": row, **more}

    return _convert(encoder, encoder.encode_block, source, target, reading, lines)


def decode_lines(encoder: Encoder, source: str, target: str, columns: Columns) -> int:
    """Decode lines of codes to lines of vectors; see `encode_lines`."""
    levels = len(encoder.codebook_sizes)
    reading = Reading(columns, levels, (int,), np.dtype(np.int64))

    def lines(ids: list[Any], vectors: np.ndarray) -> Iterator[Any]:
        for item, row in zip(ids, vectors.tolist(), strict=True):
            yield row if item is None else {"item_id": item, "embedding": row}

    return _convert(encoder, encoder.decode_block, source, target, reading, lines)


@dataclass(frozen=True)
class Reading:
    """How lines are read: so many numbers of these types, as an array of that one.

    Attributes:
        columns: Names of an object's id and numbers.
        width: How many numbers a line has.
        types: What they are in JSON.
        dtype: What they become.
    """

    columns: Columns
    width: int
    types: tuple[type, ...]
    dtype: np.dtype

    def blocks(self, file: Any, source: str) -> Iterator[Block]:
        """Yield the numbers and ids of some lines at a time; blank lines are ignored."""
        rows: list[np.ndarray] = []
        ids: list[Any] = []
        names: list[str] = []
        for number, line in enumerate(read_lines(file, source), start=1):
            if not line.strip():
                continue
            item, row = self._parsed(line, f"{source}, line {number}")
            rows.append(row)
            ids.append(item)
            names.append(f"{source}, line {number}" + ("" if item is None else f", item {item!r}"))
            if len(rows) == BLOCK_LINES:
                yield Block(np.array(rows), names.__getitem__, ids)
                rows, ids, names = [], [], []
        if rows:
            yield Block(np.array(rows), names.__getitem__, ids)

    def _parsed(self, line: bytes, where: str) -> tuple[Any, np.ndarray]:
        """Return the id, None where a line has none, and the numbers (W,) of a line."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._refused(f"no JSON ({error})", where) from error
        item = None
        if isinstance(found, dict):
            item = self._of(found, self.columns.ids, where)
            where = f"{where}, item {item!r}"
            if type(item) not in (int, str):
                raise self._refused(f"its {self.columns.ids} is no integer and no text", where)
            found = self._of(found, self.columns.numbers, where)
        if not isinstance(found, list):
            raise self._refused(f"{type(found).__name__} where a list belongs", where)
        if len(found) != self.width:
            raise self._refused(f"a list of {len(found)}", where)
        if not {*map(type, found)} <= {*self.types}:
            raise self._refused("the list holds what is no number of that kind", where)
        try:
            with np.errstate(over="ignore"):  # becomes infinite, and is refused as that
                return item, np.array(found, dtype=self.dtype)
        except OverflowError as error:
            raise self._refused("the list holds a number that is too large", where) from error

    def _of(self, found: dict[str, Any], name: str, where: str) -> Any:
        if name not in found:
            raise self._refused(
                f"'{name}' is missing", where, "name it with --id-column or --vector-column"
            )
        return found[name]

    def _refused(self, found: str, where: str, do: str = "mend or drop that line") -> BadInput:
        of = "integers" if self.types == (int,) else "numbers"
        return BadInput(
            found,
            where=where,
            expected=f"a list of {self.width} {of}, or an object with"
            f" '{self.columns.ids}' and '{self.columns.numbers}'",
            do=do,
        )


def read_lines(file: Any, source: str) -> Iterator[bytes]:
    """Yield lines of bounded length."""
    while line := file.readline(LONGEST):
        if len(line) == LONGEST:
            raise BadInput(
                f"a line of more than {LONGEST >> 20} MiB", where=source, expected="JSON lines"
            )
        yield line


def _convert(
    encoder: Encoder,
    convert: Callable[[np.ndarray, Name], np.ndarray],
    source: str,
    target: str,
    reading: Reading,
    lines: Callable[[list[Any], np.ndarray], Iterator[Any]],
) -> int:
    """Read, convert and write some lines at a time."""
    require_apart(source, target)
    done = 0
    with (
        opened(source) as file,
        created(target) as out,
        Progress("convert", None, "lines") as progress,
    ):
        blocks = reading.blocks(file, "stdin" if source == PIPE else source)
        for block, made in converted(convert, blocks, encoder.threads):
            texts = (json.dumps(row, ensure_ascii=False) for row in lines(block.ids, made))
            out.write("".join(f"{text}\n" for text in texts).encode())
            if target == PIPE:
                out.flush()
            done += len(block)
            progress.advance(len(block))
    return done
