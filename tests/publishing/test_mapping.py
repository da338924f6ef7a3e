"""Mappings: read, written, put together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.publishing.mapping import Mapping, hash_order, joined, read_mapping, write_mapping

MADE = Provenance("semantic_ids", {"tokenizer": "t"}, {"strategy": "reassign"})


def mapping(item_ids, seed=0):
    hashes = item_hash(item_ids)
    order = np.argsort(hashes)
    codes = np.random.default_rng(seed).integers(0, 5, (len(item_ids), 3)).astype(np.int32)
    return Mapping(pa.array(item_ids).take(pa.array(order)), hashes[order], codes, (5, 6, 7), 3)


@pytest.mark.parametrize("item_ids", [list(range(40)), [f"item {i}" for i in range(40)]])
def test_a_file_gives_back_what_was_written_and_the_same_bytes(tmp_path, item_ids):
    given = mapping(item_ids)
    for name in ("a.parquet", "b.parquet"):
        write_mapping(tmp_path / name, given, MADE)
    found = read_mapping(tmp_path / "a.parquet")
    assert found.item_ids.equals(given.item_ids)
    assert (found.codes == given.codes).all() and (found.hashes == given.hashes).all()
    assert (found.sizes, found.levels) == ((5, 6, 7), 3)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    table = pq.read_table(tmp_path / "a.parquet")
    a, b, c = given.codes[0]
    assert table.column_names == ["item_id", "codes", "semantic_id"]
    assert table["semantic_id"][0].as_py() == f"<a_{a}><b_{b}><c_{c}>"


def test_parts_put_together_are_the_whole_in_any_order():
    whole = mapping([f"item {i}" for i in range(60)])
    rows = np.random.default_rng(1).permutation(60)
    parts = [whole.take(np.sort(part)) for part in np.array_split(rows, 3)]
    for some in (parts, parts[::-1]):
        found, order = joined(some)
        ids = pa.concat_arrays([part.item_ids for part in some])
        assert ids.take(pa.array(order)).equals(found.item_ids)
        assert found.item_ids.equals(whole.item_ids) and (found.codes == whole.codes).all()


def test_equal_hashes_are_ordered_by_the_text_of_the_id():
    hashes = np.array([7, 3, 7, 7], dtype=np.uint64)
    order = hash_order(pa.array(["b", "z", "c", "a"]), hashes)
    assert order.tolist() == [1, 3, 0, 2]


def test_rows_in_another_order_are_refused():
    whole = mapping(list(range(20)))
    ids = Codes(whole.item_ids[::-1], whole.codes, whole.sizes, 3, MADE)
    with pytest.raises(BadInput, match="order of the item hash"):
        Mapping.of(ids)


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "ids.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match=r"ids\.parquet: it cannot be read"):
        read_mapping(tmp_path / "ids.parquet")
