"""Balance against counting, and against brute force over all codes in float64."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tests.tokenizers.conftest import SIZES, fitted

from semantic_ids.quantization.balance import (
    FIRST_STEP,
    HARDER,
    PUSH,
    SETTLED_ROUNDS,
    Prices,
    settle,
)
from semantic_ids.tokenizers import load_tokenizer
from semantic_ids.tokenizers.format import MODEL_FILE

SMALL = (4, 3, 5)
WIDE = {"beam_size": 12}  # as many as SMALL has prefixes: the beam search is exhaustive
ITEMS = 1200


def skewed(n: int, dim: int, ratio: float, seed: int = 1, clusters: int = 20) -> np.ndarray:
    """Vectors around a few centres, each of which has `ratio` times the items of the one before."""
    rng = np.random.default_rng(seed)
    shares = ratio ** np.arange(clusters)
    centres = rng.normal(size=(clusters, dim))
    return (
        centres[rng.choice(clusters, n, p=shares / shares.sum())] + 0.5 * rng.normal(size=(n, dim))
    ).astype(np.float32)


@pytest.fixture(scope="module")
def vectors():
    return skewed(ITEMS, 12, ratio=0.7)


@pytest.fixture(scope="module")
def small(vectors):
    """A tokenizer whose codes can all be tried."""
    return fitted("rq_kmeans", vectors, sizes=SMALL, options={**WIDE, "balance": 1.5})


def loads(tokenizer, x) -> list[np.ndarray]:
    codes = tokenizer.encode(x)
    return [
        np.bincount(codes[:, level], minlength=size)
        for level, size in enumerate(tokenizer.codebook_sizes)
    ]


def tried(tokenizer, x) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All codes (c, L), the squared error of every item with each (m, c), and the prices of each.

    C,.
    """
    codes = np.array(list(itertools.product(*(range(size) for size in tokenizer.codebook_sizes))))
    books = [c.numpy().astype(np.float64) for c in tokenizer.quantizer.codebooks]
    z = tokenizer.preprocessing.apply(torch.from_numpy(x)).numpy().astype(np.float64)
    decoded = sum(book[codes[:, level]] for level, book in enumerate(books))
    prices = sum(
        price.numpy().astype(np.float64)[codes[:, level]]
        for level, price in enumerate(tokenizer.quantizer.prices)
    )
    return codes, ((z[:, None, :] - decoded[None]) ** 2).sum(2), prices


@pytest.mark.parametrize("balance", [1.25, 1.5])
def test_no_code_of_any_level_is_fuller_than_asked_for(vectors, balance):
    limits = [math.ceil(balance * ITEMS / size) for size in SIZES]
    free = loads(fitted("rq_kmeans", vectors), vectors)
    assert any(load.max() > limit for load, limit in zip(free, limits, strict=True))
    kept = loads(fitted("rq_kmeans", vectors, options={"balance": balance}), vectors)
    assert all(load.max() <= limit for load, limit in zip(kept, limits, strict=True))


def test_the_codes_have_the_least_error_and_prices_together(small, vectors):
    codes, errors, prices = tried(small, vectors)
    best = codes[(errors + prices).argmin(1)]
    np.testing.assert_array_equal(small.encode(vectors), best)
    assert (best != codes[errors.argmin(1)]).any()  # prices decide something


