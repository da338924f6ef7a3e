"""From parquet files of vectors to one of codes, in bounded memory. The one place with pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.errors import BadInput
from semantic_ids.extras import load
from semantic_ids.progress import Progress
from semantic_ids.runtime.blocks import Block, converted
from semantic_ids.runtime.checks import Name
from semantic_ids.runtime.files import require_apart
from semantic_ids.runtime.session import BLOCK_ROWS, Encoder

ROWS_A_GROUP, ROWS_OF_IDS = 1 << 18, 1 << 14


def is_tables(source: str) -> bool:
    """Whether an input is parquet: a file, a folder or a pattern."""
    return source.endswith(".parquet") or Path(source).is_dir()


def encode_parquet(
    encoder: Encoder, source: str, target: str, *, id_column: str, vector_column: str
) -> int:
    """Encode parquet to the columns `item_id`, `codes` and `semantic_id`; return the rows.

    Args:
        encoder: What encodes.
        source: A file, a folder or a pattern; files are read in the order of their names.
        target: The parquet file that is written whole or not at all.
        id_column: Column of integers or text.
        vector_column: Column of lists of D numbers.

    Raises:
        BadInput: A column is missing or of another type, or a row has no codes.
    """
    pq = parquet()
    columns = [id_column, vector_column]
    files, tables, kind = _found(source, target, columns)
    schema = ids_schema(kind, encoder.codebook_sizes, len(encoder.codebook_sizes))
    total = sum(table.metadata.num_rows for table in tables)
    done = 0
    with (
        atomic_file(target, "-o") as temporary,
        Progress("encode", total) as progress,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for file, table in zip(files, tables, strict=True):
            blocks = _blocks(encoder.dim, file, table, columns, kind)
            made = converted(encoder.encode_block, blocks, encoder.threads)
            for rows in row_groups(((block.ids, codes) for block, codes in made), schema):
                writer.write_table(rows)
                progress.advance(len(rows))
                done += len(rows)
    return done


def read_tables(
    source: str, target: str, dim: int, *, id_column: str, vector_column: str
) -> Iterator[Block]:
    """Yield the vectors (m, dim) of parquet with the ids of their items; see `encode_parquet`."""
    columns = [id_column, vector_column]
    files, tables, kind = _found(source, target, columns)
    for file, table in zip(files, tables, strict=True):
        yield from _blocks(dim, file, table, columns, kind)


def _found(source: str, target: str, columns: list[str]) -> tuple[list[str], list[Any], Any]:
    """Return the files, opened, and the type of their ids."""
    files = _files(source)
    for file in files:
        require_apart(file, target)
    tables = [_opened(file, columns) for file in files]
    kind = _id_type(tables[0].schema_arrow.field(columns[0]).type, files[0], columns[0])
    return files, tables, kind


def read_ids(source: str, target: str, id_column: str) -> tuple[Any, Iterator[Any]]:
    """Return the type of the ids in parquet, and the ids (m,) batch by batch."""
    files, tables, kind = _found(source, target, [id_column])

    def batches() -> Iterator[Any]:
        for file, table in zip(files, tables, strict=True):
            first = 0
            for batch in table.iter_batches(ROWS_OF_IDS, columns=[id_column]):
                ids = batch.column(0)
                _require_ids(ids, _named(file, ids, first))
                yield _cast(ids, kind, file)
                first += len(ids)

    return kind, batches()


def row_groups(encoded: Iterable[tuple[Any, np.ndarray]], schema: Any) -> Iterator[Any]:
    """Yield tables of ids and codes of up to a row group each."""
    import pyarrow as pa

    held: list[Any] = []
    for ids, codes in encoded:
        held.append(_table(ids, codes, schema))
        if sum(map(len, held)) >= ROWS_A_GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _table(ids: Any, codes: np.ndarray, schema: Any) -> Any:
    import pyarrow as pa

    from semantic_ids.export.tokens import codes_column, token_strings

    return pa.Table.from_arrays([ids, codes_column(codes), token_strings(codes)], schema=schema)


def _blocks(dim: int, file: str, table: Any, columns: list[str], kind: Any) -> Iterator[Block]:
    """Yield the vectors of a file with the ids of their items, which errors name."""
    first = 0
    for batch in table.iter_batches(BLOCK_ROWS, columns=columns, use_threads=False):
        ids, vectors = (batch.column(batch.schema.get_field_index(name)) for name in columns)
        name = _named(file, ids, first)
        _require_ids(ids, name)
        yield Block(_matrix(vectors, dim, name), name, _cast(ids, kind, file))
        first += len(batch)


def _named(file: str, ids: Any, first: int) -> Name:
    return lambda row: f"{file}, item {ids[row].as_py()!r}, row {first + row}"


def _require_ids(ids: Any, name: Name) -> None:
    if ids.null_count:
        row = int(np.argmax(ids.is_null().to_numpy(zero_copy_only=False)))
        raise BadInput("it has no id", where=name(row), expected="an id")


def _cast(ids: Any, kind: Any, file: str) -> Any:
    import pyarrow as pa

    try:
        return ids.cast(kind)
    except pa.ArrowInvalid as error:
        raise BadInput(
            f"ids that cannot be read ({error})", where=file, expected="ids of one type"
        ) from error


def _matrix(vectors: Any, dim: int, name: Name) -> np.ndarray:
    """Return lists of numbers as rows (m, D), and refuse lists of another length."""
    lengths = _lengths(vectors)
    if (wrong := lengths != dim).any():
        row = int(wrong.argmax())
        found = "it has no vector" if lengths[row] < 0 else f"a vector of {lengths[row]} numbers"
        raise BadInput(found, where=name(row), expected=f"{dim} numbers")
    return _numbers(vectors.flatten()).reshape(len(vectors), dim)


def _lengths(lists: Any) -> np.ndarray:
    """Return the length of each list, −1 where there is none: (m,)."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(lists.type):
        lengths = np.full(len(lists), lists.type.list_size)
    else:
        lengths = np.diff(_numbers(lists.offsets))
    if lists.null_count:
        lengths[_numbers(lists.is_null().cast(pa.int8())) > 0] = -1
    return lengths


