"""Recommendations are written while they are made, whole or not at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.artifacts import Provenance
from semantic_ids.datasets import RecommendationsDataset
from semantic_ids.errors import BadInput
from semantic_ids.export.ids_table import made_from
from semantic_ids.recommenders.recommendations import Recommendations

MADE = Provenance("recommendations", {"recommender": "aa"}, {"k": 2})
ROWS = np.array([[2, 0], [1, -1], [-1, -1], [0, 2]])
SCORES = np.where(ROWS < 0, -np.inf, -np.arange(8).reshape(4, 2) / 4).astype(np.float32)


def parts(users, size=3):
    for start in range(0, len(ROWS), size):
        at = slice(start, start + size)
        yield users[at], ROWS[at], SCORES[at]


def made(users, item_ids, parts=parts):
    return Recommendations(users[:0], item_ids, 2, lambda: parts(users), MADE)


@pytest.mark.parametrize(
    ("users", "items"),
    [
        (pa.array([7, 5, 3, 1]), pa.array(["a", "b", "c"])),
        (pa.array(["p", "q", "r", "s"], pa.large_string()), pa.array([10, 11, 12])),
        (np.array([7, 5, 3, 1]), np.array([10, 11, 12])),
    ],
    ids=["int-text", "text-int", "python"],
)
def test_each_user_has_a_row_and_ids_are_as_they_came_in(tmp_path, users, items, monkeypatch):
    monkeypatch.setattr("semantic_ids.workflows.recommendation_file.USERS_A_GROUP", 3)
    dataset = RecommendationsDataset(filepath=str(tmp_path / "recommendations.parquet"))
    dataset.save(made(users, items))
    table, names = dataset.load(), items.tolist()
    assert table["user"].to_pylist() == users.tolist()
    assert table["item_ids"].to_pylist() == [
        [None if row < 0 else names[row] for row in rows] for rows in ROWS
    ]
    assert table["log_probabilities"].to_pylist() == [
        [None if score == -np.inf else score for score in scores] for scores in SCORES
    ]
    assert table.schema.field("item_ids").type.list_size == 2
    assert table.schema.field("log_probabilities").type == pa.list_(pa.float32(), 2)
    assert made_from(table) == MADE
    assert pq.ParquetFile(tmp_path / "recommendations.parquet").num_row_groups == 2
    assert dataset.preview(2)["data"][1][0] == table["user"][1].as_py()


def test_nobody_is_an_empty_table(tmp_path):
    dataset = RecommendationsDataset(filepath=str(tmp_path / "recommendations.parquet"))
    dataset.save(made(pa.array([], pa.string()), pa.array([1]), lambda _: iter(())))
    assert dataset.load().num_rows == 0


def test_a_writer_that_fails_leaves_what_was_there(tmp_path):
    def fails(users):
        yield next(parts(users))
        raise RuntimeError("the power is out")

    dataset = RecommendationsDataset(filepath=str(tmp_path / "recommendations.parquet"))
    users, items = pa.array([7, 5, 3, 1]), pa.array([10, 11, 12])
    dataset.save(made(users, items))
    before = (tmp_path / "recommendations.parquet").read_bytes()
    with pytest.raises(Exception, match="the power is out"):
        dataset.save(made(users, items, fails))
    assert (tmp_path / "recommendations.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["recommendations.parquet"]


def test_what_is_not_there_is_one_line(tmp_path):
    dataset = RecommendationsDataset(filepath=str(tmp_path / "recommendations.parquet"))
    with pytest.raises(Exception, match="there is no such artifact yet") as caught:
        dataset.load()
    assert isinstance(caught.value, BadInput) or isinstance(caught.value.__cause__, BadInput)
