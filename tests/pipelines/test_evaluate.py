from __future__ import annotations

import json
import typing
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from semantic_ids.artifacts import Codes, Embeddings, Provenance, Split, require_made_with
from semantic_ids.errors import BadInput
from semantic_ids.export.ids_table import with_provenance
from semantic_ids.hashing import vector_hash
from semantic_ids.parameters import EvaluateParameters, IdentifyParameters, TokenizerParameters
from semantic_ids.pipelines.evaluate import nodes
from semantic_ids.pipelines.evaluate.pipeline import FIGURES, create_pipeline
from tests.pipelines.small import SMALL

PARAMETERS = TokenizerParameters.model_validate({**SMALL, "codebook_sizes": [16, 16]})
IDENTIFY = IdentifyParameters(strategy="reassign", candidates=4)
EVALUATE = EvaluateParameters(
    queries=50, twin=False, labels="auto", max_label_values=10, min_label_share=0.5
)


def made(artifact, **inputs):
    return Provenance(artifact, {name: of.fingerprint for name, of in inputs.items()})


@pytest.fixture(scope="module")
def artifacts():
    """What the earlier stages hand over, by name."""
    from semantic_ids.tokenizers import fit_tokenizer

    vectors = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    ids = pa.array(np.arange(200))
    embeddings = Embeddings(
        vectors, ids, vector_hash(vectors), 0, Provenance("embeddings", content="vectors")
    )
    split = Split(
        np.arange(200) % 5 == 0,
        np.ones(200, bool),
        ids,
        made("split", embeddings=embeddings.provenance),
    )
    tokenizer = fit_tokenizer(
        vectors,
        codebook_sizes=(16, 16),
        seed=1,
        device="cpu",
        options=PARAMETERS.rq_kmeans.model_dump(),
    )
    inputs = {"embeddings": embeddings.provenance, "split": split.provenance}
    tokenizer.provenance = replace(made("tokenizer", **inputs), parameters={"fit_on": "all"})
    inputs = {"embeddings": embeddings.provenance, "tokenizer": tokenizer.provenance}
    codes = Codes(ids, tokenizer.encode(vectors), (8, 8), 2, made("codes", **inputs))
    semantic_ids = replace(codes, provenance=made("semantic_ids", codes=codes.provenance, **inputs))
    return {
        "embeddings": embeddings,
        "split": split,
        "tokenizer": tokenizer,
        "codes": codes,
        "semantic_ids": semantic_ids,
    }


def evaluate(artifacts, items=None, parameters=EVALUATE, **changes):
    made_of = artifacts["tokenizer"].provenance
    fit_on = made_of.parameters["fit_on"] if made_of else "all"
    return nodes.evaluate(
        **{**artifacts, **changes},
        items=items,
        tokenizer_parameters=PARAMETERS.model_copy(update={"fit_on": fit_on}),
        identify=IDENTIFY,
        evaluate=parameters,
        id_column="ItemID",
    )


def test_metrics_say_what_they_are_of_and_are_json(artifacts):
    metrics, evaluation = evaluate(artifacts)
    json.dumps([metrics, evaluation], allow_nan=False)
    for name in ("embeddings", "tokenizer", "semantic_ids"):
        assert metrics[f"provenance.{name}"] == artifacts[name].provenance.fingerprint
    assert metrics["items.count"] == 200
    assert not [name for name in metrics if "validation" in name or "purity" in name]


def test_labels_are_joined(artifacts):
    items = pa.table({"ItemID": [str(i) for i in range(200)], "half": ["a", "b"] * 100})
    metrics, _ = evaluate(artifacts, items)
    assert 0.5 <= metrics["hierarchy.purity.half.1"] <= metrics["hierarchy.purity.half.2"] <= 1.0


def test_what_was_held_out_is_read_from_the_tokenizer(artifacts, monkeypatch):
    tokenizer = artifacts["tokenizer"]
    monkeypatch.setattr(
        tokenizer, "provenance", replace(tokenizer.provenance, parameters={"fit_on": "train"})
    )
    codes = replace(
        artifacts["codes"],
        provenance=made(
            "codes", embeddings=artifacts["embeddings"].provenance, tokenizer=tokenizer.provenance
        ),
    )
    inputs = {
        "embeddings": artifacts["embeddings"].provenance,
        "tokenizer": tokenizer.provenance,
        "codes": codes.provenance,
    }
    metrics, _ = evaluate(
        artifacts,
        codes=codes,
        semantic_ids=replace(codes, provenance=made("semantic_ids", **inputs)),
    )
    assert (
        metrics["reconstruction.relative_mse_validation"]
        != metrics["reconstruction.relative_mse_fitted"]
    )


