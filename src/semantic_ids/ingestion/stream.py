"""Checked vectors, each with the row it belongs in.

The rows of the primary layer are in the order of the item hash.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from semantic_ids.ingestion.source import ParquetSource
from semantic_ids.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from semantic_ids.ingestion.cast import CastError
    from semantic_ids.ingestion.options import IngestOptions
    from semantic_ids.ingestion.order import ItemIds

logger = logging.getLogger(__name__)


class StoredRows(NamedTuple):
    """Some vectors and where they are stored."""

    positions: np.ndarray
    """Shape (m,), int64: row of each in the primary layer."""

    vectors: np.ndarray
    """Shape (m, D), C-contiguous, in the storage type, without −0."""

    hashes: np.ndarray
    """Shape (m,), uint64: `hashing.vector_hash` of `vectors`."""

    given: np.ndarray
    """Shape (m,), uint64: hash of the vectors as they were given: see `cast.given_hashes`."""

    error: CastError
    """How far the cast to the storage type moved some of them."""

    def only(self, taken: np.ndarray) -> StoredRows:
        """Return some of the rows: (m,) bool."""
        positions, vectors, hashes, given = (values[taken] for values in self[:4])
        return StoredRows(positions, vectors, hashes, given, self.error)


@dataclass(frozen=True)
class EmbeddingStream:
    """Embeddings on their way to the primary layer; the vectors are read when `batches` is.

    Attributes:
        dim: Number of dimensions D.
        dtype: Storage type, `float32` or `float16`.
        item_ids: n ids in the order of the item hash, int64 or (large) string.
        item_hashes: Shape (n,), uint64, ascending.
        parameters: What was asked for, JSON-like.
    """

    dim: int
    dtype: str
    item_ids: pa.Array
    item_hashes: np.ndarray
    parameters: dict[str, Any]
    _source: ParquetSource = field(repr=False)
    _ids: ItemIds = field(repr=False)
    _options: IngestOptions = field(repr=False)
    _nonzero: bool = field(repr=False)
    _positions: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.item_ids)

    def batches(self) -> Iterator[StoredRows]:
        """Yield the vectors in the order of the files, each row once.

        Raises:
            BadInput: A row is invalid (it is named), or a file cannot be read.
        """
        from semantic_ids.ingestion.columns import as_vectors
        from semantic_ids.ingestion.refuse import refuse_rows
        from semantic_ids.ingestion.rows import check, lengths

        with Progress("ingest the vectors", total=self._source.rows, unit="rows") as progress:
            for start, batch in self._source.batches([self._options.vector_column]):
                column = as_vectors(batch.column(0))
                positions = self._positions[start : start + len(column)]
                vectors, hashes, reasons, given, error = check(
                    column, self.dim, self.dtype, nonzero=self._nonzero
                )
                if self._options.drops:
                    reasons[positions < 0] = 0
                if reasons.any():
                    refuse_rows(
                        self._source,
                        self._ids,
                        start,
                        lengths(column),
                        reasons,
                        self.dim,
                        self.dtype,
                    )
                rows = StoredRows(positions, vectors, hashes, given, error)
                yield rows if (positions >= 0).all() else rows.only(positions >= 0)
                progress.advance(len(column))


def open_stream(
    source: ParquetSource, options: IngestOptions, *, nonzero: bool = False
) -> tuple[EmbeddingStream, pa.Table]:
    """Check what can be told at once, read the ids, put them in order, and return the vectors as a
    stream.

    Where invalid rows are dropped, the vectors are read once here to find them; where they are
    refused, the stream does it.

    Args:
        source: The files.
        options: What is read, and how it is stored.
        nonzero: Whether zero vectors are invalid.

    Returns:
        The stream, and the rejected rows: a table of item_id, file, row_group, row, reason.

    Raises:
        BadInput: Whatever is wrong with files, columns, types or ids; or no row is valid.
    """
    from semantic_ids.ingestion.check import check_footers, warn_of_bits
    from semantic_ids.ingestion.order import read_ids

    for sentence in source.left_out:
        logger.warning("%s", sentence)
    check_footers(source, options)
    warn_of_bits(source, options.vector_column)
    ids = read_ids(source, options.id_column)
    ordered, dim, rejected = (
        _sort_out(source, ids, options, nonzero)
        if options.drops
        else _all_rows(source, ids, options)
    )
    ordered = ordered[: options.max_items]
    positions = np.full(len(ids), -1, dtype=np.int64)
    positions[ordered] = np.arange(len(ordered))
    logger.info(
        "%s items of %s dimensions from %s file(s)", f"{len(ordered):,}", dim, len(source.files)
    )
    return (
        EmbeddingStream(
            dim,
            options.dtype,
            ids.take(ordered),
            ids.hashes[ordered],
            options.to_dict(),
            source,
            ids,
            options,
            nonzero,
            positions,
        ),
        rejected,
    )


def _all_rows(
    source: ParquetSource, ids: ItemIds, options: IngestOptions
) -> tuple[np.ndarray, int, pa.Table]:
    from semantic_ids.ingestion.check import known_dim
    from semantic_ids.ingestion.refuse import refuse_duplicates, refuse_ids
    from semantic_ids.ingestion.reject import empty_table

    refuse_ids(source, ids)
    ordered = ids.in_order(np.arange(len(ids)))
    refuse_duplicates(source, ids, ordered)
    return ordered, known_dim(source, options) or 1, empty_table()


def _sort_out(
    source: ParquetSource, ids: ItemIds, options: IngestOptions, nonzero: bool
) -> tuple[np.ndarray, int, pa.Table]:
    from semantic_ids.ingestion.reject import sort_out

    ordered, dim, rejected = sort_out(source, ids, options, nonzero)
    if rejected.num_rows:
        logger.warning(
            "%s of %s rows are invalid and left out; the artifact 'rejected' lists them, with the"
            " reasons",
            f"{rejected.num_rows:,}",
            f"{len(ids):,}",
        )
    return ordered, dim, rejected
