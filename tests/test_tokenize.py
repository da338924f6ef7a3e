"""The whole pipeline in the `test` environment.

What it writes, that it is reproducible, that artifacts of two runs do not mix.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids import load_tokenizer
from semantic_ids.app.explain import explain
from tests.conftest import clustered

WRITTEN = {
    "02_intermediate/rejected.parquet",
    "03_primary/embeddings/item_ids.parquet",
    "03_primary/embeddings/manifest.json",
    "03_primary/embeddings/vector_hashes.npy",
    "03_primary/embeddings/vectors.npy",
    "05_model_input/split.parquet",
    "06_models/tokenizer/config.json",
    "06_models/tokenizer/manifest.json",
    "06_models/tokenizer/model.safetensors",
    "07_model_output/codes.parquet",
    "07_model_output/semantic_id_mappings.json",
    "07_model_output/semantic_id_mappings.manifest.json",
    "07_model_output/semantic_ids.parquet",
    "08_reporting/codebook_usage.png",
    "08_reporting/collision_groups.png",
    "08_reporting/evaluation.json",
    "08_reporting/metrics.json",
    "08_reporting/prefix_cohesion.png",
    "08_reporting/reconstruction_cosine.png",
    "08_reporting/training_curves.png",
    "08_reporting/training_history.parquet",
    "08_reporting/training_results.json",
}
TIMES = {
    "08_reporting/training_results.json",
    "08_reporting/training_history.parquet",
    "08_reporting/training_curves.png",
}
"""Written with times in them (rq_vae's curves and history, and the results of both)."""


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def bad_input(run, *args, **kwargs) -> str:
    """The line that the command line would end with."""
    with pytest.raises(Exception) as caught:
        run(*args, **kwargs)
    said = explain(caught.value)
    assert said is not None, caught.value
    return said


@pytest.fixture(params=["rq_kmeans", "rq_vae"])
def kind(request):
    return request.param


def test_everything_is_written_and_fits_together(run, tmp_path, kind):
    run("tokenize", params={"tokenizer.kind": kind})
    data = tmp_path / "data"
    assert files(data) == WRITTEN
    table = pq.read_table(data / "07_model_output/semantic_ids.parquet")
    codes = np.array(table["codes"].to_pylist())
    assert len(np.unique(codes, axis=0)) == len(codes) == 2000
    mappings = json.loads((data / "07_model_output/semantic_id_mappings.json").read_text())
    assert mappings == {
        str(i): c
        for i, c in zip(table["item_id"].to_pylist(), table["codes"].to_pylist(), strict=True)
    }
    metrics = json.loads((data / "08_reporting/metrics.json").read_text())
    assert metrics["ids.unique_rate"] == 1 and 0 < metrics["reconstruction.relative_mse"] < 1
    assert metrics["reconstruction.relative_mse"] <= metrics["reconstruction.relative_mse_unique"]
    assert "hierarchy.purity.lexfile.1" in metrics


def test_the_tokenizer_on_disk_makes_the_codes_on_disk_from_the_raw_vectors(
    run, tmp_path, root, kind
):
    """`load_tokenizer(DIR).encode(raw vectors)` is all that a caller needs."""
    run("tokenize", params={"tokenizer.kind": kind, "tokenizer.preprocess.normalize": True})
    raw = pq.read_table(root / "data/01_raw/item_emb.parquet")
    vectors = np.array(raw["embedding"].to_pylist(), dtype=np.float32)
    place = {item: row for row, item in enumerate(raw["ItemID"].to_pylist())}
    codes = pq.read_table(tmp_path / "data/07_model_output/codes.parquet")
    rows = [place[item] for item in codes["item_id"].to_pylist()]
    tokenizer = load_tokenizer(tmp_path / "data/06_models/tokenizer", device="cpu")
    np.testing.assert_array_equal(
        tokenizer.encode(vectors[rows]), np.array(codes["codes"].to_pylist())
    )


def write(path: Path, vectors: np.ndarray, ids, rows=None) -> None:
    rows = np.arange(len(vectors)) if rows is None else rows
    path.parent.mkdir(parents=True, exist_ok=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors[rows].ravel()), vectors.shape[1])
    pq.write_table(
        pa.table({"ItemID": pa.array([ids[r] for r in rows]), "embedding": column}),
        path,
        row_group_size=97,
    )


