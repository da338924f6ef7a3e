from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource, reject
from semantic_ids.ingestion.source import Place

NAN = math.nan


def test_every_invalid_row_is_left_out_and_listed(write, ingest, drain) -> None:
    rows = [
        ("good", [1.0, 2.0], None),
        (None, [1.0, 2.0], "the item id is null"),
        ("null", None, "the vector is null"),
        ("empty", [], "the vector is empty"),
        ("ragged", [1.0], "1 dimensions instead of 2"),
        ("hole", [1.0, None], "a value in the vector is null"),
        ("nan", [NAN, 1.0], "NaN"),
        ("inf", [math.inf, 1.0], "infinite"),
        ("large", [1e5, 1.0], "too large for float16"),
        ("zero", [0.0, 0.0], "the vector is zero"),
        ("twin", [3.0, 4.0], None),
        ("other", [5.0, 6.0], "the id is there 2 times with different vectors"),
        ("twin", [3.0, 4.0], "the id and the vector are also in"),
        ("other", [5.0, 7.0], "the id is there 2 times with different vectors"),
        ("half", [1.0, 1.0], None),
        ("half", [NAN, 1.0], "NaN"),
    ]
    ids, vectors, reasons = zip(*rows, strict=True)
    source = write(list(ids), vectors, pa.list_(pa.float64()))
    stream, rejected = ingest(source, on_invalid="drop", nonzero=True, dtype="float16")
    assert dict(zip(stream.item_ids.to_pylist(), drain(stream).tolist(), strict=True)) == {
        "good": [1, 2],
        "twin": [3, 4],
        "half": [1, 1],
    }
    expected = [row for row, reason in enumerate(reasons) if reason]
    assert rejected["row"].to_pylist() == expected
    assert rejected["row_group"].to_pylist() == [row // 4 for row in expected]
    assert rejected["item_id"].to_pylist() == [ids[row] for row in expected]
    assert set(rejected["file"].to_pylist()) == {source.location}
    for row, reason in zip(expected, rejected["reason"].to_pylist(), strict=True):
        assert reasons[row] in reason
    assert rejected.schema.types == [pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string()]


def test_three_of_one_id_with_two_vectors_all_go(write, ingest) -> None:
    stream, rejected = ingest(write([1, 1, 1, 2], [[1.0], [1.0], [2.0], [3.0]]), on_invalid="drop")
    assert stream.item_ids.to_pylist() == [2]
    assert rejected["item_id"].to_pylist() == ["1"] * 3


def test_vectors_equal_after_the_cast_are_equal(write, ingest, drain) -> None:
    stream, _ = ingest(
        write([1, 1], [[1.0, -0.0], [1.0 + 1e-12, 0.0]], pa.list_(pa.float64())), on_invalid="drop"
    )
    assert drain(stream).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("dims", "expected"), [([2, 2, 3], 2), ([3, 2, 3, 2], 3), ([5, 1, 1], 1), ([1, 0, 0], 1)]
)
def test_the_dimension_is_the_most_common_one(write, ingest, dims, expected) -> None:
    for order in (dims, dims[::-1]):
        stream, rejected = ingest(
            write(list(range(len(dims))), [[1.0] * dim for dim in order]), on_invalid="drop"
        )
        assert stream.dim == expected
        assert rejected.num_rows == len(dims) - dims.count(expected)


def test_a_file_of_another_dimension_is_no_invalid_row(write, ingest) -> None:
    write([1, 2, 3], [[1.0, 2.0]] * 3, name="in/a.parquet")
    source = ParquetSource(
        str(Path(write([4], [[1.0, 2.0, 3.0]], name="in/b.parquet").location).parent)
    )
    with pytest.raises(
        BadInput, match=r"b\.parquet: the vectors have 3 dimensions, but 2 in .*a\.parquet"
    ):
        ingest(source, on_invalid="drop")


def test_nothing_left(write, ingest) -> None:
    with pytest.raises(
        BadInput, match="all 2 rows are invalid; the first because the vector is null"
    ):
        ingest(write([1, 2], [None, []]), on_invalid="drop")


def test_max_items_counts_valid_rows(write, ingest) -> None:
    clean, _ = ingest(write(list(range(0, 40, 2)), [[1.0]] * 20), max_items=5)
    stream, rejected = ingest(
        write(list(range(40)), [[1.0], [NAN]] * 20), on_invalid="drop", max_items=5
    )
    assert stream.item_ids == clean.item_ids
    assert rejected.num_rows == 20


ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 6)),
        st.one_of(st.none(), st.lists(st.sampled_from([1.0, -0.0, 0.0, NAN]), max_size=2)),
    ),
    min_size=1,
    max_size=20,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(ROWS, st.randoms())
def test_what_stays_does_not_depend_on_the_order_of_rows(
    write, ingest, drain, rows, random
) -> None:
    found = []
    for some in (rows, random.sample(rows, len(rows))):
        try:
            stream, rejected = ingest(
                write(pa.array([i for i, _ in some], pa.int64()), [v for _, v in some]),
                on_invalid="drop",
            )
        except BadInput:
            found.append(None)
            continue
        found.append((stream.item_ids.to_pylist(), drain(stream).tobytes(), rejected.num_rows))
        assert len(stream) + rejected.num_rows == len(rows)
    assert found[0] == found[1]


def test_a_clean_input_gives_the_same_whether_dropping_or_not(write, ingest, drain) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    source = write(list(range(50)), vectors, pa.list_(pa.float64()))
    (one, none), (two, also_none) = ingest(source), ingest(source, on_invalid="drop")
    assert one.item_ids == two.item_ids
    assert drain(one).tobytes() == drain(two).tobytes()
    assert none == also_none


def test_the_list_shows_no_secret_of_an_address() -> None:
    address = "https://bob:pa55word@host/a.parquet?sig=0123456789abcdef"
    source = SimpleNamespace(place=lambda row: Place(address, 0, row))
    none = np.array([], dtype=np.int64)
    ids = SimpleNamespace(null=none, too_large=none, text=lambda rows: ["x"])
    table = reject._table(source, ids, {3: "null vector"})
    assert table.column("file").to_pylist() == ["https://***@host/a.parquet?***"]
    assert table.column("row").to_pylist() == [3]
