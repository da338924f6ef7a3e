"""Where the embeddings come from: a parquet file, a folder, a glob or a URL.

What their footers say; and their rows, in small batches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.footers import (
    Footer,
    digest_of,
    is_unsupported,
    parquet_file,
    read_end,
    read_footer,
)
from semantic_ids.ingestion.locations import Location

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fsspec import AbstractFileSystem

BATCH_BYTES = 8 << 20
"""How much of a column is decoded at a time. Nothing but memory and time depends on it."""


class Place(NamedTuple):
    """Where a row is."""

    file: str
    row_group: int
    row: int
    """Number of the row in its file, counted from 0."""

    def __str__(self) -> str:
        return f"{self.file}, row group {self.row_group}, row {self.row}"


class Batch(NamedTuple):
    """Some rows of a source, in file order."""

    start: int
    """Number of the first row, counted over all files."""

    columns: pa.RecordBatch


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files under one location; nothing is read before it is asked for.

    Attributes:
        location: A file, a folder, a glob or an fsspec URL. In a folder that has a file
            `favourite`, only that file counts; otherwise every `*.parquet`, `*.parq` and `*.pq` in
            it that is not hidden and does not start with `_`, by name; see `locations`.
        favourite: See above.
        parameter: The runtime parameter that gives the location; it is named in errors.
    """

    location: str
    favourite: str = "item_emb.parquet"
    parameter: str = "embeddings"

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Paths of the files as their file system knows them, in the order of their names.

        Raises:
            BadInput: There are none, or the location cannot be looked at.
        """
        try:
            return tuple(self._place_named.files())
        except (BadInput, MemoryError):
            raise
        except Exception as error:  # file systems behind URLs raise whatever they like
            raise BadInput(
                f"cannot be looked at: {type(error).__name__}: {error}",
                where=self.location,
                do=self._elsewhere,
            ) from error

    @property
    def left_out(self) -> tuple[str, ...]:
        """Sentences about files that are under the location and are not read."""
        _ = self.files
        return tuple(self._place_named.left_out)

    @cached_property
    def footers(self) -> tuple[Footer, ...]:
        """Footers of all files.

        Raises:
            BadInput: A file is empty, truncated or not a parquet file.
        """
        return tuple(self._footer(file) for file in self.files)

    @property
    def rows(self) -> int:
        """Rows of all files together."""
        return sum(footer.rows for footer in self.footers)

    def exists(self) -> bool:
        """Whether there is at least one file."""
        try:
            return bool(self.files)
        except BadInput:
            return False

    def place(self, row: int) -> Place:
        """Return where row number `row`, counted over all files, is."""
        file, group, _, file_start = self._groups[
            bisect_right(self._groups, row, key=lambda entry: entry[2]) - 1
        ]
        return Place(file, group, row - file_start)

    @cached_property
    def _groups(self) -> list[tuple[str, int, int, int]]:
        """File, row group, number of its first row and of the file's first row, of every row group
        that has rows.
        """
        groups, start = [], 0
        for footer in self.footers:
            file_start = start
            for group, rows in enumerate(footer.group_rows):
                groups += [(footer.file, group, start, file_start)] if rows else []
                start += rows
        return groups

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield every row of some columns, in file order and in small batches.

        Raises:
            BadInput: A row group cannot be read.
        """
        start = 0
        for footer in self.footers:
            with self._open(footer) as parquet:
                for group, rows in enumerate(footer.group_rows):
                    end = start + rows
                    for batch in self._group(parquet, footer, group, columns):
                        yield Batch(start, batch)
                        start += len(batch)
                    if start != end:
                        raise _unreadable(
                            footer.file, group, f"{end - start} of its {rows} rows are missing"
                        )

    def head(
        self, n: int, columns: Sequence[str] | None = None, footer: Footer | None = None
    ) -> pa.Table:
        """Return the first n rows of a file.

        (of the first one that has rows), reading no more of it than that takes.
        """
        import pyarrow as pa

        footer = footer or next((f for f in self.footers if f.rows), self.footers[0])
        schema = footer.schema
        if columns is not None:
            schema = pa.schema([(name, footer.kind(name)) for name in columns])
        with self._open(footer) as parquet:
            try:
                first = next(parquet.iter_batches(batch_size=n, columns=columns), None)
                if first is not None and columns is not None:
                    first = _chosen(first, columns)
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(footer.file, 0, error) from error
        return schema.empty_table() if first is None else pa.Table.from_batches([first])

    def is_null_throughout(self, footer: Footer, column: str) -> bool:
        """Whether a file has no value in a column, which is read to its first value."""
        with self._open(footer) as parquet:
            return all(
                batch.column(0).null_count == len(batch)
                for group in range(len(footer.group_rows))
                for batch in self._group(parquet, footer, group, [column])
            )

    def _group(
        self, parquet: pq.ParquetFile, footer: Footer, group: int, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        row_bytes = sum(footer.column_bytes(name) for name in columns) / max(footer.rows, 1)
        size = int(min(max(BATCH_BYTES / max(row_bytes, 1.0), 1), 1 << 16))
        try:
            for batch in parquet.iter_batches(
                batch_size=size, row_groups=[group], columns=list(columns)
            ):
                yield _chosen(batch, columns)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(footer.file, group, error) from error

    @contextmanager
    def _open(self, footer: Footer) -> Iterator[pq.ParquetFile]:
        """Open one file, to read its rows with the types of parquet alone.

        Raises:
            BadInput: It is not there any more, or is another one.
        """
        with self._file(footer.file) as file:
            end = read_end(file, footer.file)
            if digest_of(end) != footer.digest:
                raise BadInput(
                    "was written to while it was being read",
                    where=footer.file,
                    expected="a file that nothing changes",
                    do="run it again when the file is complete",
                )
            with parquet_file(footer.file if self.is_local else file, end) as parquet:
                yield parquet

    @contextmanager
    def _file(self, file: str) -> Iterator[IO[bytes]]:
        """Open one file as bytes."""
        try:
            opened = (Path(file).open if self.is_local else partial(self._system[0].open, file))(
                "rb"
            )
        except (FileNotFoundError, IsADirectoryError) as error:
            raise BadInput("there is no such file", where=file, do=self._elsewhere) from error
        except PermissionError as error:
            raise BadInput("may not be read", where=file, do="change its rights") from error
        with opened:
            yield opened

    def _footer(self, file: str) -> Footer:
        with self._file(file) as opened:
            try:
                end = read_end(opened, file)
            except BadInput:
                raise
            except Exception as error:  # file systems behind URLs raise whatever they like
                raise BadInput(
                    f"cannot be read: {type(error).__name__}: {error}",
                    where=file,
                    do="try again, or copy the file to this machine",
                ) from error
        return read_footer(end, file)

    @cached_property
    def _system(self) -> tuple[AbstractFileSystem, str]:
        """The file system and the location in it."""
        import fsspec

        return fsspec.core.url_to_fs(self.location)

    @cached_property
    def _place_named(self) -> Location:
        system, path = self._system
        return Location(system, path, self.location, self.favourite, self.parameter)

    @property
    def _elsewhere(self) -> str:
        return f"give a parquet file, a folder, a glob or a URL with {self.parameter}=PATH"

    @property
    def is_local(self) -> bool:
        """Whether the files are on this machine."""
        return "://" not in self.location or self.location.startswith(("file://", "local://"))


def _chosen(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """Return some columns of a batch, in their order."""
    import pyarrow as pa

    from semantic_ids.ingestion.columns import named

    return pa.RecordBatch.from_arrays([named(batch, name) for name in columns], list(columns))


def _unreadable(file: str, group: int, error: object) -> BadInput:
    where = f"{file}, row group {group}"
    if "Length spanned by list offsets" in str(error):
        return BadInput(
            "cannot be read: a null array, as DuckDB writes it, which pyarrow cannot tell from"
            f" damage ({error})",
            where=where,
            expected="a whole file, with null arrays written as null lists",
            do="write the vectors as lists: COPY (SELECT …, embedding::FLOAT[] AS embedding …)",
        )
    if is_unsupported(error):
        return BadInput(
            f"cannot be read, because of what is not supported: {error}",
            where=where,
            do="write it with snappy, gzip, zstd or no compression, and without encryption",
        )
    return BadInput(
        f"cannot be read, the file is corrupt: {error}",
        where=where,
        do="write or copy the file again",
    )
