"""One line when a stage begins and one when it is done, with its seconds."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class StageHooks:
    """Time every node from the first input it loads to the last output it saves.

    Some work happens while saving.

    Attributes:
        seconds: Node name → seconds, of the nodes of this run that are done.
        written: Names of the datasets that this run has saved, in order.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.written: list[str] = []
        self._running = ""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self) -> None:
        """Forget the run before."""
        self.seconds, self.written, self._running = {}, [], ""

    @hook_impl(tryfirst=True)
    def before_dataset_loaded(self, node: Node) -> None:
        """Begin a stage with its first input."""
        if node.name != self._running:
            self._running, self._start = node.name, time.perf_counter()
            logger.info("%s …", node.name)

    @hook_impl(tryfirst=True)
    def after_node_run(self, node: Node) -> None:
        """End a stage that makes nothing."""
        if not node.outputs:
            self._end(node.name)

    @hook_impl(tryfirst=True)
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """End a stage with its last output."""
        self.written.append(dataset_name)
        if dataset_name == node.outputs[-1]:
            self._end(node.name)

    def _end(self, name: str) -> None:
        self.seconds[name] = time.perf_counter() - self._start
        logger.info("%s: %.1f s", name, self.seconds[name])


def path_of(name: str, catalog: DataCatalog) -> Path | None:
    """Return where a dataset rests on disk; None for one that is only in memory."""
    dataset = catalog.get(name)
    path = dataset._describe().get("filepath") if dataset is not None else None
    return Path(path) if path else None