def written_of_two_orders(run, tmp_path, params) -> list[dict[str, bytes]]:
    """What is written of one file, and of the same rows in another order in three files."""
    vectors = clustered(900, 16)
    vectors[800:] = vectors[:100]  # twins: ties everywhere
    ids = [f"item {i}" for i in range(900)]
    order = np.random.default_rng(0).permutation(900)
    write(tmp_path / "one" / "item_emb.parquet", vectors, ids)
    for i, part in enumerate(np.array_split(order, 3)):
        write(tmp_path / "three" / f"{i}.parquet", vectors, ids, part)
    written = []
    for source in ("one", "three"):
        run("tokenize", params={"embeddings": str(tmp_path / source), **params})
        written.append(
            {name: (tmp_path / "data" / name).read_bytes() for name in files(tmp_path / "data")}
        )
        shutil.rmtree(tmp_path / "data")
    return written


@pytest.mark.parametrize("strategy", ["reassign", "suffix", "none"])
def test_neither_the_order_of_rows_nor_the_split_into_files_shows_in_a_single_byte(
    run, tmp_path, kind, strategy
):
    written = written_of_two_orders(
        run, tmp_path, {"tokenizer.kind": kind, "identify.strategy": strategy}
    )
    assert set(written[0]) == set(written[1]) == WRITTEN
    assert [name for name in sorted(WRITTEN - TIMES) if written[0][name] != written[1][name]] == []


def test_nor_does_it_where_codebooks_start_in_faiss_and_the_catalogue_ends_there(run, tmp_path):
    one, three = written_of_two_orders(
        run, tmp_path, {"tokenizer.rq_kmeans.engine": "faiss", "export.faiss": True}
    )
    index = "07_model_output/semantic_ids.faiss"
    assert set(one) - WRITTEN == {index, f"{index}.manifest.json", f"{index}.item_ids.parquet"}
    assert [name for name in sorted(set(one) - TIMES) if one[name] != three[name]] == []


def test_suffix_gives_every_item_one_width_and_none_may_collide(run, tmp_path):
    vectors = np.repeat(clustered(300, 16), 3, axis=0)
    write(tmp_path / "item_emb.parquet", vectors, list(range(900)))
    widths = {}
    for strategy in ("suffix", "none"):
        run(
            "tokenize",
            params={
                "embeddings": str(tmp_path / "item_emb.parquet"),
                "identify.strategy": strategy,
            },
        )
        codes = pq.read_table(tmp_path / "data/07_model_output/semantic_ids.parquet")[
            "codes"
        ].to_pylist()
        widths[strategy] = ({len(c) for c in codes}, len(set(map(tuple, codes))))
    assert widths["suffix"] == ({4}, 900)
    assert widths["none"][0] == {3} and widths["none"][1] <= 300


def test_a_foreign_catalogue_is_never_held_against_the_labels_of_the_sample(run, tmp_path):
    write(tmp_path / "item_emb.parquet", clustered(600, 16), list(range(600)))
    run("tokenize", params={"embeddings": str(tmp_path / "item_emb.parquet")})
    metrics = json.loads((tmp_path / "data/08_reporting/metrics.json").read_text())
    assert not [name for name in metrics if name.startswith(("hierarchy.purity", "hierarchy.nmi"))]


def test_labels_of_other_items_are_refused(run, tmp_path, root):
    write(tmp_path / "item_emb.parquet", clustered(600, 16), [f"other {i}" for i in range(600)])
    items = str(root / "data/01_raw/items.parquet")
    message = bad_input(
        run, "tokenize", params={"embeddings": str(tmp_path / "item_emb.parquet"), "items": items}
    )
    assert "only 0 of 600 items are in the items file" in message and items in message
    assert not (tmp_path / "data/06_models").exists()


def test_the_twin_says_what_new_items_will_see(run, tmp_path):
    run("tokenize", params={"evaluate.twin": True})
    metrics = json.loads((tmp_path / "data/08_reporting/metrics.json").read_text())
    assert (
        metrics["reconstruction.relative_mse_validation"]
        > metrics["reconstruction.relative_mse_fitted"]
    )
    run("tokenize", params={"tokenizer.fit_on": "train"})
    trained = json.loads((tmp_path / "data/08_reporting/metrics.json").read_text())
    assert trained["reconstruction.relative_mse_validation"] == pytest.approx(
        metrics["reconstruction.relative_mse_validation"], rel=1e-6
    )


