"""Libraries that not every run needs: asked for before any work, not in the middle of it."""

from __future__ import annotations

from collections.abc import Collection

from semantic_ids.compute.faiss_library import require_faiss
from semantic_ids.export.faiss_index import OPTION, not_linear
from semantic_ids.export.onnx_graphs import require_exporter
from semantic_ids.extras import RUN, require
from semantic_ids.parameters import Parameters

ENGINE = "tokenizer.rq_kmeans.engine"


def require_rest() -> None:
    """Raise `MissingExtra` where a module of the extra `pipeline` that a stage imports is missing.

    Stages import theirs when they need them, in the middle of a run.
    """
    require(*RUN, where="a run of pipelines")


def require_faiss_if_wanted(parameters: Parameters, nodes: Collection[str]) -> None:
    """Refuse what FAISS could not do in the end.

    Args:
        parameters: Those of the run.
        nodes: Names of the nodes that will run.

    Raises:
        BadInput: FAISS is wanted and not installed, or an index of a tokenizer that it cannot hold.
    """
    if "export_faiss" in nodes and parameters.export.faiss:
        if parameters.tokenizer.kind != "rq_kmeans":
            raise not_linear(parameters.tokenizer.kind)
        require_faiss(OPTION)
    fits = "train" in nodes or ("evaluate" in nodes and parameters.evaluate.twin)
    options = parameters.tokenizer.in_use().get("rq_kmeans", {})
    if fits and options.get("engine") == "faiss":
        require_faiss(ENGINE)


def require_onnx_if_wanted(parameters: Parameters, nodes: Collection[str]) -> None:
    """Refuse graphs where the packages that write them are not installed.

    Args:
        parameters: Those of the run.
        nodes: Names of the nodes that will run.

    Raises:
        BadInput: One is wanted and missing.
    """
    if "export_onnx" in nodes and parameters.export.onnx:
        require_exporter()
