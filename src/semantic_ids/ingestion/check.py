"""What footers and options tell, said before a vector is read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semantic_ids.errors import BadInput, nearest
from semantic_ids.ingestion.advice import advice
from semantic_ids.ingestion.bits import look_packed
from semantic_ids.ingestion.columns import (
    declared_size,
    is_id,
    is_tensor_of_axes,
    is_text,
    is_vector,
    leaves,
    may_be_null,
)
from semantic_ids.ingestion.footers import Footer
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.source import ParquetSource

logger = logging.getLogger(__name__)

LOOKED_AT = 64
"""So many vectors at the head of a file tell its dimensions."""
_LISTED = 30
"""At most this many column names are put into a message."""
_LISTS = "list, large_list or fixed_size_list of numbers"


class Wanted(NamedTuple):
    """What a column is to be."""

    name: str
    parameter: str
    fits: Callable[[pa.DataType], bool]
    expected: str
    taken: tuple[str, ...] = ()
    """Columns that are something else: no advice names them."""

    def instead(self, schema: pa.Schema, name: str = "") -> str:
        """Return the column that was probably meant."""
        return guess(schema, name, self.fits, self.taken)


def check_footers(source: ParquetSource, options: IngestOptions) -> None:
    """Raise `BadInput` for everything that the footers and the options tell.

    A file without rows may be of any types: its writer may have known none.
    """
    if source.rows == 0:
        raise BadInput(
            "there are no rows",
            where=source.location,
            expected="at least one item",
            do="give another file",
        )
    for wanted in (
        Wanted(options.id_column, "ingest.id_column", is_id, "integers or strings"),
        Wanted(options.vector_column, "ingest.vector_column", is_vector, _LISTS),
    ):
        known = [footer for footer in source.footers if footer.rows]
        some = any((kind := f.kind(wanted.name)) is not None and wanted.fits(kind) for f in known)
        for footer in known:
            if not (some and _is_null_throughout(source, footer, wanted.name)):
                check_column(footer, wanted)
    check_id_kinds(source, options.id_column)
    _check_dims(source, options)


def _is_null_throughout(source: ParquetSource, footer: Footer, name: str) -> bool:
    """Whether a column has no value in a file, whose writer then knew no type for it."""
    kind = footer.kind(name)
    if kind is None or is_vector(kind):
        return False
    if may_be_null(kind):
        return True
    scalar = not (pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))
    return scalar and source.is_null_throughout(footer, name)


def check_column(footer: Footer, wanted: Wanted) -> None:
    """Raise `BadInput` where a column is missing, is there twice or is of another type."""
    name, kind = wanted.name, footer.kind(wanted.name)
    count = len(footer.schema.get_all_field_indices(name))
    if kind is None or count > 1:
        found = f"is there {count} times" if count else "is missing"
        near = "" if count else nearest(name, [name for name, _ in leaves(footer.schema)])
        raise BadInput(
            f"column '{name}' {found}; the columns are {listed(footer.schema)}{near}",
            where=footer.file,
            expected=f"the column that {wanted.parameter} names",
            do=f"name it with {wanted.parameter}={wanted.instead(footer.schema, name)}",
        )
    declared = footer.kind(name, declared=True) or kind
    if not wanted.fits(kind) or is_tensor_of_axes(declared):
        other = wanted.instead(footer.schema)
        cast = advice(declared, wanted.parameter, name) or advice(kind, wanted.parameter, name)
        do = cast or f"name another column with {wanted.parameter}={other}"
        if cast and other not in ("NAME", name):
            do += f", or name another column with {wanted.parameter}={other}"
        raise BadInput(
            f"column '{name}' is of type {declared}",
            where=footer.file,
            expected=wanted.expected,
            do=do,
        )


def listed(schema: pa.Schema) -> str:
    """Name the columns, the first ones of very many."""
    names = [f"'{name}'" for name in schema.names]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "none") + more


def guess(
    schema: pa.Schema,
    name: str,
    fits: Callable[[pa.DataType], bool],
    taken: tuple[str, ...] = (),
) -> str:
    """Return the column that was probably meant.

    Of the right type, with a near name if there is one; fields of structs come last.
    """
    fitting = [found for found, kind in leaves(schema) if fits(kind) and found not in taken]
    fitting.sort(key=lambda found: found not in schema.names)
    near = [candidate for candidate in fitting if name and nearest(name, [candidate])]
    return (near + fitting + ["NAME"])[0]


def check_id_kinds(source: ParquetSource, column: str) -> None:
    """Raise `BadInput` where ids are integers in one file and strings in another."""
    known = [
        (footer.file, kind)
        for footer in source.footers
        if footer.rows and (kind := footer.kind(column)) is not None and is_id(kind)
    ]
    for file, kind in known[1:]:
        first, other = known[0]
        if is_text(kind) != is_text(other) and not _null_ids(source, column, file, first):
            raise BadInput(
                f"column '{column}' is {kind} here, but {other} in {first}",
                where=file,
                expected="integers in all files, or strings in all files",
                do="write the ids with one type",
            )


def _null_ids(source: ParquetSource, column: str, *files: str) -> bool:
    """Whether one of some files has no id at all."""
    return any(
        source.is_null_throughout(footer, column)
        for footer in source.footers
        if footer.file in files
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
    kind = footer.kind(options.vector_column)
    if kind is None or not is_vector(kind):
        return None
    if size := declared_size(footer.kind(options.vector_column, declared=True)):
        return size
    if options.drops:
        return None
    first = _head(source, footer, options.vector_column).value_lengths().drop_null()
    lengths, counts = np.unique(first.filter(pc.greater(first, 0)).to_numpy(), return_counts=True)
    return int(lengths[counts.argmax()]) if len(lengths) else None


def _head(source: ParquetSource, footer: Footer, column: str) -> pa.Array:
    return source.head(LOOKED_AT, [column], footer).column(0).combine_chunks()


def warn_of_bits(source: ParquetSource, column: str) -> None:
    """Say so where bytes look like packed bits, of which distances mean nothing."""
    for footer in source.footers:
        kind = footer.kind(column) if footer.rows else None
        if kind is None or not is_vector(kind) or not pa.types.is_integer(kind.value_type):
            continue
        if kind.value_type.bit_width == 8:
            values = _head(source, footer, column).flatten().drop_null().to_numpy()
            if look_packed(values):
                logger.warning(
                    "%s: column '%s' looks like packed bits (binary embeddings, 8 dimensions a"
                    " byte), and is taken as numbers from %s to %s; if it is, unpack it before it"
                    " is written: numpy.unpackbits(x)",
                    *(footer.file, column, values.min(), values.max()),
                )
            return


def different_dims(file: str, dim: int, other_file: str, other_dim: int) -> BadInput:
    """Return the error of two files with vectors of different lengths."""
    return BadInput(
        f"the vectors have {dim} dimensions, but {other_dim} in {other_file}",
        where=file,
        expected="the same number of dimensions in all files",
        do="embed all items with one model, or name only the files that belong together",
    )
