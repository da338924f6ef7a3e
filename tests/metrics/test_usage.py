from __future__ import annotations

from collections import Counter
from math import exp, log

import numpy as np
import pytest

from semantic_ids.metrics.usage import code_counts, usage


def test_against_counting_by_hand():
    rng = np.random.default_rng(0)
    sizes = (5, 9, 1)
    codes = np.column_stack([rng.integers(0, k, 40) * (rng.random(40) < 0.6) for k in sizes])
    metrics = usage(code_counts(codes, sizes))
    for level, size in enumerate(sizes):
        counts = Counter(codes[:, level].tolist())
        entropy = -sum(c / 40 * log(c / 40) for c in counts.values())
        assert metrics[f"codes.usage.{level + 1}"] == pytest.approx(len(counts) / size)
        assert metrics[f"codes.dead.{level + 1}"] == size - len(counts)
        assert metrics[f"codes.perplexity.{level + 1}"] == pytest.approx(exp(entropy))
        assert metrics[f"codes.entropy_ratio.{level + 1}"] == pytest.approx(
            entropy / log(size) if size > 1 else 1.0
        )
        assert metrics[f"codes.fullest.{level + 1}"] == pytest.approx(
            max(counts.values()) / (40 / size)
        )
    assert len(metrics) == 5 * len(sizes)


def test_even_use_is_a_perplexity_of_the_size_and_one_code_is_one():
    even = usage([np.full(8, 3)])
    assert (even["codes.perplexity.1"], even["codes.entropy_ratio.1"]) == (
        pytest.approx(8.0),
        pytest.approx(1.0),
    )
    assert even["codes.fullest.1"] == 1.0
    one = usage([np.array([0, 12, 0])])
    assert (one["codes.perplexity.1"], one["codes.entropy_ratio.1"], one["codes.dead.1"]) == (
        1.0,
        0.0,
        2,
    )
    assert one["codes.fullest.1"] == 3.0
