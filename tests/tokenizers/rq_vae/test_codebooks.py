"""Codebooks that start, average and are reset, a step at a time against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tokenizers.rq_vae.quantizers import (
    JOINT,
    KINDS,
    greedy,
    in_numpy,
    make,
    randomly,
    started,
    started_at,
    state_of,
    targets_of,
    vectors_of,
)

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
