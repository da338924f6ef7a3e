"""Gradients past the choice of a code, against numpy, finite differences and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import gumbel_r, kstest

from semantic_ids.tokenizers.rq_vae.gradients import (
    gumbel_noise,
    relative_errors,
    rotate,
    soft_choice,
    straight_through,
)


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rotation(here, there):
    """The rotation within the plane of two directions that leads one to the other, by sine and
    cosine; the identity outside of it.
    """
    u, v = here / np.linalg.norm(here), there / np.linalg.norm(there)
    cosine = u @ v
    across = v - cosine * u
    sine = np.linalg.norm(across)
    w = across / sine
    return (
        np.eye(len(u))
        + (cosine - 1) * (np.outer(u, u) + np.outer(w, w))
        + sine * (np.outer(w, u) - np.outer(u, w))
    )


def soft_in_numpy(points, codebook, unit, noise, temperature):
    """Gumbel-softmax weights, with the unit of the errors given."""
    errors = ((points[:, None] - codebook[None]) ** 2).sum(-1) / unit
    powers = np.exp((noise - errors) / temperature)
    return powers / powers.sum(1, keepdims=True)


def slopes(function, at, width=1e-5):
    """Central differences of a number after every entry of an array."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = width
        found[place] = (function(at + step) - function(at - step)) / (2 * width)
    return found


# ---- straight through ----------------------------------------------------------------------------


def test_straight_through_has_the_value_of_the_codes_and_the_gradient_of_the_vector():
    z, quantized, weights = (
        drawn(6, 5, seed=1).requires_grad_(),
        drawn(6, 5, seed=2).requires_grad_(),
        drawn(6, 5, seed=3),
    )
    value = straight_through(z, quantized)
    torch.testing.assert_close(value, quantized)
    (value * weights).sum().backward()
    assert torch.equal(z.grad, weights) and quantized.grad is None


# ---- the rotation trick --------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [2, 3, 7])
def test_rotate_has_the_value_of_the_codes(dim):
    z, quantized = drawn(50, dim, seed=1), 3 * drawn(50, dim, seed=2)
    torch.testing.assert_close(rotate(z, quantized), quantized)


@pytest.mark.parametrize("dim", [2, 3, 7])
def test_rotate_turns_and_scales_gradients_as_the_vector_is_turned_and_scaled(dim):
    z, quantized, weights = (
        drawn(20, dim, seed=1).requires_grad_(),
        3 * drawn(20, dim, seed=2),
        drawn(20, dim, seed=3),
    )
    (rotate(z, quantized) * weights).sum().backward()
    for point, code, weight, gradient in zip(
        z.detach().numpy(), quantized.numpy(), weights.numpy(), z.grad.numpy(), strict=True
    ):
        turn = rotation(point, code)
        np.testing.assert_allclose(
            turn @ turn.T, np.eye(dim), atol=1e-12
        )  # the truth is itself a rotation …
        np.testing.assert_allclose(
            turn @ point / np.linalg.norm(point), code / np.linalg.norm(code), atol=1e-12
        )  # … that leads there
        scale = np.linalg.norm(code) / np.linalg.norm(point)
        np.testing.assert_allclose(gradient, scale * turn.T @ weight, atol=1e-10)
        slope = slopes(lambda moved: weight @ (scale * turn @ moved), point)  # noqa: B023 (called at once)
        np.testing.assert_allclose(gradient, slope, atol=1e-8)


def test_rotate_keeps_the_angle_of_a_gradient_with_the_vector():
    z, quantized, weights = (
        drawn(40, 6, seed=4).requires_grad_(),
        drawn(40, 6, seed=5),
        drawn(40, 6, seed=6),
    )
    (rotate(z, quantized) * weights).sum().backward()
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(cosine(z.grad, z.detach()), cosine(weights, quantized))


def test_rotate_gives_the_codes_no_gradient():
    z, quantized = drawn(4, 3, seed=1).requires_grad_(), drawn(4, 3, seed=2).requires_grad_()
    rotate(z, quantized).sum().backward()
    assert quantized.grad is None and z.grad.abs().min() > 0


def test_where_vector_and_code_point_the_same_way_the_rotation_only_scales():
    z, weights = drawn(5, 4, seed=1).requires_grad_(), drawn(5, 4, seed=2)
    value = rotate(z, 2.5 * z.detach())
    torch.testing.assert_close(value, 2.5 * z)
    (value * weights).sum().backward()
    torch.testing.assert_close(z.grad, 2.5 * weights)


def test_where_vector_and_code_are_exactly_opposite_the_value_is_still_the_code():
    z = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]).requires_grad_()
    value = rotate(z, -2 * z.detach())
    torch.testing.assert_close(value, -2 * z)
    value.sum().backward()
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-5, 1e-3])
@pytest.mark.parametrize("dim", [2, 3, 64])
def test_where_they_are_nearly_opposite_too(dim, noise):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn((50, dim), generator=generator).requires_grad_()
    code = -0.7 * z.detach() + noise * torch.randn((50, dim), generator=generator)
    value = rotate(z, code)
    torch.testing.assert_close(value, code)
    value.sum().backward()
    assert z.grad.abs().max() < 10 * dim**0.5


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-7])
def test_a_vector_without_a_direction_gets_the_code_and_the_gradient_straight_through(length):
    z, code = torch.full((2, 3), length).requires_grad_(), torch.ones((2, 3))
    value = rotate(z, code)
    torch.testing.assert_close(value, code)
    value.sum().backward()
    torch.testing.assert_close(z.grad, torch.ones((2, 3)))