def _numbers(values: Any) -> np.ndarray:
    """Return numbers as an array; what is missing becomes NaN.

    `to_numpy` imports pandas where it is installed, which takes a third of a second.
    """
    if values.null_count:
        return values.to_numpy(zero_copy_only=False)
    return np.from_dlpack(values) if len(values) else np.empty(0, dtype=np.float32)


def ids_schema(kind: Any, sizes: Sequence[int], levels: int) -> Any:
    """Return the columns that are written, as `semantic_ids.parquet` has them."""
    import pyarrow as pa

    layout = {"sizes": list(sizes), "levels": levels}
    fields = [
        ("item_id", kind),
        ("codes", pa.list_(pa.int32(), len(sizes))),
        ("semantic_id", pa.string()),
    ]
    return pa.schema(fields, {"semantic_ids.layout": json.dumps(layout)})


def _id_type(kind: Any, file: str, column: str) -> Any:
    """Return the type that ids are written as."""
    import pyarrow as pa

    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return pa.string()
    raise BadInput(
        f"column '{column}' is of {kind}", where=file, expected="integers or text", do="cast it"
    )


def _files(source: str) -> list[str]:
    path = Path(source)
    found = [str(f) for f in path.rglob("*.parquet")] if path.is_dir() else glob(source)
    files = sorted(found) or ([source] if path.is_file() else [])
    if not files:
        raise BadInput("there is no such file", where=source, expected="parquet files")
    return files


def _opened(file: str, columns: list[str]) -> Any:
    """Open a file that has the columns: an id, and lists of numbers."""
    import pyarrow as pa

    try:
        # by default it would hold all that was read of a file
        table = parquet().ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"it cannot be read ({error})", where=file, expected="parquet") from error
    names = table.schema_arrow.names
    for name in columns:
        if name not in names:
            raise BadInput(
                f"column '{name}' is missing",
                where=file,
                expected=f"one of {', '.join(names)}",
                do="name it with --id-column or --vector-column",
            )
    if len(columns) == 1:
        return table
    kind = table.schema_arrow.field(columns[1]).type
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(kind) for test in lists) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        raise BadInput(
            f"column '{columns[1]}' is of {kind}", where=file, expected="lists of numbers"
        )
    return table


def parquet() -> Any:
    """Import pyarrow, or name the extra that has it."""
    return load("pyarrow.parquet", "parquet", otherwise=", or give a .npy file")
