"""The options of an RQ-VAE as a plan of its training."""

from __future__ import annotations

from semantic_ids.learning.plan import Plan
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions


def plan_of(options: RQVAEOptions) -> Plan:
    """Return how the options want a network to be trained."""
    return Plan(
        epochs=options.schedule.epochs,
        batch_rows=options.optimizer.batch_rows,
        accumulate=options.optimizer.accumulate,
        optimizer=options.optimizer.name,
        learning_rate=options.optimizer.learning_rate,
        schedule=options.schedule.shape,
        warmup_epochs=options.schedule.warmup_epochs,
        max_grad_norm=options.optimizer.max_grad_norm,
        precision=options.optimizer.precision,
        patience=options.selection.patience,
        burn_in=options.selection.burn_in,
        validate_every=options.selection.catalogue_every,
        tolerance=options.selection.collision_tolerance,
    )