def test_candidates_costs_and_distortion_are_without_prices(small, vectors):
    x = vectors[:50]
    codes, errors, _ = tried(small, x)
    found, costs = small.candidates(x, 3)
    order = np.argsort(errors, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(found, codes[order])
    np.testing.assert_allclose(costs, np.take_along_axis(errors, order, 1), rtol=1e-4)

    own = small.encode(x)
    rows = np.arange(len(x))
    numbers = np.ravel_multi_index(tuple(own.T), SMALL)
    np.testing.assert_allclose(small.distortion(x, own), errors[rows, numbers], rtol=1e-4)
    firsts = numbers - own[:, -1]
    expected = errors[rows[:, None], firsts[:, None] + np.arange(SMALL[-1])]
    np.testing.assert_allclose(small.level_costs(x, own[:, :-1]), expected, rtol=1e-4)


def test_what_is_loaded_encodes_as_what_was_saved(small, vectors, tmp_path):
    small.save(tmp_path)
    again = load_tokenizer(tmp_path, device="cpu")
    np.testing.assert_array_equal(again.encode(vectors), small.encode(vectors))
    saved = load_file(tmp_path / MODEL_FILE)
    for level, (price, size) in enumerate(zip(small.quantizer.prices, SMALL, strict=True), start=1):
        np.testing.assert_array_equal(saved[f"price.{level}"], price.numpy())
        assert len(price) == size and (price >= 0).all()
    assert any((price > 0).any() for price in small.quantizer.prices)


def test_without_balance_there_are_no_prices(vectors, tmp_path):
    tokenizer = fitted("rq_kmeans", vectors)
    tokenizer.save(tmp_path)
    assert not tokenizer.quantizer.prices
    assert not [name for name in load_file(tmp_path / MODEL_FILE) if name.startswith("price")]
    assert not any("fullest" in row for row in tokenizer.history)


def test_equal_vectors_stay_together_and_the_others_keep_their_limits(caplog):
    x = skewed(600, 8, ratio=0.9)
    x[::5], x[1::5] = x[0], x[0]  # 240 of 600
    tokenizer = fitted("rq_kmeans", x, sizes=(8, 8), options={"balance": 1.5})
    codes = tokenizer.encode(x)
    assert (codes[0::5] == codes[0]).all() and (codes[1::5] == codes[0]).all()
    most = math.ceil(1.5 * 600 / 8)
    for level, load in enumerate(loads(tokenizer, x)):
        assert load[codes[0, level]] >= 240
        assert np.delete(load, codes[0, level]).max() <= most
    warned = [record.getMessage() for record in caplog.records if "balance" in record.getMessage()]
    assert len(warned) == 2 and all(
        "240 of them have the very same vector" in message for message in warned
    )


def test_a_bound_that_cannot_be_kept_ends_in_a_warning(caplog):
    """Six groups of 20 equal vectors do not go into four codes of at most 32 items."""
    x = np.repeat(skewed(6, 5, ratio=1.0), 20, axis=0)
    tokenizer = fitted("rq_kmeans", x, sizes=(4,), options={"balance": 1.05})
    (load,) = loads(tokenizer, x)
    assert load.max() == 40
    (warned,) = [
        record.getMessage() for record in caplog.records if "balance" in record.getMessage()
    ]
    assert (
        "has 40 of the 120 items fitted on, 1.33 times the mean" in warned
        and "too alike to be parted" in warned
    )


def test_a_bound_that_is_kept_ends_without_a_warning(vectors, caplog):
    fitted("rq_kmeans", vectors, options={"balance": 2.0})
    assert not [record for record in caplog.records if "balance" in record.getMessage()]


def test_the_same_twice_with_any_number_of_threads(vectors):
    before, torch_threads = (
        fitted("rq_kmeans", vectors, options={"balance": 1.5}),
        torch.get_num_threads(),
    )
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            again = fitted("rq_kmeans", vectors, options={"balance": 1.5})
            np.testing.assert_array_equal(again.encode(vectors), before.encode(vectors))
        finally:
            torch.set_num_threads(torch_threads)
        assert all(
            torch.equal(a, b)
            for a, b in zip(before.quantizer.codebooks, again.quantizer.codebooks, strict=True)
        )
        assert all(
            torch.equal(a, b)
            for a, b in zip(before.quantizer.prices, again.quantizer.prices, strict=True)
        )


def test_a_wide_bound_costs_little():
    x, sizes = skewed(2000, 12, ratio=0.85), (48, 32)
    free, bound = (
        fitted("rq_kmeans", x, sizes=sizes, options={"balance": balance}) for balance in (None, 3.0)
    )
    fullest = [
        max(load.max() * size / len(x) for load, size in zip(loads(one, x), sizes, strict=True))
        for one in (free, bound)
    ]
    assert fullest[1] <= 3.01 < fullest[0]  # rounded up to whole items
    errors = [
        float(tokenizer.distortion(x, tokenizer.encode(x)).mean()) for tokenizer in (free, bound)
    ]
    assert errors[1] < 1.1 * errors[0]


def test_the_history_says_how_full_the_fullest_code_is(vectors):
    tokenizer = fitted("rq_kmeans", vectors, options={"balance": 1.5})
    assert all(("fullest" in row) == (row["phase"] == "balance") for row in tokenizer.history)
    assert tokenizer.history[-1]["phase"] == "balance"
    fullest = max(
        load.max() * size / ITEMS
        for load, size in zip(loads(tokenizer, vectors), SIZES, strict=True)
    )
    assert tokenizer.history[-1]["fullest"] == pytest.approx(fullest)


def with_loads(*counts: int) -> torch.Tensor:
    """Codes (n, 1) of which so many are 0, so many 1, and so on."""
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))[:, None]


