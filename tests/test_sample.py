"""The embedded sample, as committed: what the README of `data/01_raw` says of it holds."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

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


# ---- histories -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_histories", ROOT / "scripts/make_histories.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sequences() -> pa.Table:
    return pq.read_table(RAW / "sequences.parquet")


def test_the_script_makes_the_histories_of_the_sample(script, sequences, items):
    assert script.make(items).equals(sequences)
    assert script.make(items.take(np.random.default_rng(0).permutation(len(items)))).equals(
        sequences
    )


def test_histories_are_of_the_items_and_small(sequences, items):
    assert sequences.schema.names == ["user", "sequence"]
    assert sequences.schema.field("sequence").type.value_type == pa.int64()
    had = sequences["sequence"].to_pylist()
    assert 3_000 <= len(had) <= 4_000 and len(set(sequences["user"].to_pylist())) == len(had)
    assert {len(events) for events in had} == set(range(5, 31))
    assert {item for events in had for item in events} <= set(items["ItemID"].to_pylist())
    assert (RAW / "sequences.parquet").stat().st_size < 500_000
    said = (RAW / "README.md").read_text()
    assert f"{len(had):,} users" in said and f"{sum(map(len, had)):,} events" in said


def test_some_items_are_new_at_the_end_of_a_history(script, sequences, items):
    shelves = script.arrange(
        items.sort_by("ItemID"), np.random.Generator(np.random.PCG64(script.SEED))
    )
    new = {int(item) for shelf in shelves.new for item in shelf}
    had = sequences["sequence"].to_pylist()
    assert not new & {item for events in had for item in events[:-1]}
    assert sum(events[-1] in new for events in had) > 100


def test_what_follows_is_of_another_branch_and_not_near(script, sequences, items, vectors):
    """A sequence model can find what comes next where neighbours of the last item cannot."""
    branch = dict(zip(items["ItemID"].to_pylist(), items["branch"].to_pylist(), strict=True))
    pairs = [(a, b) for events in sequences["sequence"].to_pylist() for a, b in pairwise(events)]
    leaves = np.mean([branch[a] != branch[b] for a, b in pairs])
    assert 0.3 < leaves < 0.6
    shelves = script.arrange(
        items.sort_by("ItemID"), np.random.Generator(np.random.PCG64(script.SEED))
    )
    at = shelves.of_item
    goes = [(at[a], at[b]) for a, b in pairs if at[a] != at[b]]
    assert np.mean([shelves.follows[a] == b for a, b in goes]) > 0.6
    rows = {item: row for row, item in enumerate(vectors["ItemID"].to_pylist())}
    matrix = np.stack(vectors["embedding"].to_numpy()).astype(np.float32)
    cosine = [float(matrix[rows[a]] @ matrix[rows[b]]) for a, b in pairs if branch[a] != branch[b]]
    rng = np.random.default_rng(0)
    drawn = matrix[rng.integers(0, len(matrix), 5000)] * matrix[rng.integers(0, len(matrix), 5000)]
    assert abs(np.mean(cosine) - drawn.sum(axis=1).mean()) < 0.05
