"""Annealing and refinement against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.conftest import clustered

from semantic_ids.quantization import refinement
from semantic_ids.quantization.refinement import anneal, encode, refine, solve
from semantic_ids.quantization.residual import ResidualQuantizer


@pytest.fixture
def z():
    points = torch.from_numpy(clustered(600, 10, seed=2))
    return points - points.mean(0)


def codebooks_from(z, sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        z[torch.randperm(len(z), generator=generator)[:size]] / (level + 1)
        for level, size in enumerate(sizes)
    ]


def error(z, codebooks, codes):
    return float(ResidualQuantizer(codebooks).errors(z, codes).double().sum())


def design(codes, sizes):
    """One row an item, one column a code of a level."""
    return np.concatenate(
        [np.eye(size)[codes[:, level].numpy()] for level, size in enumerate(sizes)], axis=1
    )


@pytest.mark.parametrize("ridge", [0.5, 4.0])
@pytest.mark.parametrize("sizes", [(9, 5, 7), (6,), (4, 4)])
def test_sweeps_lead_to_the_ridge_solution_of_the_stacked_codebooks(z, sizes, ridge):
    generator = torch.Generator().manual_seed(3)
    codes = torch.stack([torch.randint(0, size, (600,), generator=generator) for size in sizes], 1)
    a = design(codes, sizes)
    expected = np.linalg.solve(a.T @ a + ridge * np.eye(sum(sizes)), a.T @ z.double().numpy())
    found = codebooks_from(z, sizes)
    for _ in range(300):
        found, reseeded = solve(z, codes, found, ridge)
        assert reseeded == 0
    np.testing.assert_allclose(
        a @ np.concatenate([c.numpy() for c in found]), a @ expected, atol=2e-3
    )


def test_a_solution_without_tables_of_pairs_is_the_same(z, monkeypatch):
    """As where codebooks are large."""
    start = codebooks_from(z, (7, 16, 5))
    codes = refinement.encode(z, ResidualQuantizer(start), 1, 4)[0][:, 0]
    expected, _ = refinement.solve(z, codes, start, 1.0)
    monkeypatch.setattr(refinement, "LARGEST_PAIR", 40)  # one pair has a table, two have none
    monkeypatch.setattr(refinement, "PAIRED_ROWS", 100)
    found, _ = refinement.solve(z, codes, start, 1.0)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_solution_never_raises_what_it_minimises(z):
    sizes, ridge = (9, 5, 7), 2.0
    codebooks = codebooks_from(z, sizes)
    codes = ResidualQuantizer(codebooks).encode(z)
    values = []
    for _ in range(6):
        values.append(
            error(z, codebooks, codes)
            + ridge * sum(float(c.double().square().sum()) for c in codebooks)
        )
        codebooks, _ = solve(z, codes, codebooks, ridge)
    assert (
        all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(values))
        and values[-1] < 0.9 * values[0]
    )


def test_a_code_that_no_item_has_is_set_onto_the_worst_items(z):
    codebooks = [torch.zeros(3, 10), torch.zeros(2, 10)]
    codes = torch.zeros((600, 2), dtype=torch.int64)
    found, reseeded = solve(z, codes, codebooks, 0.0)
    assert reseeded == 3
    left = z - found[0][0] - found[1][0]
    worst = left.square().sum(1).topk(3).indices
    again = ResidualQuantizer(found)
    moved = codes[worst].clone()
    moved[0, 0], moved[1, 0], moved[2, 1] = 1, 2, 1
    assert again.errors(z[worst], moved).max() < 1e-6


def test_encode_finds_the_best_codes_and_their_errors(z):
    quantizer = ResidualQuantizer(codebooks_from(z, (4, 3, 5)))
    codes, errors = encode(z, quantizer, 7, 60)
    every = torch.tensor(list(itertools.product(range(4), range(3), range(5))))
    costs = (z[:, None].double() - quantizer.decode(every).double()).square().sum(-1)
    np.testing.assert_allclose(errors, costs.sort(1).values[:, :7], rtol=1e-3, atol=1e-3)
    for rank in range(7):
        np.testing.assert_allclose(
            quantizer.errors(z, codes[:, rank]), errors[:, rank], rtol=1e-3, atol=1e-3
        )


def test_fewer_ends_than_wanted_is_no_trouble(z):
    codes, errors = encode(z, ResidualQuantizer(codebooks_from(z, (2, 2))), 9, 9)
    assert codes.shape == (600, 4, 2) and errors.shape == (600, 4)


def annealed(z, sizes=(16, 16, 16), seed=0, rounds=24, **more):
    options = {"beam": 4, "rows": 300, "temperature": 0.3, "ridge": 0.5} | more
    made = list(
        anneal(
            z,
            codebooks_from(z, sizes),
            rounds=rounds,
            generator=torch.Generator().manual_seed(seed),
            **options,
        )
    )
    assert len(made) == rounds
    return made


def refined(z, codebooks, rounds=8, gain=0.0):
    return list(
        refine(
            z, codebooks, lambda q: encode(z, q, 1, 4)[0][:, 0], rounds=rounds, gain=gain, ridge=0.5
        )
    )


def test_annealing_ends_lower_than_refinement_alone(z):
    sizes = (16, 16, 16)
    alone = refined(z, codebooks_from(z, sizes), rounds=32)[-1].error
    with_annealing = [
        refined(z, annealed(z, seed=seed)[-1].codebooks)[-1].error for seed in range(3)
    ]
    assert np.mean(with_annealing) < 0.97 * alone


def test_annealing_takes_only_the_first_dimensions(z):
    spoilt = torch.cat([z[:, :6], torch.full((600, 4), 1e6)], 1)
    codebooks = [
        torch.nn.functional.pad(c, (0, 4), value=-1e9) for c in codebooks_from(z[:, :6], (8, 8))
    ]
    made = list(
        anneal(
            spoilt[:, :6],
            codebooks,
            beam=2,
            rounds=4,
            rows=600,
            temperature=0.1,
            ridge=1.0,
            generator=torch.Generator().manual_seed(0),
        )
    )
    assert made[-1].codebooks[0].shape == (8, 6) and made[-1].error < 100


def test_the_draw_follows_the_errors_and_the_temperature():
    errors = torch.tensor([1.0, 1.5, 3.0]).expand(60_000, 3)
    drawn = refinement._draw(errors, 0.7, torch.Generator().manual_seed(1))
    expected = np.exp(-np.array([1.0, 1.5, 3.0]) / 0.7)
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=3) / 60_000, expected / expected.sum(), atol=0.01
    )
    assert (refinement._draw(errors, 0.0, torch.Generator()) == 0).all()


@pytest.mark.parametrize(("n", "rows"), [(10, 3), (12, 4), (11, 10), (7, 7), (5, 9)])
def test_every_item_comes_once_before_any_comes_again(n, rows):
    drawn = refinement._shuffled(n, rows, torch.Generator().manual_seed(0))
    parts = list(itertools.islice(drawn, 30 * n // min(n, rows)))
    assert all(len(part) == len(part.unique()) == min(n, rows) for part in parts)
    together = torch.cat(parts)
    for order in together[: len(together) // n * n].split(n):
        assert sorted(order.tolist()) == list(range(n))


def test_refinement_lowers_the_error_and_stops_when_the_gain_is_small(z):
    start = codebooks_from(z, (16, 16))
    rounds = [done.error for done in refined(z, start, rounds=30)]
    assert all(after < before * (1 + 1e-3) for before, after in itertools.pairwise(rounds))
    assert (
        len(refined(z, start, rounds=30, gain=0.05))
        < len(refined(z, start, rounds=30, gain=0.001))
        <= 30
    )
    assert refined(z, start, rounds=0) == []
