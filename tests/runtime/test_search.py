"""The index on the command line, held against an exact search over decoded vectors."""

from __future__ import annotations

import json

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import clustered

from semantic_ids import RQKMeans
from semantic_ids.app.searching import search
from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.datasets import FaissIndexDataset
from semantic_ids.errors import BadInput
from semantic_ids.export.faiss_index import faiss_index
from semantic_ids.runtime.search import load_index

ITEMS, DIM, K = 900, 16, 10


@pytest.fixture(scope="module", params=[(300, 100, 50), (16, 8, 8)], ids=str)
def catalogue(request, tmp_path_factory):
    """Return a folder with the index of items with text as ids, their ids, and what they decode to.

    Vectors are normalized with the larger codebooks, and not with the smaller ones.
    """
    x = clustered(ITEMS, DIM)
    tokenizer = RQKMeans(
        codebook_sizes=request.param,
        preprocess={"normalize": request.param[0] == 300},
        device="cpu",
        iterations=2,
        anneal_rounds=1,
        refine_rounds=0,
        unique_rounds=0,
    ).fit(x)
    names = [f"ä{number}" for number in range(ITEMS)]
    codes = tokenizer.encode(x)
    ids = Codes(pa.array(names), codes, request.param, 3, Provenance("semantic_ids"))
    folder = tmp_path_factory.mktemp("index")
    made = faiss_index(ids, tokenizer, Provenance("faiss_index"))
    FaissIndexDataset(filepath=str(folder / "semantic_ids.faiss")).save(made)
    decoder = tokenizer.linear_decoder()
    sums = sum(book[codes[:, level]] for level, book in enumerate(decoder.codebooks))
    return folder, np.array(names), sums + decoder.mean, decoder.normalizes


def exact(decoded, queries, normalizes):
    """Squared distances in float64 of every query to every item: (m, n)."""
    queries, decoded = queries.astype(np.float64), decoded.astype(np.float64)
    if normalizes:
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return ((queries[:, None] - decoded[None]) ** 2).sum(2)


def run(*words):
    search.main([str(word) for word in words], standalone_mode=False)


def test_every_form_has_the_nearest_items_of_an_exact_search(catalogue, tmp_path):
    folder, _, decoded, normalizes = catalogue
    queries = clustered(40, DIM, seed=5) * 3
    np.save(tmp_path / "q.npy", queries)
    vectors = pa.array(list(queries), pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"ItemID": np.arange(40), "embedding": vectors}), tmp_path / "q.parquet"
    )
    lines = [{"item_id": f"q{i}", "embedding": row} for i, row in enumerate(queries.tolist())]
    (tmp_path / "q.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    run("-c", folder, "-q", tmp_path / "q.npy", "-o", tmp_path / "o.npy", "-k", K)
    run("-c", folder, "-q", tmp_path / "q.parquet", "-o", tmp_path / "o.parquet", "-k", K)
    run("-c", folder, "-q", tmp_path / "q.jsonl", "-o", tmp_path / "o.jsonl", "-k", K)
    array = np.load(tmp_path / "o.npy")
    truth = exact(decoded, queries, normalizes)
    best = np.sort(truth, axis=1)[:, :K]
    rows = np.array([[int(name[1:]) for name in line] for line in array["item_id"]])
    np.testing.assert_allclose(array["distance"], best, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(truth, rows, 1), best, rtol=1e-4, atol=1e-5)
    table = pq.read_table(tmp_path / "o.parquet")
    assert table["query"].to_pylist() == list(range(40))
    assert table["item_ids"].to_pylist() == array["item_id"].tolist()
    found = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [line["query"] for line in found] == [f"q{i}" for i in range(40)]
    assert [line["item_ids"] for line in found] == array["item_id"].tolist()
    np.testing.assert_allclose([line["distances"] for line in found], array["distance"])


def test_queries_that_have_no_answer_are_refused_and_nothing_is_written(catalogue, tmp_path):
    folder, _, _, normalizes = catalogue
    queries = clustered(3, DIM, seed=5)
    queries[1] = 0
    np.save(tmp_path / "zero.npy", queries)
    queries[2, 5] = np.nan
    queries[1] = 1
    np.save(tmp_path / "nan.npy", queries)
    np.save(tmp_path / "wide.npy", np.ones((3, DIM + 1)))
    out = tmp_path / "o.jsonl"
    refused = {"nan.npy": "row 2: it holds NaN", "wide.npy": f"expected queries of {DIM} numbers"}
    for name, said in refused.items():
        with pytest.raises(click.ClickException, match=said):
            run("-c", folder, "-q", tmp_path / name, "-o", out)
    with pytest.raises(click.ClickException, match="expected 1 to 900, the number of items"):
        run("-c", folder, "-q", tmp_path / "zero.npy", "-o", out, "-k", ITEMS + 1)
    if normalizes:
        with pytest.raises(click.ClickException, match="row 1: it is a vector of zeros"):
            run("-c", folder, "-q", tmp_path / "zero.npy", "-o", out)
    assert not out.exists()
    with pytest.raises(click.UsageError, match=r"ends in \.npy, \.parquet or \.jsonl"):
        run("-c", folder, "-q", tmp_path / "nan.npy", "-o", tmp_path / "o.txt")


def test_no_queries_give_an_empty_result(catalogue, tmp_path):
    folder = catalogue[0]
    np.save(tmp_path / "q.npy", np.empty((0, DIM), np.float32))
    for ending in ("npy", "parquet", "jsonl"):
        run("-c", folder, "-q", tmp_path / "q.npy", "-o", tmp_path / f"o.{ending}")
    assert np.load(tmp_path / "o.npy").shape == (0, 10)
    assert len(pq.read_table(tmp_path / "o.parquet")) == 0
    assert (tmp_path / "o.jsonl").read_bytes() == b""


def test_an_index_is_found_in_a_generation_and_missing_or_damaged_ones_are_said(
    catalogue, tmp_path
):
    bundle = tmp_path / "bundles" / "000001-0123abcd"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text('{"generation": 1}')
    (bundle.parent / "latest").write_text(bundle.name)
    with pytest.raises(BadInput, match=r"there is no semantic_ids.faiss; .*export.faiss=true"):
        load_index(bundle.parent)
    for file in catalogue[0].iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    for place in (bundle.parent, bundle, bundle / "semantic_ids.faiss"):
        assert len(load_index(place)) == ITEMS
    pq.write_table(pa.table({"item_id": ["a"]}), bundle / "semantic_ids.faiss.item_ids.parquet")
    with pytest.raises(BadInput, match="1 ids for 900 items"):
        load_index(bundle)
    (bundle / "semantic_ids.faiss").write_bytes(b"no index")
    with pytest.raises(BadInput, match=r"semantic_ids.faiss: it cannot be read"):
        load_index(bundle)
