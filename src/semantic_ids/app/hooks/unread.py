"""What a node has no use for in a run is not loaded, and need not be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from semantic_ids.parameters import Parameters


def _asks_neighbours(run: Any) -> bool:
    return "neighbours" in run.judge.baselines


UNREAD: dict[str, dict[str, Callable[[Any], bool]]] = {
    "tokenizer": {
        "export_faiss": lambda run: run.export.faiss,
        "export_onnx": lambda run: run.export.onnx,
    },
    "embeddings": {"fit_recommender": _asks_neighbours, "judge": _asks_neighbours},
}
"""Dataset → nodes that it is an input of, and whether they read it with the parameters of a run."""


def leave_unread(parameters: Parameters, pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Put None in the place of inputs that nobody reads in this run.

    Args:
        parameters: Those of the run.
        pipeline: The nodes that will run.
        catalog: Of this run alone; changed.
    """
    from kedro.io import MemoryDataset

    for dataset in UNREAD.keys() & pipeline.inputs():
        readers = [node.name for node in pipeline.nodes if dataset in node.inputs]
        reads = [UNREAD[dataset].get(name, _always) for name in readers]
        if not any(is_read(parameters) for is_read in reads):
            catalog[dataset] = MemoryDataset(None)


def _always(parameters: Any) -> bool:
    return True
