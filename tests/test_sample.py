"""The embedded sample, as committed: what the README of `data/01_raw` says of it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
RAW = ROOT / "data/01_raw"
SOURCE = ROOT.parent / "shared/data/wordnet_nouns"


@pytest.fixture(scope="module")
def vectors() -> pa.Table:
    return pq.read_table(RAW / "item_emb.parquet")


@pytest.fixture(scope="module")
def items() -> pa.Table:
    return pq.read_table(RAW / "items.parquet")


def test_columns_and_types(vectors, items):
    assert vectors.schema.names == ["ItemID", "embedding"]
    assert vectors.schema.field("ItemID").type == pa.int64()
    kind = vectors.schema.field("embedding").type
    assert (
        pa.types.is_fixed_size_list(kind)
        and kind.list_size == 384
        and kind.value_type == pa.float16()
    )
    text = pa.string()
    expected = {
        "ItemID": pa.int64(),
        **dict.fromkeys(("lemma", "gloss", "text", "lexfile", "branch", "family", "path"), text),
    }
    assert {field.name: field.type for field in items.schema} == {
        **expected,
        "parent_id": pa.int64(),
    }
    assert all(items[name].null_count == 0 for name in expected)


def test_size_and_row_count(vectors, items):
    assert 8_000 <= len(items) <= 10_000
    assert (RAW / "item_emb.parquet").stat().st_size + (
        RAW / "items.parquet"
    ).stat().st_size <= 8_000_000
    assert f"{len(items):,} nouns" in (RAW / "README.md").read_text()


def test_ids_are_unique_and_match(vectors, items):
    ids = vectors["ItemID"].to_numpy()
    assert (np.diff(ids) > 0).all()
    assert (ids == items["ItemID"].to_numpy()).all()


def test_vectors_have_unit_length(vectors):
    matrix = (
        vectors["embedding"]
        .combine_chunks()
        .flatten()
        .to_numpy()
        .reshape(-1, 384)
        .astype(np.float64)
    )
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1.0, atol=1e-3)


def test_every_item_hangs_below_the_root_of_its_branch(items):
    """Climbing by `parent_id` reaches the root without leaving the sample, over the words of
    `path`.
    """
    rows = {row["ItemID"]: row for row in items.to_pylist()}
    for row in rows.values():
        words, item = [], row
        while item is not None:
            words.append(item["lemma"])
            item = rows[item["parent_id"]] if item["parent_id"] is not None else None
        assert row["path"] == " > ".join(reversed(words))
        assert row["branch"] == words[-1]
        assert row["family"] == " > ".join(row["path"].split(" > ")[:2])
        assert row["text"] == f"{row['lemma']}: {row['gloss']}"


def test_wordnets_notice_is_beside_the_sample():
    notice = (RAW / "WORDNET-LICENSE.txt").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in notice
    assert notice.rstrip().endswith("Princeton University and LICENSEE agrees to preserve same.")


@pytest.mark.skipif(not SOURCE.exists(), reason="WordNet's nouns are not at hand")
def test_sub_trees_are_whole_and_vectors_are_the_sources(vectors, items):
    source = pq.read_table(SOURCE / "items.parquet", columns=["ItemID", "path_ids"])
    roots = {row["ItemID"] for row in items.to_pylist() if row["parent_id"] is None}
    ids = [row["ItemID"] for row in source.to_pylist() if roots & set(row["path_ids"])]
    assert ids == items["ItemID"].to_pylist()
    original = pq.read_table(SOURCE / "item_emb_f16.parquet", filters=[("ItemID", "in", ids[:50])])
    assert original["embedding"].to_pylist() == vectors["embedding"].slice(0, 50).to_pylist()
