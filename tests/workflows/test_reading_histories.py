"""Files → histories that are split, with a report that is true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.artifacts import require_made_from
from semantic_ids.datasets import HistoriesDataset
from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.ingestion.history_options import HistoryOptions
from semantic_ids.ingestion.history_source import HistorySource
from semantic_ids.recommenders.histories import Histories, catalogue_of
from semantic_ids.workflows.reading_histories import check_histories, read_histories
from tests.conftest import SHARED

BEAUTY = SHARED / "data/amazon_beauty"


def catalogue(n: int, *, text: bool = False) -> pa.Array:
    ids = np.arange(n)[np.argsort(item_hash(range(n)), kind="stable")]
    return pa.array(ids).cast(pa.string()) if text else pa.array(ids)


@pytest.fixture
def log(tmp_path) -> HistorySource:
    """300 users, 40 items, times with many ties; rows in any order."""
    rng = np.random.default_rng(3)
    n = 3000
    columns = {
        "user": rng.integers(0, 300, n),
        "item": rng.integers(0, 40, n),
        "timestamp": rng.integers(0, 50, n),
    }
    pq.write_table(pa.table(columns), tmp_path / "log.parquet", row_group_size=500)
    return HistorySource(str(tmp_path / "log.parquet"))


def parts(histories: Histories) -> dict[str, set[tuple[Any, int]]]:
    """Part → (user, position in the user's history) of its targets."""
    found = {}
    for part in ("train", "valid", "test"):
        positions = histories.targets(part)
        users = histories.user_of(positions)
        offsets = positions - histories.starts[users]
        names = np.array(histories.users.to_pylist())[users]
        found[part] = set(zip(names.tolist(), offsets.tolist(), strict=True))
    return found


def test_the_last_event_of_every_user_is_the_test(log):
    found = read_histories(log, catalogue(40), HistoryOptions())
    lengths = dict(zip(found.users.to_pylist(), np.diff(found.starts).tolist(), strict=True))
    assert min(lengths.values()) >= 3
    assert parts(found)["test"] == {(user, n - 1) for user, n in lengths.items()}
    assert parts(found)["valid"] == {(user, n - 2) for user, n in lengths.items()}
    report = found.report
    assert (report["users"], report["events"]) == (len(found), len(found.items))
    assert report["targets_test"] == len(found) and report["split"] == "leave_one_out"
    trained = [found.items[a:c] for a, c in zip(found.starts[:-1], found.cuts[:, 0], strict=True)]
    seen = set(np.concatenate(trained).tolist())
    last = found.items[found.starts[1:] - 1]
    assert report["targets_test_cold"] == sum(row not in seen for row in last.tolist())
    require_made_from(found.provenance, item_ids=catalogue_of(catalogue(40).to_pylist()))


@pytest.mark.parametrize(
    "time", [{}, {"valid_share": 0.2, "test_share": 0.05}, {"valid_from": "35", "test_from": "44"}]
)
def test_a_split_by_time_learns_nothing_of_what_comes_later(log, time):
    options = HistoryOptions(split="time", time=time, duplicates="keep")
    found = read_histories(log, catalogue(40), options)
    rows = pq.read_table(log.location).to_pylist()
    begin, end = found.report["valid_from"], found.report["test_from"]
    of_user: dict[int, list[int]] = {}
    for row in rows:
        of_user.setdefault(row["user"], []).append(row["timestamp"])
    kept = {user: sorted(times) for user, times in of_user.items() if len(times) >= 3}
    expected: dict[str, set] = {"train": set(), "valid": set(), "test": set()}
    for user, times in kept.items():
        for number, at in enumerate(times[1:], 1):
            part = "train" if at < begin else "valid" if at < end else "test"
            expected[part].add((user, number))
    assert parts(found) == expected
    if "valid_from" in time:
        assert (begin, end) == (35, 44)
    else:
        every = sorted(at for times in kept.values() for at in times)
        valid, test = time.get("valid_share", 0.1), time.get("test_share", 0.1)
        assert end == every[round(len(every) * (1 - test))]
        assert begin == every[round(len(every) * (1 - test - valid))]


def test_rows_in_another_order_are_the_same_histories(log, tmp_path):
    table = pq.read_table(log.location)
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    half = len(table) // 2
    (tmp_path / "f").mkdir()
    pq.write_table(shuffled.slice(half), tmp_path / "f" / "a.parquet")
    pq.write_table(shuffled.slice(0, half), tmp_path / "f" / "b.parquet")
    for options in (HistoryOptions(), HistoryOptions(split="time")):
        one, other = (
            read_histories(source, catalogue(40), options)
            for source in (log, HistorySource(str(tmp_path / "f")))
        )
        assert one.provenance == other.provenance and one.report == other.report


def test_ids_of_items_as_text_are_those_of_integers(log):
    one, other = (
        read_histories(log, catalogue(40, text=text), HistoryOptions()) for text in (False, True)
    )
    assert one.provenance == other.provenance


def test_other_items_are_another_catalogue(log):
    found = read_histories(log, catalogue(41), HistoryOptions())
    with pytest.raises(BadInput, match="'histories' was made from item_ids"):
        require_made_from(found.provenance, item_ids=catalogue_of(catalogue(40).to_pylist()))


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ({"valid_from": "-5", "test_from": "44"}, "no user has an event to learn from"),
        ({"valid_from": "44.1", "test_from": "44.9"}, "no user has an event for validation"),
        ({"valid_from": "44", "test_from": "99"}, "no user has an event for the test"),
    ],
)
def test_a_split_that_leaves_one_part_empty_is_refused(log, time, said):
    for work in (check_histories, lambda s, o: read_histories(s, catalogue(40), o)):
        with pytest.raises(BadInput, match=said):
            work(log, HistoryOptions(split="time", time=time))


def test_the_check_says_what_reading_would_say(log, tmp_path):
    check_histories(log, HistoryOptions(min_events=5))
    with pytest.raises(BadInput, match="none of 300 users has 500 events"):
        check_histories(log, HistoryOptions(min_events=500))


def test_amazon_beauty_is_what_its_files_say(tmp_path):
    """Counts as they are known of this data set; each user's sequence of the test is whole."""
    if not BEAUTY.is_dir():
        pytest.skip("Amazon Beauty is not here")
    ids = catalogue(12_101)
    found = read_histories(HistorySource(str(BEAUTY)), ids, HistoryOptions())
    names = ("users", "events", "targets_train", "targets_valid", "targets_test",
             "targets_test_cold")  # fmt: skip
    assert [found.report[name] for name in names] == [
        22_363, 198_502, 131_413, 22_363, 22_363, 138,
    ]  # fmt: skip
    whole = read_histories(HistorySource(str(BEAUTY / "test.parquet")), ids, HistoryOptions())
    np.testing.assert_array_equal(whole.cuts, found.cuts)
    np.testing.assert_array_equal(whole.items, found.items)
    dataset = HistoriesDataset(filepath=str(tmp_path / "histories"))
    dataset.save(found)
    assert dataset.load().provenance == found.provenance
    rows = pq.read_table(BEAUTY / "test.parquet").to_pylist()
    places = {user: n for n, user in enumerate(found.users.to_pylist())}
    for row in rows[::997]:
        user = places[row["UserID"]]
        items = found.items[found.starts[user] : found.starts[user + 1]]
        assert ids.take(pa.array(items)).to_pylist() == row["sequence"]
