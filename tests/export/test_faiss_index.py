"""The index is searched by FAISS and held against an exact search over decoded vectors."""

from __future__ import annotations

import faiss
import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import clustered
from tests.tokenizers.conftest import fitted

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.export.faiss_index import faiss_index
from semantic_ids.identifiers import TokenizerCosts, deduplicate

DIM, ITEMS, QUERIES, NEAREST = 12, 900, 60, 10
SIZES = [(8, 5, 7), (16, 16, 16), (30, 1, 3), (50,)]
VARIANTS = [
    pytest.param({}, {}, id="centred"),
    pytest.param({"center": False, "scale": False}, {}, id="as_they_are"),
    pytest.param({"dimensions": 9}, {}, id="fewer_axes"),
    pytest.param({"whiten": 0.5, "dimensions": 9}, {}, id="whitened"),
    pytest.param({"whiten": 1.0, "center": False}, {}, id="whitened_not_centred"),
    pytest.param({}, {"balance": 1.5}, id="prices"),
    pytest.param({}, {"beam_size": 1}, id="greedy"),
]


@pytest.fixture(scope="module")
def vectors():
    return clustered(ITEMS, DIM, seed=4) * 3 + 5


@pytest.fixture(scope="module")
def queries():
    return clustered(QUERIES, DIM, seed=5) * 3 + 5


def catalogue(tokenizer, vectors, item_ids=None, strategy="reassign"):
    """The semantic IDs of all vectors."""
    costs = TokenizerCosts(tokenizer, vectors)
    made = deduplicate(tokenizer.encode(vectors), costs, strategy=strategy, candidates=4)
    item_ids = pa.array(np.arange(len(vectors)) * 7 + 10**12) if item_ids is None else item_ids
    return Codes(item_ids, made.codes, made.sizes, made.levels, Provenance("semantic_ids"))


def written(made, tmp_path):
    faiss.write_index(made.index, str(tmp_path / "x.faiss"))
    return faiss.read_index(str(tmp_path / "x.faiss"))


def exact(decoded, queries):
    """Squared distances in float64: (m, n)."""
    return ((queries[:, None].astype(np.float64) - decoded[None]) ** 2).sum(2)


def assert_nearest(index, item_ids, distances, queries, offsets=0.0):
    """What the index finds is nearest, by distances that are known, ties in any order."""
    theirs, found = index.search(queries, NEAREST)
    row_of = {number: row for row, number in enumerate(item_ids)}
    rows = np.array([[row_of[number] for number in line] for line in found])
    best = np.sort(distances, axis=1)[:, :NEAREST]
    np.testing.assert_allclose(np.take_along_axis(distances, rows, 1), best, rtol=1e-5)
    np.testing.assert_allclose(theirs + offsets, best, rtol=1e-4, atol=1e-4)
    assert all(len(set(line)) == NEAREST for line in rows.tolist())


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("preprocess", "options"), VARIANTS)
def test_its_neighbours_are_those_of_an_exact_search_over_decoded_vectors(
    vectors, queries, tmp_path, sizes, preprocess, options
):
    tokenizer = fitted("rq_kmeans", vectors, sizes=sizes, preprocess=preprocess, options=options)
    ids = catalogue(tokenizer, vectors, strategy="none")
    index = written(faiss_index(ids, tokenizer, Provenance("faiss_index")), tmp_path)
    decoded = tokenizer.decode(ids.tokenizer_codes)
    distances = exact(decoded, queries)
    cut = 0.0
    axes = tokenizer.linear_decoder().axes
    if axes is not None:  # what the query has on the axes that were cut off
        rest = queries - tokenizer.linear_decoder().mean
        cut = ((rest - rest @ axes @ axes.T) ** 2).sum(1, keepdims=True)
    assert index.ntotal == ITEMS and index.d == DIM
    assert_nearest(index, ids.item_ids.to_pylist(), distances, queries, cut)


def test_unique_ids_and_suffixes(vectors, queries, tmp_path):
    for strategy, sizes in (("reassign", (8, 12, 14)), ("suffix", (8, 5))):
        tokenizer = fitted("rq_kmeans", vectors, sizes=sizes)
        ids = catalogue(tokenizer, vectors, strategy=strategy)
        index = written(faiss_index(ids, tokenizer, Provenance("faiss_index")), tmp_path)
        decoded = tokenizer.decode(ids.tokenizer_codes)
        assert_nearest(index, ids.item_ids.to_pylist(), exact(decoded, queries), queries)


