"""Layers whose values and gradients are PyTorch's, and the same with any number of threads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from semantic_ids.compute import products
from semantic_ids.compute.threads import parts_alone
from semantic_ids.learning.layers import Linear, linear


def through(layer, x, threads=1):
    """The result of a layer and all gradients, computed on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        x = x.clone().requires_grad_()
        with parts_alone():
            result = layer(x)
            parts = [x, *layer.parameters()]
            return [result.detach(), *torch.autograd.grad(result.square().sum(), parts)]
    finally:
        torch.set_num_threads(before)


def alike(ours, theirs):
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_that_of_torch(rows, bias, monkeypatch):
    monkeypatch.setattr(products, "LEAST_PRODUCTS", 1)
    monkeypatch.setattr(products, "PIECE_ROWS", 4)
    torch.manual_seed(0)
    ours, theirs = alike(Linear(9, 6, bias=bias), nn.Linear(9, 6, bias=bias))
    x = torch.randn(rows, 9)
    torch.testing.assert_close(through(ours, x), through(theirs, x), rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_differences():
    torch.manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((5, 4), (3, 4), (3,))
    )
    assert torch.autograd.gradcheck(linear, (x, weight, bias))
    assert torch.autograd.gradcheck(lambda x: linear(x, weight.detach()), (x,))


@pytest.mark.parametrize(("width", "out"), [(768, 100), (384, 24), (100, 6), (24, 768)])
def test_no_bit_depends_on_the_number_of_threads(width, out):
    """At widths where a BLAS, left alone, rounds differently with two, three or four threads."""
    torch.manual_seed(0)
    x = torch.randn(1000, width)
    layer = nn.Sequential(Linear(width, out), nn.LayerNorm(out), nn.SiLU(), Linear(out, width))
    one = through(layer, x)
    for threads in (2, 3, 4):
        assert all(map(torch.equal, through(layer, x, threads), one))


def test_what_computes_in_bfloat16_is_left_to_torch():
    layer = Linear(8, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(3, 8)).dtype == torch.bfloat16
