"""Nodes of the pipeline `recommend`, once the histories are there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from semantic_ids.artifacts import (
    CheckpointPlace,
    Codes,
    Embeddings,
    require_made_from,
    require_made_with,
)
from semantic_ids.errors import BadInput
from semantic_ids.history import History
from semantic_ids.parameters import (
    HistoryParameters,
    JudgeParameters,
    RecommenderParameters,
    flatten,
)
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.recommendations import Recommendations
from semantic_ids.workflows import recommending

logger = logging.getLogger(__name__)


def check_recommend(recommender: RecommenderParameters, judge: JudgeParameters) -> None:
    """Refuse what could not be trained or judged in the end, before any work.

    Raises:
        BadInput: There is no such device, or a beam is narrower than the lists that it is to fill.
    """
    from semantic_ids.compute.devices import resolve
    from semantic_ids.recommenders.recommender import require_beam

    if recommender.device != "auto":
        resolve(recommender.device)
    require_beam(max(recommender.decoding.k, *judge.ks), recommender.decoding.beam)


def fit_recommender(
    histories: Histories,
    semantic_ids: Codes,
    recommender: RecommenderParameters,
    history: HistoryParameters,
    checkpoints: CheckpointPlace,
    embeddings: Embeddings | None,
) -> tuple[Any, pa.Table]:
    """Train the recommender; return it, and the history of its training.

    The embeddings are those that the judge will ask for: better missed here than after a training.
    """
    from semantic_ids.export.ids_table import with_provenance

    _require_vectors(embeddings, semantic_ids)
    options = _options(recommender)
    made_from = recommending.inputs_of(histories, semantic_ids)
    kept = _checkpoints(options, checkpoints, made_from, history.length)
    trained, steps = recommending.train_recommender(
        histories, semantic_ids, options, history.length, kept
    )
    table = pa.Table.from_pylist(steps.rows())
    return trained, table.cast(with_provenance(table.schema, trained.provenance))


def recommend(
    recommender: Any, histories: Histories, parameters: RecommenderParameters
) -> Recommendations:
    """Recommend items to all users, for the dataset to write while they are made."""
    _require_one_run(recommender, parameters, histories=histories.provenance)
    asked = recommending.asked_with(recommender, _options(parameters))
    return recommending.recommend_all(asked, histories)


def judge(
    recommender: Any,
    histories: Histories,
    semantic_ids: Codes,
    parameters: RecommenderParameters,
    judge: JudgeParameters,
    embeddings: Embeddings | None,
) -> dict[str, Any]:
    """Measure what is recommended for the targets of the test, beside baselines and controls."""
    from semantic_ids.workflows import judging

    made = {"histories": histories.provenance, "semantic_ids": semantic_ids.provenance}
    _require_one_run(recommender, parameters, **made)
    asked = recommending.asked_with(recommender, _options(parameters))
    _require_vectors(embeddings, semantic_ids)
    vectors = None if embeddings is None else embeddings.vectors
    options = JudgeOptions.of(judge.model_dump())
    found = judging.judge(asked, histories, semantic_ids, options, vectors)
    made |= {"recommender": recommender.provenance}
    return found | {f"provenance.{name}": one.fingerprint for name, one in made.items()}


def draw_recommend(
    recommend_metrics: dict[str, Any], recommend_training: pa.Table
) -> tuple[Any, ...]:
    """Draw the figures, in the order of `pipeline.FIGURES`."""
    from semantic_ids.reporting import figures, recommendation

    return (
        recommendation.recall_by_k(recommend_metrics),
        recommendation.recall_by_slice(recommend_metrics),
        recommendation.recall_by_beam(recommend_metrics),
        figures.training_curves(History(recommend_training.to_pylist())),
    )


def _options(parameters: RecommenderParameters) -> RecommenderOptions:
    return RecommenderOptions.of(parameters.model_dump())


def _require_one_run(recommender: Any, parameters: RecommenderParameters, **made: Any) -> None:
    """Refuse a recommender of other histories, of other IDs, or made with other parameters."""
    require_made_from(recommender.provenance, **made)
    wanted = recommending.parameters_of(_options(parameters))
    require_made_with(recommender.provenance, "recommender", wanted)


def _require_vectors(embeddings: Embeddings | None, semantic_ids: Codes) -> None:
    """Refuse embeddings of other items than the IDs are of."""
    if embeddings is not None and not embeddings.item_ids.equals(semantic_ids.item_ids):
        raise BadInput(
            f"the IDs are of other items ({len(semantic_ids):,}) than the embeddings"
            f" ({len(embeddings):,})",
            where="artifacts 'semantic_ids' and 'embeddings'",
            expected="the same items, for the baseline neighbours",
            do="leave that out of judge.baselines",
            remake="semantic_ids",
        )


def _checkpoints(
    options: RecommenderOptions, place: CheckpointPlace, made_from: dict[str, str], length: int
) -> Any:
    """Return where the training keeps its state; None for one that keeps none."""
    from semantic_ids.learning.checkpoints import Checkpoints

    given = options.checkpoints
    if not given.every:
        return None
    used = dict(flatten(recommending.parameters_of(options)))
    used = {name: value for name, value in used.items() if name != "device"}
    named = given.resume not in ("auto", "never")
    kept = Checkpoints(
        place.folder,
        {"artifact": "recommender", **made_from, "length": length, **used},
        every=given.every,
        keep=given.keep,
        trainings=given.trainings,
        group=given.group,
        resume=str(place.root / Path(given.resume).expanduser()) if named else given.resume,
    )
    if named:
        kept.check()
    return kept