def test_a_twin_tells_what_new_items_will_see(artifacts):
    from semantic_ids.metrics.reconstruction import relative_mse
    from semantic_ids.pipelines.fitting import fit_options
    from semantic_ids.workflows.fitting import fit

    metrics, _ = evaluate(artifacts, parameters=EVALUATE.model_copy(update={"twin": True}))
    rows = artifacts["split"].validation_rows
    twin = fit(
        artifacts["embeddings"].vectors,
        fit_options(PARAMETERS, IDENTIFY),
        validation=artifacts["split"].validation,
        fit_on="train",
    )
    expected = relative_mse(artifacts["embeddings"].vectors, twin, rows)
    assert (
        metrics["reconstruction.relative_mse_validation"]
        == expected
        > metrics["reconstruction.relative_mse_fitted"]
    )


@pytest.mark.parametrize(
    ("name", "stale"),
    [
        ("embeddings", "tokenizer"),
        ("split", "tokenizer"),
        ("tokenizer", "codes"),
        ("codes", "semantic_ids"),
    ],
)
def test_artifacts_of_two_runs_are_refused(artifacts, name, stale, monkeypatch):
    other = replace(artifacts[name].provenance, content="another run")
    if name == "tokenizer":
        monkeypatch.setattr(artifacts[name], "provenance", other)
        changes = {}
    else:
        changes = {name: replace(artifacts[name], provenance=other)}
    with pytest.raises(BadInput, match=f"artifacts of two runs are mixed.*make '{stale}' again"):
        evaluate(artifacts, **changes)


def test_a_tokenizer_of_unknown_origin_is_refused(artifacts, monkeypatch):
    monkeypatch.setattr(artifacts["tokenizer"], "provenance", None)
    with pytest.raises(BadInput, match="mixed"):
        evaluate(artifacts)


def test_a_figure_for_each_name(artifacts):
    metrics, evaluation = evaluate(artifacts)
    drawn = nodes.draw(
        metrics, evaluation, pa.Table.from_pylist(artifacts["tokenizer"].history.rows())
    )
    assert len(drawn) == len(FIGURES)
    assert all(isinstance(figure, Figure) for figure in drawn)


def test_nodes_get_their_inputs_in_the_order_of_the_pipeline():
    """Kedro passes by position, and drops every type of a node if one cannot be resolved."""
    by_name = {node.name: node for node in create_pipeline().nodes}
    takes = list(typing.get_type_hints(nodes.evaluate))[:-1]
    names = {
        "params:tokenizer": "tokenizer_parameters",
        "params:identify": "identify",
        "params:evaluate": "evaluate",
        "params:ingest.id_column": "id_column",
    }
    assert takes == [names.get(name, name) for name in by_name["evaluate"].inputs]
    assert list(typing.get_type_hints(nodes.draw))[:-1] == by_name["draw"].inputs


def test_figures_are_not_drawn_of_two_runs(artifacts):
    metrics, evaluation = evaluate(artifacts)
    history = pa.Table.from_pylist(artifacts["tokenizer"].history.rows())
    with pytest.raises(BadInput, match="two runs are mixed: 'metrics' and 'evaluation'"):
        nodes.draw(metrics, evaluation | {"provenance.tokenizer": "other"}, history)
    other = history.cast(with_provenance(history.schema, Provenance("tokenizer", content="other")))
    with pytest.raises(BadInput, match="two runs are mixed: 'metrics' and 'training_history'"):
        nodes.draw(metrics, evaluation, other)


@pytest.mark.parametrize("group", ["tokenizer", "identify"])
def test_parameters_that_would_be_ignored_are_refused(artifacts, group):
    made_with = {"tokenizer": {"fit_on": "all", "seed": 99}, "identify": {"strategy": "suffix"}}[
        group
    ]
    name = {"tokenizer": "tokenizer", "identify": "semantic_ids"}[group]
    with pytest.raises(BadInput, match=f"parameters {group}: '{name}' was made with"):
        require_made_with(
            Provenance(name, parameters=made_with),
            group,
            (PARAMETERS.in_use() if group == "tokenizer" else IDENTIFY.model_dump()),
        )
