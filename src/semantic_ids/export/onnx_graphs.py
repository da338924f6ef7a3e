"""Networks as ONNX graphs, which run without torch.

A graph is one file with its weights in it, holds no path of the machine that wrote it, and is the
same bytes each time. What it was made from is in its metadata.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from semantic_ids.extras import EXTRAS, require

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

OPTION = "export.onnx"
OPSET = 20


def graph(
    module: nn.Module, example: Tensor, given: str, made: str, about: Mapping[str, str]
) -> bytes:
    """Write a module of one input and one output as a graph.

    Args:
        module: Takes a tensor whose first dimension is the batch.
        example: Such a tensor of a few rows.
        given: Name of the input.
        made: Name of the output.
        about: Metadata: name → text.

    Raises:
        MissingExtra: The packages that write graphs are not installed.
    """
    import torch

    require_exporter()
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[given],
            output_names=[made],
            verbose=False,
        )
    model = program.model_proto  # type: ignore[union-attr]
    _forget(model)
    for name, text in sorted(about.items()):
        entry = model.metadata_props.add()
        entry.key, entry.value = name, text
    return bytes(model.SerializeToString(deterministic=True))


def _forget(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of where and when it ran: stack traces hold paths."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:]
    parts = (*graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output)
    for part in (*parts, *model.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    model.doc_string, graph.doc_string = "", ""


def require_exporter(where: str = OPTION) -> None:
    """Raise `MissingExtra`, with the option that asks, unless what writes graphs is installed."""
    require(*EXTRAS["onnx"], where=where)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about itself from the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
