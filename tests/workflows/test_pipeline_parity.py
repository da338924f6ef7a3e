"""The Python API and the pipeline give the same, and take one another's tokenizers."""

from __future__ import annotations

import inspect
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from semantic_ids import (
    RQVAE,
    BadInput,
    RQKMeans,
    evaluate,
    load_tokenizer,
    read_items,
    unique_ids,
)
from semantic_ids.artifacts import Provenance, require_made_from
from semantic_ids.workflows.fitting import FitOptions
from tests.conftest import ROOT, clustered

KMEANS = {"iterations": 1, "anneal_rounds": 4}
NETWORK = {
    "network": {"hidden": [16], "latent": 8},
    "codebook": {"init_rows": 1024},
    "optimizer": {"batch_rows": 256},
    "schedule": {"epochs": 2},
    "unique": {"epochs": 2},
}
SIZES = (8, 8, 16)


@pytest.fixture(scope="module")
def items():
    """600 items with string ids, in no order."""
    return [f"item {i}" for i in range(600)], clustered(600, 12, seed=3)


@pytest.fixture
def parquet(items, tmp_path):
    ids, vectors = items
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 12)
    pq.write_table(pa.table({"ItemID": ids, "embedding": column}), tmp_path / "items.parquet")
    return tmp_path / "items.parquet"


def estimator(kind):
    if kind == "rq_kmeans":
        return RQKMeans(SIZES, device="cpu", **KMEANS)
    return RQVAE(SIZES, device="cpu", start=KMEANS, **NETWORK)


def parameters(kind, parquet):
    options = NETWORK if kind == "rq_vae" else KMEANS
    return {
        "embeddings": str(parquet),
        "ingest.max_items": None,
        "tokenizer.kind": kind,
        "tokenizer.codebook_sizes": list(SIZES),
        **{f"tokenizer.rq_kmeans.{name}": value for name, value in KMEANS.items()},
        **{f"tokenizer.{kind}.{name}": value for name, value in options.items()},
    }


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_the_same_codebooks_ids_and_metrics_as_the_pipeline(run, items, parquet, tmp_path, kind):
    run("tokenize", params=parameters(kind, parquet))
    written = tmp_path / "data"
    ids, vectors = items
    tokenizer = estimator(kind).fit(vectors, item_ids=ids)
    assert "unique" in {row["phase"] for row in tokenizer.history}
    tokenizer.save(tmp_path / "saved")
    assert (tmp_path / "saved/model.safetensors").read_bytes() == (
        written / "06_models/tokenizer/model.safetensors"
    ).read_bytes()
    found = unique_ids(tokenizer, vectors, ids)
    mappings = json.loads((written / "07_model_output/semantic_id_mappings.json").read_text())
    assert found.to_dict() == mappings
    metrics = json.loads((written / "08_reporting/metrics.json").read_text())
    of_run = {k: v for k, v in metrics.items() if not k.startswith("provenance.")}
    assert evaluate(tokenizer, vectors, found, queries=100) == of_run
    of_it = load_tokenizer(written / "06_models/tokenizer")
    assert evaluate(of_it, vectors, unique_ids(of_it, vectors, ids), queries=100) == of_run


def test_a_tokenizer_saved_in_python_is_taken_by_identify(run, items, parquet, tmp_path, caplog):
    """Also where the parameters of the run are of other sizes: the tokenizer is what counts."""
    ids, vectors = items
    tokenizer = RQKMeans((4, 8, 32), device="cpu", **KMEANS).fit(vectors[:300])
    run("ingest", params={"embeddings": str(parquet), "ingest.max_items": None})
    tokenizer.save(tmp_path / "data/06_models/tokenizer")
    with caplog.at_level("INFO", "semantic_ids"):
        run("identify", "export", params={"embeddings": str(parquet), "ingest.max_items": None})
    assert "(rq_kmeans, 4x8x32) was saved in Python: it is taken as it is" in caplog.text
    mappings = tmp_path / "data/07_model_output/semantic_id_mappings.json"
    assert json.loads(mappings.read_text()) == unique_ids(tokenizer, vectors, ids).to_dict()
    with pytest.raises(BadInput, match="'tokenizer' was saved in Python and does not say which em"):
        require_made_from(tokenizer.provenance, embeddings=Provenance("embeddings"))


def test_codes_of_another_tokenizer_saved_in_python_are_refused(run, items, parquet, tmp_path):
    from semantic_ids.datasets import CodesDataset

    _, vectors = items
    run("ingest", params={"embeddings": str(parquet), "ingest.max_items": None})
    folder = tmp_path / "data/06_models/tokenizer"
    made = [RQKMeans(SIZES, random_state=i, device="cpu", **KMEANS).fit(vectors) for i in (1, 2)]
    made[0].save(folder)
    run("identify", params={"embeddings": str(parquet), "ingest.max_items": None})
    codes = CodesDataset(filepath=str(tmp_path / "data/07_model_output/codes.parquet")).load()
    require_made_from(codes.provenance, tokenizer=load_tokenizer(folder).provenance)
    with pytest.raises(BadInput, match="two runs are mixed"):
        require_made_from(codes.provenance, tokenizer=made[1].provenance)


def test_what_a_pipeline_fitted_is_loaded_as_an_estimator(run, tmp_path):
    run("ingest", "sample", "train")
    tokenizer = load_tokenizer(tmp_path / "data/06_models/tokenizer")
    assert isinstance(tokenizer, RQKMeans) and tokenizer.get_params()["codebook_sizes"] == (
        16,
        16,
        16,
    )
    items = read_items(ROOT / "data/01_raw/item_emb.parquet")
    assert tokenizer.encode(items.vectors[:2]).shape == (2, 3)


def test_defaults_are_those_of_the_configuration():
    base = {}
    for file in (ROOT / "conf/base").glob("parameters*.yml"):
        base |= yaml.safe_load(file.read_text())
    for cls in (RQKMeans, RQVAE):
        given = cls(device="cpu").get_params(deep=False)
        assert list(given["codebook_sizes"]) == base["tokenizer"]["codebook_sizes"]
        assert given["random_state"] == base["tokenizer"]["seed"]
        assert (given["strategy"], given["candidates"]) == tuple(base["identify"].values())
    assert given["validation_share"] == base["sample"]["validation_share"]
    assert FitOptions().codebook_sizes == tuple(base["tokenizer"]["codebook_sizes"])
    queries = inspect.signature(evaluate).parameters["queries"].default
    columns = inspect.signature(read_items).parameters
    ingest = base["ingest"]
    assert (columns["id_column"].default, columns["vector_column"].default, queries) == (
        ingest["id_column"],
        ingest["vector_column"],
        base["evaluate"]["queries"],
    )
