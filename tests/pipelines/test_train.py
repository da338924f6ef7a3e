"""The node `train`: what it hands to the tokenizer, and what it writes down."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import CheckpointPlace, Embeddings, Provenance, Split
from semantic_ids.errors import BadInput
from semantic_ids.export.ids_table import made_from
from semantic_ids.forecast import memory
from semantic_ids.hashing import vector_hash
from semantic_ids.learning.loop import Loop
from semantic_ids.parameters import (
    AdviceParameters,
    EvaluateParameters,
    IdentifyParameters,
    TokenizerParameters,
)
from semantic_ids.pipelines.fitting import fit_options
from semantic_ids.pipelines.train import nodes
from semantic_ids.pipelines.train.cost import report_cost, run_of
from semantic_ids.pipelines.train.nodes import checkpoints_of
from semantic_ids.progress import listening
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.options import MOVED
from tests.conftest import clustered
from tests.grouped import within
from tests.pipelines.small import SMALL

VECTORS = clustered(600, 8)
EVALUATE = EvaluateParameters(
    queries=50, twin=True, labels="auto", max_label_values=100, min_label_share=0.5
)


IDENTIFY = IdentifyParameters(strategy="reassign", candidates=4)
PLACE = CheckpointPlace(Path("/nowhere"), Path("/nowhere"))


def train(embeddings, split, tokenizer, strategy="none", pilot_items=0, place=PLACE):
    identify, advice = (
        IdentifyParameters(strategy=strategy, candidates=4),
        AdviceParameters(pilot_items=pilot_items),
    )
    return nodes.train(embeddings, split, tokenizer, identify, EVALUATE, advice, place)


def parameters(**changes):
    return TokenizerParameters.model_validate({**SMALL, **changes})


@pytest.fixture
def embeddings():
    return Embeddings(
        VECTORS,
        pa.array(np.arange(600)),
        vector_hash(VECTORS),
        0,
        Provenance("embeddings", content="x"),
    )


@pytest.fixture
def split(embeddings):
    validation = np.arange(600) % 5 == 0
    return Split(
        validation,
        validation,
        embeddings.item_ids,
        Provenance("split", {"embeddings": embeddings.provenance.fingerprint}),
    )


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_it_returns_a_tokenizer_its_history_and_its_results(embeddings, split, kind):
    tokenizer, history, results = train(embeddings, split, parameters(kind=kind))
    assert tokenizer.kind == kind and tokenizer.encode(VECTORS).shape == (600, 2)
    assert tokenizer.provenance.inputs == {
        "embeddings": embeddings.provenance.fingerprint,
        "split": split.provenance.fingerprint,
    }
    assert history.num_rows == (
        2 + 3 + RQKMeansOptions().refine_rounds if kind == "rq_kmeans" else 4
    )
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert (results["items"], results["capacity"], results["training"]["rows"]) == (600, 36, 600)
    assert results["bits"] == pytest.approx(2 * np.log2(6)) and results["training"]["seconds"] > 0


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_only_fit_on_all_sees_the_items_held_out(embeddings, split, kind):
    """rq_vae chooses its best epoch by the items held out; here it has one epoch to choose from."""
    vae = within(SMALL["rq_vae"], {"epochs": 1, "burn_in": 1})
    vectors = VECTORS.copy()
    vectors[split.validation] = 77
    spoilt = replace(embeddings, vectors=vectors)
    a = train(embeddings, split, parameters(kind=kind, fit_on="train", rq_vae=vae))[0]
    b = train(spoilt, split, parameters(kind=kind, fit_on="train", rq_vae=vae))[0]
    np.testing.assert_array_equal(a.encode(VECTORS), b.encode(VECTORS))
    c = train(spoilt, split, parameters(kind=kind, fit_on="all", rq_vae=vae))[0]
    assert not np.array_equal(a.encode(VECTORS), c.encode(VECTORS))


def test_parameters_of_the_other_kind_do_not_change_where_it_comes_from(embeddings, split):
    other = within(SMALL["rq_vae"], {"epochs": 9})
    a, b = (
        train(embeddings, split, parameters(**change))[0].provenance
        for change in ({}, {"rq_vae": other})
    )
    assert a.fingerprint == b.fingerprint
    assert train(embeddings, split, parameters(seed=2))[0].provenance.fingerprint != a.fingerprint


def test_a_split_of_other_embeddings_is_refused(embeddings, split):
    other = replace(embeddings, provenance=Provenance("embeddings", content="y"))
    with pytest.raises(BadInput, match=r"two runs are mixed.*make 'split' again"):
        train(other, split, parameters())


def test_zero_vectors_to_normalise_are_refused(embeddings, split):
    zeros = replace(embeddings, zero_rows=2)
    with pytest.raises(BadInput, match="2 zero vectors"):
        train(
            zeros,
            split,
            parameters(
                preprocess={
                    "normalize": True,
                    "center": True,
                    "scale": True,
                    "dimensions": None,
                    "whiten": 0.0,
                }
            ),
        )


def test_too_few_rows_to_train_on_are_refused(embeddings, split):
    with pytest.raises(BadInput, match="480 items are fewer than the 500 codes"):
        train(embeddings, split, parameters(codebook_sizes=[500, 2], fit_on="train"))


def test_too_few_codes_for_unique_ids_are_said_before_training(embeddings, split):
    with pytest.raises(BadInput, match="36 codes for 600 items"):
        train(embeddings, split, parameters(), strategy="reassign")
    assert train(embeddings, split, parameters(codebook_sizes=[25, 25]), strategy="reassign")[0]


def test_the_history_says_what_it_belongs_to(embeddings, split):
    tokenizer, history, _ = train(embeddings, split, parameters())
    assert made_from(history) == tokenizer.provenance


def test_a_forecast_is_told_before_the_fit_and_kept(embeddings, split, caplog, monkeypatch):
    real = nodes.fit
    monkeypatch.setattr(
        nodes,
        "fit",
        lambda *given, **more: (
            real(*given, **more) if "ID space" in caplog.text else pytest.fail("nothing was told")
        ),
    )
    with caplog.at_level(logging.INFO):
        results = train(
            embeddings, split, parameters(codebook_sizes=[8, 8, 32]), "reassign", pilot_items=400
        )[2]
    assert caplog.records[0].levelno == logging.INFO
    assert (
        "ID space: 8x8x32 makes 2,048 codes for 600 items (29 % full). By a pilot of 400 items"
        in caplog.text
    )
    assert (results["forecast"]["items"], results["forecast"]["pilot"]["items"]) == (600, 400)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert results["forecast"]["sizes_that_would_do"][0]["codebook_sizes"] == [8, 8, 32]


@pytest.mark.parametrize(
    ("sizes", "strategy", "level"),
    [
        ([30, 30], "reassign", "WARNING"),
        ([30, 30], "none", "WARNING"),
        ([8, 2, 128], "reassign", "INFO"),
        ([4, 2, 128], "suffix", "WARNING"),
    ],
)
def test_it_warns_where_room_is_scarce(embeddings, split, caplog, sizes, strategy, level):
    with caplog.at_level(logging.INFO):
        train(embeddings, split, parameters(codebook_sizes=sizes), strategy, pilot_items=10_000)
    assert [record.levelname for record in caplog.records if "ID space" in record.message] == [
        level
    ]


def test_the_forecast_can_be_left_out_and_changes_nothing(embeddings, split, caplog):
    with caplog.at_level(logging.INFO):
        without, _, results = train(embeddings, split, parameters())
    assert results["forecast"] is None and "ID space" not in caplog.text
    told = train(embeddings, split, parameters(), pilot_items=300)[0]
    assert told.provenance.fingerprint == without.provenance.fingerprint
    np.testing.assert_array_equal(told.encode(VECTORS), without.encode(VECTORS))


def test_codebooks_are_refined_for_unique_ids_with_reassign_alone(embeddings, split):
    sizes = {"codebook_sizes": [8, 16, 16]}
    steps, provenances = {}, {}
    for strategy in ("reassign", "suffix", "none"):
        tokenizer, history, _ = train(embeddings, split, parameters(**sizes), strategy=strategy)
        steps[strategy], provenances[strategy] = (
            set(history["phase"].to_pylist()),
            tokenizer.provenance,
        )
    assert (
        steps["reassign"] == {"start", "anneal", "refine", "unique"}
        and "unique" not in steps["suffix"] | steps["none"]
    )
    assert provenances["suffix"] == provenances["none"] != provenances["reassign"]
    assert provenances["reassign"].inputs["unique IDs"] == "reassign, 4 candidates"


@pytest.fixture
def any_size(monkeypatch):
    """Estimate runs of any number of items."""
    monkeypatch.setattr("semantic_ids.pipelines.train.cost.LEAST_ITEMS", 0)


def test_of_few_items_nothing_is_estimated(embeddings, split, caplog):
    with caplog.at_level(logging.INFO):
        assert train(embeddings, split, parameters())[2]["estimate"] is None
    assert "estimate" not in caplog.text


def test_why_nothing_is_estimated_is_in_the_log_for_those_who_look(embeddings, caplog):
    few = SimpleNamespace(items=600, passes=1)
    with caplog.at_level(logging.DEBUG, logger="semantic_ids.pipelines.train.cost"):
        assert report_cost(embeddings, few) is None
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "no estimate of time and memory: 600 items are few" in caplog.text


@pytest.mark.parametrize(
    ("items", "passes", "told"), [(9_999, 20, False), (10_000, 20, True), (20_000, 1, True)]
)
def test_a_long_training_on_few_items_is_estimated(
    embeddings, monkeypatch, caplog, items, passes, told
):
    def refuse(*_):
        raise BadInput("no trial here", where="test")

    monkeypatch.setattr("semantic_ids.forecast.estimate_cost", refuse)
    with caplog.at_level(logging.INFO):
        assert report_cost(embeddings, SimpleNamespace(items=items, passes=passes)) is None
    assert ("no trial here" in caplog.text) is told


def test_seconds_and_memory_are_told_before_the_fit_and_kept(
    any_size, embeddings, split, caplog, monkeypatch
):
    real = nodes.fit
    monkeypatch.setattr(
        nodes,
        "fit",
        lambda *given, **more: (
            real(*given, **more)
            if "estimate: about" in caplog.text
            else pytest.fail("nothing was told")
        ),
    )
    with caplog.at_level(logging.INFO):
        kept = train(
            embeddings, split, parameters(codebook_sizes=[8, 8, 32]), "reassign", pilot_items=400
        )[2]["estimate"]
    assert [record.levelname for record in caplog.records if "estimate:" in record.message] == [
        "INFO"
    ]
    assert (
        set(kept["seconds"]) == set(kept["bytes"]) == {"train", "encode", "deduplicate", "evaluate"}
    )
    assert all(
        np.isfinite(value) and value > 0
        for value in [*kept["seconds"].values(), *kept["bytes"].values()]
    )
    assert (
        kept["total_seconds"] == pytest.approx(sum(kept["seconds"].values()))
        and kept["at_most"] is False
    )
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


def test_without_a_pilot_there_is_an_estimate_all_the_same(any_size, embeddings, split, caplog):
    with caplog.at_level(logging.INFO):
        results = train(embeddings, split, parameters())[2]
    assert results["forecast"] is None and results["estimate"]["total_seconds"] > 0
    assert "estimate: about" in caplog.text


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_nobody_hears_of_what_is_done_on_trial(any_size, embeddings, split, caplog, kind):
    heard = []
    given = parameters(kind=kind, codebook_sizes=[8, 8, 32])
    with caplog.at_level(logging.INFO), listening(lambda *told: heard.append(told)):
        report_cost(embeddings, run_of(fit_options(given, IDENTIFY), split, given.fit_on, EVALUATE))
    assert not heard and len(caplog.records) == 1 and "estimate: about" in caplog.text


def test_a_run_goes_on_where_its_pieces_cannot_be_tried(
    any_size, embeddings, split, caplog, monkeypatch
):
    def refuse(*_):
        raise BadInput("two of a kind", where="here")

    monkeypatch.setattr("semantic_ids.forecast.trial.stage_seconds", refuse)
    with caplog.at_level(logging.INFO):
        results = train(embeddings, split, parameters())[2]
    assert results["estimate"] is None
    assert "no estimate of time and memory: here: two of a kind" in caplog.text


def test_it_warns_where_memory_is_scarce_and_says_what_to_change(
    any_size, embeddings, split, caplog, monkeypatch
):
    monkeypatch.setattr(memory, "room", lambda: 5e7)
    with caplog.at_level(logging.INFO):
        train(embeddings, split, parameters(codebook_sizes=[8, 8, 32]), pilot_items=400)
    record = next(record for record in caplog.records if "estimate:" in record.message)
    assert record.levelname == "WARNING" and "0.1 GB can be had" in record.message
    assert re.search(
        r"takes less with .*(max_points_per_centroid|ingest\.max_items|evaluate\.queries)",
        record.message,
    )


def run(embeddings, split, strategy="reassign", twin=True, **changes):
    identify, evaluate = (
        IdentifyParameters(strategy=strategy, candidates=4),
        EVALUATE.model_copy(update={"twin": twin}),
    )
    given = parameters(**changes)
    return run_of(fit_options(given, identify), split, given.fit_on, evaluate)


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_an_estimate_is_made_from_the_run_as_it_will_be(embeddings, split, kind):
    found = run(embeddings, split, kind=kind)
    assert (found.items, found.kind, list(found.codebook_sizes)) == (600, kind, [6, 6])
    assert (found.strategy, found.candidates, found.queries) == ("reassign", 4, 50)
    assert found.options == parameters(kind=kind).options
    assert run(embeddings, split, "suffix").strategy == "suffix"


def test_who_is_fitted_on_and_who_is_watched(embeddings, split):
    """480 of 600 items are not held out.

    A twin is fitted on those where the tokenizer has seen all.
    """
    everyone, train_only = run(embeddings, split), run(embeddings, split, fit_on="train")
    assert (everyone.fit_items, everyone.watched_items, everyone.twin_items) == (600, 120, 480)
    assert (train_only.fit_items, train_only.watched_items, train_only.twin_items) == (480, 120, 0)
    assert run(embeddings, split, twin=False).twin_items == 0
    nobody = replace(split, validation=np.zeros(600, bool))
    without = run(embeddings, nobody)
    assert (without.fit_items, without.watched_items, without.twin_items) == (600, 600, 0)


# ---- checkpoints ---------------------------------------------------------------------------------


def place_in(folder):
    return CheckpointPlace(folder / "06_models" / "checkpoints", folder)


def vae(checkpoints=None, **changes):
    kept = {"every": 1, "keep": 9, "trainings": 8, "resume": "auto", **(checkpoints or {})}
    return parameters(kind="rq_vae", rq_vae=within(SMALL["rq_vae"], changes), checkpoints=kept)


def test_a_training_that_was_stopped_goes_on_with_the_same_command(
    embeddings, split, tmp_path, monkeypatch, caplog
):
    whole = train(embeddings, split, vae(), place=place_in(tmp_path / "whole"))[0]
    epoch = Loop._epoch

    def stopping(trainer, number):
        if number == 3:
            raise KeyboardInterrupt
        return epoch(trainer, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_epoch", stopping)
        train(embeddings, split, vae(), place=place_in(tmp_path))
    with caplog.at_level(logging.INFO, "semantic_ids"):
        again = train(embeddings, split, vae(), place=place_in(tmp_path))[0]
    assert "going on from the checkpoint of epoch 2" in caplog.text
    np.testing.assert_array_equal(
        again.decode(again.encode(VECTORS)), whole.decode(whole.encode(VECTORS))
    )
    assert again.provenance == whole.provenance


@pytest.mark.parametrize("change", [{"checkpoints": {"every": 0}}, {"kind": "rq_kmeans"}])
def test_where_none_are_wanted_none_are_written(embeddings, split, tmp_path, change):
    if "kind" in change:
        train(
            embeddings,
            split,
            parameters(checkpoints={"every": 1, "keep": 1, "trainings": 8, "resume": "auto"}),
            place=place_in(tmp_path),
        )
    else:
        train(embeddings, split, vae(**change), place=place_in(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_tokenizer_does_not_depend_on_its_checkpoints(embeddings, split, tmp_path):
    a, b = (
        train(embeddings, split, vae({"every": n}), place=place_in(tmp_path))[0].provenance
        for n in (0, 1)
    )
    assert a.fingerprint == b.fingerprint


@pytest.mark.parametrize("change", [{"epochs": 4}, {"learning_rate": 0.5}, {"hidden": [8]}])
def test_other_parameters_have_checkpoints_of_their_own_and_those_named_are_refused(
    embeddings, split, tmp_path, change
):
    train(embeddings, split, vae(), place=place_in(tmp_path))
    (folder,) = place_in(tmp_path).folder.iterdir()
    (name,) = change
    resume = {
        "resume": str(folder.relative_to(tmp_path))
    }  # a relative path starts at the root of the project
    with pytest.raises(BadInput, match=rf"of another training: rq_vae.{MOVED[name]} was .*, is "):
        train(embeddings, split, vae(resume, **change), place=place_in(tmp_path))
    train(embeddings, split, vae(**change), place=place_in(tmp_path))
    assert len(list(place_in(tmp_path).folder.iterdir())) == 2


def test_other_data_have_checkpoints_of_their_own_and_those_named_are_refused(
    embeddings, split, tmp_path
):
    train(embeddings, split, vae(), place=place_in(tmp_path))
    (folder,) = place_in(tmp_path).folder.iterdir()
    other = replace(embeddings, provenance=Provenance("embeddings", content="y"))
    of_other = replace(
        split, provenance=Provenance("split", {"embeddings": other.provenance.fingerprint})
    )
    with pytest.raises(BadInput, match="of another training: embeddings was "):
        train(other, of_other, vae({"resume": str(folder)}), place=place_in(tmp_path))


def test_the_device_is_of_no_account_to_a_checkpoint(embeddings, split, tmp_path):
    made = [
        checkpoints_of(vae().model_copy(update={"device": device}), place_in(tmp_path), {})
        for device in ("cpu", "auto")
    ]
    assert made[0].folder == made[1].folder


def test_a_checkpoint_that_is_not_there_is_refused_before_any_work(
    embeddings, split, tmp_path, monkeypatch
):
    monkeypatch.setattr(nodes, "report_forecast", lambda *_: pytest.fail("there was work before"))
    with pytest.raises(BadInput, match=r"resume=.*/nowhere: there is no checkpoint"):
        train(
            embeddings, split, vae({"resume": "nowhere"}), place=place_in(tmp_path), pilot_items=100
        )
