"""`encode --unique`: the IDs that are out, by item id."""

from __future__ import annotations

import json

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.app.serving import commands
from semantic_ids.artifacts import Provenance
from semantic_ids.hashing import item_hash
from semantic_ids.publishing.mapping import Mapping, hash_order, write_mapping

N, SIZES = 20_000, (40, 30, 20, 3)


@pytest.fixture(scope="module", params=["integers", "text"])
def bundles(request, tmp_path_factory):
    """Return a folder of one generation, and which item has which ID."""
    numbers = np.random.default_rng(3).permutation(10 * N)[:N].tolist()
    items = numbers if request.param == "integers" else [f"ß{number}" for number in numbers]
    hashes = item_hash(items)
    order = hash_order(pa.array(items), hashes)
    codes = np.random.default_rng(4).integers(0, SIZES, (N, 4), dtype=np.int32)
    mapping = Mapping(pa.array(items).take(pa.array(order)), hashes[order], codes, SIZES, 3)
    folder = tmp_path_factory.mktemp("bundles")
    (folder / "000001-0123abcd").mkdir()
    write_mapping(
        folder / "000001-0123abcd" / "semantic_ids.parquet", mapping, Provenance("semantic_ids")
    )
    (folder / "000001-0123abcd" / "manifest.json").write_text('{"generation": 1}')
    (folder / "latest").write_text("000001-0123abcd")
    return folder, dict(zip(mapping.item_ids.to_pylist(), codes.tolist(), strict=True))


def encode(*words):
    commands.main(["encode", *map(str, words)], standalone_mode=False)


def text(codes):
    return "".join(f"<{letter}_{code}>" for letter, code in zip("abcd", codes, strict=True))


def test_parquet_and_lines_have_the_ids_that_are_out(bundles, tmp_path):
    folder, known = bundles
    items = list(known)[::-1][:17_000]
    pq.write_table(pa.table({"sku": items}), tmp_path / "x.parquet")
    encode("-i", tmp_path / "x.parquet", "--unique", folder, "--id-column", "sku")
    table = pq.read_table(tmp_path / "x_ids.parquet")
    assert table["item_id"].to_pylist() == items
    assert table["codes"].to_pylist() == [known[item] for item in items]
    assert table["semantic_id"].to_pylist() == [text(known[item]) for item in items]
    layout = json.loads(table.schema.metadata[b"semantic_ids.layout"])
    assert layout == {"sizes": list(SIZES), "levels": 3}
    lines = [items[0], {"item_id": items[1], "embedding": "not read"}]
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(line)}\n\n" for line in lines))
    encode("-i", tmp_path / "x.jsonl", "--unique", folder / "000001-0123abcd")
    found = [json.loads(line) for line in (tmp_path / "x_ids.jsonl").read_text().splitlines()]
    assert found == [
        {"item_id": item, "codes": known[item], "semantic_id": text(known[item])}
        for item in items[:2]
    ]


def test_items_that_are_not_published_are_counted_and_nothing_is_written(bundles, tmp_path):
    folder, known = bundles
    first = next(iter(known))
    other = [-5, -7] if isinstance(first, int) else ["x", "y"]
    pq.write_table(pa.table({"ItemID": [first, *other]}), tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_text("".join(f"{json.dumps(i)}\n" for i in (first, *other)))
    for form in ("parquet", "jsonl"):
        said = f"2 items are not published, such as {other[0]!r}, {other[1]!r}"
        with pytest.raises(click.ClickException, match=said):
            encode("-i", tmp_path / f"x.{form}", "--unique", folder / "000001-0123abcd")
    assert {file.name for file in tmp_path.iterdir()} == {"x.parquet", "x.jsonl"}


def test_what_does_not_go_with_it_is_refused(bundles, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    with pytest.raises(click.UsageError, match="needs item ids"):
        encode("-i", tmp_path / "x.npy", "--unique", bundles[0])
    with pytest.raises(click.UsageError, match="missing option '-c'"):
        encode("-i", tmp_path / "x.npy")
    (tmp_path / "x.jsonl").write_text("[1]\n")
    with pytest.raises(click.ClickException, match=r"x\.jsonl, line 1: no id"):
        encode("-i", tmp_path / "x.jsonl", "--unique", bundles[0])
    with pytest.raises(click.ClickException, match="there is no published generation"):
        encode("-i", tmp_path / "x.jsonl", "--unique", tmp_path)
