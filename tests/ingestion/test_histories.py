"""Histories as they are read, against a reading in plain Python."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.ingestion.histories import check_columns, read_user_events, time_bounds
from semantic_ids.ingestion.history_options import HistoryOptions
from semantic_ids.ingestion.history_source import HistorySource

ITEMS = 12


def in_hash_order(ids: list) -> list:
    return [ids[row] for row in np.argsort(item_hash(ids), kind="stable")]


CATALOGUE = pa.array(in_hash_order(list(range(ITEMS))))
ROW = {item: row for row, item in enumerate(CATALOGUE.to_pylist())}


def write(file: Path, **columns: Any) -> HistorySource:
    file.parent.mkdir(parents=True, exist_ok=True)
    made = {name: v if isinstance(v, pa.Array) else pa.array(v) for name, v in columns.items()}
    pq.write_table(pa.table(made), file, row_group_size=7)
    return HistorySource(str(file))


def lists(values: list[list], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, pa.list_(kind or pa.int64()))


def read(source: HistorySource, catalogue: pa.Array = CATALOGUE, **options: Any) -> dict:
    """User → rows of the items that were read, in order."""
    found = read_user_events(source, catalogue, HistoryOptions(**{"min_events": 1} | options))
    users = found.users.to_pylist()
    assert users == in_hash_order(users)
    spans = zip(found.starts, found.starts[1:], strict=False)
    return {user: found.items[a:b].tolist() for user, (a, b) in zip(users, spans, strict=True)}


# ---- sequences -----------------------------------------------------------------------------------

histories = st.lists(
    st.lists(st.integers(0, ITEMS + 2), min_size=1, max_size=9), min_size=1, max_size=20
)


@given(histories)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sequences_are_read_as_they_are_but_for_unknown_items(tmp_path, drawn):
    users = [f"u{number}" for number in range(len(drawn))]
    source = write(tmp_path / "s.parquet", user=users, sequence=lists(drawn))
    known = {
        user: [ROW[i] for i in events if i in ROW]
        for user, events in zip(users, drawn, strict=True)
    }
    expected = {user: rows for user, rows in known.items() if rows}
    if not expected:
        with pytest.raises(BadInput, match="none of"):
            read(source, max_unknown=1.0)
        return
    assert read(source, max_unknown=1.0) == expected
    found = read_user_events(source, CATALOGUE, HistoryOptions(max_unknown=1.0, min_events=1))
    assert found.counts == {
        "events_read": sum(map(len, drawn)),
        "users_read": len(drawn),
        "events_unknown": sum(i not in ROW for events in drawn for i in events),
        "items_unknown": len({i for events in drawn for i in events} - set(ROW)),
        "users_dropped": len(drawn) - len(expected),
    }


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int32()), pa.large_list(pa.int64()), pa.list_(pa.uint64()),
        pa.list_(pa.string()), pa.list_(pa.large_string()), pa.list_(pa.int64(), 3),
        pa.list_(pa.dictionary(pa.int32(), pa.string())), pa.list_(pa.binary()),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("text", [False, True])
def test_items_are_found_whatever_type_their_ids_have(tmp_path, kind, text):
    values: list[list] = [[3, 1, 2], [11, 0, 5]]
    value = kind.value_type
    if not pa.types.is_integer(value):
        plain = pa.array([[str(i) for i in v] for v in values], pa.list_(pa.string()))
        column = plain.cast(kind)
    else:
        column = pa.array(values, kind)
    source = write(tmp_path / "s.parquet", user=[1, 2], sequence=column)
    catalogue = CATALOGUE.cast(pa.string()) if text else CATALOGUE
    assert read(source, catalogue) == {
        user: [ROW[i] for i in v] for user, v in zip([1, 2], values, strict=True)
    }


def test_an_id_with_leading_zeros_is_another_one(tmp_path):
    source = write(tmp_path / "s.parquet", user=[1], sequence=lists([["07", "7"]], pa.string()))
    assert read(source, max_unknown=0.5) == {1: [ROW[7]]}


@pytest.mark.parametrize("users", [[5, 7], ["5", "x"], [b"5", b"y"]])
def test_users_come_back_as_they_are_and_rows_in_any_order_give_the_same(tmp_path, users):
    forward = write(tmp_path / "a.parquet", user=users, sequence=lists([[1], [2, 3]]))
    backward = write(tmp_path / "b.parquet", user=users[::-1], sequence=lists([[2, 3], [1]]))
    names = [u.decode() if isinstance(u, bytes) else u for u in users]
    assert read(forward) == {names[0]: [ROW[1]], names[1]: [ROW[2], ROW[3]]}
    assert list(read(forward).items()) == list(read(backward).items())


def test_a_folder_is_all_its_files_and_a_user_is_in_one(tmp_path):
    write(tmp_path / "f" / "a.parquet", user=[1], sequence=lists([[1, 2]]))
    write(tmp_path / "f" / "b.parquet", user=[2], sequence=lists([[3]]))
    assert read(HistorySource(str(tmp_path / "f"))) == {1: [ROW[1], ROW[2]], 2: [ROW[3]]}
    assert read(HistorySource(str(tmp_path / "f" / "*.parquet"))) == read(
        HistorySource(str(tmp_path / "f"))
    )
    write(tmp_path / "f" / "c.parquet", user=[3, 1], sequence=lists([[1], [1]]))
    with pytest.raises(BadInput, match=r"c.parquet, row group 0, row 1: user 1 is there twice"):
        read(HistorySource(str(tmp_path / "f")))


def test_the_target_of_a_row_follows_its_sequence_unless_it_ends_it(tmp_path):
    users, sequences = [1, 2, 3], lists([[1, 2], [3], [4, 5]])
    source = write(tmp_path / "a.parquet", user=users, sequence=sequences, target=[2, 3, 5])
    assert read(source) == {1: [ROW[1], ROW[2]], 2: [ROW[3]], 3: [ROW[4], ROW[5]]}
    source = write(tmp_path / "b.parquet", user=users, sequence=sequences, target=[7, None, 5])
    assert read(source) == {1: [ROW[1], ROW[2], ROW[7]], 2: [ROW[3]], 3: [ROW[4], ROW[5], ROW[5]]}
    assert read(source, target_column="none") == {
        1: [ROW[1], ROW[2]], 2: [ROW[3]], 3: [ROW[4], ROW[5]],
    }  # fmt: skip


def test_targets_that_end_nearly_all_sequences_are_a_mistake(tmp_path):
    users, sequences = list(range(20)), [[number % 5, number % 7] for number in range(20)]
    targets = [sequence[-1] for sequence in sequences]
    targets[13] = 9
    source = write(tmp_path / "s.parquet", user=users, sequence=lists(sequences), target=targets)
    with pytest.raises(BadInput, match=r"row 13: 'target' is not the last item .*95.0%"):
        read(source)


# ---- events --------------------------------------------------------------------------------------

events = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, ITEMS + 1), st.integers(0, 5)),
    min_size=1,
    max_size=40,
)


@given(events, st.sampled_from(["drop", "keep"]), st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_events_are_in_order_of_time_then_of_the_items_hash(tmp_path, drawn, duplicates, shuffle):
    kept = [event for event in drawn if event[1] in ROW]
    kept = list(set(kept)) if duplicates == "drop" else kept
    expected: dict[int, list] = {}
    for user, _, row in sorted((user, time, ROW[item]) for user, item, time in kept):
        expected.setdefault(user, []).append(row)
    for order in (drawn, shuffle.sample(drawn, len(drawn))):
        user, item, time = (list(column) for column in zip(*order, strict=True))
        source = write(tmp_path / "e.parquet", user=user, item=item, timestamp=time)
        if kept:
            assert read(source, max_unknown=1.0, duplicates=duplicates) == expected


DAYS = [date(2014, 6, day) for day in (3, 1, 2)]
NOON = [datetime(2014, 6, day, 12, tzinfo=UTC) for day in (3, 1, 2)]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([3, 1, 2], pa.int32()), pa.array([3, 1, 2], pa.uint64()),
        pa.array([2.5, -1.5, 0.25]), pa.array([3.0, 1.0, 2.0], pa.float32()),
        pa.array(DAYS), pa.array(DAYS, pa.date64()),
        pa.array(NOON, pa.timestamp("ns", "UTC")), pa.array(NOON, pa.timestamp("ms", "Asia/Tokyo")),
        pa.array([t.replace(tzinfo=None) for t in NOON]), pa.array([t.isoformat() for t in NOON]),
        pa.array(["2014-06-03", "2014-06-01T23:00:00-02:00", "2014-06-02 01:00:01"]),
        pa.array(["2014-06-03", "2014-06-01", "2014-06-02"], pa.large_string()),
    ],
    ids=lambda times: f"{times.type} {times[0]}",
)  # fmt: skip
def test_times_of_many_types_put_events_in_order(tmp_path, times):
    """The last of the texts but one is a second after one of two hours west of it."""
    source = write(tmp_path / "e.parquet", user=[1, 1, 1], item=[3, 1, 2], timestamp=times)
    assert read(source) == {1: [ROW[1], ROW[2], ROW[3]]}


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (pa.array([1, None, 2]), "the time is null"),
        (pa.array([1.0, 2.0, float("nan")]), "the time is nan"),
        (pa.array([1.0, float("inf"), 2.0]), "the time is inf"),
        (pa.array(["2014-06-01", "yesterday", "2014-06-02"]), "the time is 'yesterday'"),
        (pa.array([1, 2, 2**63], pa.uint64()), f"the time is {2**63}"),
        (pa.array(["1401580800"] * 3), "the time is '1401580800'.*cast the column to int64"),
    ],
)
def test_a_time_that_is_none_is_refused_with_its_place(tmp_path, times, said):
    source = write(tmp_path / "e.parquet", user=[1, 1, 1], item=[3, 1, 2], timestamp=times)
    with pytest.raises(BadInput, match=rf"row group 0, row [012]: {said}"):
        read(source)


def test_instants_are_read_like_the_times_of_the_column(tmp_path):
    def bounds(times: pa.Array, begin: str, end: str) -> Any:
        source = write(tmp_path / "e.parquet", user=[1], item=[1], timestamp=times)
        time = {"valid_from": begin, "test_from": end}
        return time_bounds(source, HistoryOptions(split="time", time=time))

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = (datetime(2014, 6, 1, tzinfo=UTC) - epoch) // timedelta(microseconds=1)
    assert bounds(pa.array(DAYS[:1]), "2014-06-01", "2014-06-02T00:00:00+02:00") == (
        expected,
        expected + 22 * 3600 * 1_000_000,
    )
    assert bounds(pa.array([5]), "1401580800", "1401580800.5") == (1401580800, 1401580800.5)
    with pytest.raises(BadInput, match=r"history.time.valid_from: '2014-06-01' is no number"):
        bounds(pa.array([5]), "2014-06-01", "2014-06-02")
    with pytest.raises(BadInput, match=r"history.time.test_from: 'soon' is no instant"):
        bounds(pa.array(DAYS[:1]), "2014-06-01", "soon")
    with pytest.raises(BadInput, match=r"validation begins at 7, the test at 7"):
        bounds(pa.array([5]), "7", "7")


# ---- files that are split already ----------------------------------------------------------------


def split_files(folder: Path, parts: dict[str, dict[int, list[int]]], **more: Any) -> HistorySource:
    for part, rows in parts.items():
        columns = more.get(part, {})
        write(folder / f"{part}.parquet", UserID=list(rows), sequence=lists(list(rows.values())),
              **columns)  # fmt: skip
    return HistorySource(str(folder))


def cuts_of(source: HistorySource, **options: Any) -> dict:
    """User → items read, where validation begins and where the test does, from the first one."""
    found = read_user_events(source, CATALOGUE, HistoryOptions(**options))
    return {
        user: (
            found.items[found.starts[n] : found.starts[n + 1]].tolist(),
            (found.cuts[n] - found.starts[n]).tolist(),
        )
        for n, user in enumerate(found.users.to_pylist())
    }


PARTS = {
    "train": {1: [1, 2], 2: [3]},
    "valid": {1: [1, 2, 3], 3: [5, 6]},
    "test": {1: [1, 2, 3, 4, 7], 2: [3, 8], 3: [5, 6, 7], 4: [9]},
}
EXPECTED = {
    1: ([ROW[i] for i in (1, 2, 3, 4, 7)], [2, 3]),
    2: ([ROW[i] for i in (3, 8)], [1, 1]),
    3: ([ROW[i] for i in (5, 6, 7)], [0, 2]),
    4: ([ROW[9]], [0, 0]),
}


def test_what_a_file_has_beyond_the_one_before_is_predicted(tmp_path):
    assert cuts_of(split_files(tmp_path, PARTS)) == EXPECTED


def test_targets_may_stand_beside_the_sequences(tmp_path):
    shorter = {
        "train": PARTS["train"],
        "valid": {user: events[:-1] for user, events in PARTS["valid"].items()},
        "test": {1: [1, 2, 3, 4], 2: [3], 3: [5, 6]},
    }
    more = {
        "train": {"target": pa.array([None, None], pa.int64())},
        "valid": {"target": [3, 6]},
        "test": {"target": [7, 8, 7]},
    }
    expected = {user: known for user, known in EXPECTED.items() if user != 4}
    assert cuts_of(split_files(tmp_path, shorter, **more)) == expected


def test_unknown_items_are_left_out_of_all_parts(tmp_path):
    parts = {
        "train": {1: [1, 99, 2]}, "valid": {1: [1, 99, 2, 98, 3]},
        "test": {1: [1, 99, 2, 98, 3, 4]},
    }  # fmt: skip
    source = split_files(tmp_path, parts)
    assert cuts_of(source, max_unknown=0.4) == {1: ([ROW[i] for i in (1, 2, 3, 4)], [2, 3])}
    with pytest.raises(BadInput, match=r"2 of 6 events \(33.3%\) are of 2 items .* '9[89]', '9"):
        cuts_of(source, max_unknown=0.3)


@pytest.mark.parametrize(
    ("valid", "said"),
    [
        ({1: [1, 4, 3]}, r"valid.parquet: the sequence of user 1 does not begin with that of"),
        ({1: [1]}, r"valid.parquet: the sequence of user 1 does not begin .*train.parquet \(1 use"),
    ],
)
def test_a_file_that_does_not_go_on_from_the_one_before_is_refused(tmp_path, valid, said):
    with pytest.raises(BadInput, match=said):
        cuts_of(split_files(tmp_path, PARTS | {"valid": valid}))


def test_one_of_three_files_is_missed(tmp_path):
    source = split_files(tmp_path, {"train": {1: [1]}, "test": {1: [1, 2]}})
    with pytest.raises(BadInput, match=r"there are train and test, but no valid"):
        check_columns(source, HistoryOptions())
    assert not source.exists()


@pytest.mark.parametrize("option", [{"split": "time"}, {"min_events": 5}])
def test_files_that_are_split_are_taken_as_they_are(tmp_path, option):
    with pytest.raises(BadInput, match="would have no effect: the files are split already"):
        check_columns(split_files(tmp_path, PARTS), HistoryOptions(**option))


def test_events_may_be_split_already_too(tmp_path):
    rows = {"train": [(1, 1, 5), (1, 2, 6), (2, 3, 1)], "validation": [(1, 3, 2)],
            "test": [(1, 4, 3), (2, 8, 9)]}  # fmt: skip
    for part, drawn in rows.items():
        user, item, time = (list(column) for column in zip(*drawn, strict=True))
        write(tmp_path / part / "p.parquet", user_id=user, item_id=item, timestamp=time)
    assert cuts_of(HistorySource(str(tmp_path))) == {
        1: ([ROW[i] for i in (1, 2, 3, 4)], [2, 3]),
        2: ([ROW[i] for i in (3, 8)], [1, 1]),
    }


@pytest.mark.parametrize(
    "name", ["train-00000-of-00001.parquet", "train/part-0.parquet", "train.PARQUET", "train.pq"]
)
def test_files_of_a_part_have_many_names(tmp_path, name):
    split_files(tmp_path, PARTS)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "train.parquet").rename(tmp_path / name)
    (tmp_path / "valid.parquet").rename(tmp_path / "validation.parquet")
    if name.endswith("PARQUET"):
        with pytest.raises(BadInput, match="valid and test, but no train"):
            cuts_of(HistorySource(str(tmp_path)))
    else:
        assert cuts_of(HistorySource(str(tmp_path))) == EXPECTED


# ---- who is left out -----------------------------------------------------------------------------


def test_users_of_few_events_are_dropped_and_the_first_by_hash_are_taken(tmp_path):
    users = list(range(30))
    sequences = [[number % ITEMS] * (1 + number % 4) for number in users]
    source = write(tmp_path / "s.parquet", user=users, sequence=lists(sequences))
    enough = in_hash_order([user for user in users if len(sequences[user]) >= 3])
    found = read(source, min_events=3)
    assert list(found) == enough
    assert all(rows == [ROW[i] for i in sequences[user]] for user, rows in found.items())
    assert list(read(source, min_events=3, max_users=4)) == enough[:4]
    with pytest.raises(BadInput, match="none of 30 users has 5 events"):
        read(source, min_events=5)


def test_without_a_catalogue_every_item_is_known(tmp_path):
    source = write(tmp_path / "s.parquet", user=[1], sequence=lists([["x", "y"]], pa.string()))
    found = read_user_events(source, None, HistoryOptions(min_events=2))
    assert found.items.tolist() == [0, 1] and found.counts["events_unknown"] == 0


# ---- what cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"user": [1], "sequence": lists([[]])}, "row 0: the sequence is empty"),
        ({"user": [1, 2], "sequence": lists([[1], None])}, "row 1: the sequence is null"),
        ({"user": [1, 2], "sequence": lists([[1], [2, None]])}, "row 1: an item of the seq.* null"),
        ({"user": [1, None], "sequence": lists([[1], [2]])}, "row 1: the user is null"),
        ({"user": ["a", ""], "sequence": lists([[1], [2]])}, "row 1: the user is empty text"),
        ({"user": pa.array([2**63], pa.uint64()), "sequence": lists([[1]])}, "larger than 2"),
        ({"user": [1], "sequence": ["1 2"]}, r"'sequence' is of type string.*lists.*\.split\(\)"),
        ({"user": [1], "sequence": lists([[1.5]], pa.float64())}, "'sequence' is of type list"),
        ({"user": [1.5], "sequence": lists([[1]])}, "'user' is of type double.*cast it to int64"),
        ({"name": [1], "sequence": lists([[1]])}, r"no column looks like that of the user; the "
         r"columns are 'name', 'sequence'.*history.user_column=name"),
        ({"user": [1], "events": lists([[1]])}, r"sequences, and none.*sequence_column=events"),
        ({"user": [1], "item": [1]}, "no column looks like that of the time.*time_column=NAME"),
        ({"user": [1], "timestamp": [1]}, "no column looks like that of the item"),
        ({"user": [1], "item": [None], "timestamp": [1]}, "'item' is of type null"),
        ({"user": [1, 1], "item": [1, None], "timestamp": [1, 2]}, "row 1: the item is null"),
        ({"user": [1], "item": [1], "time": [True], "on": [5]}, "of type bool.*time_column=on"),
        ({"user": [1], "User": [2], "sequence": lists([[1]])}, "'user' and 'User' may both"),
        ({"user": pa.array([], pa.int64()), "sequence": lists([])}, "there are no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(tmp_path, columns, said):
    with pytest.raises(BadInput, match=said):
        read(write(tmp_path / "s.parquet", **columns))


def test_files_of_one_source_agree_in_their_types(tmp_path):
    folder = tmp_path / "f"
    write(folder / "a.parquet", user=[1], item=[1], timestamp=[5])
    write(folder / "b.parquet", user=[1], item=[1], timestamp=DAYS[:1])
    with pytest.raises(BadInput, match=r"'timestamp' is date32.* here, but int64 in"):
        read(HistorySource(str(folder)))
    write(folder / "b.parquet", user=["x"], item=[1], timestamp=[5])
    with pytest.raises(BadInput, match="'user' is string here, but int64 in"):
        read(HistorySource(str(folder)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sequence_column": "s", "item_column": "i"}, "a column of sequences and one of single"),
        ({"time": {"valid_share": 0.2}}, "options of a split by time would have no effect"),
        ({"split": "time", "time": {"valid_from": "5"}}, "'test_from' is not given"),
        ({"split": "time", "sequence_column": "s"}, "sequences have no times"),
        ({"split": "time", "time": {"valid_share": 0.6, "test_share": 0.4}}, "begin with 100%"),
        (
            {"split": "time",
             "time": {"valid_from": "5", "test_from": "6", "test_share": 0.2}},
            "shares would have no effect beside instants",
        ),
    ],
)  # fmt: skip
def test_options_that_exclude_each_other_are_refused(options, said):
    with pytest.raises(BadInput, match=said):
        HistoryOptions(**options)


def test_sequences_have_no_times_to_split_by_nor_to_be_equal_in(tmp_path):
    source = write(tmp_path / "s.parquet", user=[1], sequence=lists([[1, 2, 3]]))
    with pytest.raises(BadInput, match="sequences have no times to split by"):
        check_columns(source, HistoryOptions(split="time"))
    with pytest.raises(BadInput, match=r"history.duplicates: 'keep' would have no effect"):
        check_columns(source, HistoryOptions(duplicates="keep"))


def test_columns_may_be_named(tmp_path):
    source = write(tmp_path / "s.parquet", who=["a"], had=lists([[1, 2]]), user=[9])
    assert read(source, user_column="who", sequence_column="had") == {"a": [ROW[1], ROW[2]]}
    source = write(tmp_path / "e.parquet", who=["a"], what=[1], when=[5], sequence=lists([[2]]))
    named = {"user_column": "who", "item_column": "what", "time_column": "when"}
    assert read(source, **named) == {"a": [ROW[1]]}
    with pytest.raises(BadInput, match=r"column 'whom' is missing.*nearest is 'who'"):
        read(source, **named | {"user_column": "whom"})


def test_no_such_file_is_one_line(tmp_path):
    with pytest.raises(BadInput, match=r"histories=PATH"):
        read(HistorySource(str(tmp_path / "none.parquet")))
