from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.metrics.labels import join, weights

IDS = pa.array([30, 10, 20, 40])


def items(**columns):
    return pa.table({"ItemID": [10, 20, 30, 40], "kind": ["a", "b", "a", None], **columns})


def joined(ids=IDS, table=None, columns="auto", max_values=3, min_share=0.5):
    table = items() if table is None else table
    return {
        k: v.tolist()
        for k, v in join(
            ids,
            table,
            id_column="ItemID",
            columns=columns,
            max_values=max_values,
            min_share=min_share,
        ).items()
    }


@pytest.mark.parametrize(
    "ids",
    [IDS, IDS.cast(pa.string()), IDS.cast(pa.large_string()), IDS.cast(pa.int32())],
    ids=lambda a: str(a.type),
)
@pytest.mark.parametrize("column", [pa.int64(), pa.string(), pa.large_string()], ids=str)
def test_ids_match_by_their_text(ids, column):
    table = items().set_column(0, "ItemID", items().column("ItemID").cast(column))
    assert joined(ids, table) == {"kind": [0, 0, 1, -1]}


def test_chunked_and_dictionary_columns():
    halves = [items().slice(0, 2), items().slice(2)]
    table = pa.concat_tables(halves)
    assert joined(table=table) == {"kind": [0, 0, 1, -1]}
    assert joined(table=table.set_column(1, "kind", table.column("kind").dictionary_encode())) == {
        "kind": [0, 0, 1, -1]
    }


def test_items_that_are_not_in_the_file_have_no_label():
    assert joined(pa.array([99, 10, 20, 98]))["kind"] == [-1, 0, 1, -1]


def test_auto_takes_text_and_integer_columns_of_a_few_values():
    table = items(
        year=[1, 1, 2, 2],
        every=[1, 2, 3, 4],
        constant=["x"] * 4,
        ratio=[0.5, 0.5, 1.0, 1.0],
        path=[[1], [1], [2], [2]],
        flag=[True, False, True, False],
        nothing=pa.nulls(4, pa.string()),
    )
    assert list(joined(table=table)) == ["kind", "year"]


def test_named_columns_are_taken_whatever_they_hold():
    table = items(every=[1, 2, 3, 4], flag=[True, False, True, False])
    assert joined(table=table, columns=["every", "flag"]) == {
        "every": [0, 1, 2, 3],
        "flag": [0, 0, 1, 1],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": ["knid"]}, r"no column 'knid'; the nearest is 'kind'.*ItemID, kind"),
        (
            {"columns": ["path"], "table": items(path=[[1]] * 4)},
            r"evaluate.labels: column 'path' of the items file is of type list",
        ),
        (
            {"table": items().rename_columns(["ItemIDs", "kind"])},
            r"ingest.id_column: .*no column 'ItemID'; the nearest is 'ItemIDs'",
        ),
        (
            {"table": pa.concat_tables([items(), items().slice(1, 1)])},
            r"1 ids are there more than once, such as 20",
        ),
        (
            {"ids": pa.array([10, 1, 2, 3])},
            r"only 1 of 4 items are in the items file, which has 4 rows",
        ),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(BadInput, match=message):
        joined(**change)


def test_numbers_follow_the_rows_of_the_items_not_of_the_file():
    shuffled = items().take(np.array([3, 1, 0, 2]))
    assert joined(table=shuffled) == joined()


def weighed(column, ids=IDS, name="sold"):
    return weights(
        ids,
        items(sold=column),
        id_column="ItemID",
        column=name,
        min_share=0.5,
        option="publish.weight_column",
    )


@pytest.mark.parametrize(
    "column",
    [
        [1, 0, 3, None],
        pa.array([1, 0, 3, None], pa.float16()),
        pa.array([Decimal("1.0"), Decimal("0"), Decimal("3"), None], pa.decimal128(5, 1)),
    ],
)
def test_weights_are_numbers_and_0_where_there_is_none(column):
    assert weighed(column).tolist() == [3, 1, 0, 0]
    assert weighed(column, ids=pa.array(["30", "99", "20"])).tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["1", "2", "3", "4"], r"publish.weight_column: column 'sold' .* is of type string"),
        ([True, False, True, True], r"is of type bool; expected numbers"),
        ([1.0, -2.0, 1.0, 1.0], r"column 'sold': item 20 weighs -2.0"),
        ([1.0, float("nan"), 1.0, 1.0], r"item 20 weighs nan"),
        ([1.0, 1.0, 1.0, float("inf")], r"item 40 weighs inf"),
        ([0, 0, None, 0], r"no item weighs anything"),
    ],
)
def test_what_is_no_weight(column, message):
    with pytest.raises(BadInput, match=message):
        weighed(column)


def test_a_column_of_weights_that_is_not_there():
    with pytest.raises(BadInput, match=r"no column 'solt'; the nearest is 'sold'"):
        weighed([1, 2, 3, 4], name="solt")
