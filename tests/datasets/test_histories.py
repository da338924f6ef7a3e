"""Histories come back from disk; what is missing or damaged is one clear line."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import Provenance
from semantic_ids.datasets import HistoriesDataset
from semantic_ids.errors import BadInput
from semantic_ids.recommenders.histories import Histories, catalogue_of, content_of
from semantic_ids.recommenders.splits import leave_one_out


def some(users: pa.Array) -> Histories:
    starts = np.concatenate([[0], np.cumsum(np.arange(1, len(users) + 1))]).astype(np.int64)
    items = np.random.default_rng(0).integers(0, 9, starts[-1]).astype(np.int32)
    cuts = leave_one_out(starts)
    content = content_of(users.to_pylist(), items, starts, cuts)
    made_from = {"item_ids": catalogue_of(range(9)).fingerprint}
    made = Provenance("histories", made_from, {"min_events": 1}, content)
    return Histories(users, items, starts, cuts, made, {"events": len(items)})


def at(tmp_path) -> HistoriesDataset:
    return HistoriesDataset(filepath=str(tmp_path / "histories"))


def refused(dataset: HistoriesDataset) -> BadInput:
    with pytest.raises(Exception) as caught:
        dataset.load()
    error = caught.value if isinstance(caught.value, BadInput) else caught.value.__cause__
    assert isinstance(error, BadInput)
    return error


@pytest.mark.parametrize(
    "users", [pa.array([5, 3, 9]), pa.array(["b", "a"]), pa.array([], "int64")]
)
def test_histories_come_back_and_their_events_stay_on_disk(tmp_path, users):
    saved, dataset = some(users), at(tmp_path)
    dataset.save(saved)
    loaded = dataset.load()
    assert loaded.users.equals(saved.users)
    for name in ("items", "starts", "cuts"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
        assert getattr(loaded, name).dtype == getattr(saved, name).dtype
    assert loaded.provenance == saved.provenance and loaded.report == saved.report
    assert isinstance(loaded.items, np.memmap) or not len(users)
    assert sorted(p.name for p in (tmp_path / "histories").iterdir()) == [
        "cuts.npy", "items.npy", "manifest.json", "starts.npy", "users.parquet",
    ]  # fmt: skip


def test_the_same_histories_are_the_same_bytes(tmp_path):
    written = []
    for name in ("a", "b"):
        at(tmp_path / name).save(some(pa.array(["x", "y"])))
        folder = tmp_path / name / "histories"
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]


def test_what_is_not_there_is_to_be_made(tmp_path):
    assert not at(tmp_path).exists() and refused(at(tmp_path)).make == "histories"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("items.npy", "its content is"),
        ("cuts.npy", "its content is"),
        ("users.parquet", "its content is"),
    ],
)
def test_what_was_changed_is_to_be_made_again(tmp_path, file, said):
    """A file of other histories, of the same size, lies in the folder."""
    at(tmp_path / "other").save(_changed(file))
    at(tmp_path).save(some(pa.array([5, 3, 9])))
    other = (tmp_path / "other" / "histories" / file).read_bytes()
    (tmp_path / "histories" / file).write_bytes(other)
    error = refused(at(tmp_path))
    assert error.remake == "histories" and said in str(error)


def _changed(file: str) -> Histories:
    known = some(pa.array([5, 3, 9]))
    users = pa.array([5, 3, 8]) if file == "users.parquet" else known.users
    items = known.items[::-1] if file == "items.npy" else known.items
    cuts = np.repeat(known.starts[1:, None], 3, axis=1) if file == "cuts.npy" else known.cuts
    return Histories(users, items, known.starts, cuts, known.provenance)


@pytest.mark.parametrize("file", ["items.npy", "starts.npy", "users.parquet", "manifest.json"])
def test_what_is_damaged_or_gone_is_to_be_made_again(tmp_path, file):
    at(tmp_path).save(some(pa.array([5, 3, 9])))
    place = tmp_path / "histories" / file
    place.write_bytes(place.read_bytes()[:40])
    assert refused(at(tmp_path)).remake == "histories"
    place.unlink()
    assert refused(at(tmp_path)).remake == "histories"


def test_another_format_is_refused(tmp_path):
    at(tmp_path).save(some(pa.array([5])))
    manifest = tmp_path / "histories" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    assert "format is 99" in str(refused(at(tmp_path)))


def test_the_preview_shows_the_first_users(tmp_path):
    saved = some(pa.array(["x", "y", "z"]))
    at(tmp_path).save(saved)
    shown = at(tmp_path).preview(nrows=2)
    assert shown["columns"] == ["user", "events", "rows of the first"]
    assert shown["data"][1] == ["y", 2, str(saved.items[1:3].tolist())]
