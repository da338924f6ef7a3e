"""The quantiser with moving averages, a step at a time against numpy."""

from __future__ import annotations

import numpy as np
import torch

from semantic_ids.tokenizers.ema import EMAResidualQuantizer
from tests.conftest import clustered


def started(sizes=(4, 3), dim=5, decay=0.9, reset_below=0.0, n=200):
    z = torch.from_numpy(clustered(n, dim, seed=2))
    quantizer = EMAResidualQuantizer(sizes, dim, decay, reset_below)
    quantizer.initialize(z, batch_rows=n, generator=torch.Generator().manual_seed(0))
    return quantizer, z


def test_before_the_start_it_lets_everything_through():
    quantizer = EMAResidualQuantizer((4,), 5, 0.9, 0.0)
    z = torch.randn(6, 5)
    quantized = quantizer(z)
    assert torch.equal(quantized.value, z) and quantized.commitment == 0 and not quantizer.initialized


def test_the_flag_of_the_start_is_part_of_the_state():
    quantizer, _ = started()
    again = EMAResidualQuantizer((4, 3), 5, 0.9, 0.0)
    again.load_state_dict(quantizer.state_dict())
    assert bool(again.initialized)


def test_the_value_is_the_sum_of_the_codes_and_the_commitment_the_mean_error_of_the_levels():
    quantizer, z = started()
    quantizer.eval()
    quantized = quantizer(z)
    rest, commitment = z.numpy().astype(np.float64), 0.0
    for level, codebook in enumerate(quantizer.codebooks):
        book = codebook.detach().numpy().astype(np.float64)
        codes = ((rest[:, None] - book[None]) ** 2).sum(-1).argmin(1)
        np.testing.assert_array_equal(quantized.codes[:, level], codes)
        rest = rest - book[codes]
        commitment += (rest**2).sum(1).mean()
    np.testing.assert_allclose(quantized.value, z.numpy() - rest, atol=1e-5)
    np.testing.assert_allclose(float(quantized.commitment), commitment, rtol=1e-5)


def test_the_gradient_passes_straight_through_and_the_commitment_pulls_towards_the_codes():
    quantizer, z = started()
    quantizer.eval()
    z = z.clone().requires_grad_()
    weights = torch.randn_like(z)
    (quantizer(z).value * weights).sum().backward()
    torch.testing.assert_close(z.grad, weights)
    z.grad = None
    quantized = quantizer(z)
    quantized.commitment.backward()
    codebooks = [c.detach() for c in quantizer.codebooks]
    first = codebooks[0][quantized.codes[:, 0]]
    second = codebooks[1][quantized.codes[:, 1]]
    expected = 2 * ((z - first) + (z - first - second)) / len(z)  # d/dz of Σ_l ‖r_l − sg(e_l)‖², averaged over the batch
    torch.testing.assert_close(z.grad, expected.detach())


def test_a_step_moves_the_codebooks_as_the_averages_say():
    quantizer, z = started(decay=0.7)
    batch = z[:50] + 0.3
    uses = [quantizer.get_buffer(f"uses_{level}").clone() for level in range(2)]
    sums = [quantizer.get_buffer(f"sums_{level}").clone() for level in range(2)]
    before = [c.detach().clone() for c in quantizer.codebooks]
    quantizer.train()
    codes = quantizer(batch).codes
    rest = batch
    for level in range(2):
        hot = torch.nn.functional.one_hot(codes[:, level], len(before[level])).float()
        count = 0.7 * uses[level] + 0.3 * hot.sum(0)
        total = 0.7 * sums[level] + 0.3 * hot.T @ rest
        smoothed = (count + 1e-5) / (count.sum() + 1e-5 * len(count)) * count.sum()
        torch.testing.assert_close(quantizer.codebooks[level].detach(), total / smoothed[:, None])
        rest = rest - before[level][codes[:, level]]


def test_evaluation_moves_nothing():
    quantizer, z = started(reset_below=0.5)
    state = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer.eval()
    quantizer(z * 3)
    assert all(torch.equal(tensor, state[name]) for name, tensor in quantizer.state_dict().items())


def test_unused_codes_are_set_onto_the_worst_represented_rows():
    quantizer, z = started(sizes=(4,), decay=0.5, reset_below=0.2)
    quantizer.codebooks[0].data[3] = 1e3
    quantizer.get_buffer("sums_0")[3] = 1e3 * quantizer.get_buffer("uses_0")[3]
    quantizer.train()
    for _ in range(12):
        quantizer(z)
    assert quantizer.resets >= 1
    assert quantizer.codebooks[0].abs().max() < 20
    assert len(quantizer(z).codes.unique()) == 4


def test_zero_switches_resetting_off():
    quantizer, z = started(sizes=(4,), decay=0.5, reset_below=0.0)
    quantizer.codebooks[0].data[3] = 1e3
    quantizer.get_buffer("sums_0")[3] = 1e3 * quantizer.get_buffer("uses_0")[3]
    quantizer.train()
    for _ in range(12):
        quantizer(z)
    assert quantizer.resets == 0 and 3 not in quantizer(z).codes
