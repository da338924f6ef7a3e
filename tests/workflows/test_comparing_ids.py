"""Several sets of IDs, the same recommender: one table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.artifacts import Codes, Embeddings, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint, hashes_of
from semantic_ids.recommenders.compare_options import CompareOptions
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.workflows.candidate_ids import Candidates, published_codes, require_known
from semantic_ids.workflows.comparing_ids import Comparison, compare_ids
from semantic_ids.workflows.fitting import FitOptions
from tests.conftest import clustered
from tests.workflows.test_recommending import ITEMS, LENGTH, OPTIONS, some_histories, some_ids

JUDGE = JudgeOptions.of({"ks": (1, 5), "resamples": 50})
FEW = {"iterations": 1, "anneal_rounds": 1, "refine_rounds": 0, "unique_rounds": 0}


def an_ids_of(name, first):
    """`right` has the IDs of the sample, `same` too, and `all_one` a single ID for all items."""
    ids = some_ids()
    codes = ids.codes if name != "all_one" else np.zeros_like(ids.codes)
    assert (first is None) == (name == "right")
    made = Provenance("semantic_ids", {}, {"name": name}, fingerprint(codes))
    return Codes(ids.item_ids, codes, ids.sizes, 3, made)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    compare = CompareOptions.of({"ids": ("right", "same", "all_one"), "seeds": 2})
    return compare_ids(some_histories(some_ids()), an_ids_of, OPTIONS, LENGTH, compare, JUDGE)


def test_each_set_of_ids_is_a_row_with_the_means_of_its_seeds(comparison):
    right, same, one = comparison.rows
    assert [row["ids"] for row in comparison.rows] == ["right", "same", "all_one"]
    assert len(right["recall_at_5.of_seeds"]) == 2
    assert right["recall_at_5"] == pytest.approx(np.mean(right["recall_at_5.of_seeds"]))
    assert right["recall_at_5.of_seeds"] == same["recall_at_5.of_seeds"], "the same seeds"
    assert (right["unique_rate"], one["unique_rate"], one["max_collision"]) == (1, 1 / ITEMS, ITEMS)


def test_one_id_for_all_items_finds_one_in_n(comparison):
    """The expectation over the order of the items of an ID: k / n, whatever was learned."""
    assert comparison.rows[2]["recall_at_5"] == pytest.approx(5 / ITEMS)


def test_differences_are_to_the_first_and_of_pairs(comparison):
    right, same, one = comparison.rows
    assert "recall_at_5.difference" not in right
    assert [same[f"ndcg_at_5.difference{end}"] for end in ("", ".low", ".high")] == [0, 0, 0]
    apart = one["recall_at_5.difference"]
    assert apart == pytest.approx(one["recall_at_5"] - right["recall_at_5"])
    assert one["recall_at_5.difference.low"] <= apart <= one["recall_at_5.difference.high"] < 0


def test_the_table_has_a_line_a_row(comparison):
    lines = comparison.markdown(5).splitlines()
    assert lines[0] == "| IDs | unique | Recall@5 | − first | NDCG@5 | − first |"
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 5
    assert "+0.0000 (+0.0000 to +0.0000)" in lines[3]
    assert comparison.to_json()["targets"] == 300
    columns = [list(row) for row in comparison.table_rows()]
    assert columns[0] == columns[2] and "mrr_at_1.difference.low" in columns[0]


# ---- which IDs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    vectors = clustered(60, 6)
    vectors[10:14] = vectors[10]  # alike: they share codes where nothing makes these unique
    ids = pa.array([f"item {i}" for i in range(60)])
    return Embeddings(vectors, ids, hashes_of(vectors), 0, Provenance("embeddings", content="e"))


@pytest.fixture
def candidates(embeddings, tmp_path) -> Candidates:
    def of(strategy):
        few = {"codebook_sizes": (4, 4, 8), "device": "cpu", "options": FEW}
        return FitOptions(strategy=strategy, **few)

    fits = {"rq_kmeans": of("reassign"), "suffix": of("suffix"), "none": of("none")}
    return Candidates(embeddings, np.zeros(60, bool), fits, tmp_path, seed=3)


def test_ids_are_fitted_as_they_are_named(candidates):
    unique, suffix, none = (candidates.of(name, None) for name in ("rq_kmeans", "suffix", "none"))
    assert len(np.unique(unique.codes, axis=0)) == len(np.unique(suffix.codes, axis=0)) == 60
    assert suffix.codes.shape == (60, 4) and suffix.levels == 3
    assert len(np.unique(none.codes, axis=0)) < 60
    assert np.array_equal(suffix.codes[:, :3], none.codes), "of one tokenizer"
    assert len({ids.provenance.fingerprint for ids in (unique, suffix, none)}) == 3


def test_ids_without_meaning_are_made_like_the_first(candidates):
    first = candidates.of("suffix", None)
    for name in ("shuffled", "random"):
        made = candidates.of(name, first)
        assert made.sizes == first.sizes and not np.array_equal(made.codes, first.codes)
        assert np.array_equal(made.codes, candidates.of(name, first).codes)
    assert candidates.of("random", None).sizes == (4, 4, 8)


def test_ids_of_others_are_read_in_the_order_of_the_catalogue(candidates, tmp_path):
    order = np.random.default_rng(0).permutation(61)
    codes = np.stack([np.arange(61) // 8, np.arange(61) % 8], axis=1)
    names = [f"item {i}" for i in range(61)]
    table = pa.table({"item_id": [names[i] for i in order], "codes": codes[order].tolist()})
    pq.write_table(table, tmp_path / "theirs.parquet")
    found = candidates.of("theirs.parquet", None)
    assert np.array_equal(found.codes, codes[:60]) and found.sizes == (8, 8)


def test_a_saved_tokenizer_is_a_set_of_ids(candidates, embeddings, tmp_path):
    from semantic_ids.tokenizers import fit_tokenizer

    fit_tokenizer(embeddings.vectors, codebook_sizes=[4, 4, 8], device="cpu", options=FEW).save(
        tmp_path / "saved"
    )
    found = candidates.of("saved", None)
    assert len(np.unique(found.codes, axis=0)) == 60


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"item_id": ["a"], "codes": [[1, 2]]}, "2 items of the catalogue have no ID there, .*'b'"),
        ({"item_id": ["a", "b"], "codes": [[1, 2], [1]]}, "no IDs can be read"),
        ({"item_id": ["a"], "codes": [[-1, 2]]}, "codes of shape"),
        ({"item": ["a"], "codes": [[1, 2]]}, "no IDs can be read"),
    ],
)
def test_files_that_are_no_ids_are_one_line(tmp_path, columns, said):
    pq.write_table(pa.table(columns), tmp_path / "theirs.parquet")
    with pytest.raises(BadInput, match=said) as caught:
        published_codes(tmp_path / "theirs.parquet", pa.array(["a", "b", "c"]))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    require_known(["rq_vae", "random"], tmp_path)
    with pytest.raises(BadInput, match=r"compare.ids: 'rq_kmean'; the nearest is 'rq_kmeans'"):
        require_known(["rq_kmean"], tmp_path)
    with pytest.raises(BadInput, match=r"compare\.ids: .* each name once"):
        CompareOptions.of({"ids": ("none", "none")})
