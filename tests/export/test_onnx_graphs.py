"""A module of one input and one output becomes a graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch

from semantic_ids.export.onnx_graphs import graph


def session(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_any_module_of_one_input_and_one_output_is_written_the_same_way():
    module = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.GELU(), torch.nn.Linear(4, 3))
    data = graph(module, torch.zeros(3, 5), "vectors", "aligned", {"what": "a head"})
    found = session(data)
    x = np.random.default_rng(0).normal(size=(17, 5)).astype(np.float32)
    (made,) = found.run(["aligned"], {"vectors": x})
    with torch.no_grad():
        np.testing.assert_allclose(made, module(torch.from_numpy(x)).numpy(), atol=1e-6)
    assert found.get_modelmeta().custom_metadata_map == {"what": "a head"}
