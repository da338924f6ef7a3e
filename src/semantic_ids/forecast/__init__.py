"""Advice before a tokenizer is trained.

What to expect of the ID space, which sizes would do, and what the run will take.

The ID space is judged by the codes that a quick tokenizer gives a sample (`forecast.pilot`),
never by a formula that takes codes to be evenly used: of Amazon Beauty's 12,101 items in 16.7
million codes one in a thousand would then share its codes, and in fact one in four does.
"""

from __future__ import annotations

from semantic_ids.forecast.capacity import Choice, Forecast, forecast
from semantic_ids.forecast.estimate import Estimate, estimate_cost
from semantic_ids.forecast.run import Run

__all__ = ["Choice", "Estimate", "Forecast", "Run", "estimate_cost", "forecast"]
