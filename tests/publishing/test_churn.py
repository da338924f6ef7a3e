"""Churn against counts by hand, and against scikit-learn."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from semantic_ids.publishing.churn import adjusted_rand, churn, error_ratio, reused, shares
from semantic_ids.publishing.relabel import CoOccurrence

SIZES = (4, 3, 5)


def ids(n: int, seed: int, sizes: tuple[int, ...] = SIZES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, k, n) for k in sizes], axis=1).astype(np.int32)


def changed(codes: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """The codes with a share of them drawn anew."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(codes.shape) < rate, ids(len(codes), seed + 1), codes)


def by_hand(old: np.ndarray, new: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Shares item by item, with every renaming of a level tried."""
    found, whole, levels = {}, float(weights.sum()), old.shape[1]

    def share(mask: list[bool]) -> float:
        return sum(w for w, yes in zip(weights, mask, strict=True) if yes) / whole

    rows = list(zip(old.tolist(), new.tolist(), strict=True))
    found["moved_rate"] = share([a != b for a, b in rows])
    aligned = []
    for level in range(levels):
        found[f"level.{level + 1}"] = share([a[level] == b[level] for a, b in rows])
        found[f"prefix.{level + 1}"] = share([a[: level + 1] == b[: level + 1] for a, b in rows])
        best = max(
            (
                [names[b[level]] == a[level] for a, b in rows]
                for names in permutations(range(SIZES[level]))
            ),
            key=share,
        )
        aligned.append(best)
        found[f"aligned.level.{level + 1}"] = share(best)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.6, 1.0])
def test_shares_are_those_counted_item_by_item(rate: float, weighted: bool) -> None:
    old = ids(60, seed=1)
    new = changed(old, rate, seed=2)
    weights = np.random.default_rng(3).random(60) if weighted else None
    found = shares(old, new, weights)
    for name, value in by_hand(old, new, np.ones(60) if weights is None else weights).items():
        assert found[name] == pytest.approx(value), name


def test_permuted_codebooks_are_equal_but_for_their_names() -> None:
    old = ids(4000, seed=1, sizes=(64, 50, 70))
    rng = np.random.default_rng(2)
    new = np.stack([rng.permutation(k)[old[:, i]] for i, k in enumerate((64, 50, 70))], axis=1)
    found = shares(old, new)
    for level in (1, 2, 3):
        assert found[f"aligned.level.{level}"] == found[f"aligned.prefix.{level}"] == 1
        assert found[f"ari.{level}"] == pytest.approx(1)
        assert found[f"level.{level}"] < 0.1
    assert found["moved_rate"] > 0.99


def test_another_width_moves_every_id_and_compares_the_levels_of_both() -> None:
    old = ids(50, seed=1)
    found = shares(old, old[:, :2])
    assert found["moved_rate"] == 1
    assert found["prefix.2"] == found["aligned.prefix.2"] == 1
    assert "level.3" not in found


def test_nothing_in_common_has_no_shares() -> None:
    assert shares(ids(0, 1), ids(0, 2)) == {}


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_adjusted_rand_is_that_of_scikit_learn(rate: float) -> None:
    old = ids(500, seed=4)
    new = changed(old, rate, seed=5)
    for level in range(3):
        assert shares(old, new)[f"ari.{level + 1}"] == pytest.approx(
            adjusted_rand_score(old[:, level], new[:, level])
        )


def test_adjusted_rand_of_one_group_and_of_single_items() -> None:
    for labels in (np.zeros(9, dtype=int), np.arange(9)):
        together = CoOccurrence.of(labels, labels, (9, 9))
        assert adjusted_rand(labels, labels, together) == adjusted_rand_score(labels, labels) == 1


def test_whole_weights_of_pairs_are_those_of_repeated_items() -> None:
    """A pair weighs the product, so pairs within an item's own copies are left out."""
    old, new = ids(12, 1)[:, 0], ids(12, 2)[:, 0]
    weights = np.random.default_rng(3).integers(1, 4, 12).astype(float)
    a, b = old[:, None] == old[None], new[:, None] == new[None]
    w = np.triu(np.outer(weights, weights), 1)
    both, before, now, every = (w * a * b).sum(), (w * a).sum(), (w * b).sum(), w.sum()
    chance = before * now / every
    together = CoOccurrence.of(old, new, (4, 4), weights)
    assert adjusted_rand(old, new, together, weights) == pytest.approx(
        (both - chance) / ((before + now) / 2 - chance)
    )


@dataclass(frozen=True)
class Ids:
    """What churn reads of a mapping."""

    hashes: np.ndarray
    codes: np.ndarray


def test_the_report_of_two_generations() -> None:
    """Items 0 to 9; 8 and 9 leave, 10 is new and 11 is back; item 3 gets another ID, which was
    item 20's."""
    every = np.stack(np.unravel_index(np.arange(60), SIZES), axis=1).astype(np.int32)
    codes = np.random.default_rng(6).permutation(every)[:21]
    old = Ids(np.arange(10, dtype=np.uint64), codes[:10])
    new = Ids(np.array([*range(8), 10, 11], dtype=np.uint64), codes[[*range(8), 10, 11]])
    new.codes[3] = codes[20]
    retired = Ids(np.array([11, 20], dtype=np.uint64), codes[[11, 20]])
    weights = np.array([1, 0, 0, 3, 0, 0, 0, 0, 50, 50.0])
    rows = np.arange(8)
    errors = np.full(8, 2.0), np.array([1, 2, 2, 4, 2, 2, 2, 2.0])
    found = churn(
        old,
        new,
        (rows, rows),
        revived=1,
        changed=2,
        issued=[retired],
        errors=errors,
        weights=weights,
    )
    counts = {"kept": 8, "new": 1, "retired": 2, "revived": 1, "changed": 2}
    assert {name: found[f"churn.items.{name}"] for name in counts} == counts
    assert found["churn.reused"] == 1
    assert found["churn.moved_rate"] == 1 / 8
    assert found["churn.weighted.moved_rate"] == 3 / 4
    assert found["churn.distortion_ratio"] == 17 / 16
    assert found["churn.weighted.distortion_ratio"] == 13 / 8
    plain, weighted = (
        {name.removeprefix(group) for name in found if name.startswith(group)}
        for group in ("churn.", "churn.weighted.")
    )
    assert weighted == {n for n in plain if not n.startswith(("items.", "weighted.", "reused"))}
    assert not any(".weighted." in name for name in churn(old, new, (rows, rows)))


def test_generations_without_a_common_item_have_counts_alone() -> None:
    old, new = (Ids(np.arange(k, k + 5, dtype=np.uint64), ids(5, k)) for k in (0, 5))
    nothing = np.empty(0, dtype=np.int64)
    found = churn(old, new, (nothing, nothing), errors=(np.empty(0), np.empty(0)))
    assert (found["churn.items.new"], found["churn.items.retired"]) == (5, 5)
    assert all(name.startswith(("churn.items.", "churn.reused")) for name in found)


def test_ratios_of_errors_are_of_sums() -> None:
    before, now = np.array([2.0, 6.0]), np.array([1.0, 9.0])
    assert error_ratio((before, now), None) == 10 / 8
    assert error_ratio((before, now), np.array([1.0, 0.0])) == 0.5
    assert error_ratio((before * 0, before * 0), None) == 1
    assert error_ratio((before * 0, now), None) == np.inf


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 5), st.lists(st.integers(0, 2), min_size=1, max_size=2)),
            max_size=6,
        ),
        max_size=4,
    )
)
def test_reused_counts_the_ids_of_two_owners(history: list[list[tuple[int, list[int]]]]) -> None:
    """A generation may hold IDs of different widths: each width is a part of its own."""
    parts, owners = [], {}
    for generation in history:
        for width in (1, 2):
            rows = [(owner, codes) for owner, codes in generation if len(codes) == width]
            parts.append(
                (
                    np.array([owner for owner, _ in rows], dtype=np.uint64),
                    np.array([codes for _, codes in rows], dtype=np.int32).reshape(-1, width),
                )
            )
        for owner, codes in generation:
            owners.setdefault(tuple(codes), set()).add(owner)
    assert reused(parts) == sum(len(found) > 1 for found in owners.values())


def test_ids_of_eight_levels_of_256_are_told_apart() -> None:
    codes = ids(300, seed=1, sizes=(256,) * 8)
    hashes = np.arange(300, dtype=np.uint64)
    assert reused([(hashes, codes), (hashes, codes)]) == 0
    assert reused([(hashes, codes), (hashes[::-1], codes)]) == 300


def test_a_million_items_take_seconds() -> None:
    old = ids(1_000_000, seed=1, sizes=(256, 256, 256))
    new = old.copy()
    new[::3] = ids(len(new[::3]), seed=2, sizes=(256, 256, 256))
    hashes = np.arange(len(old), dtype=np.uint64)
    began = time.process_time()
    shares(old, new)
    found = reused([(hashes, old), (hashes, new)])
    assert time.process_time() - began < 10
    both = np.concatenate([old, new]).astype(np.int64) @ [1 << 16, 1 << 8, 1]
    owned = np.unique(both << 20 | np.tile(hashes, 2).astype(np.int64)) >> 20
    assert found == np.count_nonzero(np.unique(owned, return_counts=True)[1] > 1) > 0
