from __future__ import annotations

import json

import numpy as np
import pytest

from semantic_ids.metrics import catalogue, evaluate

LEVEL = ("usage", "perplexity", "entropy_ratio", "dead", "fullest")
NAMED_IN_ARCHITECTURE = {
    "items.count",
    *(
        f"reconstruction.{name}"
        for name in (
            "space",
            "relative_mse",
            "relative_mse_fitted",
            "relative_mse_unique",
            "cosine",
        )
    ),
    *(f"codes.{name}" for name in ("unique_rate", "collision_rate", "max_collision")),
    *(f"ids.{name}_rate" for name in ("unique", "moved", "spilled", "suffixed")),
    "ids.added_distortion",
    "ids.added_latent_distortion",
    "duplicates.exact_rate",
    "neighbours.recall_at_10",
    *(f"codes.{name}.{level}" for name in LEVEL for level in (1, 2, 3)),
    *(f"hierarchy.cohesion.{p}" for p in (1, 2, 3, "random")),
}


@pytest.mark.parametrize("normalizes", [False, True])
@pytest.mark.parametrize("suffix", [False, True])
def test_the_metrics_are_exactly_those_of_the_architecture(make_catalogue, normalizes, suffix):
    metrics, _ = evaluate(*make_catalogue(normalizes=normalizes, suffix=suffix))
    assert set(metrics) == NAMED_IN_ARCHITECTURE


def test_held_out_items_and_labels_add_theirs(make_catalogue):
    catalogue_parts = make_catalogue()
    n = len(catalogue_parts[0])
    metrics, _ = evaluate(
        *catalogue_parts, held_out=np.arange(n) < 9, labels={"kind": np.arange(n) % 3}
    )
    added = {f"hierarchy.{name}.kind.{p}" for name in ("purity", "nmi") for p in (1, 2, 3)}
    assert set(metrics) == NAMED_IN_ARCHITECTURE | added | {
        "reconstruction.relative_mse_validation"
    }


def test_everything_is_json(make_catalogue):
    written = json.dumps(evaluate(*make_catalogue()), allow_nan=False)
    assert json.loads(written)[0]["items.count"] == 90


def test_what_the_figures_are_drawn_from(make_catalogue):
    embeddings, tokenizer, codes, ids = make_catalogue()
    metrics, evaluation = evaluate(embeddings, tokenizer, codes, ids)
    assert [len(counts) for counts in evaluation["code_counts"]] == list(codes.sizes)
    assert [sum(counts) for counts in evaluation["code_counts"]] == [90] * 3
    assert sum(int(size) * number for size, number in evaluation["collision_groups"].items()) == 90
    assert max(map(int, evaluation["collision_groups"])) == metrics["codes.max_collision"]
    assert (sum(evaluation["cosine_counts"]), len(evaluation["cosine_counts"])) == (
        90,
        catalogue.COSINE_BINS,
    )
    assert evaluation["cohesion"]["0"] == metrics["hierarchy.cohesion.random"]


def test_a_suffix_costs_no_distortion(make_catalogue):
    metrics, _ = evaluate(*make_catalogue(suffix=True))
    assert metrics["ids.added_distortion"] == metrics["ids.added_latent_distortion"] == 0.0
    assert metrics["reconstruction.relative_mse_unique"] == metrics["reconstruction.relative_mse"]


def test_where_distances_are_preserved_latent_distortion_is_not_computed_again(make_catalogue):
    embeddings, tokenizer, codes, ids = make_catalogue()
    computed, _ = evaluate(embeddings, tokenizer, codes, ids)
    tokenizer.preserves_distances, tokenizer.distortion = True, lambda *_: pytest.fail("computed")
    taken, _ = evaluate(embeddings, tokenizer, codes, ids)
    assert taken["ids.added_latent_distortion"] == pytest.approx(
        computed["ids.added_latent_distortion"], rel=1e-4
    )


def test_a_metric_without_a_value_is_absent(make_catalogue):
    """One item: no neighbours, no pairs, no spread."""
    metrics, _ = evaluate(*make_catalogue(n=1))
    absent = NAMED_IN_ARCHITECTURE - set(metrics)
    assert {
        "neighbours.recall_at_10",
        "hierarchy.cohesion.1",
        "hierarchy.cohesion.random",
        "reconstruction.relative_mse",
    } <= absent