def test_items_can_be_got_back_by_their_id(vectors, tmp_path):
    tokenizer = fitted("rq_kmeans", vectors, preprocess={"dimensions": 9, "whiten": 0.5})
    ids = catalogue(tokenizer, vectors, strategy="none")
    index = written(faiss_index(ids, tokenizer, Provenance("faiss_index")), tmp_path)
    decoded = tokenizer.decode(ids.tokenizer_codes)
    by_id = faiss.downcast_index(index.index)
    for row in (0, 17, ITEMS - 1):
        axes = by_id.reconstruct(int(ids.item_ids[row].as_py()))
        back = index.chain.at(0).reverse_transform(index.chain.at(1).reverse_transform(axes[None]))
        np.testing.assert_allclose(back[0], decoded[row], rtol=1e-4, atol=1e-4)


def test_with_unit_length_queries_are_brought_to_it_and_items_are_sums(vectors, queries, tmp_path):
    tokenizer = fitted("rq_kmeans", vectors, preprocess={"normalize": True})
    ids = catalogue(tokenizer, vectors, strategy="none")
    index = written(faiss_index(ids, tokenizer, Provenance("faiss_index")), tmp_path)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    mean = tokenizer.preprocessing.mean.numpy()
    scale = tokenizer.preprocessing.scale
    codebooks = [c.numpy() for c in tokenizer.quantizer.codebooks]
    sums = sum(c[ids.codes[:, level]] for level, c in enumerate(codebooks)) * scale + mean
    assert_nearest(index, ids.item_ids.to_pylist(), exact(sums, unit), queries)


def test_new_vectors_added_by_faiss_get_our_codes(vectors, queries):
    """FAISS's own encoder, with codebooks that are no powers of two."""
    for options in ({"beam_size": 1}, {"beam_size": 3}):
        tokenizer = fitted("rq_kmeans", vectors, sizes=(9, 5, 17), options=options)
        ids = catalogue(tokenizer, vectors, strategy="none")
        index = faiss_index(ids, tokenizer, Provenance("faiss_index")).index
        index.add_with_ids(queries, np.arange(QUERIES))
        quantizer = faiss.downcast_index(faiss.downcast_index(index.index).index)
        packed = faiss.vector_to_array(quantizer.codes).reshape(-1, quantizer.code_size)
        bits = np.array([4, 3, 5], dtype=np.int32)
        codes = faiss.unpack_bitstrings(np.ascontiguousarray(packed[ITEMS:]), bits)
        assert (codes == tokenizer.encode(queries)).all(axis=1).mean() > 0.98


def test_the_same_ids_make_the_same_bytes(vectors):
    tokenizer = fitted("rq_kmeans", vectors, sizes=(9, 5, 17), preprocess={"dimensions": 9})
    ids = catalogue(tokenizer, vectors, strategy="none")
    first, again = (
        faiss.serialize_index(faiss_index(ids, tokenizer, Provenance("faiss_index")).index)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


def test_an_item_takes_seven_bytes_at_three_codebooks_of_256():
    vectors = clustered(1000, 8)
    tokenizer = fitted("rq_kmeans", vectors, sizes=(256, 256, 256), options={"anneal_rounds": 0})
    ids = catalogue(tokenizer, vectors, strategy="none")
    index = faiss_index(ids, tokenizer, Provenance("faiss_index")).index
    assert faiss.downcast_index(faiss.downcast_index(index.index).index).code_size == 7


@pytest.mark.parametrize("item_ids", [["a", "b"] * (ITEMS // 2), [-1, *range(ITEMS - 1)]])
def test_ids_that_faiss_cannot_hold_are_kept_beside_row_numbers(vectors, queries, item_ids):
    tokenizer = fitted("rq_kmeans", vectors)
    ids = catalogue(tokenizer, vectors, pa.array(item_ids), strategy="none")
    made = faiss_index(ids, tokenizer, Provenance("faiss_index"))
    assert made.item_ids.to_pylist() == item_ids
    distances = exact(tokenizer.decode(ids.codes), queries)
    assert_nearest(made.index, range(ITEMS), distances, queries)


def test_a_decoder_that_is_a_network_is_refused(vectors):
    tokenizer = fitted("rq_vae", vectors, options={"epochs": 1})
    ids = catalogue(tokenizer, vectors, strategy="none")
    with pytest.raises(BadInput, match=r"export.faiss: .*rq_vae decodes by a network"):
        faiss_index(ids, tokenizer, Provenance("faiss_index"))
