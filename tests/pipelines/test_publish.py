"""The pipeline `publish`, day by day."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.app.serving import commands
from semantic_ids.errors import BadInput
from semantic_ids.export.ids_table import read_ids
from semantic_ids.publishing.files import read_state
from semantic_ids.publishing.locations import generation
from semantic_ids.publishing.manifest import read_manifest
from semantic_ids.publishing.verify import problems
from semantic_ids.runtime.search import load_index
from semantic_ids.tokenizers import load_tokenizer
from tests.conftest import clustered

ITEMS = 460
X = clustered(ITEMS, 16, seed=7)


def catalogue(path, items):
    rows = X[list(items)]
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 16)
    pq.write_table(pa.table({"ItemID": pa.array(list(items)), "embedding": column}), path)
    return str(path)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def day(run, tmp_path, data):
    """Run a pipeline on some items; return the folder of the newest generation, if there is one."""

    def _day(items, pipeline="publish", **options) -> Path | None:
        given = {name.replace("__", "."): value for name, value in options.items()}
        params = {"embeddings": catalogue(tmp_path / "day.parquet", items), "publish.onnx": False}
        run(pipeline, params=params | given)
        bundles = data / "07_model_output/bundles"
        return generation(bundles) if bundles.exists() else None

    return _day


def ids(folder):
    live = read_state(folder).live
    return dict(zip(live.item_ids.to_pylist(), map(tuple, live.codes.tolist()), strict=True))


def hashed(folder):
    return {name: file["sha256"] for name, file in read_manifest(folder).values["files"].items()}


@pytest.mark.slow
def test_days_follow_each_other(day, data, caplog) -> None:
    day(range(400), "tokenize")
    made = {name: (data / name).read_bytes() for name in ("07_model_output/semantic_ids.parquet",)}
    with caplog.at_level("INFO"):
        one = day(range(400))
    assert "was fitted on these data with these parameters: taken" in caplog.text
    assert "was made with this tokenizer: taken" in caplog.text
    assert {name: (data / name).read_bytes() for name in made} == made
    two = day(np.random.default_rng(0).permutation(range(20, 430)).tolist())
    three = day(range(10, 430))
    assert [read_manifest(folder).number for folder in (one, two, three)] == [1, 2, 3]
    assert not [line for folder in (one, two, three) for line in problems(read_manifest(folder))]
    issued = {}
    for folder in (one, two, three):
        for item, code in ids(folder).items():
            assert issued.setdefault(code, item) == item
    assert len(set(issued.values())) == len(issued) == 430
    assert set(ids(two)) == set(range(20, 430)) and set(ids(three)) == set(range(10, 430))
    changes = read_manifest(three).values["changes"]
    assert (changes["revived"], changes["new"], changes["retired"]) == (10, 0, 0)
    delta = pq.read_table(two / "delta.parquet").to_pydict()
    assert sorted(zip(delta["change"], delta["item_id"], strict=True)) == [
        *(("new", item) for item in range(400, 430)),
        *(("retired", item) for item in range(20)),
    ]
    at_hand = read_ids(data / "07_model_output/semantic_ids.parquet")
    published = read_state(three).live
    assert at_hand.item_ids.equals(published.item_ids)
    assert (at_hand.codes == published.codes).all()
    tokenizers = [load_tokenizer(place / "tokenizer") for place in (three, data / "06_models")]
    assert tokenizers[0].content == tokenizers[1].content
    metrics = json.loads((three / "metrics.json").read_text())
    assert metrics == json.loads((data / "08_reporting/metrics.json").read_text())
    assert metrics["ids.unique_rate"] == 1


@pytest.mark.slow
def test_nothing_new_makes_no_generation_unless_asked(day, caplog) -> None:
    one = day(range(300))
    with caplog.at_level("INFO"):
        assert day(range(299, -1, -1)) == one
    assert f"nothing is new: {one.name} stays" in caplog.text
    two = day(range(300), publish__always=True)
    assert two != one and hashed(two)["semantic_ids.parquet"] == hashed(one)["semantic_ids.parquet"]
    three = day(range(10, 310), publish__on_missing="keep")
    assert set(ids(three)) == set(range(310))
    with pytest.raises(BadInput, match="but this run says"):
        day(range(310), identify__strategy="suffix")
    with pytest.raises(BadInput, match=r"of 310 published items .* are missing"):
        day(range(300, 330), "publish")
    assert day(range(310)) == three


@pytest.mark.slow
def test_an_older_generation_can_be_gone_on_from(day) -> None:
    """IDs of a generation that is given up wait for their items, and go to nobody else."""
    one, two = day(range(300)), day(range(320))
    three = day([*range(300), *range(320, 340)], publish__parent="1")
    assert read_manifest(three).parent == one.name and read_manifest(three).number == 3
    given_up = {item: code for item, code in ids(two).items() if item >= 300}
    assert not set(given_up.values()) & set(ids(three).values())
    four = day(range(340))
    assert {item: ids(four)[item] for item in given_up} == given_up


@pytest.mark.slow
def test_what_is_asked_for_and_not_published_is_appended(day, tmp_path, capsys) -> None:
    one = day(range(300), export__faiss=True)
    bundles = one.parent
    assert len(load_index(bundles)) == 300
    asked = catalogue(tmp_path / "asked.parquet", [305, 7, 301, 299])

    def look_up(place) -> dict[int, tuple[int, ...]]:
        words = ["encode", "-i", asked, "--unique", str(place), "-o", str(tmp_path / "ids.parquet")]
        commands.main(words, standalone_mode=False)
        table = pq.read_table(tmp_path / "ids.parquet")
        assert table["item_id"].to_pylist() == [305, 7, 301, 299]
        return dict(
            zip(table["item_id"].to_pylist(), map(tuple, table["codes"].to_pylist()), strict=True)
        )

    with pytest.raises(click.ClickException, match="2 items are not published"):
        look_up(one)  # one generation: there is nothing that could grow
    assert generation(bundles) == one and not (tmp_path / "ids.parquet").exists()
    found = look_up(bundles)
    two = generation(bundles)
    assert "2 items are not published: appending them" in capsys.readouterr().err
    assert read_manifest(two).number == 2 and not list(problems(read_manifest(two)))
    assert ids(two) == ids(one) | {item: found[item] for item in (305, 301)}
    assert found[7] == ids(one)[7] and len(set(ids(two).values())) == 302
    assert look_up(bundles) == found and generation(bundles) == two
    assert len(load_index(bundles)) == 302
    three = day(range(306))
    assert read_manifest(three).number == 3
    assert {item: ids(three)[item] for item in ids(two)} == ids(two)
