"""What a node has no use for in a run is not loaded, and need not be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from semantic_ids.parameters import Parameters

UNREAD: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "export_faiss": ("tokenizer", lambda run: run.export.faiss),
}
"""Node → an input of it, and whether it is read with the parameters of a run."""


def leave_unread(parameters: Parameters, pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Put None in the place of inputs that nobody reads in this run.

    Args:
        parameters: Those of the run.
        pipeline: The nodes that will run.
        catalog: Of this run alone; changed.
    """
    from kedro.io import MemoryDataset

    for name, (dataset, is_read) in UNREAD.items():
        readers = {node.name for node in pipeline.nodes if dataset in node.inputs}
        if readers == {name} and dataset in pipeline.inputs() and not is_read(parameters):
            catalog[dataset] = MemoryDataset(None)
