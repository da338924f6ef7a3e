"""What users hold vectors, ids and codes in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.workflows.inputs import (
    as_codes,
    as_item_ids,
    as_vectors,
    hash_order,
    items_of,
    read_items,
)

ROWS = [[1, 2, 3], [4, 5, 6]]
FRAME = pd.DataFrame({"embedding": [np.array(row, np.float32) for row in ROWS]})
HELD = {
    "list": ROWS,
    "list of arrays": [np.array(row) for row in ROWS],
    "float64": np.array(ROWS, np.float64),
    "int8": np.array(ROWS, np.int8),
    "torch": torch.tensor(ROWS, dtype=torch.float64, requires_grad=True),
    "bfloat16": torch.tensor(ROWS, dtype=torch.bfloat16),
    "series of arrays": FRAME["embedding"],
    "series of lists": pd.Series(ROWS, index=[7, 3]),
    "series of arrow lists": pd.Series(pa.array(ROWS), dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "data frame": pd.DataFrame(ROWS),
    "arrow": pa.array(ROWS),
    "arrow chunks": pa.chunked_array([ROWS[:1], ROWS[1:]]),
    "objects": np.array([[1, 2, 3], [4, 5, 6]], dtype=object),
}


@pytest.mark.parametrize("name", HELD)
def test_vectors_in_whatever_holds_them(name):
    found = as_vectors(HELD[name])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ROWS)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_memory_maps_of_stored_types_are_not_copied(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.ones((5, 3), dtype))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert as_vectors(mapped) is mapped


def test_one_vector_stays_one():
    assert as_vectors([1, 2, 3]).shape == (3,)
    with pytest.raises(BadInput, match=r"one vector of 3 dimensions.*x\.reshape\(1, -1\)"):
        items_of([1, 2, 3])


@pytest.mark.parametrize(
    ("x", "error"),
    [
        ([[1, 2, 3], [4, 5]], r"row 1: a row of shape \(2,\); expected 3 numbers"),
        (pd.Series([[1, 2], None]), "row 1: NoneType where a list of numbers belongs"),
        (pd.DataFrame({"id": [1], "v": [[1, 2]]}), r"row 0: ndarray .*frame\['embedding'\]"),
        (pd.DataFrame({"id": ["a"], "v": [2.0]}), "row 0: ndarray where a list of numbers"),
        (np.array(["a", "b"]), "expected real numbers of shape"),
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\); expected real numbers of shape"),
        (np.array([1 + 2j]), "an array of complex128"),
    ],
)
def test_what_are_no_vectors_is_bad_input(x, error):
    with pytest.raises(BadInput, match=error):
        as_vectors(x)


def test_codes_are_whole_numbers():
    assert as_codes(pd.Series([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
    assert as_codes(torch.tensor([1, 2])).tolist() == [1, 2]
    with pytest.raises(BadInput, match="float64; expected whole numbers"):
        as_codes([[0.5, 1.0]])


@pytest.mark.parametrize(
    "ids",
    [[3, 1, 2], np.array([3, 1, 2], np.uint8), pd.Series([3, 1, 2]), pa.array([3, 1, 2])],
    ids=["list", "numpy", "pandas", "arrow"],
)
def test_ids_are_ordered_by_their_hash_whatever_holds_them(ids):
    assert as_item_ids(ids) == [3, 1, 2]
    expected = np.argsort(item_hash([3, 1, 2]))
    np.testing.assert_array_equal(hash_order(ids, 3), expected)
    np.testing.assert_array_equal(hash_order(["3", "1", "2"], 3), expected)


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([1, 2], "2 item ids for 3 vectors"),
        ([1, 2, 1], "'1' occurs 2 times, first in rows 0 and 2"),
        ([1, 2, "1"], "ids of type int and str; expected whole numbers below"),
        ([1.0, 2.0, 3.0], "ids of type float"),
        ([True, False, 1], "ids of type bool and int"),
        (["a", None, "b"], "ids of type NoneType and str"),
        ([1, 2, 2**63], "ids of type int and large int; expected whole numbers below"),
    ],
)
def test_ids_that_cannot_be_taken_are_bad_input(ids, error):
    with pytest.raises(BadInput, match=error):
        hash_order(ids, 3)


def test_a_parquet_file_is_read_in_the_order_of_the_hash(tmp_path):
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"sku": [f"s{i}" for i in range(10)], "vec": x.tolist()}), path)
    items = read_items(path, id_column="sku", vector_column="vec")
    order = hash_order([f"s{i}" for i in range(10)], 10)
    assert items.item_ids == [f"s{i}" for i in order]
    np.testing.assert_array_equal(items.vectors, x[order])
    vectors, ids = items_of(items)
    assert vectors is items.vectors and ids == items.item_ids
    with pytest.raises(BadInput, match="item_ids: given for items that have ids"):
        items_of(items, [1])
    with pytest.raises(BadInput, match="column 'ItemID'"):
        as_vectors(path)
