"""Intervals against the normal law, against loops, and against what is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.recommenders import bootstrap
from semantic_ids.recommenders.bootstrap import difference, interval


def test_one_case_a_user_is_near_the_normal_law():
    rng = np.random.default_rng(0)
    values = (rng.random((3000, 2)) < [0.07, 0.5]).astype(float)
    found = interval(values, np.arange(3000), resamples=2000)
    error = values.std(axis=0) / np.sqrt(3000)
    np.testing.assert_allclose(found.mean, values.mean(axis=0))
    np.testing.assert_allclose(found.low, found.mean - 1.96 * error, atol=0.12 * error.max())
    np.testing.assert_allclose(found.high, found.mean + 1.96 * error, atol=0.12 * error.max())


def test_a_user_with_all_his_cases_at_once(monkeypatch):
    """Against a loop over the same draws; and cases of one user are wider than if independent."""
    rng = np.random.default_rng(1)
    users = rng.integers(0, 40, 500) * 7
    values = (rng.random(40)[users // 7] + rng.normal(0, 0.1, 500))[:, None]
    found = interval(values, users, resamples=300, seed=5)
    monkeypatch.setattr(bootstrap, "DRAWS", 101)  # in blocks: the same
    again = interval(values, users, resamples=300, seed=5)
    assert (again.low, again.high) == (found.low, found.high)
    names = np.unique(users)
    draws, means = np.random.default_rng(5), []
    for _ in range(300):
        drawn = np.concatenate(
            [values[users == names[u]] for u in draws.integers(0, len(names), len(names), np.int32)]
        )
        means.append(drawn.mean())
    np.testing.assert_allclose([found.low[0], found.high[0]], np.quantile(means, [0.025, 0.975]))
    alone = interval(values, np.arange(500), resamples=300)
    assert found.high - found.low > 1.5 * (alone.high - alone.low)


def test_pairs_are_compared_pair_by_pair():
    rng = np.random.default_rng(2)
    one = rng.random((400, 1))
    other, users = one + 0.01, np.arange(400)
    found = difference(other, one, users)
    np.testing.assert_allclose([found.mean, found.low, found.high], 0.01)
    assert interval(one, users).high > interval(other, users).low  # which alone say nothing


def test_equal_seeds_give_equal_draws_and_the_share_is_kept():
    values, users = np.random.default_rng(3).random((200, 3)), np.arange(200) // 2
    first, second = interval(values, users, seed=1), interval(values, users, seed=1)
    np.testing.assert_array_equal(first.low, second.low)
    assert (interval(values, users, seed=2).low != first.low).any()
    narrow = interval(values, users, seed=1, level=0.5)
    assert ((narrow.low > first.low) & (narrow.high < first.high)).all()


def test_nobody_and_nothing():
    nobody = interval(np.zeros((0, 2)), np.zeros(0, int))
    assert np.isnan([nobody.mean, nobody.low, nobody.high]).all()
    assert interval(np.zeros((3, 0)), np.arange(3)).mean.shape == (0,)
    same = interval(np.full((9, 1), 0.25), np.arange(9) % 4)
    assert [same.mean[0], same.low[0], same.high[0]] == pytest.approx([0.25] * 3)
