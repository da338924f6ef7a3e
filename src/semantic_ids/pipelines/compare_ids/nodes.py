"""Nodes of the pipeline `compare_ids`."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa

from semantic_ids.artifacts import CheckpointPlace, Embeddings, Split, require_made_from
from semantic_ids.ingestion.history_options import HistoryOptions
from semantic_ids.ingestion.history_source import HistorySource
from semantic_ids.parameters import (
    CompareParameters,
    HistoryParameters,
    IdentifyParameters,
    JudgeParameters,
    RecommenderParameters,
    TokenizerParameters,
)
from semantic_ids.pipelines.fitting import fit_options
from semantic_ids.pipelines.recommend.nodes import check_recommend
from semantic_ids.recommenders.compare_options import CompareOptions
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.workflows import reading_histories
from semantic_ids.workflows.fitting import FitOptions

logger = logging.getLogger(__name__)


def check_compare(
    user_histories: HistorySource,
    history: HistoryParameters,
    recommender: RecommenderParameters,
    judge: JudgeParameters,
    compare: CompareParameters,
    checkpoints: CheckpointPlace,
) -> None:
    """Refuse what could not be read, trained or compared in the end, before any work."""
    from semantic_ids.workflows.candidate_ids import require_known

    require_known(compare.ids, checkpoints.root)
    check_recommend(recommender, judge)
    reading_histories.check_histories(user_histories, HistoryOptions.of(history.model_dump()))


def compare(  # noqa: PLR0917 - Kedro passes the inputs by position
    embeddings: Embeddings,
    split: Split,
    user_histories: HistorySource,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    history: HistoryParameters,
    recommender: RecommenderParameters,
    judge: JudgeParameters,
    compare: CompareParameters,
    checkpoints: CheckpointPlace,
) -> tuple[dict[str, Any], pa.Table]:
    """Train and judge the same recommender on several sets of IDs of the catalogue."""
    from semantic_ids.workflows.candidate_ids import Candidates
    from semantic_ids.workflows.comparing_ids import compare_ids

    require_made_from(split.provenance, embeddings=embeddings.provenance)
    histories = reading_histories.read_histories(
        user_histories, embeddings.item_ids, HistoryOptions.of(history.model_dump())
    )
    makes = Candidates(
        embeddings, split.validation, _fits(tokenizer, identify), checkpoints.root, recommender.seed
    )
    found = compare_ids(
        histories,
        makes.of,
        RecommenderOptions.of(recommender.model_dump()),
        history.length,
        CompareOptions.of(compare.model_dump()),
        JudgeOptions.of(judge.model_dump()),
    )
    logger.info("IDs compared:\n%s", found.markdown(recommender.decoding.k))
    made = {
        f"provenance.{one.artifact}": one.fingerprint
        for one in (embeddings.provenance, histories.provenance)
    }
    return found.to_json() | made, pa.Table.from_pylist(found.table_rows())


def _fits(tokenizer: TokenizerParameters, identify: IdentifyParameters) -> dict[str, FitOptions]:
    """Return what is fitted for each name of `candidate_ids.FITTED`."""

    def of(kind: str, strategy: str) -> FitOptions:
        return fit_options(
            tokenizer.model_copy(update={"kind": kind}),
            identify.model_copy(update={"strategy": strategy}),
        )

    return {
        "rq_kmeans": of("rq_kmeans", "reassign"),
        "rq_vae": of("rq_vae", "reassign"),
        "suffix": of(tokenizer.kind, "suffix"),
        "none": of(tokenizer.kind, "none"),
    }
