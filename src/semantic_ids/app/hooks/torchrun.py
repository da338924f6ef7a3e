"""Several processes that `torchrun` has started: all of them train, and the first alone writes.

torchrun --nproc-per-node=4 -m semantic_ids --pipelines=train --env=rq_vae_gpu
torchrun --nproc-per-node=4 -m semantic_ids --pipelines=recommend --nodes=fit_recommender
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from semantic_ids.app.hooks.configuration import ConfigurationHooks


def is_helper() -> bool:
    """Whether this process only helps to train: everything is written by the first one."""
    return int(os.environ.get("RANK", "0")) > 0


RECOMMENDER = "fit_recommender"
"""The node that trains a recommender, of any kind."""


class TorchrunHooks:
    """Refuse what several processes cannot do together, and let those that help write nothing."""

    def __init__(self, configuration: ConfigurationHooks) -> None:
        self._configuration = configuration

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Look at what is to be run.

        Raises:
            BadInput: There is more to run than the training of an rq_vae, or of a recommender.
        """
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if processes < 2:
            return
        nodes = {node.name for node in pipeline.nodes}
        if nodes != {RECOMMENDER}:
            self._require_rq_vae(processes, sorted(nodes - {"train"}))
        if is_helper():
            from kedro.io import MemoryDataset

            logging.getLogger("semantic_ids").setLevel(logging.WARNING)
            for name in pipeline.all_outputs():
                catalog[name] = MemoryDataset(copy_mode="assign")

    def _require_rq_vae(self, processes: int, others: list[str]) -> None:
        if others:
            raise BadInput(
                f"{processes} processes were started to run {', '.join(others)}",
                where="torchrun",
                expected="--pipelines=train, the only stage that several processes can share, or"
                f" --pipelines=recommend --nodes={RECOMMENDER}",
                do=(
                    "run the stages before it with 'kedro run --pipelines=ingest,sample', and those"
                    " after it with 'kedro run --pipelines=identify,export,evaluate'"
                ),
            )
        kind = self._configuration.parameters.tokenizer.kind
        if kind != "rq_vae":
            raise BadInput(
                f"{processes} processes were started to fit {kind}, which takes one",
                where="torchrun",
                expected="tokenizer.kind=rq_vae",
                do="leave torchrun out",
            )
