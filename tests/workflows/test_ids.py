"""Unique IDs of vectors in memory, and what they are worth."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids import BadInput, RQKMeans, evaluate, load_tokenizer, unique_ids

SIZES = (6, 5, 32)


@pytest.fixture(scope="module")
def tokenizer(vectors):
    return RQKMeans(SIZES, device="cpu", iterations=1, anneal_rounds=3).fit(vectors)


@pytest.mark.parametrize("strategy", ["reassign", "suffix", "none"])
def test_ids_are_unique_where_they_are_to_be_and_say_what_that_cost(tokenizer, vectors, strategy):
    ids = unique_ids(tokenizer, vectors, strategy=strategy)
    codes = tokenizer.encode(vectors)
    distinct = len(np.unique(ids.codes, axis=0))
    assert (distinct == 700) == (strategy != "none") and len(ids) == 700
    np.testing.assert_array_equal(ids.tokenizer_codes, codes)
    moved = (ids.codes[:, :3] != codes).any(axis=1)
    assert ids.moved_rate == pytest.approx(moved.mean())
    assert ids.codes.shape[1] == len(ids.sizes) == (4 if strategy == "suffix" else 3)
    assert ids.item_ids == list(range(700))


def test_they_are_read_as_tokens_as_a_table_and_as_a_mapping(tokenizer, vectors):
    names = [f"i{k}" for k in range(700)]
    ids = unique_ids(tokenizer, vectors, names)
    a, b, c = ids.codes[3]
    assert ids.tokens[3] == f"<a_{a}><b_{b}><c_{c}>"
    table = ids.to_pandas()
    assert table.columns.tolist() == ["item_id", "codes", "semantic_id"]
    assert table["item_id"].tolist() == names and table["semantic_id"].tolist() == ids.tokens
    assert table["codes"][3].tolist() == [a, b, c] == ids.to_dict()["i3"]
    assert repr(ids).startswith("SemanticIds(700 items, 6x5x32, ")


def test_items_of_a_file_are_found_by_their_ids(tokenizer, vectors, tmp_path):
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"ItemID": np.arange(700), "embedding": vectors.tolist()}), path)
    ids = unique_ids(tokenizer, vectors, np.arange(700))
    assert unique_ids(tokenizer, path).to_dict() == ids.to_dict()
    assert evaluate(tokenizer, path, ids, queries=50) == evaluate(
        tokenizer, vectors, ids, queries=50
    )
    renamed = unique_ids(tokenizer, vectors, np.arange(700) + 5)
    with pytest.raises(BadInput, match="no vector of item '700'"):
        evaluate(tokenizer, path, renamed)


def test_labels_and_items_held_out_are_measured(tokenizer, vectors):
    ids = unique_ids(tokenizer, vectors, np.arange(700)[::-1])
    out = np.arange(700) % 4 == 0
    labels = {"first": [str(code) if code else None for code in ids.codes[:, 0]]}
    found = evaluate(tokenizer, vectors, ids, held_out=out, labels=labels, queries=50)
    assert found["hierarchy.purity.first.1"] == 1
    spread = ((vectors[out] - vectors[out].mean(0, dtype=np.float64)) ** 2).sum()
    left = ((vectors[out] - tokenizer.decode(ids.tokenizer_codes[out])) ** 2).sum()
    validation = found["reconstruction.relative_mse_validation"]
    assert validation == pytest.approx(left / spread, rel=0.05)


def test_ids_of_another_tokenizer_or_of_other_items_are_refused(tokenizer, vectors):
    ids = unique_ids(tokenizer, vectors)
    other = RQKMeans(SIZES, random_state=1, device="cpu", iterations=1, anneal_rounds=3)
    with pytest.raises(BadInput, match="made with another tokenizer"):
        evaluate(other.fit(vectors), vectors, ids)
    with pytest.raises(BadInput, match="699 vectors for 700 IDs"):
        evaluate(tokenizer, vectors[1:], ids)
    with pytest.raises(BadInput, match="'strategy' is 'reasign'; expected one of reassign, suffix"):
        unique_ids(tokenizer, vectors, strategy="reasign")
    with pytest.raises(BadInput, match="codebook"):
        unique_ids(tokenizer, np.tile(vectors, (2, 1)))


def test_the_error_of_the_items_fitted_on_is_told_only_where_they_are_known(vectors, tmp_path):
    """500 of 700 items are fitted on, the first by the order that `fit` was given."""
    made = RQKMeans((50, 50), device="cpu", max_points_per_centroid=10, anneal_rounds=2)
    names, name = np.arange(700), "reconstruction.relative_mse_fitted"
    made.fit(vectors)
    found = evaluate(made, vectors, unique_ids(made, vectors), queries=50)
    seen, codes = vectors[:500], made.encode(vectors[:500])
    spread = ((seen - seen.mean(0, dtype=np.float64)) ** 2).sum()
    assert found[name] == pytest.approx(((seen - made.decode(codes)) ** 2).sum() / spread, rel=0.02)
    assert name not in evaluate(made, vectors, unique_ids(made, vectors, names), queries=50)
    assert name not in evaluate(made, vectors[::-1], unique_ids(made, vectors[::-1]), queries=50)
    made.save(tmp_path / "t")
    again = load_tokenizer(tmp_path / "t")
    assert evaluate(again, vectors, unique_ids(again, vectors), queries=50) == found
