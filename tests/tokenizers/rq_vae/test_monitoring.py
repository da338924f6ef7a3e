"""The figures of an epoch against numpy over all rows at once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.rq_vae.monitoring import (
    Validation,
    catalogue_row,
    refuse_collapse,
)
from semantic_ids.tokenizers.rq_vae.networks import Passed
from semantic_ids.tokenizers.rq_vae.quantizer import Quantized

CPU = torch.device("cpu")


def batch(rows: int, offset: float = 0.0, seed: int = 0):
    """Vectors, what was decoded of them, and the losses of each."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, 6)) + offset).astype(np.float32)
    decoded = (x + 0.3 * rng.normal(size=(rows, 6))).astype(np.float32)
    return x, decoded, rng.random(rows).astype(np.float32), rng.random(rows).astype(np.float32)


def validated(parts, data) -> dict[str, float]:
    validation = Validation(6, CPU)
    for part in parts:
        x, decoded, commitment, codebook = (torch.from_numpy(values[part]) for values in data)
        quantized = Quantized(
            decoded, torch.zeros((len(x), 2), dtype=torch.int64), commitment, codebook
        )
        validation.add(x, Passed(decoded, quantized))
    return validation.row("validation", "mse")


@pytest.mark.parametrize("offset", [0.0, 3.0])
@pytest.mark.parametrize("cuts", [[], [1], [10, 10, 333], list(range(7, 500, 7))])
def test_sums_over_chunks_are_the_figures_of_all_rows(cuts, offset):
    data = batch(500, offset)
    x, decoded, commitment, codebook = (values.astype(np.float64) for values in data)
    bounds = [0, *cuts, 500]
    found = validated([slice(a, b) for a, b in pairwise(bounds)], data)
    error = ((decoded - x) ** 2).sum()
    cosine = (decoded * x).sum(1) / np.linalg.norm(decoded, axis=1) / np.linalg.norm(x, axis=1)
    assert found == pytest.approx(
        {
            "validation_reconstruction": error / 500,
            "validation_commitment": commitment.mean(),
            "validation_codebook": codebook.mean(),
            "validation_relative_mse": error / ((x - x.mean(0)) ** 2).sum(),
            "validation_cosine": cosine.mean(),
        },
        rel=1e-5,
    )


def test_small_errors_are_not_lost_among_many_rows():
    """float32 would have lost them: a sum of millions beside parts of one."""
    validation, rows = Validation(1, CPU), 4096
    one = torch.ones((rows, 1))
    nothing = torch.full((rows,), 1 / 3)
    for _ in range(2000):
        validation.add(
            one,
            Passed(
                one, Quantized(one, torch.zeros((rows, 1), dtype=torch.int64), nothing, nothing)
            ),
        )
    assert validation.row("validation", "mse")["validation_commitment"] == pytest.approx(
        float(np.float32(1 / 3)), rel=1e-12
    )


def test_vectors_that_are_all_alike_have_no_relative_error():
    data = tuple(np.ones_like(values) for values in batch(20))
    assert validated([slice(0, 20)], data)["validation_relative_mse"] == 0.0


# ---- catalogue -----------------------------------------------------------------------------------


def catalogue(kind: str) -> np.ndarray:
    rng = np.random.default_rng(2)
    if kind == "random":
        return np.stack([rng.integers(0, k, 200) for k in (6, 4, 9)], 1)
    if kind == "skewed":
        return np.minimum(rng.geometric(0.5, (200, 3)) - 1, [5, 3, 8])
    if kind == "all alike":
        return np.full((200, 3), 2)
    if kind == "all different":
        return np.array([(a, b, c) for a in range(6) for b in range(4) for c in range(9)])
    return np.array([[5, 3, 8]])


@pytest.mark.parametrize("kind", ["random", "skewed", "all alike", "all different", "one"])
def test_the_row_of_the_catalogue_is_what_brute_force_says(kind):
    codes, sizes = catalogue(kind), (6, 4, 9)
    found = catalogue_row(codes, sizes)
    tuples = [tuple(code) for code in codes.tolist()]
    assert found.pop("unique_rate") == len(set(tuples)) / len(tuples)
    assert found.pop("collision_rate") == pytest.approx(
        np.mean([tuples.count(code) > 1 for code in tuples])
    )
    for level, size in enumerate(sizes, start=1):
        uses = [int((codes[:, level - 1] == code).sum()) for code in range(size)]
        used = [use for use in uses if use]
        bits = -sum(use / len(codes) * np.log2(use / len(codes)) for use in used)
        assert found.pop(f"usage.{level}") == pytest.approx(len(used) / size)
        assert found.pop(f"dead.{level}") == size - len(used)
        assert found.pop(f"perplexity.{level}") == pytest.approx(2**bits)
    assert not found


def test_codes_evenly_used_have_a_perplexity_of_their_number():
    found = catalogue_row(catalogue("all different"), (6, 4, 9))
    assert [found[f"perplexity.{level}"] for level in (1, 2, 3)] == pytest.approx([6, 4, 9])
    assert found["unique_rate"] == 1 and found["collision_rate"] == 0


# ---- collapse ------------------------------------------------------------------------------------


def row(*perplexities, dead=(3, 90)):
    found = {"step": 4}
    for level, (perplexity, unused) in enumerate(zip(perplexities, dead, strict=True), start=1):
        found |= {f"perplexity.{level}": perplexity, f"dead.{level}": unused}
    return found


@pytest.mark.parametrize(
    ("perplexity", "items", "refused"),
    [(10.01, 5000, False), (10.0, 5000, False), (9.99, 5000, True)],
)
def test_it_refuses_just_below_the_share_of_the_codes(perplexity, items, refused):
    if refused:
        with pytest.raises(BadInput):
            refuse_collapse(row(8.0, perplexity), (8, 100), items, 0.1)
    else:
        refuse_collapse(row(8.0, perplexity), (8, 100), items, 0.1)


def test_of_few_items_no_more_codes_are_asked_than_there_are_items():
    refuse_collapse(row(5.0, 5.0), (8, 100), 50, 0.1)
    with pytest.raises(BadInput):
        refuse_collapse(row(5.0, 4.99), (8, 100), 50, 0.1)


def test_a_share_of_nothing_never_refuses():
    refuse_collapse(row(1.0, 1.0), (8, 100), 5000, 0.0)


def test_what_it_says_names_level_epoch_dead_codes_and_what_to_do():
    with pytest.raises(BadInput) as raised:
        refuse_collapse(row(8.0, 4.25), (8, 100), 5000, 0.1)
    message = str(raised.value)
    assert (
        "level 2 has collapsed in epoch 4" in message
        and "90 of its 100 codes are dead" in message
        and "4.2 codes" in message
    )
    assert "0.1 × 100 = 10" in message
    for change in (
        "learning_rate",
        "encoder_rate",
        "reset_below",
        "commitment",
        "rq_kmeans",
        "smaller codebooks",
        "collapse_below",
    ):
        assert change in message
