"""What footers and options tell, said before a vector is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semantic_ids.errors import BadInput, nearest
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.order import is_text
from semantic_ids.ingestion.source import Footer, ParquetSource

LOOKED_AT = 64
"""So many vectors at the head of a file tell its dimensions."""
_LISTED = 30
"""At most this many column names are put into a message."""


def is_id(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold item ids."""
    return pa.types.is_integer(kind) or is_text(kind)


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold vectors."""
    lists = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def check_footers(source: ParquetSource, options: IngestOptions) -> None:
    """Raise `BadInput` for everything that the footers and the options tell."""
    for footer in source.footers:
        _check_column(footer, options.id_column, "ingest.id_column", is_id, "integers or strings")
        _check_column(
            footer,
            options.vector_column,
            "ingest.vector_column",
            is_vector,
            "list, large_list or fixed_size_list of numbers",
        )
    if source.rows == 0:
        raise BadInput(
            "there are no rows",
            where=source.location,
            expected="at least one item",
            do="give another file",
        )
    _check_id_kinds(source, options.id_column)
    _check_dims(source, options)


def _check_column(
    footer: Footer, name: str, parameter: str, fits: Callable[[pa.DataType], bool], expected: str
) -> None:
    count = len(footer.schema.get_all_field_indices(name))
    if count != 1:
        found = (
            f"column '{name}' is missing"
            if count == 0
            else f"column '{name}' is there {count} times"
        )
        raise BadInput(
            f"{found}; the columns are"
            f" {_listed(footer.schema)}{nearest(name, footer.schema.names) if not count else ''}",
            where=footer.file,
            expected=f"the column that {parameter} names",
            do=f"name it with {parameter}={_guess(footer.schema, name, fits)}",
        )
    kind = footer.schema.field(name).type
    if not fits(kind):
        raise BadInput(
            f"column '{name}' is of type {kind}",
            where=footer.file,
            expected=expected,
            do=(
                "write it with such a type, or name another column with"
                f" {parameter}={_guess(footer.schema, '', fits)}"
            ),
        )


def _listed(schema: pa.Schema) -> str:
    names = [f"'{name}'" for name in schema.names]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "none") + more


def _guess(schema: pa.Schema, name: str, fits: Callable[[pa.DataType], bool]) -> str:
    """Return the column that was probably meant.

    Of the right type, with a near name if there is one.
    """
    fitting = [field.name for field in schema if fits(field.type)]
    near = [candidate for candidate in fitting if name and nearest(name, [candidate])]
    return (near + fitting + ["NAME"])[0]


def _check_id_kinds(source: ParquetSource, column: str) -> None:
    first = source.footers[0]
    for footer in source.footers[1:]:
        if is_text(footer.schema.field(column).type) != is_text(first.schema.field(column).type):
            raise BadInput(
                f"column '{column}' is {footer.schema.field(column).type} here, but"
                f" {first.schema.field(column).type} in {first.file}",
                where=footer.file,
                expected="integers in all files, or strings in all files",
                do="write the ids with one type",
            )


def _check_dims(source: ParquetSource, options: IngestOptions) -> None:
    known = [
        (footer.file, dim)
        for footer in source.footers
        if footer.rows and (dim := _file_dim(source, footer, options))
    ]
    for file, dim in known[1:]:
        if dim != known[0][1]:
            raise different_dims(file, dim, *known[0])


def known_dim(source: ParquetSource, options: IngestOptions) -> int | None:
    """Return the number of dimensions of the first vectors of the files.

    None where it is not known before the vectors are read.

    A fixed-size list tells it. For other lists it is that of most of the first vectors, but only
    where invalid rows are refused: where they are dropped, all rows have a say.
    """
    dims = (_file_dim(source, footer, options) for footer in source.footers if footer.rows)
    return next((dim for dim in dims if dim), None)


def _file_dim(source: ParquetSource, footer: Footer, options: IngestOptions) -> int | None:
    kind = footer.schema.field(options.vector_column).type
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size
    if options.drops:
        return None
    first = (
        source.head(LOOKED_AT, [options.vector_column], footer)
        .column(0)
        .combine_chunks()
        .value_lengths()
        .drop_null()
    )
    lengths, counts = np.unique(first.filter(pc.greater(first, 0)).to_numpy(), return_counts=True)
    return int(lengths[counts.argmax()]) if len(lengths) else None


def different_dims(file: str, dim: int, other_file: str, other_dim: int) -> BadInput:
    """Return the error of two files with vectors of different lengths."""
    return BadInput(
        f"the vectors have {dim} dimensions, but {other_dim} in {other_file}",
        where=file,
        expected="the same number of dimensions in all files",
        do="embed all items with one model, or name only the files that belong together",
    )
