"""The loss of a level, written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.losses import over_children, over_codes
from tests.recommenders.catalogues import catalogues


def by_hand(logits, code, among, smoothing):
    """−log of the softmax among some codes, with a share dealt out evenly to them."""
    chances = np.exp(logits[among] - logits[among].max())
    logs = np.log(chances / chances.sum())
    own = logs[among.index(code)]
    return -((1 - smoothing) * own + smoothing * logs.mean())


@settings(deadline=None, max_examples=40)
@given(catalogues(), st.sampled_from([0.0, 0.1]), st.integers(0, 99))
def test_it_is_the_softmax_over_what_may_follow(catalogue, smoothing, seed):
    codes, sizes = catalogue
    children = Children(codes, sizes)
    for level, size in enumerate(sizes):
        logits = torch.randn((len(codes), size), generator=torch.Generator().manual_seed(seed))
        found = over_children(logits, children, level, children.item_nodes, smoothing)
        for row, (prefix, code) in enumerate(
            zip(codes[:, :level], codes[:, level].tolist(), strict=True)
        ):
            same = (codes[:, :level] == prefix).all(1)
            among = sorted(set(codes[same, level].tolist()))
            expected = by_hand(logits[row].double().numpy(), code, among, smoothing)
            assert found[row].item() == pytest.approx(expected, abs=1e-4)


def test_over_codes_it_is_the_softmax_over_the_level():
    codes = np.array([[0, 1], [2, 1], [2, 3]], np.int32)
    children, logits = Children(codes, (3, 4)), torch.randn((3, 4))
    for smoothing in (0.0, 0.2):
        found = over_codes(logits, children, 1, children.item_nodes, smoothing)
        for row, code in enumerate([1, 1, 3]):
            expected = by_hand(logits[row].numpy(), code, [0, 1, 2, 3], smoothing)
            assert found[row].item() == pytest.approx(expected, abs=1e-5)


def test_what_cannot_follow_gets_no_gradient():
    codes = np.array([[0, 1], [0, 3], [1, 2]], np.int32)
    children, logits = Children(codes, (2, 4)), torch.randn((3, 4), requires_grad=True)
    over_children(logits, children, 1, children.item_nodes, 0.1).sum().backward()
    moved = logits.grad.abs() > 1e-6  # the lone code of the last has a rounding error at most
    assert moved.tolist() == [[False, True, False, True]] * 2 + [[False] * 4]
    assert logits.grad.isfinite().all()
