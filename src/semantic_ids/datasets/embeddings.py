"""The primary layer: checked vectors in the order of the item hash, memory-mapped from here on."""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from kedro_datasets._typing import TablePreview

from semantic_ids.arrays import map_rows, prefetch
from semantic_ids.artifacts import Embeddings, Provenance
from semantic_ids.atomic import FULL, atomic_folder, recover
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.ingestion import EmbeddingStream
from semantic_ids.ingestion.cast import CastError, cost_in_words, equal_by_cast

logger = logging.getLogger(__name__)

FORMAT = 1
SHOWN_DIMENSIONS = 6


class EmbeddingsDataset(ArtifactDataset[EmbeddingStream, Embeddings]):
    """A folder of `vectors.npy`, `item_ids.parquet`, `vector_hashes.npy` and, written last,
    `manifest.json`.
    """

    def save(self, data: EmbeddingStream) -> None:
        """Read the stream and write the folder, whole or not at all.

        Raises:
            BadInput: A row is invalid, a file cannot be read, or there is no space left.
        """
        needed = len(data) * (data.dim * np.dtype(data.dtype).itemsize + 8) + data.item_ids.nbytes
        with atomic_folder(self._filepath, needed=needed) as folder:
            written = _write_vectors(folder / "vectors.npy", data)
            _write_array(folder / "vector_hashes.npy", written.hashes)
            _write_ids(folder / "item_ids.parquet", data)
            (folder / "manifest.json").write_text(
                json.dumps(_manifest(data, written), indent=1) + "\n",
                encoding="utf-8",
            )
        for sentence in cost_in_words(data.dtype, written.equal_by_cast, written.error.share):
            logger.warning(sentence)

    def load(self) -> Embeddings:
        """Return the embeddings; the vectors are a read-only memory map.

        Raises:
            BadInput: There are none, or the folder is not whole.
        """
        recover(self._filepath)
        try:
            return _read(self._filepath)
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
        ) as error:  # pyarrow's errors of broken files are ValueErrors or OSErrors
            if not self._filepath.exists():
                raise BadInput(
                    "there are no embeddings", where=str(self._filepath), make="embeddings"
                ) from error
            raise BadInput(
                f"the embeddings are not whole: {error}",
                where=str(self._filepath),
                expected="the folder as it was written",
                remake="embeddings",
            ) from error

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows: the ids and the first dimensions."""
        recover(self._filepath)
        ids = parquet_head(str(self._filepath / "item_ids.parquet"), nrows)
        vectors = (
            np.load(self._filepath / "vectors.npy", mmap_mode="r")[:nrows, :SHOWN_DIMENSIONS]
            .astype(float)
            .round(6)
        )
        for dimension, values in enumerate(vectors.T):
            ids = ids.append_column(f"dimension {dimension}", [values])
        return TablePreview(table_preview(ids))

    def _exists(self) -> bool:
        recover(self._filepath)
        return (self._filepath / "manifest.json").is_file()


class _Written(NamedTuple):
    """What was written.

    Attributes:
        hashes: Shape (n,), uint64: the hash of each vector.
        zero_rows: How many vectors are all zero.
        equal_by_cast: How many different vectors became equal to another by the cast.
        error: How far the cast moved some of them.
    """

    hashes: np.ndarray
    zero_rows: int
    equal_by_cast: int
    error: CastError


def _write_vectors(path: Path, stream: EmbeddingStream) -> _Written:
    """Write each vector at its place."""
    hashes = np.zeros(len(stream), dtype=np.uint64)
    given = np.zeros(len(stream), dtype=np.uint64)
    zero_rows, error = 0, CastError()
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file,
            {
                "descr": np.lib.format.dtype_to_descr(np.dtype(stream.dtype)),
                "fortran_order": False,
                "shape": (len(stream), stream.dim),
            },
        )
        file.flush()
        begin = file.tell()
        _reserve(file.fileno(), begin + len(stream) * stream.dim * np.dtype(stream.dtype).itemsize)
        for positions, vectors, vector_hashes, as_given, moved in prefetch(stream.batches()):
            error = error.plus(moved)
            if not len(positions):  # none of a batch may be among the first by item hash
                continue
            _scatter(file.fileno(), begin, positions, vectors)
            hashes[positions], given[positions] = vector_hashes, as_given
            zero_rows += int(
                (~vectors[vector_hashes == 0].any(axis=1)).sum()
            )  # a zero vector hashes to 0
    return _Written(hashes, zero_rows, equal_by_cast(hashes, given), error)


def _reserve(handle: int, size: int) -> None:
    """Give a file its size at once.

    On ext4, scattered writes into reserved blocks take 4 s where those into a hole take 10.
    """
    try:
        os.posix_fallocate(handle, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        os.ftruncate(handle, size)


def _scatter(handle: int, begin: int, positions: np.ndarray, vectors: np.ndarray) -> None:
    """Write each row at its place in the file.

    A memory map would count as our memory (and was slower).
    """
    width = vectors.shape[1] * vectors.itemsize
    rows = vectors.data.cast("B")
    for number, position in enumerate(positions.tolist()):
        if (
            os.pwrite(handle, rows[number * width : (number + 1) * width], begin + position * width)
            != width
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _write_ids(path: Path, stream: EmbeddingStream) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"item_id": stream.item_ids}), path, row_group_size=1 << 20)


def _manifest(stream: EmbeddingStream, written: _Written) -> dict[str, Any]:
    """Describe the embeddings: without dates and paths, so that the same items give the same bytes.

    The fingerprint stands for ids and stored vectors alone: whatever was asked for, the same
    content is the same input to later stages.
    """
    content = fingerprint(stream.item_hashes, written.hashes, stream.dtype, stream.dim)
    return {
        "format": FORMAT,
        "provenance": Provenance("embeddings", content=content).to_json(),
        "rows": len(stream),
        "dim": stream.dim,
        "dtype": stream.dtype,
        "zero_rows": written.zero_rows,
        "equal_by_cast": written.equal_by_cast,
        "ingest": stream.parameters,
    }


def _read(folder: Path) -> Embeddings:
    import pyarrow.parquet as pq

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    vectors = map_rows(folder / "vectors.npy")
    hashes = np.load(folder / "vector_hashes.npy")
    item_ids = (
        pq.read_table(folder / "item_ids.parquet", memory_map=False)
        .column("item_id")
        .combine_chunks()
    )
    found = (manifest["format"], *vectors.shape, vectors.dtype.name, len(hashes), len(item_ids))
    expected = (
        FORMAT,
        manifest["rows"],
        manifest["dim"],
        manifest["dtype"],
        manifest["rows"],
        manifest["rows"],
    )
    if found != expected:
        raise ValueError(
            f"format, rows, dimensions, type, hashes and ids are {found} where its manifest says"
            f" {expected}"
        )
    return Embeddings(
        vectors,
        item_ids,
        hashes,
        manifest["zero_rows"],
        Provenance.from_json(manifest["provenance"]),
        manifest.get("equal_by_cast", 0),
    )
