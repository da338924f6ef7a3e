"""Nodes of the pipeline `publish`.

Where nothing is published yet, they fit a tokenizer and make IDs as `tokenize` does, or take those
that it has made of the same data; else they go on from what is published.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from semantic_ids.artifacts import CheckpointPlace, Codes, Embeddings, Provenance, Split
from semantic_ids.contract import Tokenizer
from semantic_ids.hashing import fingerprint
from semantic_ids.ingestion import ParquetSource
from semantic_ids.parameters import (
    AdviceParameters,
    EvaluateParameters,
    ExportParameters,
    IdentifyParameters,
    IngestParameters,
    PublishParameters,
    TokenizerParameters,
)
from semantic_ids.pipelines.check.nodes import check as check_all
from semantic_ids.pipelines.evaluate.nodes import evaluate as evaluate_all
from semantic_ids.pipelines.fitting import fit_options
from semantic_ids.pipelines.identify.nodes import deduplicate, encode
from semantic_ids.pipelines.labels import labels_of, weights_of
from semantic_ids.pipelines.publish.agreement import require_agreement, wanted
from semantic_ids.pipelines.train.nodes import history_of, train, training_results, with_made
from semantic_ids.progress import Progress
from semantic_ids.workflows import publishing
from semantic_ids.workflows.earlier import Earlier
from semantic_ids.workflows.measuring import measure
from semantic_ids.workflows.publications import Publication, publication_of
from semantic_ids.workflows.publishing import HISTORY, RESULTS, Draft
from semantic_ids.workflows.refreshing import (
    aligned_tokenizer,
    churn_of,
    require_parent,
    require_refit,
    warm_tokenizer,
)

logger = logging.getLogger(__name__)


def check(
    item_embeddings: ParquetSource,
    items: Any,
    ingest: IngestParameters,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    publish: PublishParameters,
    published: Path,
) -> None:
    """Refuse what no later node could use, before any work.

    What a killed writer has left among the bundles is finished or removed here.
    """
    from semantic_ids.export.onnx_graphs import require_exporter
    from semantic_ids.ingestion.check import check_footers
    from semantic_ids.ingestion.options import IngestOptions
    from semantic_ids.ingestion.order import read_texts

    options = wanted(publish)
    manifest = publishing.manifest_of(published, options)
    if options.onnx:
        require_exporter("publish.onnx")
    if options.weight_column is not None:
        ids = read_texts(item_embeddings, ingest.id_column)
        weights_of(ids, items, ingest.id_column, evaluate, options)
    if manifest is None:
        check_all(item_embeddings, items, ingest, tokenizer, identify, evaluate)
        return
    require_agreement(manifest, tokenizer, identify, ingest, options)
    check_footers(item_embeddings, IngestOptions(**ingest.model_dump()))
    if items is not None:
        ids = read_texts(item_embeddings, ingest.id_column)
        labels_of(ids, items, ingest.id_column, evaluate)


def publish_tokenizer(  # noqa: PLR0917 - Kedro passes the inputs by position
    embeddings: Embeddings,
    split: Split,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    advice: AdviceParameters,
    checkpoints: CheckpointPlace,
    earlier: Earlier,
    publish: PublishParameters,
    published: Path,
) -> tuple[Tokenizer, Any, dict[str, Any]]:
    """Take the published tokenizer, or one that fits these data, or fit one."""
    options = wanted(publish)
    before = publishing.manifest_of(published, options)
    given = (embeddings, split, tokenizer, identify, evaluate, advice, checkpoints)
    if before is not None and options.refresh == "none":
        logger.info("going on from %s, with its tokenizer", before.name)
        return publishing.trained(before.folder)
    if before is not None and options.refresh == "warm":
        generation = publishing.generation_of(published, options)
        moved = warm_tokenizer(generation, embeddings, split.validation, tokenizer.device)
        results = training_results(moved, embeddings, tokenizer)
        return moved, history_of(moved), results
    generation = publishing.generation_of(published, options)
    if generation is not None:
        require_refit(generation, embeddings, options)
    made_from = {"embeddings": embeddings.provenance, "split": split.provenance}
    found = earlier.trained(made_from, tokenizer.in_use(), identify.model_dump())
    if found is not None:
        logger.info("%s was fitted on these data with these parameters: taken", earlier.tokenizer)
    fitted, history, results = found or train(*given)
    if generation is None:
        return fitted, history, results
    named = aligned_tokenizer(generation, fitted.to(tokenizer.device), embeddings)
    results["provenance"] = named.provenance.to_json()
    return named, with_made(history, named.provenance), results


def publish_ids(
    embeddings: Embeddings,
    tokenizer: Tokenizer,
    earlier: Earlier,
    tokenizer_parameters: TokenizerParameters,
    identify: IdentifyParameters,
    publish: PublishParameters,
    published: Path,
) -> tuple[Codes, Codes, Draft]:
    """Give every item its ID: that which is out, or a new one."""
    options = wanted(publish)
    before = publishing.generation_of(published, options)
    if before is None:
        codes, ids = _first(embeddings, tokenizer, earlier, tokenizer_parameters, identify)
        return codes, ids, publishing.first_draft(ids, embeddings)
    tokenizer = tokenizer.to(tokenizer_parameters.device)
    if options.refresh == "none":
        publishing.require_tokenizer(before, tokenizer)
    else:
        require_parent(before, tokenizer)
    codes = _encoded(embeddings, tokenizer)
    draft = publishing.next_draft(
        before,
        embeddings,
        tokenizer,
        codes.codes,
        options,
        strategy=identify.strategy,
        candidates=identify.candidates,
    )
    inputs = {**codes.provenance.inputs, "codes": codes.provenance.fingerprint}
    made = Provenance("semantic_ids", inputs, identify.model_dump())
    return codes, draft.state.live.as_codes(made), draft


def _first(
    embeddings: Embeddings,
    tokenizer: Tokenizer,
    earlier: Earlier,
    tokenizer_parameters: TokenizerParameters,
    identify: IdentifyParameters,
) -> tuple[Codes, Codes]:
    """Take codes and IDs that were made of the same, or make them."""
    made = tokenizer.provenance or Provenance("tokenizer")
    inputs = {"embeddings": embeddings.provenance, "tokenizer": made}
    found = earlier.identified(inputs, identify.model_dump())
    if found is not None:
        logger.info("%s was made with this tokenizer: taken", earlier.semantic_ids)
        return found
    codes = encode(embeddings, tokenizer, tokenizer_parameters)
    return codes, deduplicate(embeddings, tokenizer, codes, tokenizer_parameters, identify)


def _encoded(embeddings: Embeddings, tokenizer: Tokenizer) -> Codes:
    """Encode today's catalogue with a tokenizer that was fitted on another."""
    with Progress("encode", total=len(embeddings)) as progress:
        codes = tokenizer.encode(embeddings.vectors, progress)
    made = tokenizer.provenance or Provenance("tokenizer")
    inputs = {"embeddings": embeddings.provenance.fingerprint, "tokenizer": made.fingerprint}
    sizes = tuple(tokenizer.codebook_sizes)
    provenance = Provenance("codes", inputs, content=fingerprint(codes))
    return Codes(embeddings.item_ids, codes, sizes, len(sizes), provenance)