def test_without_a_twin_nothing_is_said_of_items_that_were_fitted_on(run, tmp_path):
    run("tokenize")
    assert "reconstruction.relative_mse_validation" not in json.loads(
        (tmp_path / "data/08_reporting/metrics.json").read_text()
    )


@pytest.mark.parametrize(
    ("again", "then", "stage"),
    [
        (("ingest", {"ingest.max_items": 1500}), "train", "sample"),
        (("sample", {"sample.validation_share": 0.3}), "evaluate", "train"),
        (("train", {"tokenizer.seed": 3}), "identify", None),
        (("train", {"tokenizer.seed": 3}), "evaluate", "identify"),
        (("ingest", {"ingest.max_items": 1500}), "identify", "train"),
    ],
)
def test_artifacts_of_two_runs_do_not_mix(run, tmp_path, again, then, stage):
    run("tokenize")
    run(again[0], params=again[1])
    same = {name: value for name, value in again[1].items() if name.startswith("tokenizer.")}
    if stage is None:
        run(then, params=same)
        return
    message = bad_input(run, then, params=same)
    assert "artifacts of two runs are mixed" in message and f"'{stage}' again" in message


def test_codes_of_other_weights_are_refused_though_the_parameters_are_the_same(
    run, tmp_path, monkeypatch
):
    """As on another device, or with another version of torch: the weights are not the same."""
    from semantic_ids.tokenizers.rq_kmeans import RQKMeans

    run("tokenize")
    fit = RQKMeans._fit

    def otherwise(self, *given, **more):
        quantizer = fit(self, *given, **more)
        quantizer.codebooks[0][0] += 1e-3
        return quantizer

    monkeypatch.setattr(RQKMeans, "_fit", otherwise)
    run("train")
    message = bad_input(run, "evaluate")
    assert "'codes' was made from tokenizer" in message and "'identify' again" in message


@pytest.mark.parametrize(
    ("then", "changed", "stage"),
    [
        ("identify", {"tokenizer.seed": 9}, "train"),
        ("identify", {"tokenizer.codebook_sizes": "14x14x14"}, "train"),
        ("evaluate", {"tokenizer.kind": "rq_vae"}, "train"),
        ("evaluate", {"identify.strategy": "suffix"}, "identify"),
    ],
)
def test_parameters_that_would_be_ignored_are_refused(run, tmp_path, then, changed, stage):
    run("tokenize")
    message = bad_input(run, then, params=changed)
    assert next(iter(changed)).split(".")[1] in message and f"'{stage}' again" in message


def test_figures_are_not_drawn_of_two_runs(run, tmp_path):
    run("tokenize")
    metrics = (tmp_path / "data/08_reporting/metrics.json").read_bytes()
    run("tokenize", params={"tokenizer.seed": 9})
    (tmp_path / "data/08_reporting/metrics.json").write_bytes(metrics)
    assert "two runs are mixed: 'metrics'" in bad_input(run, "evaluate", node_names=["draw"])


@pytest.mark.parametrize("env", ["base", "rq_vae", "tiger", "rq_vae_gpu", "rq_kmeans_gpu"])
def test_every_environment_runs(run, tmp_path, env):
    """With few items and epochs, on the CPU; all else as the environment says."""
    few = {
        "ingest.max_items": 1000,
        "evaluate.queries": 50,
        "tracking.enabled": False,
        "tokenizer.device": "cpu",
        "tokenizer.rq_vae.schedule.epochs": 3,
        "tokenizer.rq_vae.schedule.warmup_epochs": 1,
    }
    run("tokenize", env=env, params=few)
    assert files(tmp_path / "data") == WRITTEN
    width = (
        pq.read_schema(tmp_path / "data/07_model_output/semantic_ids.parquet")
        .field("codes")
        .type.list_size
    )
    assert width == (4 if env == "tiger" else 3)


def test_the_stages_one_by_one_write_what_tokenize_writes(run, tmp_path):
    run("tokenize")
    whole = {name: (tmp_path / "data" / name).read_bytes() for name in WRITTEN - TIMES}
    shutil.rmtree(tmp_path / "data")
    for stage in ("ingest", "sample", "train", "identify", "export", "evaluate"):
        run(stage)
    assert {
        name for name in WRITTEN - TIMES if (tmp_path / "data" / name).read_bytes() != whole[name]
    } == set()
