from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semantic_ids.occupancy import _excess, items_until, rarefied, shared_rate, spilled_rate


def counts_of(cells):
    return np.unique(cells, return_counts=True)[1]


def shared(cells):
    """The definition: the share of items in whose cell there is another."""
    _, which, counts = np.unique(cells, return_inverse=True, return_counts=True)
    return float((counts[which] > 1).mean())


def spilled(cells, room):
    return np.maximum(counts_of(cells) - room, 0).sum() / len(cells)


@pytest.mark.parametrize("cells", [[0, 0, 1, 1, 1, 2, 3, 4], [0, 0, 0, 0, 0, 0], [0, 1, 2, 3]])
@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_rarefaction_is_the_mean_over_all_parts(cells, part):
    cells = np.array(cells)
    expected = np.mean(
        [shared(cells[list(rows)]) for rows in combinations(range(len(cells)), part)]
    )
    assert rarefied(counts_of(cells), part) == pytest.approx(expected, abs=1e-12)


def test_within_the_sample_the_share_is_known():
    cells = np.random.default_rng(0).integers(0, 300, 500)
    assert shared_rate(counts_of(cells), 500) == pytest.approx(shared(cells), abs=1e-12)
    assert shared_rate(counts_of(cells), 99.7) == rarefied(counts_of(cells), 100)


def chinese_restaurant(items, theta, seed):
    """Cells whose rates follow a gamma distribution of vanishing shape, drawn item by item.

    Ewens' sampling formula.
    """
    rng = np.random.default_rng(seed)
    cells = np.empty(items, dtype=np.int64)
    for item in range(items):
        old = rng.random() < item / (item + theta)
        cells[item] = cells[rng.integers(item)] if old else item
    return cells


@pytest.mark.parametrize("theta", [300, 5000, 50_000])
@pytest.mark.parametrize("times", [2, 20, 200])
def test_extrapolation_of_a_known_law(theta, times):
    """An item is alone among n with probability θ / (θ + n − 1)."""
    sample = 4000
    n = sample * times
    forecasts = [
        shared_rate(counts_of(chinese_restaurant(sample, theta, seed)), n) for seed in range(3)
    ]
    assert np.mean(forecasts) == pytest.approx((n - 1) / (theta + n - 1), rel=0.15)


@pytest.mark.parametrize("power", [0.6, 1.0])
def test_extrapolation_of_unevenly_used_cells(power):
    rng = np.random.default_rng(1)
    weights = np.arange(1, 200_001) ** -power
    cells = rng.choice(200_000, 100_000, p=weights / weights.sum())
    assert shared_rate(counts_of(cells[:8000]), 100_000) == pytest.approx(shared(cells), rel=0.3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.floats(1, 1e9), st.floats(1, 1e9))
def test_more_items_never_share_less(counts, a, b):
    few, many = (shared_rate(np.array(counts), items) for items in sorted((a, b)))
    assert 0 <= few <= many + 1e-9 <= 1 + 1e-9


def test_a_sample_in_which_nobody_or_everybody_shares_is_carried_on_as_it_is():
    assert shared_rate(np.ones(50, dtype=int), 1e6) == 0
    assert shared_rate(np.array([50]), 1e6) == 1


@pytest.mark.parametrize(
    ("shape", "stop", "room"),
    [(0.2, 0.1, 5), (7.3, 0.4, 20), (40.0, 0.9, 3), (1e-9, 0.5, 4), (3.0, 0.5, 0)],
)
def test_excess_against_scipy(shape, stop, room):
    many = np.arange(20_000)
    expected = (np.maximum(many - room, 0) * stats.nbinom.pmf(many, shape, stop)).sum()
    assert _excess(shape, stop, room) == pytest.approx(expected, rel=1e-6)


def test_excess_of_items_already_there():
    assert _excess(4.0, 0.25, -3) == pytest.approx(12 + 3)


@pytest.mark.parametrize("spread", [0.3, 3.0])
@pytest.mark.parametrize("room", [20, 60])
def test_spill_of_cells_with_gamma_rates(spread, room):
    rng = np.random.default_rng(2)
    cells = np.repeat(np.arange(3000), rng.poisson(rng.gamma(spread, 20 / spread, 3000)))
    cells = rng.permutation(cells)
    truth = spilled(cells, room)
    forecast = spilled_rate(counts_of(cells[:6000]), 3000, len(cells), room)
    assert forecast == pytest.approx(truth, rel=0.1, abs=2e-3)


def test_chance_does_not_make_cells_overfull():
    """A sample of one item in 500, evenly spread, has a cell or two with 3 items.

    That is not a cell with 1,500.
    """
    counts = counts_of(np.random.default_rng(3).integers(0, 65_536, 8192))
    assert counts.max() >= 3
    assert (
        np.maximum(counts * 500.0 - 256, 0).sum() / (500 * 8192) > 0.3
    )  # what multiplying would say
    assert spilled_rate(counts, 65_536, 500 * 8192, 256) < 1e-3


def test_spill_where_everything_is_known():
    cells = np.random.default_rng(4).integers(0, 9, 400)
    assert spilled_rate(counts_of(cells), 30, 400, 40) == pytest.approx(spilled(cells, 40))
    assert spilled_rate(np.array([50]), 1, 1000, 600) == pytest.approx(0.4)
    assert spilled_rate(np.array([50]), 1, 600, 600) == 0


@pytest.mark.parametrize("cells", [10.0, 1e6, 2.0**62])
def test_the_number_of_cells_may_be_huge(cells):
    rates = [
        spilled_rate(np.array([90, 5, 5]), cells, 10_000, room)
        for room in (1, 10, 100, 10_000, 65_536)
    ]
    assert all(0 <= rate <= 1 for rate in rates) and rates == sorted(rates, reverse=True)
    assert rates[2] == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize(("spread", "rate"), [(0.3, 0.01), (3.0, 0.01), (3.0, 0.1)])
def test_items_until_a_share_finds_no_room_as_drawn(spread, rate):
    """Cells with gamma rates are filled item by item; those beyond their room are counted."""
    rng = np.random.default_rng(5)
    cells, room, there = 20_000, 40, 15_000
    rates = rng.gamma(spread, 1, cells)
    coming = rng.choice(cells, 1_000_000, p=rates / rates.sum())
    counts = np.bincount(coming[:there], minlength=cells)
    forecast = items_until(rate, np.minimum(counts, room)[counts > 0], cells, room)
    before = np.minimum(counts, room)
    further = coming[there:]
    order = np.argsort(further, kind="stable")
    starts = np.searchsorted(further[order], np.arange(cells))
    place = np.empty(len(further), dtype=np.int64)
    place[order] = np.arange(len(further)) - starts[further[order]]
    lost = np.cumsum(place + before[further] >= room) / np.arange(1, len(further) + 1)
    truth = np.flatnonzero(lost <= rate)[-1] + 1
    assert forecast == pytest.approx(truth, rel=0.15)


def test_items_until_where_everything_is_known():
    assert items_until(0.5, np.array([60]), 1, 100) == 80  # 40 of 80 find room
    assert items_until(0.01, np.array([100]), 1, 100) == 0
    assert items_until(0.01, np.full(10, 8), 10, 8) == 0
    even = items_until(0.01, np.full(1000, 100), 1000, 1000)  # all equal: nearly all of the room
    assert 0.85 < even / 900_000 < 1


@given(st.lists(st.integers(1, 9), min_size=2, max_size=30), st.integers(0, 50))
def test_more_room_is_never_less_headroom(counts, more):
    few, many = (items_until(0.01, np.array(counts), 40, 9 + extra) for extra in (0, more))
    assert few <= many
