from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.ingestion.order import ItemIds, read_ids

NONE = np.zeros(0, np.int64)


def of(values: list, hashes: list[int] | None = None) -> ItemIds:
    column = (
        np.array(values, np.int64)
        if values and isinstance(values[0], int)
        else pa.array(values, pa.large_string())
    )
    return ItemIds(
        column, item_hash(values) if hashes is None else np.array(hashes, np.uint64), NONE, NONE
    )


@given(
    st.lists(st.tuples(st.text(max_size=3), st.integers(0, 3)), min_size=1, max_size=30),
    st.randoms(),
)
def test_order_follows_hash_then_text_whatever_the_rows(pairs, random) -> None:
    """With hashes of few values, so that there are ties.

    The hash of an id is one, whatever its row.
    """
    pairs = [(text, len(text) % 3) for text, _ in pairs]
    shuffled = random.sample(pairs, len(pairs))
    for some in (pairs, shuffled):
        ids = of([text for text, _ in some], [h for _, h in some])
        ordered = ids.in_order(np.arange(len(some)))
        assert [some[row] for row in ordered] == sorted(pairs, key=lambda pair: (pair[1], pair[0]))


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=40))
def test_duplicates_are_those_of_a_count(values) -> None:
    ids = of(values)
    groups = list(ids.duplicates(ids.in_order(np.arange(len(values)))))
    expected = {
        value: [row for row, v in enumerate(values) if v == value]
        for value in set(values)
        if values.count(value) > 1
    }
    assert {values[group[0]]: group.tolist() for group in groups} == expected


def test_equal_hashes_of_different_ids_are_no_duplicates() -> None:
    ids = of(["b", "a", "c"], [7, 7, 7])
    ordered = ids.in_order(np.arange(3))
    assert ids.text(ordered) == ["a", "b", "c"]
    assert list(ids.duplicates(ordered)) == []


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint64(),
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int16(), pa.string()),
    ],
    ids=str,
)
def test_ids_of_every_type(write, kind) -> None:
    values = (
        pa.array([5, None, 12, 7])
        if pa.types.is_integer(kind)
        else pa.array(["5", None, "12", "7"])
    )
    ids = read_ids(write(values.cast(kind), [[1.0]] * 4, group=3), "ItemID")
    rows = np.array([0, 2, 3])
    assert ids.text(rows) == ["5", "12", "7"]
    np.testing.assert_array_equal(ids.hashes[rows], item_hash([5, 12, 7]))
    assert ids.null.tolist() == [1]
    assert ids.take(rows).type == (pa.int64() if pa.types.is_integer(kind) else pa.string())
    assert [str(i) for i in ids.take(rows).to_pylist()] == ["5", "12", "7"]


def test_unsigned_ids_beyond_int64(write) -> None:
    ids = read_ids(
        write(pa.array([1, 2**63, None, 2**63 - 1], pa.uint64()), [[1.0]] * 4, group=2), "ItemID"
    )
    assert (ids.too_large.tolist(), ids.null.tolist()) == ([1], [2])
    assert ids.text(np.array([0, 3])) == ["1", str(2**63 - 1)]


def test_ids_that_are_no_text_are_refused_with_their_place(write) -> None:
    latin = pa.Array.from_buffers(
        pa.string(),
        2,
        [
            None,
            pa.py_buffer(np.array([0, 1, 5], np.int32)),
            pa.py_buffer("acafé".encode("latin-1")),
        ],
    )
    with pytest.raises(BadInput, match=r"row group 0: an item id is no text.*UTF-8"):
        read_ids(write(latin, [[1.0]] * 2), "ItemID")
