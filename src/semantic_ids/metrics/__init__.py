"""Metrics: how good codes and semantic IDs are, over the whole catalogue.

Every pass over the vectors is in chunks and sums in float64, so nothing holds all vectors in
memory. `catalogue.evaluate` puts the parts together; what each name means is in the docs' table of
metrics.
"""

from __future__ import annotations

from semantic_ids.metrics.catalogue import evaluate

__all__ = ["evaluate"]
