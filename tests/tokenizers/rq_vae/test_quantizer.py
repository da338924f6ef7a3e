"""The residual quantiser that learns, a step at a time against numpy and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.conftest import clustered
from tests.grouped import grouped

from semantic_ids.quantization.kmeans import kmeans
from semantic_ids.tokenizers.rq_vae.gradients import rotate
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from semantic_ids.tokenizers.rq_vae.quantizer import TrainableResidualQuantizer, residual_kmeans

KINDS = ("end_to_end", "gradient", "ema")
PLAIN = {
    "quantizer": "end_to_end",
    "joint": True,
    "beam_size": 5,
    "gradient": "straight_through",
    "temperature": 1.0,
    "sampling": 0.0,
    "decay": 0.95,
    "smoothing": 1e-5,
    "reset_below": 0.0,
    "masking": 0.0,
    "sinkhorn": None,
}
JOINT = pytest.mark.parametrize("joint", [True, False], ids=["joint", "level_by_level"])


def make(sizes=(4, 3), dim=5, **changes):
    """A quantiser that has not started."""
    return TrainableResidualQuantizer(sizes, dim, RQVAEOptions.of(grouped({**PLAIN, **changes})))


def started(sizes=(4, 3), dim=5, n=200, **changes):
    """A quantiser whose codebooks are residual k-means, and the vectors they were made of."""
    z = torch.from_numpy(clustered(n, dim, seed=2))
    generator = torch.Generator().manual_seed(0)
    quantizer = make(sizes, dim, **changes)
    quantizer.start(
        z,
        n,
        lambda rows: residual_kmeans(rows, sizes, lambda rest, size: kmeans(rest, size, generator)),
    )
    quantizer.generator.manual_seed(1)
    return quantizer, z


def started_at(books, **changes):
    """A quantiser with codebooks as given; no code has been used."""
    quantizer = make([len(book) for book in books], books[0].shape[1], **changes)
    quantizer.start(torch.zeros(1, books[0].shape[1]), 0, lambda _: books)
    quantizer.generator.manual_seed(1)
    return quantizer


def randomly(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def in_numpy(quantizer):
    return [book.detach().numpy().astype(np.float64) for book in quantizer.codebooks]


def vectors_of(books, codes):
    """The vector of each level's code: (L, m, d)."""
    return np.stack([book[np.asarray(code)] for book, code in zip(books, codes.T, strict=True)])


def targets_of(z, vectors, joint):
    """What each level's code is to stand for: (L, m, d)."""
    if joint:
        return np.stack([z - vectors.sum(0) + vector for vector in vectors])
    return np.stack([z - vectors[:level].sum(0) for level in range(len(vectors))])


def greedy(z, books):
    """The nearest code level by level: (m, L)."""
    rest, codes = z.numpy().astype(np.float64), []
    for book in books:
        codes.append(((rest[:, None] - book[None]) ** 2).sum(-1).argmin(1))
        rest = rest - book[codes[-1]]
    return np.stack(codes, 1)


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def state_of(quantizer):
    return {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}


# ---- the start -----------------------------------------------------------------------------------


def test_before_the_start_it_lets_everything_through():
    quantizer = make().train()
    z = randomly(6, 5).requires_grad_()
    quantized = quantizer(z)
    assert torch.equal(quantized.value, z) and not quantizer.started and not quantizer.initialized
    assert torch.equal(quantized.commitment, torch.zeros(6)) and torch.equal(
        quantized.codebook, torch.zeros(6)
    )
    assert torch.equal(quantized.codes, torch.zeros(6, 2, dtype=torch.int64))
    quantized.value.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_the_flag_of_the_start_is_part_of_the_state():
    quantizer, z = started()
    again = make()
    again.load_state_dict(quantizer.state_dict())
    assert again.started and bool(again.initialized)
    assert torch.equal(again.eval()(z).value, quantizer.eval()(z).value)


