"""FAISS as a peer of `semantic-ids encode`: from a file of vectors to one of codes.

The same codebooks, in FAISS's own residual quantiser, after the same centring.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CHUNK_ROWS = 16_384
"""Rows that are encoded at a time, where not all are."""


def encode(
    source: str, model: str, target: str, *, threads: int, beam: int, tables: bool, whole: bool
) -> None:
    """Encode a .npy or parquet file to a .npy file of codes.

    Args:
        source: The vectors.
        model: An .npz with `mean` and `codebooks` (L, K, D), K a power of two.
        target: The codes, as int32.
        threads: Of FAISS.
        beam: Width of the beam.
        tables: Whether to set `use_beam_LUT`.
        whole: Whether to hold all vectors and encode them in one call, as `sa_encode` is mostly
            called, or to read and encode `CHUNK_ROWS` at a time.
    """
    import faiss

    faiss.omp_set_num_threads(threads)
    with np.load(model) as arrays:
        mean, codebooks = arrays["mean"], arrays["codebooks"]
    index = _index(faiss, mean, codebooks, beam, tables)
    bits = np.full(len(codebooks), codebooks.shape[1].bit_length() - 1, dtype=np.int32)
    parts = (
        faiss.unpack_bitstrings(index.sa_encode(x), bits).astype(np.int32)
        for x in (_all(source) if whole else _chunks(source))
    )
    np.save(target, np.concatenate(list(parts)))


def _index(faiss: Any, mean: np.ndarray, codebooks: np.ndarray, beam: int, tables: bool) -> Any:
    levels, size, dim = codebooks.shape
    widths = faiss.UInt64Vector()
    for _ in range(levels):
        widths.push_back(size.bit_length() - 1)
    store = faiss.AdditiveQuantizer.ST_decompress
    index = faiss.IndexResidualQuantizer(dim, widths, faiss.METRIC_L2, store)
    faiss.copy_array_to_vector(codebooks.ravel(), index.rq.codebooks)
    index.rq.max_beam_size = beam
    index.rq.compute_codebook_tables()
    index.rq.is_trained = index.is_trained = True
    index.rq.use_beam_LUT = int(tables)
    centring = faiss.CenteringTransform(dim)
    faiss.copy_array_to_vector(mean, centring.mean)
    centring.is_trained = True
    return faiss.IndexPreTransform(centring, index)  # its Python object holds both


def _all(source: str) -> Iterator[np.ndarray]:
    if Path(source).suffix == ".npy":
        yield np.load(source).astype(np.float32, copy=False)
        return
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20)
    width = file.schema_arrow.field("embedding").type.list_size
    x = np.empty((file.metadata.num_rows, width), dtype=np.float32)
    done = 0
    for part in _chunks(source):
        x[done : done + len(part)] = part
        done += len(part)
    yield x


def _chunks(source: str) -> Iterator[np.ndarray]:
    if Path(source).suffix == ".npy":
        x = np.load(source, mmap_mode="r")  # pages of a map would count as memory held
        with open(source, "rb") as file:
            file.seek(x.offset)
            for start in range(0, len(x), CHUNK_ROWS):
                rows = min(CHUNK_ROWS, len(x) - start)
                part = np.fromfile(file, x.dtype, rows * x.shape[1])
                yield part.reshape(rows, -1).astype(np.float32, copy=False)
        return
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20)
    for batch in file.iter_batches(CHUNK_ROWS, columns=["embedding"], use_threads=False):
        x = batch.column(0).flatten().to_numpy(zero_copy_only=False)
        yield np.ascontiguousarray(x.reshape(len(batch), -1), dtype=np.float32)