@pytest.mark.parametrize(
    ("vector", "code"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1e-30, 1.0), (1.0, -1.0)]
)
def test_vectors_without_a_direction_give_finite_numbers(vector, code):
    z = torch.full((2, 3), vector).requires_grad_()
    value = rotate(z, torch.full((2, 3), code))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(z.grad).all()
    if code == 0:
        assert value.detach().abs().max() <= 1e-6


# ---- soft choices --------------------------------------------------------------------------------


def test_relative_errors_are_squared_errors_over_the_mean_of_the_least():
    points, codebook = drawn(30, 4, seed=1), drawn(7, 4, seed=2)
    errors = ((points[:, None] - codebook[None]) ** 2).sum(-1).numpy()
    np.testing.assert_allclose(
        relative_errors(points, codebook), errors / errors.min(1).mean(), rtol=1e-9
    )


def test_relative_errors_do_not_depend_on_the_scale_of_the_data():
    points, codebook = drawn(30, 4, seed=1), drawn(7, 4, seed=2)
    torch.testing.assert_close(
        relative_errors(100 * points, 100 * codebook), relative_errors(points, codebook)
    )


def test_relative_errors_of_points_that_are_codes_or_of_none_are_finite():
    codebook = drawn(7, 4, seed=2)
    assert torch.isfinite(relative_errors(codebook, codebook)).all()
    assert relative_errors(codebook[:0], codebook).shape == (0, 7)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_soft_choice_is_the_softmax_of_noise_less_error(temperature):
    errors, noise = drawn(9, 6, seed=1).abs(), drawn(9, 6, seed=2)
    weights = soft_choice(errors, noise, temperature).numpy()
    powers = np.exp((noise.numpy() - errors.numpy()) / temperature)
    np.testing.assert_allclose(weights, powers / powers.sum(1, keepdims=True), rtol=1e-9)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)


def test_soft_choice_draws_as_gumbel_softmax_of_torch_does():
    errors = drawn(40, 6, seed=1, dtype=torch.float32).abs()
    torch.manual_seed(5)
    theirs = torch.nn.functional.gumbel_softmax(-errors, tau=0.7)
    torch.manual_seed(5)
    noise = -torch.empty_like(errors).exponential_().log()
    torch.testing.assert_close(soft_choice(errors, noise, 0.7), theirs)


def test_a_low_temperature_chooses_a_single_code():
    errors, noise = drawn(50, 6, seed=1).abs(), drawn(50, 6, seed=2)
    best = (noise - errors).numpy().argmax(1)
    np.testing.assert_allclose(soft_choice(errors, noise, 1e-5), np.eye(6)[best], atol=1e-6)


def test_a_high_temperature_mixes_all_codes_evenly():
    errors, noise = drawn(50, 6, seed=1).abs(), drawn(50, 6, seed=2)
    np.testing.assert_allclose(soft_choice(errors, noise, 1e6), np.full((50, 6), 1 / 6), atol=1e-5)


def test_gradients_pass_through_soft_choice_as_finite_differences_say():
    errors, noise = drawn(4, 5, seed=1).abs().requires_grad_(), drawn(4, 5, seed=2)
    assert torch.autograd.gradcheck(lambda e: soft_choice(e, noise, 0.8), (errors,))


def test_gradients_of_vectors_and_codes_are_those_of_a_choice_whose_unit_is_a_constant():
    points, codebook = drawn(4, 3, seed=1).requires_grad_(), drawn(5, 3, seed=2).requires_grad_()
    noise, weights = drawn(4, 5, seed=3), drawn(4, 5, seed=4).numpy()
    (
        soft_choice(relative_errors(points, codebook), noise, 0.8) * torch.from_numpy(weights)
    ).sum().backward()
    x, c = points.detach().numpy(), codebook.detach().numpy()
    unit = ((x[:, None] - c[None]) ** 2).sum(-1).min(1).mean()
    of_points = slopes(
        lambda moved: (weights * soft_in_numpy(moved, c, unit, noise.numpy(), 0.8)).sum(), x
    )
    of_codes = slopes(
        lambda moved: (weights * soft_in_numpy(x, moved, unit, noise.numpy(), 0.8)).sum(), c
    )
    np.testing.assert_allclose(points.grad, of_points, atol=1e-7)
    np.testing.assert_allclose(codebook.grad, of_codes, atol=1e-7)


# ---- noise ---------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_noise_and_another_seed_another():
    like = torch.zeros(3, 4)
    first, again, other = (
        gumbel_noise(like, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == (3, 4) and torch.equal(first, again) and not torch.equal(first, other)


def test_noise_is_distributed_as_gumbel_says():
    noise = (
        gumbel_noise(torch.zeros(400, 500), torch.Generator().manual_seed(0))
        .double()
        .numpy()
        .ravel()
    )
    assert noise.mean() == pytest.approx(np.euler_gamma, abs=0.01)
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.03)
    assert kstest(noise, gumbel_r.cdf).statistic < 0.004  # 1.36 / √n is 0.003
    assert np.isfinite(noise).all()


def test_the_code_of_largest_noise_less_error_is_drawn_as_often_as_a_softmax_says():
    errors = torch.tensor([0.0, 0.5, 1.0, 3.0])
    noise = gumbel_noise(torch.zeros(50_000, 4), torch.Generator().manual_seed(1))
    often = (
        np.bincount(soft_choice(errors.expand(50_000, 4), noise, 0.1).argmax(1), minlength=4)
        / 50_000
    )
    np.testing.assert_allclose(
        often, np.exp(-errors.numpy()) / np.exp(-errors.numpy()).sum(), atol=0.01
    )