def test_a_state_from_before_the_start_undoes_it():
    quantizer, z = started()
    quantizer.load_state_dict(make().state_dict())
    assert not quantizer.started and torch.equal(quantizer(z).value, z)


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_takes_the_codebooks_that_are_made_for_the_vectors_given(kind):
    quantizer, z, seen = make(quantizer=kind), randomly(50, 5), []

    def books(rows):
        seen.append(rows)
        return [rows[:4], rows[10:13]]

    quantizer.start(z, 10, books)
    assert torch.equal(seen[0], z)
    assert torch.equal(quantizer.codebooks[0], z[:4]) and torch.equal(
        quantizer.codebooks[1], z[10:13]
    )


@JOINT
def test_the_averages_begin_as_if_there_had_been_batches(joint):
    z, books = randomly(120, 5), [randomly(4, 5, seed=1), 0.5 * randomly(3, 5, seed=2)]
    quantizer = make(quantizer="ema", joint=joint, beam_size=1)
    quantizer.start(z, 30, lambda _: books)
    for level, code in enumerate(greedy(z, in_numpy(quantizer)).T):
        uses = np.bincount(code, minlength=len(books[level])) / 4
        np.testing.assert_allclose(quantizer.get_buffer(f"uses_{level}"), uses)
        np.testing.assert_allclose(
            quantizer.get_buffer(f"sums_{level}"), books[level].numpy() * uses[:, None], rtol=1e-6
        )


def test_residual_kmeans_clusters_what_the_levels_before_left_over():
    z, seen = randomly(60, 3), []

    def cluster(rest, size):
        seen.append(rest.numpy().astype(np.float64))
        return rest[:size].clone()

    books = [book.numpy().astype(np.float64) for book in residual_kmeans(z, (5, 4, 3), cluster)]
    assert [book.shape for book in books] == [(5, 3), (4, 3), (3, 3)]
    codes = greedy(z, books)
    for level, rest in enumerate(seen):
        np.testing.assert_allclose(
            rest, z.numpy() - vectors_of(books, codes)[:level].sum(0), atol=1e-6
        )


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


def test_a_batch_in_parts_lets_averages_decay_once():
    """Codes that get nothing lose as much as if the batch had come at once."""
    uses = []
    for parts in (1, 3):
        quantizer, z = started(
            (4, 3), quantizer="ema", decay=0.5, accumulate=parts, reset_below=0.0
        )
        before = quantizer.get_buffer("uses_0").clone()
        alone = z[:1].expand(30, -1)
        for part in alone.tensor_split(parts):
            quantizer.train()(part)
        other = torch.arange(4) != quantizer.codes(z[:1])[0, 0]
        uses.append((quantizer.get_buffer("uses_0") / before)[other])
    torch.testing.assert_close(uses[0], uses[1])
    torch.testing.assert_close(uses[0], torch.full((3,), 0.5))


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


# ---- averages ------------------------------------------------------------------------------------


def averaged(quantizer, z, codes, level, target):
    """Uses and sums of a level after a step with a batch, by a loop in numpy."""
    decay = quantizer.options.codebook.ema_decay
    uses = decay * quantizer.get_buffer(f"uses_{level}").numpy().astype(np.float64)
    total = decay * quantizer.get_buffer(f"sums_{level}").numpy().astype(np.float64)
    for code, vector in zip(codes[:, level].tolist(), target, strict=True):
        uses[code] += 1 - decay
        total[code] += (1 - decay) * vector
    return uses, total


