"""How full the cells of a catalogue get, judged by those of a sample or of what is there.

A cell is a full code or a prefix; items fall into cells.

All functions take the sample's cells as `counts`: shape (g,), the number of sampled items in each
cell that has one, at least 1 each.
"""

from __future__ import annotations

import math

import numpy as np

EVEN = 1e-6
"""Squared coefficient of variation of the cells' rates below which they are taken to be equal."""


def shared_rate(counts: np.ndarray, items: float) -> float:
    """Return the share of items that share their cell with another, in a catalogue of so many.

    Within the sample this is known. Beyond it, the odds of sharing are carried on as a power of the
    number of items: exact, with power 1, where the cells' rates follow a gamma distribution of
    vanishing shape, and in real catalogues a power below 1, which sinks as the catalogue grows.
    Power and sinking are those of the sample's last two doublings, s/4 → s/2 → s.

    Args:
        counts: The sample's cells.
        items: Items of the catalogue, at least 1; not an integer where cells are split or merged.
    """
    sample = int(counts.sum())
    if items <= sample:
        return rarefied(counts, round(items))
    rates = np.array([rarefied(counts, part) for part in (sample // 4, sample // 2, sample)])
    if rates.min() <= 0 or rates.max() >= 1:
        return float(rates[-1])
    odds = np.log(rates) - np.log1p(-rates)
    before, power = np.clip(np.diff(odds) / math.log(2), 0, 1)
    sinking, doublings = min(1.0, power / before) if before else 1.0, math.log2(items / sample)
    growth = power * (doublings if sinking == 1 else sum_of_powers(sinking, doublings))
    return float(1 / (1 + math.exp(-odds[-1] - growth * math.log(2))))


def sum_of_powers(ratio: float, terms: float) -> float:
    """Return ratio + ratio² + … + ratio^terms, by the closed form, so that there may be a part of a
    term; 0 ≤ ratio < 1.
    """
    return ratio * (1 - ratio**terms) / (1 - ratio)


def rarefied(counts: np.ndarray, items: int) -> float:
    """Return the share of items that share their cell, expected in a random part of the sample.

    An item of a cell of c is alone among m of s items if the other m − 1 are drawn from the s − c
    outside of its cell: the hypergeometric argument of rarefaction (S. H. Hurlbert, "The nonconcept
    of species diversity", Ecology 52(4), 1971).

    Args:
        counts: The sample's cells.
        items: Size m of the part, at most that of the sample.
    """
    if items < 2:
        return 0.0
    sample = int(counts.sum())
    kinds, number = np.unique(counts, return_counts=True)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, sample + 1)))])
    outside = sample - kinds
    left = outside - (items - 1)
    ways = (
        log_factorial[outside]
        - log_factorial[np.maximum(left, 0)]
        - log_factorial[sample - 1]
        + log_factorial[sample - items]
    )
    alone = np.where(left >= 0, np.exp(ways), 0.0)
    return float(np.clip(1 - (kinds * number * alone).sum() / sample, 0, 1))


def spilled_rate(counts: np.ndarray, cells: float, items: float, room: int) -> float:
    """Return the share of items for which their cell has no room, in a catalogue of so many.

    A cell that is twice as full in the sample need not be so in the catalogue: a sample of one item
    in a hundred has cells of three items by chance. So the cells' rates are taken to follow a gamma
    distribution with the mean and variance that the sample shows, and what the rest of the
    catalogue adds to a cell is negative binomial given what the sample has in it (the gamma-Poisson
    model of R. A. Fisher, A. S. Corbet and C. B. Williams, Journal of Animal Ecology 12(1), 1943).
    Cells with no item in the sample count as well.

    Args:
        counts: The sample's cells.
        cells: How many cells there are, empty ones included.
        items: Items of the catalogue; not an integer where cells are split or merged.
        room: Items that a cell has room for.
    """
    sample = int(counts.sum())
    if cells <= 1:
        return max(0.0, items - room) / items
    if items <= sample:
        return float(np.maximum(counts * (items / sample) - room, 0).sum() / items)
    return min(1.0, _without_room(counts, cells, items - sample, room) / items)


def items_until(rate: float, counts: np.ndarray, cells: float, room: int) -> int:
    """Return how many more items a catalogue takes before this share of them finds no room.

    By the model of `spilled_rate`. The share does not fall as more items come, so it is found by
    bisection.

    Args:
        rate: The share, below 1, of the items that come.
        counts: The cells of the items that are there, none with more than it has room for.
        cells: How many cells there are, empty ones included.
        room: Items that a cell has room for.

    Returns:
        The largest number of items of which, on average, at most that share finds no room; 0 where
        that is true of none.
    """
    free = max(0.0, cells * room - float(counts.sum()))

    def fit_in(items: int) -> bool:
        if cells <= 1:
            return items - free <= rate * items
        return _without_room(counts, cells, items, room) <= rate * items

    most = 1
    while fit_in(most):
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fit_in(middle) else (least, middle)
    return least


def _without_room(counts: np.ndarray, cells: float, items: float, room: int) -> float:
    """Return how many items of the catalogue their cells have no room for, once so many more have
    come.
    """
    sample = int(counts.sum())
    mean = sample / cells
    variance = float((counts * (counts - 1.0)).sum()) / cells - mean * mean
    shape = mean * mean / max(variance, EVEN * mean * mean)
    known = shape / mean + 1  # the gamma's rate, with the sample as one unit of observation more
    stop = known / (known + items / sample)
    kinds, number = np.unique(counts, return_counts=True)
    excess = (cells - len(counts)) * _excess(shape, stop, room)
    return excess + sum(
        n * _excess(kind + shape, stop, room - kind)
        for kind, n in zip(kinds.tolist(), number.tolist(), strict=True)
    )


def _excess(shape: float, stop: float, room: int) -> float:
    """Return E[max(0, X − room)] of a negative binomial X.

    Failures before the `shape`-th success of probability `stop`.

    As E[X] − E[min(X, room)], and from the probabilities of 1, 2 … alone, so that nothing is lost
    where X is nearly always 0.
    """
    mean = shape * (1 - stop) / stop
    if room <= 0:
        return mean - room
    some = np.arange(1, room + 1)
    none = shape * math.log(stop)
    chance = np.exp(none + np.cumsum(np.log((shape + (some - 1)) / some) + math.log1p(-stop)))
    more = max(0.0, -math.expm1(none) - float(chance.sum()))
    return max(0.0, mean - float((some * chance).sum()) - room * more)
