"""Amazon Beauty, against figures that another program measured before this one was written.

And, for what follows the last items, against scipy's products of sparse matrices.
"""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from semantic_ids.hashing import item_hash
from semantic_ids.recommenders.baselines import CoOccurrence, Neighbours, Popularity
from semantic_ids.recommenders.following import Following
from semantic_ids.recommenders.judging import judge_items
from semantic_ids.recommenders.summary import summary
from tests.conftest import SHARED
from tests.recommenders.users import histories_of

BEAUTY = SHARED / "data/amazon_beauty"
pytestmark = pytest.mark.skipif(not BEAUTY.exists(), reason="Amazon Beauty is not here")


@pytest.fixture(scope="module")
def beauty():
    """Histories and vectors, both in the order of the item hash."""
    table = pq.read_table(BEAUTY / "item_emb.parquet")
    ids = table["ItemID"].to_numpy()
    order = np.argsort(item_hash(ids.tolist()))
    row_of = dict(zip(ids[order].tolist(), range(len(ids)), strict=True))
    sequences = pq.read_table(BEAUTY / "test.parquet")["sequence"].to_pylist()
    vectors = np.array(table["embedding"].to_pylist(), dtype=np.float32)[order]
    return histories_of([[row_of[item] for item in s] for s in sequences]), vectors


def figures(ranker, beauty, exclude_seen):
    histories, vectors = beauty
    judged = judge_items(
        ranker, histories, "test", items=len(vectors), length=20, ks=(5, 10),
        exclude_seen=exclude_seen,
    )  # fmt: skip
    found = summary(judged, histories.training_counts(len(vectors)), resamples=0)
    assert found["targets"] == 22_363 and found["slice.cold.targets"] == 138
    return round(found["recall_at_10"], 4), round(found["ndcg_at_10"], 4)


def test_popularity(beauty):
    ranker = Popularity(beauty[0].training_counts(len(beauty[1])))
    assert figures(ranker, beauty, exclude_seen=False) == (0.0114, 0.0053)
    assert figures(ranker, beauty, exclude_seen=True) == (0.0115, 0.0055)


@pytest.mark.slow
def test_neighbours_of_the_last_item(beauty):
    assert figures(Neighbours(beauty[1]), beauty, exclude_seen=True) == (0.0639, 0.0391)


@pytest.mark.slow
def test_what_follows_the_last_items(beauty):
    histories, vectors = beauty
    n, counts = len(vectors), histories.training_counts(len(vectors))
    ranker = CoOccurrence(Following.of(histories, n, 0.8), counts, 0.4)
    judged = judge_items(ranker, histories, "test", items=n, length=20, ks=(10,))
    trained = [
        histories.items[a:b]
        for a, b in zip(histories.starts[:-1], histories.cuts[:, 0], strict=True)
    ]
    follows = sum(
        scipy.sparse.csr_matrix(
            (
                np.full(sum(len(s[g:]) for s in trained), 0.8 ** (g - 1)),
                (
                    np.concatenate([s[:-g] for s in trained]),
                    np.concatenate([s[g:] for s in trained]),
                ),
            ),
            shape=(n, n),
        )
        for g in range(1, 21)
    )
    asked = np.arange(0, len(judged.positions), 11)
    past = histories.before(judged.positions[asked], 20)
    users, column = np.nonzero(past >= 0)
    back = (past >= 0).sum(axis=1)[users] - 1 - column
    shown = scipy.sparse.csr_matrix((0.4**back, (users, past[users, column])), shape=(len(past), n))
    scores = (shown @ follows).toarray()
    of_target = scores[np.arange(len(asked)), judged.targets[asked]]
    better = (scores > of_target[:, None] + 1e-9).sum(axis=1)
    as_good = (scores > of_target[:, None] - 1e-9).sum(axis=1)
    hit = judged.cases()["recall"][asked, 0] > 0
    assert (hit[(as_good <= 10) & (of_target > 0)]).all() and not hit[better >= 10].any()
    assert 0.07 < hit.mean() < 0.1
