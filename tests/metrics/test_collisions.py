from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from semantic_ids.metrics.collisions import collisions, groups, moves


def test_collisions_against_counting_tuples(make_codes):
    codes = np.random.default_rng(1).integers(0, 3, (60, 3))
    counts = Counter(map(tuple, codes.tolist()))
    metrics = collisions(groups(make_codes(codes, (3, 3, 3))))
    assert metrics["codes.unique_rate"] == len(counts) / 60
    assert metrics["codes.collision_rate"] == sum(c for c in counts.values() if c > 1) / 60
    assert metrics["codes.max_collision"] == max(counts.values())


def test_moves_by_hand(make_codes):
    codes = make_codes([[0, 0], [0, 0], [0, 0], [1, 1], [1, 0]], (2, 3))
    ids = make_codes([[0, 0], [0, 1], [1, 2], [1, 1], [1, 1]], (2, 3))
    assert moves(codes, ids) == {
        "ids.unique_rate": 0.8,
        "ids.moved_rate": 0.6,
        "ids.spilled_rate": 0.2,
        "ids.suffixed_rate": 0.0,
    }


def test_a_suffix_makes_ids_unique_without_moving_anyone(make_codes):
    codes = make_codes([[0, 0], [0, 0], [0, 0], [1, 1]], (2, 3))
    ids = make_codes([[0, 0, 0], [0, 0, 1], [0, 0, 2], [1, 1, 0]], (2, 3, 3), levels=2)
    assert moves(codes, ids) == {
        "ids.unique_rate": 1.0,
        "ids.moved_rate": 0.0,
        "ids.spilled_rate": 0.0,
        "ids.suffixed_rate": 0.5,
    }


def test_a_wide_suffix_overflows_no_key(make_codes):
    sizes = (2**21, 2**21, 2**20)
    codes = np.array([[2**21 - 1, 5, 7]] * 3 + [[2**21 - 1, 5, 6]])
    ids = make_codes(np.column_stack([codes, [0, 1, 2, 0]]), (*sizes, 2**20), levels=3)
    assert len(groups(ids)) == 4


def test_one_level_cannot_spill(make_codes):
    metrics = moves(make_codes([[0], [0]], (3,)), make_codes([[0], [2]], (3,)))
    assert (metrics["ids.moved_rate"], metrics["ids.spilled_rate"]) == (pytest.approx(0.5), 0.0)
