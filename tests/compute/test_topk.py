"""Against numpy's stable sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.compute.topk import first_argmin, top_k


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(1, 200), st.integers(1, 30), st.integers(0, 2**16))
def test_the_k_smallest_are_those_of_a_sort(m, n, k, seed):
    x = torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
    values, positions = top_k(x, k)
    np.testing.assert_array_equal(values, np.sort(x.numpy(), axis=1)[:, :k])
    np.testing.assert_array_equal(x.gather(1, positions), values)


@pytest.mark.parametrize("n", [1, 7, 64, 210])
def test_of_equal_ones_the_first(n):
    """Also of zeros of either sign."""
    rng = np.random.default_rng(n)
    x = rng.choice(np.float32([-1.0, -0.0, 0.0, 2.0]), (50, n))
    expected = np.argsort(x, axis=1, kind="stable")[:, :1]
    np.testing.assert_array_equal(first_argmin(torch.from_numpy(x))[:, None], expected)
    np.testing.assert_array_equal(top_k(torch.from_numpy(x), 1)[1], expected)
    # no shorter way pays for so many: the whole row is sorted
    np.testing.assert_array_equal(
        top_k(torch.from_numpy(x), n)[1], np.argsort(x, axis=1, kind="stable")
    )


def test_infinite_numbers_come_last():
    x = torch.tensor([[torch.inf, 3.0, -torch.inf, 1.0]])
    assert top_k(x, 4)[1].tolist() == [[2, 3, 1, 0]]
