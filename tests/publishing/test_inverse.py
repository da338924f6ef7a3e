"""From IDs to items, against a dict of lists."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.export.tokens import token_strings
from semantic_ids.publishing import inverse
from semantic_ids.publishing.inverse import Inverse, ItemsById
from semantic_ids.publishing.trie import Trie

SIZES = (3, 4, 2)


def drawn(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, k, n) for k in SIZES]).astype(np.int32)


def items_of(codes, ids):
    found = defaultdict(list)
    for row, item in zip(codes.tolist(), ids, strict=True):
        found[tuple(row)].append(item)
    return dict(sorted(found.items()))


@pytest.mark.parametrize("sizes", [SIZES, (2**31 - 1, 2**31 - 1, 2**31 - 1)])
def test_rows_of_each_id_are_in_their_order_and_numbered_as_in_the_trie(sizes):
    codes = drawn()
    made, trie = Inverse.of(codes, sizes), Trie.build(codes, sizes)
    expected = items_of(codes, range(60))
    assert len(made) == len(expected) == len(trie)
    for row, rows in expected.items():
        assert made.rows(trie.node(row)).tolist() == rows
    with pytest.raises(BadInput, match="there is no ID number"):
        made.rows(len(made))


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(range(100, 160)),
        pa.array([f"é{i}" for i in range(60)]),
        pa.chunked_array([pa.array(range(25)), pa.array(range(25, 60))]),
        pa.array([str(i) for i in range(60)], pa.large_string()),
        [f"item {i}" for i in range(60)],
    ],
    ids=["integers", "strings", "chunks", "large", "list"],
)
def test_the_file_has_a_row_an_id_whatever_part_is_written_at_a_time(ids, tmp_path, monkeypatch):
    codes = drawn(seed=1)
    monkeypatch.setattr(inverse, "ROWS_A_GROUP", 4)
    ItemsById(ids, codes, SIZES, "abc").save(tmp_path / "items.parquet")
    table = pq.read_table(tmp_path / "items.parquet")
    expected = items_of(codes, ids if isinstance(ids, list) else ids.to_pylist())
    assert [tuple(row) for row in table["codes"].to_pylist()] == list(expected)
    assert table["items"].to_pylist() == list(expected.values())
    assert table["semantic_id"].to_pylist() == token_strings(np.array(list(expected))).to_pylist()
    assert table.schema.metadata[inverse.MADE_FROM] == b"abc"
    assert pq.ParquetFile(tmp_path / "items.parquet").num_row_groups > 3


def test_no_items(tmp_path):
    ItemsById(pa.array([], pa.int64()), np.zeros((0, 3), np.int32), SIZES).save(tmp_path / "i")
    assert len(pq.read_table(tmp_path / "i")) == 0