@JOINT
@pytest.mark.parametrize("smoothing", [1e-5, 5.0])
def test_a_step_moves_the_codebooks_as_the_averages_say(joint, smoothing):
    quantizer, z = started((4, 3, 2), quantizer="ema", decay=0.7, joint=joint, smoothing=smoothing)
    batch = z[:50] + 0.3
    codes, books = quantizer.codes(batch), in_numpy(quantizer)
    targets = targets_of(batch.numpy(), vectors_of(books, codes), joint)
    expected = [averaged(quantizer, batch, codes, level, targets[level]) for level in range(3)]
    assert torch.equal(quantizer.train()(batch).codes, codes)
    for level, (uses, total) in enumerate(expected):
        smoothed = (uses + smoothing) / (uses.sum() + smoothing * len(uses)) * uses.sum()
        np.testing.assert_allclose(quantizer.get_buffer(f"uses_{level}"), uses, rtol=1e-5)
        np.testing.assert_allclose(
            quantizer.get_buffer(f"sums_{level}"), total, rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            quantizer.codebooks[level], total / smoothed[:, None], rtol=1e-4, atol=1e-4
        )
        assert np.abs(quantizer.codebooks[level].numpy() - books[level]).max() > 0.01


def test_averages_come_to_the_means_of_the_vectors_of_each_code():
    quantizer, z = started((4,), quantizer="ema", decay=0.5, smoothing=0.0)
    quantizer.train()
    for _ in range(60):
        codes = quantizer(z).codes[:, 0]
    for k, code in enumerate(quantizer.codebooks[0]):
        torch.testing.assert_close(code, z[codes == k].mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["end_to_end", "gradient"])
def test_codebooks_that_learn_by_gradient_are_left_where_they_are_and_only_their_uses_are_counted(
    kind,
):
    quantizer, z = started(quantizer=kind, decay=0.6)
    books, uses = (
        in_numpy(quantizer),
        [quantizer.get_buffer(f"uses_{level}").numpy().copy() for level in range(2)],
    )
    codes = quantizer.train()(z[:40]).codes
    for level, book in enumerate(in_numpy(quantizer)):
        np.testing.assert_array_equal(book, books[level])
        counts = np.bincount(codes[:, level], minlength=len(book))
        np.testing.assert_allclose(
            quantizer.get_buffer(f"uses_{level}"), 0.6 * uses[level] + 0.4 * counts, rtol=1e-5
        )


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_moves_nothing(kind):
    quantizer, z = started(quantizer=kind, reset_below=5.0, masking=0.5, sinkhorn=0.01)
    state = state_of(quantizer)
    quantizer.eval()(z * 3)
    assert (
        all(torch.equal(tensor, state[name]) for name, tensor in quantizer.state_dict().items())
        and quantizer.resets == 0
    )
    quantizer.train()(z * 3)
    assert quantizer.resets > 0 and any(
        not torch.equal(tensor, state[name]) for name, tensor in quantizer.state_dict().items()
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"sinkhorn": 0.01}, {"sampling": 1.0}, {"gradient": "gumbel"}, {"masking": 0.5}],
    ids=str,
)
@JOINT
def test_a_batch_of_nothing_leaves_the_codebooks_where_they_are(changes, joint):
    quantizer, z = started(reset_below=0.5, joint=joint, **changes)
    books = in_numpy(quantizer)
    quantized = quantizer.train()(z[:0])
    assert (
        quantized.value.shape == (0, 5)
        and quantized.codes.shape == (0, 2)
        and quantized.commitment.shape == (0,)
    )
    for book, before in zip(in_numpy(quantizer), books, strict=True):
        np.testing.assert_array_equal(book, before)


# ---- codes that are hardly used ------------------------------------------------------------------


@JOINT
def test_unused_codes_are_set_onto_the_worst_represented_rows(joint):
    books = [randomly(6, 3, seed=1), 0.5 * randomly(5, 3, seed=2)]
    books[0][[1, 4]], books[1][2] = 1e3, 1e3
    quantizer, z = (
        started_at(books, quantizer="gradient", joint=joint, reset_below=0.02, decay=0.5).train(),
        2 * randomly(90, 3, seed=3),
    )
    for level in range(2):
        quantizer.get_buffer(f"uses_{level}").fill_(10.0)
    quantizer.get_buffer("uses_0")[[1, 4]], quantizer.get_buffer("uses_1")[2] = 0.2, 0.1
    before = in_numpy(quantizer)
    codes = quantizer(z).codes
    vectors = vectors_of(before, codes)
    for level, unused in enumerate(([1, 4], [2])):
        target = targets_of(z.numpy(), vectors, joint)[level]
        worst = target[np.argsort(((target - vectors[level]) ** 2).sum(1))[::-1][: len(unused)]]
        expected = before[level].copy()
        expected[unused] = worst
        np.testing.assert_allclose(quantizer.codebooks[level].detach(), expected, atol=1e-5)
        np.testing.assert_allclose(
            quantizer.get_buffer(f"uses_{level}")[unused], 90 / len(expected)
        )
    assert quantizer.resets == 3


