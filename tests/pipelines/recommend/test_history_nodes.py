"""The first nodes of `recommend`, with the parameters of conf/base, on the sample."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from semantic_ids.app.resolvers import RESOLVERS
from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.ingestion.history_source import HistorySource
from semantic_ids.parameters import HistoryParameters
from semantic_ids.pipelines.recommend.histories import (
    check_histories,
    create_pipeline,
    read_histories,
)

ROOT = Path(__file__).parents[3]
CONF, RAW = ROOT / "conf/base", ROOT / "data/01_raw"
SAMPLE = HistorySource(str(RAW / "sequences.parquet"))


def history(**changes) -> HistoryParameters:
    values = yaml.safe_load((CONF / "parameters_histories.yml").read_text())["history"]
    return HistoryParameters(**values | changes)


def ids_of(items: list[int]) -> Codes:
    """IDs of some items; of these only the order matters here."""
    ordered = [items[row] for row in np.argsort(item_hash(items), kind="stable")]
    codes = np.zeros((len(items), 2), np.int32)
    return Codes(pa.array(ordered), codes, (4, 4), 2, Provenance("semantic_ids"))


@pytest.fixture(scope="module")
def items() -> list[int]:
    return pq.read_table(RAW / "items.parquet")["ItemID"].to_pylist()


def test_every_hint_resolves():
    """Kedro validates parameters by the hints of a node; it drops all where one is missing."""
    for node in (check_histories, read_histories):
        assert typing.get_type_hints(node)["history"] is HistoryParameters


def test_the_check_comes_before_the_stages_of_tokenize():
    names = [node.name for node in create_pipeline().nodes]
    assert names == ["check_histories", "read_histories"] and names[0] < "ingest"


def test_the_histories_of_the_sample_are_read_whole(items):
    check_histories(SAMPLE, history())
    found = read_histories(SAMPLE, ids_of(items), history())
    rows = pq.read_table(RAW / "sequences.parquet").to_pylist()
    assert len(found) == len(rows) == found.report["targets_test"]
    order = ids_of(items).item_ids
    places = {user: n for n, user in enumerate(found.users.to_pylist())}
    for row in rows[::101]:
        n = places[row["user"]]
        rows_of_items = pa.array(found.items[found.starts[n] : found.starts[n + 1]])
        assert order.take(rows_of_items).to_pylist() == row["sequence"]
    assert found.report["events_unknown"] == 0 and found.report["targets_test_cold"] > 100


def test_histories_of_other_items_are_refused(items):
    with pytest.raises(BadInput, match=r"events .* are of .* items that have no ID, such as '"):
        read_histories(SAMPLE, ids_of(items[:4000]), history())
    found = read_histories(SAMPLE, ids_of(items[:4000]), history(max_unknown=1.0))
    assert found.items.max() < 4000


def test_how_long_a_history_is_looked_at_does_not_make_other_histories(items):
    """Nor how many unknown ones would have been too many: the artifact can be used as it is."""
    one, other = (
        read_histories(SAMPLE, ids_of(items), history(**changes))
        for changes in ({}, {"length": 7, "max_unknown": 0.5})
    )
    assert one.provenance == other.provenance


def test_histories_of_the_sample_are_for_the_sample_alone():
    histories_of = RESOLVERS["histories_of"]
    assert histories_of("auto", "s.parquet", "s.parquet", "h.parquet") == "h.parquet"
    assert histories_of("auto", "mine.parquet", "s.parquet", "h.parquet") == "none"
    assert histories_of("my.parquet", "mine.parquet", "s.parquet", "h.parquet") == "my.parquet"
