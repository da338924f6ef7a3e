"""Codes shared out evenly, against linear assignment and scaled matrices in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from semantic_ids.tokenizers.rq_vae.sinkhorn import balanced_choice


def random_errors(m, K, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=(m, K)))


def counts(codes, K):
    return np.bincount(codes.numpy(), minlength=K)


@pytest.mark.parametrize(("m", "K"), [(480, 16), (300, 5)])
def test_each_code_gets_about_as_many_items(m, K):
    errors = random_errors(m, K) + torch.linspace(0, 0.3, K, dtype=torch.float64)
    shared, nearest = counts(balanced_choice(errors, 0.003, 50), K), counts(errors.argmin(1), K)
    np.testing.assert_allclose(shared, m / K, atol=0.1 * m / K + 1)
    assert nearest.max() > 1.3 * m / K


def test_a_code_that_is_nearest_to_all_items_gets_no_more_than_its_part():
    errors = random_errors(480, 8)
    errors[:, 3] -= 5
    assert (errors.argmin(1) == 3).all()
    np.testing.assert_allclose(counts(balanced_choice(errors, 0.003, 50), 8), 60, atol=9)


def test_with_little_entropy_it_is_the_cheapest_even_assignment():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        errors = rng.uniform(0.6, 1.0, size=(12, 4))
        home = rng.permutation(np.arange(12) % 4)
        errors[np.arange(12), home] = rng.uniform(0.0, 0.1, size=12)
        errors[:, 0] -= (
            0.7  # all of them would like the first code best: only an even plan sends them home
        )
        slots = np.repeat(np.arange(4), 3)
        items, chosen = linear_sum_assignment(errors[:, slots])
        best = slots[chosen[np.argsort(items)]]
        assert (errors.argmin(1) == 0).sum() > 3
        np.testing.assert_array_equal(balanced_choice(torch.from_numpy(errors), 0.01, 500), best)


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_every_item_takes_its_largest_share_of_the_plan_with_even_margins(epsilon):
    errors = random_errors(40, 6).numpy()
    plan = np.exp(-(errors - errors.min()) / np.ptp(errors) / epsilon)
    for _ in range(2000):
        plan *= 1 / 6 / plan.sum(0)
        plan *= 1 / 40 / plan.sum(1, keepdims=True)
    np.testing.assert_allclose(plan.sum(0), 1 / 6, rtol=1e-6)
    np.testing.assert_array_equal(
        balanced_choice(torch.from_numpy(errors), epsilon, 2000), plan.argmax(1)
    )


def test_a_constant_on_all_errors_and_their_scale_change_nothing():
    errors = random_errors(200, 8)
    codes = balanced_choice(errors, 0.01, 50)
    assert torch.equal(balanced_choice(errors + 17, 0.01, 50), codes)
    assert torch.equal(balanced_choice(errors * 1000, 0.01, 50), codes)
    assert not torch.equal(
        balanced_choice(errors, 1.0, 50), codes
    )  # as a change of scale would without the unit


def test_with_much_entropy_an_item_takes_the_code_that_suits_it_best_compared_with_all_items():
    errors = random_errors(200, 8)
    errors += torch.linspace(0, 2, 8, dtype=torch.float64)
    relative = errors - errors.mean(
        0
    )  # the plan is even up to first order: what is left is the error less those of code and item
    assert torch.equal(balanced_choice(errors, 1e4, 20), relative.argmin(1))
    assert not torch.equal(errors.argmin(1), relative.argmin(1))


def test_hardly_any_entropy_is_no_trouble():
    errors = random_errors(160, 8) + torch.linspace(0, 2, 8, dtype=torch.float64)
    np.testing.assert_allclose(counts(balanced_choice(errors.float(), 1e-5, 2000), 8), 20, atol=8)
    assert counts(errors.argmin(1), 8).max() > 50


def test_items_without_a_choice_take_the_only_code():
    assert balanced_choice(random_errors(9, 1), 0.003, 50).tolist() == [0] * 9


def test_the_errors_are_left_as_they_are():
    errors = random_errors(20, 4)
    before = errors.clone()
    balanced_choice(errors, 0.01, 10)
    assert torch.equal(errors, before)
