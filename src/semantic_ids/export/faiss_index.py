"""The catalogue as an index that FAISS searches.

An item is stored as its codes and one number, the squared norm of what they decode to, so that
distances are exact: 7 bytes an item for three codebooks of 256, and 8 for its id. What comes before
the codes (unit length, centring, principal axes) is in the index too: queries are raw vectors.

    index = faiss.read_index("semantic_ids.faiss")
    distances, item_ids = index.search(queries, 10)

The index works in units of the input, so distances are those to decoded vectors; where axes are cut
off they lack what a query has on those, the same for all items. Where vectors are brought to unit
length, queries are as well, and items are the sums of their codes: near unit length, not quite.
(FAISS: M. Douze et al., arXiv:2401.08281; the norms that make inner products distances: A. Babenko
and V. Lempitsky, CVPR 2014.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.compute.faiss_library import load_faiss
from semantic_ids.contract import LinearDecoder, Tokenizer
from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

OPTION = "export.faiss"
FAR = 1e4
"""Codes that fill a codebook up to a power of two are this many times as far off as its largest
value: FAISS's own encoder never takes one."""


@dataclass(frozen=True)
class FaissIndex:
    """An index of all items.

    Attributes:
        index: FAISS's, None where none is wanted.
        item_ids: n ids where the index has row numbers instead: strings, or negative integers.
        provenance: What it was made from.
    """

    index: Any | None
    item_ids: pa.Array | None
    provenance: Provenance

    def ids_in_words(self) -> str:
        """Say what a search returns."""
        return "item ids" if self.item_ids is None else "row numbers, and item ids beside it"


def faiss_index(ids: Codes, tokenizer: Tokenizer, provenance: Provenance) -> FaissIndex:
    """Index items by what their IDs decode to, a suffix left out.

    Raises:
        BadInput: FAISS is not installed, or the tokenizer's decoder is a network.
    """
    faiss = load_faiss(OPTION)
    decoder = tokenizer.linear_decoder()
    if decoder is None:
        raise not_linear(tokenizer.kind)
    quantizer = _quantizer(faiss, decoder, getattr(tokenizer, "beam_size", 1))
    by_id = faiss.IndexIDMap2(quantizer)
    numbers = _integers(ids.item_ids)
    rows = np.arange(len(ids), dtype=np.int64) if numbers is None else numbers
    bits = [*_bits(decoder), 32]
    for part in chunks(len(ids)):
        codes = np.ascontiguousarray(ids.tokenizer_codes[part], dtype=np.int32)
        cells = np.column_stack([codes, _square_norms(decoder, codes).view(np.int32)])
        packed = faiss.pack_bitstrings(np.ascontiguousarray(cells), bits)
        by_id.add_sa_codes(packed, np.ascontiguousarray(rows[part]))
    index = _after(faiss, _steps(faiss, decoder), by_id)
    return FaissIndex(index, ids.item_ids if numbers is None else None, provenance)


def ids_beside(file: Path) -> Path:
    """Return where the id of each row is, of an index that has row numbers."""
    return file.with_name(f"{file.name}.item_ids.parquet")


def write_index(made: FaissIndex, file: Path) -> None:
    """Write an index, and the ids of its rows beside it where it has row numbers."""
    load_faiss(OPTION).write_index(made.index, str(file))
    if made.item_ids is not None:
        write_row_ids(made.item_ids, ids_beside(file))


def write_row_ids(item_ids: pa.Array, file: Path) -> None:
    """Write the id of each row of an index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"item_id": item_ids}), file, compression="zstd")


def not_linear(kind: str) -> BadInput:
    """Return the error for a tokenizer whose codes are decoded by a network."""
    return BadInput(
        f"a tokenizer of kind {kind} decodes by a network, which an index of sums cannot express",
        where=OPTION,
        expected="a tokenizer of kind rq_kmeans",
        do="take tokenizer.kind rq_kmeans, or export.faiss false",
    )


def _steps(faiss: Any, decoder: LinearDecoder) -> list[Any]:
    """Return what a query goes through first: unit length → centring → axes, where wanted."""
    dim = len(decoder.mean)
    steps = [faiss.NormalizationTransform(dim, 2.0)] if decoder.normalizes else []
    if decoder.mean.any():
        centring = faiss.CenteringTransform(dim)
        faiss.copy_array_to_vector(decoder.mean, centring.mean)
        centring.is_trained = True
        steps.append(centring)
    return steps if decoder.axes is None else [*steps, _rotation(faiss, decoder.axes)]


def _after(faiss: Any, steps: list[Any], index: Any) -> Any:
    """Put steps before an index."""
    if not steps:
        return index
    chain = faiss.IndexPreTransform(index)
    for step in reversed(steps):
        chain.prepend_transform(step)
    return chain


def _rotation(faiss: Any, axes: np.ndarray) -> Any:
    """(D, W) orthonormal columns → a transform to W dimensions that can be undone."""
    rotation = faiss.LinearTransform(axes.shape[0], axes.shape[1], False)
    faiss.copy_array_to_vector(np.ascontiguousarray(axes.T).ravel(), rotation.A)
    rotation.is_trained = rotation.is_orthonormal = True
    return rotation


def _quantizer(faiss: Any, decoder: LinearDecoder, beam: int) -> Any:
    """Fill FAISS's residual quantiser with codebooks of any size."""
    bits = faiss.UInt64Vector()
    for count in _bits(decoder):
        bits.push_back(count)
    width = decoder.codebooks[0].shape[1]
    store = faiss.AdditiveQuantizer.ST_norm_float
    index = faiss.IndexResidualQuantizer(width, bits, faiss.METRIC_L2, store)
    padded = [
        _padded(codebook, 1 << count)
        for codebook, count in zip(decoder.codebooks, _bits(decoder), strict=True)
    ]
    faiss.copy_array_to_vector(np.concatenate(padded).ravel(), index.rq.codebooks)
    index.rq.max_beam_size = beam
    index.rq.compute_codebook_tables()
    index.rq.is_trained = index.is_trained = True
    return index


def _bits(decoder: LinearDecoder) -> list[int]:
    """Return the bits of a code of each level."""
    return [max(1, (len(codebook) - 1).bit_length()) for codebook in decoder.codebooks]


def _padded(codebook: np.ndarray, size: int) -> np.ndarray:
    """Add codes that no vector is near: (K, W) → (size, W)."""
    filled = np.full((size, codebook.shape[1]), FAR * (np.abs(codebook).max() or 1.0), np.float32)
    filled[: len(codebook)] = codebook
    return filled


def _square_norms(decoder: LinearDecoder, codes: np.ndarray) -> np.ndarray:
    """Return ‖Σ codebooks[codes]‖²: (m, L) → (m,) float32."""
    total = sum(
        codebook[codes[:, level]].astype(np.float64)
        for level, codebook in enumerate(decoder.codebooks)
    )
    return np.einsum("ij,ij->i", total, total).astype(np.float32)


def _integers(item_ids: pa.Array) -> np.ndarray | None:
    """Return ids that FAISS can hold: not text, and not negative, as −1 means nothing found."""
    import pyarrow as pa

    if not pa.types.is_integer(item_ids.type):
        return None
    numbers = item_ids.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return None if len(numbers) and numbers.min() < 0 else numbers