def test_codes_of_averages_are_reset_together_with_their_sums():
    quantizer, z = started((4,), quantizer="ema", decay=0.5, reset_below=0.2)
    (
        quantizer.codebooks[0][3],
        quantizer.get_buffer("uses_0")[3],
        quantizer.get_buffer("sums_0")[3],
    ) = (1e3, 1.0, 1e3)
    codes = quantizer.codes(z)
    uses, total = averaged(quantizer, z, codes, 0, z.numpy())
    quantizer.train()(z)
    smoothed = (uses + 1e-5) / (uses.sum() + 4e-5) * uses.sum()
    moved = total / smoothed[:, None]
    worst = z[((z.numpy() - moved[codes[:, 0]]) ** 2).sum(1).argmax()]
    torch.testing.assert_close(quantizer.codebooks[0][3], worst)
    np.testing.assert_allclose(quantizer.codebooks[0][:3], moved[:3], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(quantizer.get_buffer("sums_0")[3], 50 * worst)
    assert quantizer.get_buffer("uses_0")[3] == 50 and quantizer.resets == 1


def test_codes_fall_out_of_use_only_after_a_while():
    quantizer, z = started((4,), quantizer="gradient", decay=0.5, reset_below=0.2)
    quantizer.codebooks[0].data[3] = 1e3
    quantizer.get_buffer("uses_0")[3] = (
        50  # its fair part of 200, which halves at every step: below 10 after three
    )
    resets = []
    quantizer.train()
    for _ in range(4):
        quantizer(z)
        resets.append(quantizer.resets)
    assert resets == [0, 0, 1, 1]


def test_a_code_that_has_been_reset_is_used_again():
    quantizer, z = started((4,), quantizer="ema", decay=0.5, reset_below=0.2)
    quantizer.codebooks[0].data[3] = 1e3
    quantizer.get_buffer("sums_0")[3] = 1e3 * quantizer.get_buffer("uses_0")[3]
    quantizer.train()
    for _ in range(12):
        quantizer(z)
    assert quantizer.resets >= 1 and quantizer.codebooks[0].abs().max() < 20
    assert len(quantizer(z).codes.unique()) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_zero_switches_resetting_off(kind):
    quantizer, z = started((4,), quantizer=kind, decay=0.5, reset_below=0.0)
    quantizer.codebooks[0].data[3] = 1e3
    quantizer.get_buffer("uses_0")[3] = 0
    if kind == "ema":
        quantizer.get_buffer("uses_0")[3], quantizer.get_buffer("sums_0")[3] = 1.0, 1e3
    quantizer.train()
    for _ in range(12):
        quantizer(z)
    assert (
        quantizer.resets == 0
        and 3 not in quantizer(z).codes
        and quantizer.codebooks[0][3].min() > 100
    )


def test_of_more_unused_codes_than_rows_only_as_many_are_reset():
    books = [100.0 + randomly(7, 3, seed=1)]
    quantizer, z = (
        started_at(books, quantizer="gradient", reset_below=0.1).train(),
        randomly(2, 3, seed=2),
    )
    quantizer(z)
    assert quantizer.resets == 2
    moved = (quantizer.codebooks[0].detach() != books[0]).any(1)
    found = quantizer.codebooks[0].detach()[moved]
    assert moved.sum() == 2
    np.testing.assert_allclose(found[found[:, 0].argsort()], z[z[:, 0].argsort()], atol=1e-4)
