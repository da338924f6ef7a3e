"""Nodes of the stage `sample`."""

from __future__ import annotations

import logging

import numpy as np

from semantic_ids.artifacts import Embeddings, Provenance, Split
from semantic_ids.hashing import fingerprint
from semantic_ids.parameters import SampleParameters
from semantic_ids.workflows.fitting import held_out

logger = logging.getLogger(__name__)


def split(embeddings: Embeddings, sample: SampleParameters) -> Split:
    """Hold a share of the items out, and mark the tuning subset.

    The tuning subset is the first items by item hash, which is the order of the rows.
    """
    validation = held_out(embeddings.vector_hashes, sample.validation_share)
    tuning = np.arange(len(embeddings)) < sample.tuning_items
    provenance = Provenance(
        "split",
        {"embeddings": embeddings.provenance.fingerprint},
        sample.model_dump(),
        content=fingerprint(validation, tuning),
    )
    logger.info(
        "%s items held out for validation, %s in the tuning subset",
        f"{validation.sum():,}",
        f"{tuning.sum():,}",
    )
    return Split(validation, tuning, embeddings.item_ids, provenance)