def evaluate(  # noqa: PLR0917 - Kedro passes the inputs by position
    draft: Draft,
    embeddings: Embeddings,
    split: Split,
    tokenizer: Tokenizer,
    codes: Codes,
    semantic_ids: Codes,
    items: pa.Table | None,
    tokenizer_parameters: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    id_column: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure codes and IDs of today's catalogue.

    Items whose vector the tokenizer was not fitted on are those held out.
    """
    given = (tokenizer_parameters, identify, evaluate, id_column)
    if draft.before is None:
        return evaluate_all(embeddings, split, tokenizer, codes, semantic_ids, items, *given)
    made_of = tokenizer.provenance or Provenance("tokenizer")
    unseen = draft.unseen()
    if made_of.parameters.get("fit_on") == "train":
        unseen |= split.validation
    options = fit_options(tokenizer_parameters, identify)
    found = measure(
        embeddings.vectors,
        tokenizer.to(options.device),
        options,
        codes=codes.codes,
        ids=draft.today,
        validation=unseen,
        fit_on="train" if unseen.any() else "all",
        labels=labels_of(embeddings.item_ids, items, id_column, evaluate),
        queries=evaluate.queries,
        vector_hashes=embeddings.vector_hashes,
    )
    made = {
        f"provenance.{p.artifact}": p.fingerprint
        for p in (embeddings.provenance, made_of, semantic_ids.provenance)
    }
    return found.metrics | made, found.figures | made


def churn(  # noqa: PLR0917 - Kedro passes the inputs by position
    draft: Draft,
    tokenizer: Tokenizer,
    embeddings: Embeddings,
    codes: Codes,
    items: pa.Table | None,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    publish: PublishParameters,
    id_column: str,
) -> tuple[dict[str, Any], Any]:
    """Say how much is other than in the generation before, and how much room is left.

    The numbers, and their figure.
    """
    from semantic_ids.reporting import figures

    options, ids = wanted(publish), embeddings.item_ids
    weighs = options.weight_column is not None
    found = churn_of(
        draft,
        tokenizer,
        embeddings,
        codes.codes,
        strategy=identify.strategy,
        candidates=identify.candidates,
        weights=weights_of(ids, items, id_column, evaluate, options) if weighs else None,
    )
    return found, figures.churn(found)


def publish(  # noqa: PLR0917 - Kedro passes the inputs by position
    draft: Draft,
    tokenizer: Tokenizer,
    metrics: dict[str, Any],
    churn: dict[str, Any],
    training_history: pa.Table,
    training_results: dict[str, Any],
    identify: IdentifyParameters,
    export: ExportParameters,
    publish: PublishParameters,
) -> Publication:
    """Prepare the generation, for the dataset to write whole."""
    reports = {"metrics.json": metrics, "churn.json": churn, RESULTS: training_results}
    return publication_of(
        draft,
        tokenizer,
        wanted(publish),
        identify=identify.model_dump(),
        suffix_room=export.suffix_room,
        faiss=export.faiss,
        reports=reports,
        tables={HISTORY: training_history},
    )