def prices_of(n: int, size: int, balance: float, unit: float = 1.0) -> Prices:
    return Prices(torch.arange(n, dtype=torch.float32)[:, None], (size,), balance, unit)


@pytest.mark.parametrize(("balance", "most"), [(1.5, 5), (1.01, 4), (2.0, 6), (9.0, 27)])
def test_a_limit_is_rounded_up_to_whole_items(balance, most):
    assert prices_of(12, 4, balance).most(4) == most


def test_excess_and_fullest_against_counting():
    prices = prices_of(12, 4, 1.5)
    assert (prices.excess(with_loads(5, 5, 2, 0)), prices.fullest(with_loads(5, 5, 2, 0))) == (
        1.0,
        pytest.approx(5 / 3),
    )
    assert (prices.excess(with_loads(1, 9, 1, 1)), prices.fullest(with_loads(1, 9, 1, 1))) == (
        pytest.approx(9 / 5),
        pytest.approx(3.0),
    )


def test_a_group_of_equal_vectors_may_be_as_full_as_it_is():
    z = torch.arange(12, dtype=torch.float32)[:, None]
    z[:7] = 3.0
    prices = Prices(z, (4,), 1.5, 1.0)
    assert prices.excess(with_loads(7, 5, 0, 0)) == 1.0
    assert prices.excess(with_loads(9, 3, 0, 0)) == pytest.approx(9 / 7)


def test_a_push_raises_the_prices_of_full_codes_only_and_harder_each_time():
    prices = prices_of(12, 4, 1.5, unit=2.0)
    prices.restart(PUSH)
    step = 2.0 * PUSH
    prices.push(with_loads(6, 5, 1, 0))
    torch.testing.assert_close(prices.levels[0], torch.tensor([step, 0.0, 0.0, 0.0]))
    prices.push(with_loads(6, 6, 0, 0))
    torch.testing.assert_close(
        prices.levels[0], torch.tensor([step + HARDER * step, step, 0.0, 0.0])
    )


def test_prices_follow_the_loads_and_never_fall_below_nothing():
    prices = prices_of(12, 4, 1.5)
    prices.follow(with_loads(9, 1, 1, 1))
    assert 0 < prices.levels[0][0] <= FIRST_STEP and not prices.levels[0][1:].any()
    raised = prices.levels[0][0]
    prices.follow(with_loads(1, 3, 4, 4))
    assert 0 <= prices.levels[0][0] < raised and not prices.levels[0][1:].any()


@pytest.mark.parametrize("best", [0, 5, 20])
def test_of_prices_that_all_miss_the_limit_the_best_are_kept(best):
    """Codes as told, round by round: in one round the fullest code has 7 items, in the others 9.

    5 are allowed.
    """
    z, prices, seen = torch.arange(12, dtype=torch.float32)[:, None], prices_of(12, 4, 1.5), []

    def choose(quantizer):
        seen.append(quantizer.prices[0].clone())
        return with_loads(7, 5, 0, 0) if len(seen) == best + 1 else with_loads(9, 3, 0, 0)

    rounds = list(settle(z, [torch.arange(4.0)[:, None]], prices, choose))
    assert len(rounds) == len(seen) == SETTLED_ROUNDS
    torch.testing.assert_close(prices.levels[0], seen[best], rtol=0, atol=0)
    assert [done.fullest for done in rounds] == pytest.approx(
        [7 / 3 if number == best else 3.0 for number in range(SETTLED_ROUNDS - 1)] + [7 / 3]
    )


def test_prices_that_keep_the_limit_stay_as_they_are():
    prices = prices_of(12, 4, 1.5)
    prices.levels = [torch.tensor([0.3, 0.0, 0.1, 0.0])]
    rounds = list(
        settle(torch.zeros(12, 1), [torch.zeros(4, 1)], prices, lambda _: with_loads(5, 4, 3, 0))
    )
    assert len(rounds) == 1
    torch.testing.assert_close(prices.levels[0], torch.tensor([0.3, 0.0, 0.1, 0.0]))
