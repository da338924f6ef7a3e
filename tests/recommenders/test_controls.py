"""IDs without meaning keep what they are to keep, and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.controls import control_ids, drawn, shuffled
from tests.recommenders import catalogues
from tests.recommenders.catalogues import catalogues as any_catalogue


def rows(codes):
    return [tuple(row) for row in codes.tolist()]


@settings(max_examples=60, deadline=None)
@given(any_catalogue(), st.integers(0, 99))
def test_what_is_kept(catalogue, seed):
    codes, sizes = catalogue
    dealt, random = shuffled(codes, seed), drawn(codes, sizes, seed)
    assert Counter(rows(dealt)) == Counter(rows(codes))
    assert sorted(Counter(rows(random)).values()) == sorted(Counter(rows(codes)).values())
    assert (random >= 0).all() and (random < sizes).all()
    assert dealt.dtype == random.dtype == codes.dtype and random.shape == codes.shape
    np.testing.assert_array_equal(dealt, shuffled(codes, seed))
    np.testing.assert_array_equal(random, drawn(codes, sizes, seed))
    np.testing.assert_array_equal(dealt, control_ids("shuffled", codes, sizes, seed))
    np.testing.assert_array_equal(random, control_ids("random", codes, sizes, seed))


def test_no_item_keeps_its_id_and_another_seed_deals_otherwise():
    codes = np.array(list(np.ndindex(8, 9, 10)), np.int32)
    dealt = shuffled(codes, 0)
    assert (dealt != codes).any(axis=1).all()
    assert (shuffled(codes, 1) != dealt).any() and (codes[:2] != shuffled(codes[:2], 3)).any()


def test_random_ids_are_even_and_know_nothing_of_the_old_ones():
    codes = np.stack([np.zeros(3000), np.arange(3000) // 60, np.arange(3000) % 60], axis=1)
    sizes = (4, 50, 60)
    random = drawn(codes.astype(np.int32), sizes, 0)
    assert len(set(rows(random))) == 3000
    for level, size in enumerate(sizes):
        counts = np.bincount(random[:, level], minlength=size)
        assert counts.min() > 0 and counts.std() < 2 * np.sqrt(3000 / size)
    assert abs(np.corrcoef(random[:, 1], codes[:, 1])[0, 1]) < 0.06
    shared = drawn(np.repeat(codes[:500], 6, axis=0).astype(np.int32), sizes, 0)
    together = shared.reshape(500, 6, 3)
    assert (together == together[:, :1]).all(axis=(1, 2)).mean() < 0.01  # others share them now


def test_all_there_are_and_more_levels_than_a_key_holds():
    full = np.array(list(np.ndindex(3, 4, 5)), np.int32)
    assert set(rows(drawn(full, (3, 4, 5), 1))) == set(rows(full))
    long = catalogues.drawn(50, (2**31 - 1,) * 4)
    assert len(set(rows(drawn(long, (2**31 - 1,) * 4, 0)))) == 50


@pytest.mark.parametrize("items", [0, 1])
def test_of_one_item_and_of_none(items):
    codes = np.ones((items, 2), np.int32)
    assert shuffled(codes, 0).shape == drawn(codes, (2, 3), 0).shape == (items, 2)
