"""The choice of codes and what the decoder gets, against numpy and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.tokenizers.rq_vae.quantizers import (
    JOINT,
    KINDS,
    greedy,
    in_numpy,
    randomly,
    softmax,
    started,
    started_at,
    targets_of,
    vectors_of,
)

from semantic_ids.tokenizers.rq_vae.gradients import rotate

# ---- which codes ---------------------------------------------------------------------------------


def test_with_a_beam_of_one_each_level_takes_the_nearest_code():
    quantizer, z = started(beam_size=1)
    np.testing.assert_array_equal(quantizer.eval()(z).codes, greedy(z, in_numpy(quantizer)))


def test_a_beam_that_holds_all_codes_finds_the_best_of_all():
    books = [randomly(size, 4, seed=size) for size in (3, 4, 2)]
    quantizer, z = started_at(books, beam_size=24).eval(), 2 * randomly(80, 4, seed=9)
    every = np.array(list(itertools.product(range(3), range(4), range(2))))
    points = vectors_of(in_numpy(quantizer), every).sum(0)
    best = every[((z.numpy()[:, None] - points[None]) ** 2).sum(-1).argmin(1)]
    np.testing.assert_array_equal(quantizer(z).codes, best)
    assert (greedy(z, in_numpy(quantizer)) != best).any()


def test_a_beam_lowers_the_error():
    books = [randomly(16, 6, seed=level) / (1 + level) for level in range(3)]
    z = 1.5 * randomly(400, 6, seed=9)
    errors = [
        ((z - started_at(books, beam_size=beam).eval()(z).value) ** 2).sum(1).mean().item()
        for beam in (1, 5, 50)
    ]
    assert errors[0] > errors[1] >= errors[2]


@pytest.mark.parametrize("training", [True, False])
def test_without_draws_training_chooses_the_codes_that_encoding_does(training):
    quantizer, z = started(beam_size=3)
    expected = quantizer.codes(z)
    assert torch.equal(quantizer.train(training)(z).codes, expected)


@pytest.mark.parametrize(
    ("changes", "heat"),
    [({"sampling": 2.0}, 2.0), ({"gradient": "gumbel"}, 1.0)],
    ids=["sampling", "gumbel"],
)
def test_codes_are_drawn_the_likelier_the_smaller_their_error(changes, heat):
    books = [0.3 * randomly(4, 3, seed=1), 0.3 * randomly(3, 3, seed=2)]
    quantizer, point, n = started_at(books, **changes).train(), randomly(3, seed=3), 20_000
    quantizer.temperature = 1e-5  # a mixture is then a single code; it does not change which one
    codes = quantizer(point.expand(n, 3)).codes.numpy()
    books = in_numpy(quantizer)
    errors = ((point.numpy() - books[0]) ** 2).sum(1)
    np.testing.assert_allclose(
        np.bincount(codes[:, 0], minlength=4) / n,
        softmax(-errors / errors.min() / heat),
        atol=0.015,
    )
    left = ((point.numpy() - books[0][:, None] - books[1][None]) ** 2).sum(
        -1
    )  # errors of the second level under each first code
    unit = left[codes[:, 0]].min(1).mean()
    for first in range(4):
        seconds = codes[codes[:, 0] == first, 1]
        assert len(seconds) > 10
        often = np.bincount(seconds, minlength=3) / len(seconds)
        np.testing.assert_allclose(
            often, softmax(-left[first] / unit / heat), atol=2 / np.sqrt(len(seconds))
        )


def test_nothing_is_drawn_in_evaluation():
    quantizer, z = started(sampling=5.0)
    assert torch.equal(quantizer.eval()(z).codes, quantizer.codes(z))
    assert not torch.equal(quantizer.train()(z).codes, quantizer.codes(z))


@pytest.mark.parametrize(
    "changes", [{"sampling": 2.0}, {"masking": 0.5}, {"gradient": "gumbel"}], ids=str
)
def test_the_generator_decides_what_is_drawn(changes):
    quantizer, z = started(quantizer="end_to_end", **changes)
    values = []
    for seed in (1, 1, 2):
        quantizer.generator.manual_seed(seed)
        values.append(quantizer.train()(z).value)
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])


def lopsided():
    """Codebooks of which most vectors like the same last code, and the vectors."""
    z = randomly(240, 3, seed=4)
    last = 0.4 * randomly(6, 3, seed=5)
    last[1:] += 3.0
    return [randomly(5, 3, seed=6), last], z


def test_sinkhorn_shares_the_last_level_out_evenly_while_training():
    books, z = lopsided()
    quantizer = started_at(books, quantizer="gradient", sinkhorn=0.003, sinkhorn_iterations=1000)
    nearest = quantizer.codes(z)
    codes = quantizer.train()(z).codes
    assert torch.equal(codes[:, 0], nearest[:, 0])
    assert np.bincount(nearest[:, 1], minlength=6).max() > 120
    np.testing.assert_allclose(np.bincount(codes[:, 1], minlength=6), 40, atol=6)


def test_sinkhorn_changes_nothing_in_evaluation_nor_where_it_is_not_wanted():
    books, z = lopsided()
    shared, plain = (
        started_at(books, quantizer="gradient", sinkhorn=0.003, sinkhorn_iterations=1000).eval(),
        started_at(books, quantizer="gradient").train(),
    )
    assert torch.equal(shared(z).codes, shared.codes(z)) and torch.equal(
        plain(z).codes, plain.codes(z)
    )


def test_sinkhorn_goes_together_with_codes_that_are_drawn():
    books, z = lopsided()
    quantizer = started_at(
        books, quantizer="gradient", sinkhorn=0.003, sinkhorn_iterations=1000, sampling=2.0
    ).train()
    codes = quantizer(z).codes
    assert not torch.equal(codes[:, 0], quantizer.codes(z)[:, 0])
    np.testing.assert_allclose(np.bincount(codes[:, 1], minlength=6), 40, atol=6)


# ---- values and distances ------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", ["straight_through", "rotation"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_value_is_the_sum_of_the_codes(kind, gradient):
    quantizer, z = started(quantizer=kind, gradient=gradient)
    books = in_numpy(quantizer)
    for training in (False, True):
        quantized = quantizer.train(training)(z)
        np.testing.assert_allclose(
            quantized.value.detach(), vectors_of(books, quantized.codes).sum(0), atol=1e-5
        )


def test_joint_distances_are_between_vectors_and_sums_of_codes():
    quantizer, z = started(joint=True)
    quantized = quantizer.eval()(z)
    errors = ((z.numpy() - vectors_of(in_numpy(quantizer), quantized.codes).sum(0)) ** 2).sum(1)
    np.testing.assert_allclose(quantized.commitment, errors, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(quantized.codebook.detach(), errors, rtol=1e-4, atol=1e-6)


def test_distances_level_by_level_are_those_of_what_is_left_over_added_up():
    quantizer, z = started(joint=False)
    quantized = quantizer.eval()(z)
    rest, errors = z.numpy().astype(np.float64), 0.0
    for book, code in zip(in_numpy(quantizer), quantized.codes.T, strict=True):
        rest = rest - book[code]
        errors = errors + (rest**2).sum(1)
    np.testing.assert_allclose(quantized.commitment, errors, rtol=1e-4)
    np.testing.assert_allclose(quantized.codebook.detach(), errors, rtol=1e-4)


# ---- gradients -----------------------------------------------------------------------------------


@JOINT
@pytest.mark.parametrize("kind", KINDS)
def test_the_commitment_pulls_the_encoder_alone(kind, joint):
    quantizer, z = started(quantizer=kind, joint=joint)
    z, weights = z.requires_grad_(), randomly(len(z), seed=3)
    quantized = quantizer.eval()(z)
    (quantized.commitment * weights).sum().backward()
    left = z.detach().numpy() - vectors_of(in_numpy(quantizer), quantized.codes).cumsum(
        0
    )  # after each level
    expected = 2 * (left[-1] if joint else left.sum(0)) * weights.numpy()[:, None]
    np.testing.assert_allclose(z.grad, expected, atol=1e-4)
    assert all(book.grad is None for book in quantizer.codebooks)


@JOINT
@pytest.mark.parametrize("kind", ["end_to_end", "gradient"])
def test_the_codebook_loss_pulls_the_codebooks_alone(kind, joint):
    quantizer, z = started(quantizer=kind, joint=joint)
    z, weights = z.requires_grad_(), randomly(len(z), seed=3)
    quantized = quantizer.eval()(z)
    (quantized.codebook * weights).sum().backward()
    assert z.grad is None
    vectors = vectors_of(in_numpy(quantizer), quantized.codes)
    targets = targets_of(z.detach().numpy(), vectors, joint)
    for level, book in enumerate(quantizer.codebooks):
        expected = np.zeros(book.shape)
        np.add.at(
            expected,
            quantized.codes[:, level].numpy(),
            2 * (vectors[level] - targets[level]) * weights.numpy()[:, None],
        )
        np.testing.assert_allclose(book.grad, expected, atol=1e-3)


@pytest.mark.parametrize("gradient", ["straight_through", "rotation", "gumbel"])
@pytest.mark.parametrize("masking", [0.0, 0.7])
def test_with_quantizer_gradient_the_reconstruction_does_not_reach_the_codebooks(gradient, masking):
    quantizer, z = started(quantizer="gradient", gradient=gradient, masking=masking)
    z = z.requires_grad_()
    quantizer.train()(z).value.square().sum().backward()
    assert all(book.grad is None or not book.grad.any() for book in quantizer.codebooks)
    assert z.grad.abs().max() > 0.1


@pytest.mark.parametrize("gradient", ["straight_through", "rotation"])
def test_end_to_end_each_code_gets_the_gradients_of_the_items_that_have_it(gradient):
    quantizer, z = started(quantizer="end_to_end", gradient=gradient)
    weights = randomly(*z.shape, seed=3)
    quantized = quantizer.train()(z)
    (quantized.value * weights).sum().backward()
    for level, book in enumerate(quantizer.codebooks):
        expected = np.zeros(book.shape)
        np.add.at(expected, quantized.codes[:, level].numpy(), weights.numpy())
        np.testing.assert_allclose(book.grad, expected, atol=1e-4)


def test_end_to_end_levels_that_are_masked_get_no_gradient():
    quantizer, z = started((4, 3, 5), quantizer="end_to_end", masking=0.6)
    weights, books = randomly(*z.shape, seed=3), in_numpy(quantizer)
    quantized = quantizer.train()(z)
    (quantized.value * weights).sum().backward()
    kept = kept_levels(quantized, books)
    for level, book in enumerate(quantizer.codebooks):
        expected = np.zeros(book.shape)
        np.add.at(
            expected, quantized.codes[:, level].numpy(), weights.numpy() * (kept > level)[:, None]
        )
        np.testing.assert_allclose(book.grad, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_gets_the_gradient_straight_through(kind):
    quantizer, z = started(quantizer=kind, gradient="straight_through")
    z, weights = z.requires_grad_(), randomly(*z.shape, seed=3)
    (quantizer.train()(z).value * weights).sum().backward()
    torch.testing.assert_close(z.grad, weights)


@pytest.mark.parametrize("kind", KINDS)
def test_or_turned_and_scaled_as_the_sum_of_the_codes_is_against_the_vector(kind):
    quantizer, z = started(quantizer=kind, gradient="rotation")
    z, weights, books = z.requires_grad_(), randomly(*z.shape, seed=3), in_numpy(quantizer)
    quantized = quantizer.train()(z)
    (quantized.value * weights).sum().backward()
    vectors = torch.from_numpy(vectors_of(books, quantized.codes).sum(0))
    exact = z.detach().double().requires_grad_()
    (rotate(exact, vectors) * weights).sum().backward()
    torch.testing.assert_close(z.grad.double(), exact.grad, rtol=1e-3, atol=1e-3)
    scale = np.linalg.norm(vectors, axis=1) / np.linalg.norm(z.detach(), axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(z.grad, axis=1), scale * np.linalg.norm(weights, axis=1), rtol=1e-3
    )
    assert not np.allclose(z.grad, weights, atol=0.1)


def test_codebooks_of_averages_have_no_gradient():
    quantizer, _ = started(quantizer="ema")
    assert not any(book.requires_grad for book in quantizer.codebooks)
    assert all(
        book.requires_grad
        for kind in ("gradient", "end_to_end")
        for book in started(quantizer=kind)[0].codebooks
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradient", ["straight_through", "rotation"])
def test_codebooks_that_move_during_a_step_do_not_disturb_its_gradients(kind, gradient):
    found = []
    for training in (False, True):
        quantizer, z = started(
            (8, 6), quantizer=kind, gradient=gradient, reset_below=0.7, decay=0.5
        )
        z = z.requires_grad_()
        quantized = quantizer.train(training)(z)
        (
            quantized.value.pow(3).sum() + quantized.commitment.sum() + quantized.codebook.sum()
        ).backward()
        found.append([z.grad, *(book.grad for book in quantizer.codebooks if book.requires_grad)])
    assert quantizer.resets > 0
    for still, moving in zip(*found, strict=True):
        torch.testing.assert_close(moving, still)


@pytest.mark.parametrize("kind", KINDS)
def test_nor_those_of_a_soft_draw(kind):
    found = []
    for reset_below in (0.0, 0.9):
        quantizer, z = started(
            (8, 6), quantizer=kind, gradient="gumbel", reset_below=reset_below, decay=0.5
        )
        quantizer.generator.manual_seed(4)
        z = z.requires_grad_()
        quantizer.train()(z).value.pow(3).sum().backward()
        found.append(
            [z.grad, *(book.grad for book in quantizer.codebooks if book.grad is not None)]
        )
    assert quantizer.resets > 0
    for still, moving in zip(*found, strict=True):
        torch.testing.assert_close(moving, still)


# ---- Gumbel-softmax ------------------------------------------------------------------------------


def corners():
    """Four codes in four dimensions, so that a vector tells the weights it was mixed with."""
    return [2 * torch.eye(4) + 0.1 * randomly(4, 4, seed=1)]


def weights_in(value, book):
    return np.linalg.solve(book.T, value.detach().numpy().astype(np.float64).T).T


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_with_gumbel_the_value_is_a_mixture_of_codes_with_the_chosen_one_foremost(temperature):
    quantizer, z = (
        started_at(corners(), gradient="gumbel", quantizer="end_to_end").train(),
        randomly(300, 4, seed=2),
    )
    quantizer.temperature = temperature
    quantized = quantizer(z)
    weights = weights_in(quantized.value, in_numpy(quantizer)[0])
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert weights.min() > -1e-5 and 0.3 < weights.max(1).mean() < 0.99
    np.testing.assert_array_equal(weights.argmax(1), quantized.codes[:, 0])


def test_with_gumbel_codes_are_drawn_in_training_and_the_nearest_in_evaluation():
    quantizer, point, n = (
        started_at(corners(), gradient="gumbel").train(),
        randomly(4, seed=2),
        20_000,
    )
    codes = quantizer(point.expand(n, 4)).codes[:, 0]
    errors = ((point.numpy() - in_numpy(quantizer)[0]) ** 2).sum(1)
    np.testing.assert_allclose(
        np.bincount(codes, minlength=4) / n, softmax(-errors / errors.min()), atol=0.015
    )
    quantized = quantizer.eval()(point[None])
    assert quantized.codes.item() == errors.argmin()
    np.testing.assert_allclose(
        quantized.value[0].detach(), in_numpy(quantizer)[0][errors.argmin()], rtol=1e-6
    )


def test_with_gumbel_a_low_temperature_leaves_the_sums_of_the_codes():
    quantizer, z = started((4, 3, 5), gradient="gumbel", quantizer="end_to_end")
    quantizer.temperature = 1e-5
    quantized = quantizer.train()(z)
    np.testing.assert_allclose(
        quantized.value.detach(), vectors_of(in_numpy(quantizer), quantized.codes).sum(0), atol=1e-3
    )


def test_with_gumbel_gradients_of_vectors_and_codes_are_those_of_the_mixture():
    quantizer = started_at(corners(), gradient="gumbel", quantizer="end_to_end").train()
    quantizer.temperature = 0.8
    z, upstream = randomly(6, 4, seed=2).requires_grad_(), randomly(6, 4, seed=3)
    quantized = quantizer(z)
    (quantized.value * upstream).sum().backward()
    book, x, up = (
        in_numpy(quantizer)[0],
        z.detach().numpy().astype(np.float64),
        upstream.numpy().astype(np.float64),
    )
    weights = weights_in(quantized.value, book)
    unit = ((x[:, None] - book[None]) ** 2).sum(-1).min(1).mean()
    pull = weights * (
        up @ book.T - ((up @ book.T) * weights).sum(1, keepdims=True)
    )  # after the scores, of which −error / unit / T is part
    apart = x[:, None] - book[None]
    np.testing.assert_allclose(
        z.grad, (-2 / unit / 0.8) * np.einsum("mk,mkd->md", pull, apart), atol=1e-4
    )
    expected = weights.T @ up + (2 / unit / 0.8) * np.einsum("mk,mkd->kd", pull, apart)
    np.testing.assert_allclose(quantizer.codebooks[0].grad, expected, atol=1e-4)


# ---- masking -------------------------------------------------------------------------------------


def kept_levels(quantized, books):
    """How many first levels each value is the sum of: (m,); fails where it is no such sum."""
    partial = vectors_of(books, quantized.codes).cumsum(0)
    apart = np.abs(partial - quantized.value.detach().numpy()).max(-1)
    assert apart.min(0).max() < 1e-4
    return 1 + apart.argmin(0)


@pytest.mark.parametrize(
    "changes",
    [{"quantizer": "end_to_end"}, {"quantizer": "gradient"}, {"gradient": "rotation"}],
    ids=str,
)
def test_with_full_masking_every_value_is_the_sum_of_its_first_few_levels(changes):
    quantizer, z = started((4, 3, 5), n=600, masking=1.0, **changes)
    kept = kept_levels(quantizer.train()(z), in_numpy(quantizer))
    np.testing.assert_allclose(np.bincount(kept, minlength=4) / 600, [0, 0.5, 0.5, 0], atol=0.06)


def test_masking_is_the_share_of_items_that_are_masked():
    quantizer, z = started((4, 3, 5), n=2000, masking=0.3)
    kept = kept_levels(quantizer.train()(z), in_numpy(quantizer))
    np.testing.assert_allclose(
        np.bincount(kept, minlength=4) / 2000, [0, 0.15, 0.15, 0.7], atol=0.03
    )


def test_soft_mixtures_are_masked_in_the_same_way():
    quantizer, z = started((4, 3, 5), n=600, masking=1.0, gradient="gumbel")
    quantizer.temperature = 1e-5
    kept = kept_levels(quantizer.train()(z), in_numpy(quantizer))
    np.testing.assert_allclose(np.bincount(kept, minlength=4) / 600, [0, 0.5, 0.5, 0], atol=0.06)


@pytest.mark.parametrize(
    ("masking", "training"), [(0.0, True), (1.0, False)], ids=["switched_off", "evaluation"]
)
def test_nothing_is_masked_where_it_is_not_wanted_nor_in_evaluation(masking, training):
    quantizer, z = started((4, 3, 5), masking=masking)
    assert (kept_levels(quantizer.train(training)(z), in_numpy(quantizer)) == 3).all()


def test_a_single_level_is_never_masked():
    quantizer, z = started((4,), masking=1.0)
    assert (kept_levels(quantizer.train()(z), in_numpy(quantizer)) == 1).all()


def test_masking_changes_no_distance():
    masked, z = started((4, 3, 5), masking=1.0)
    plain, _ = started((4, 3, 5))
    torch.testing.assert_close(masked.train()(z).commitment, plain.train()(z).commitment)
