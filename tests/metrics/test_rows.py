from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.metrics.rows import cosines, dots, ratio, unit


def test_cosine_of_a_zero_row_is_zero():
    a = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    b = np.array([[4.0, 3.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    assert cosines(a, b).tolist() == [24 / 25, 0.0, 0.0, 0.0]


def test_unit_keeps_zero_rows():
    assert unit(np.array([[0, 5], [0, 0]], dtype=np.float32)).tolist() == [[0.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize("dim", [1, 7, 384, 770, 9001])
def test_a_rows_result_does_not_depend_on_its_place(dim):
    """`np.einsum` fails this for one row of more than 8,192 numbers."""
    rng = np.random.default_rng(dim)
    a, b = rng.standard_normal((2, dim))
    together = dots(np.tile(a, (17, 1)), np.tile(b, (17, 1)))
    assert set(together) == set(dots(a[None], b[None]))


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1.0, 4.0, 0.25), (0.0, 0.0, 0.0), (1.0, 0.0, np.inf), (0.0, 2.0, 0.0)],
)
def test_ratio_to_nothing(part, whole, expected):
    assert ratio(part, whole) == expected
