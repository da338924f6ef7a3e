"""The order of the rows of a training, and how they come.

Each once, evenly, at random, and as the array has them.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from semantic_ids.arrays import map_rows
from semantic_ids.learning import batches
from semantic_ids.learning.batches import Rows, batch_sizes, own_share, shuffled

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    """Blocks and buffers so small that a few hundred rows fill many of them."""
    monkeypatch.setattr(batches, "BLOCK_ROWS", 8)
    monkeypatch.setattr(batches, "BUFFER_ROWS", 64)


def windows_of(count, batch_rows, seed=0):
    return list(shuffled(count, batch_rows, torch.Generator().manual_seed(seed)))


def order_of(count, batch_rows, seed=0):
    return np.concatenate(
        [batch for window in windows_of(count, batch_rows, seed) for batch in window]
    )


def doubled(x):
    """A preparation that changes the width."""
    return torch.cat([2 * x, x - 1], dim=1)


def written(vectors, folder):
    np.save(folder / "vectors.npy", vectors)
    return map_rows(folder / "vectors.npy")


# ---- sizes and order -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "batch_rows"),
    [(1, 1), (1, 10), (10, 10), (11, 10), (700, 50), (701, 50), (1000, 999), (1001, 334), (7, 1)],
)
def test_batches_are_as_few_and_as_even_as_can_be(count, batch_rows):
    sizes = batch_sizes(count, batch_rows)
    assert sizes.sum() == count and sizes.max() <= batch_rows
    assert len(sizes) == np.ceil(count / batch_rows)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(
    ("count", "batch_rows"),
    [(1, 5), (7, 3), (700, 50), (701, 64), (1023, 100), (129, 128), (65, 1), (300, 7)],
)
@pytest.mark.parametrize("size", ["real", "small"])
def test_every_position_comes_once_in_batches_of_the_sizes_that_were_said(
    count, batch_rows, size, request
):
    if size == "small":
        request.getfixturevalue("small")
    windows = windows_of(count, batch_rows)
    found = [batch for window in windows for batch in window]
    np.testing.assert_array_equal([len(batch) for batch in found], batch_sizes(count, batch_rows))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(count))


def test_blocks_that_do_not_divide_the_buffer_lose_no_row(monkeypatch):
    monkeypatch.setattr(batches, "BLOCK_ROWS", 7)
    monkeypatch.setattr(batches, "BUFFER_ROWS", 50)
    for count in (48, 49, 50, 51, 343, 350, 1001):
        np.testing.assert_array_equal(np.sort(order_of(count, 13)), np.arange(count))


def test_batches_larger_than_the_buffer_are_whole(small):
    windows = windows_of(500, 200)
    assert [[len(batch) for batch in window] for window in windows] == [[166], [167], [167]]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([window[0] for window in windows])), np.arange(500)
    )


def test_the_same_seed_gives_the_same_order_and_another_epoch_another():
    np.testing.assert_array_equal(order_of(5000, 64, seed=3), order_of(5000, 64, seed=3))
    different = order_of(5000, 64, seed=3) != order_of(5000, 64, seed=4)
    assert different.mean() > 0.99
    generator = torch.Generator().manual_seed(3)
    first, second = (
        np.concatenate([b for w in shuffled(5000, 64, generator) for b in w]) for _ in range(2)
    )
    assert (first != second).mean() > 0.99


def test_a_window_is_what_a_buffer_holds_and_stems_from_few_blocks(small):
    for window in windows_of(2000, 16)[:-1]:
        rows = np.concatenate(window)
        assert len(window) == 64 // 16 and 56 <= len(rows) <= 64
        assert (
            len(np.unique(rows // 8)) <= len(rows) // 8 + 2
        )  # whole blocks, but for the first and the last


def test_the_order_is_random_enough():
    """Of a hundred thousand, where a row is says nothing of when it comes, and neighbours come far
    from each other.
    """
    count = 100_000
    order = order_of(count, 512)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    assert (
        abs(np.corrcoef(place, np.arange(count))[0, 1]) < 0.15
    )  # blocks of 256, of which there are 391: 3 standard errors
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.15
    apart = np.median(np.abs(np.diff(place)))
    assert apart > 0.2 * batches.BUFFER_ROWS  # of two random places in a buffer: 0.29
    assert (np.abs(np.diff(order)) == 1).mean() < 1e-3


def test_which_half_of_the_epoch_a_row_is_in_is_a_fair_draw():
    firsts = np.zeros(4000)
    for seed in range(300):
        firsts[order_of(4000, 100, seed)[:2000]] += 1
    assert firsts.mean() == 150
    assert abs(firsts - 150).max() < 5.5 * np.sqrt(300 / 4)


def test_neighbours_may_be_anywhere_in_a_window(small):
    """Within a window the rows of a block are spread evenly.

    The places of the first rows of blocks are uniform.
    """
    places = []
    for seed in range(200):
        window = np.concatenate(windows_of(640, 64, seed)[0])
        places += np.flatnonzero(window % 8 == 0).tolist()
    counts = np.histogram(places, bins=8, range=(0, 64))[0]
    expected = len(places) / 8
    assert ((counts - expected) ** 2 / expected).sum() < 24.3  # chi-square of 7 degrees: 0.1 %


# ---- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_shares_of_all_processes_are_together_each_batch(count, small):
    whole = [batch for window in windows_of(301, 10) for batch in window]
    shares = [
        [
            batch
            for window in own_share(iter(windows_of(301, 10)), slice(number, None, count))
            for batch in window
        ]
        for number in range(count)
    ]
    assert all(len(share) == len(whole) for share in shares)
    for batch, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(batch))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 11])
def test_the_chunks_of_all_processes_are_together_all_rows(held, count, monkeypatch):
    monkeypatch.setattr("semantic_ids.arrays.chunks.__defaults__", (100,))
    vectors = np.random.default_rng(0).normal(size=(1050, 3)).astype(np.float32)
    rows = Rows(vectors, np.arange(1050), lambda x: x, CPU, 3, hold=held)
    shares = [list(rows.in_order(slice(number, None, count))) for number in range(count)]
    assert [len(share) for share in shares] == [
        len(range(number, 11, count)) for number in range(count)
    ]
    together = np.concatenate([shares[chunk % count][chunk // count] for chunk in range(11)])
    np.testing.assert_array_equal(together, vectors)


# ---- rows ----------------------------------------------------------------------------------------

SUBSETS = {
    "all": np.arange(3000),
    "dense": np.setdiff1d(np.arange(3000), np.arange(5, 3000, 9)),
    "sparse": np.arange(2, 3000, 37),
    "clumped": np.concatenate(
        [np.arange(10, 40), np.arange(900, 1400), [1500], np.arange(2990, 3000)]
    ),
}


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("source", ["array", "map", "float16 map"])
@pytest.mark.parametrize("held", [True, False])
def test_batches_hold_the_prepared_rows_of_their_positions(
    subset, source, held, small, monkeypatch, tmp_path
):
    if not held:
        monkeypatch.setattr(batches, "HELD_BYTES", 0)
    vectors = (
        np.random.default_rng(0)
        .normal(size=(3000, 5))
        .astype(np.float16 if "16" in source else np.float32)
    )
    wanted, array = SUBSETS[subset], vectors if source == "array" else written(vectors, tmp_path)
    expected = doubled(torch.from_numpy(vectors[wanted].astype(np.float32))).numpy()
    rows = Rows(array, wanted, doubled, CPU, 10)
    assert (rows.held is not None) == held and len(rows) == len(wanted)
    windows = windows_of(len(wanted), 17, seed=5)
    positions = [batch for window in windows for batch in window]
    positions, found = zip(*rows.batches(iter(windows)), strict=True)
    for batch, told in zip(itertools.chain(*windows), positions, strict=True):
        np.testing.assert_array_equal(told, batch)
    for batch, x in zip(positions, found, strict=True):
        np.testing.assert_array_equal(x.numpy(), expected[batch])
    np.testing.assert_array_equal(torch.cat(list(rows.in_order(slice(None)))).numpy(), expected)
    some = np.array([len(wanted) - 1, 0, 3, 3, 1])
    np.testing.assert_array_equal(rows.at(some).numpy(), expected[some])


def test_rows_are_held_where_they_fit_and_only_where_it_is_wanted(monkeypatch):
    vectors, wanted = np.ones((100, 5), np.float32), np.arange(0, 100, 2)
    monkeypatch.setattr(batches, "HELD_BYTES", 50 * 10 * 4)
    assert Rows(vectors, wanted, doubled, CPU, 10).held is not None
    assert Rows(vectors, wanted, doubled, CPU, 10, hold=False).held is None
    monkeypatch.setattr(batches, "HELD_BYTES", 50 * 10 * 4 - 1)
    assert Rows(vectors, wanted, doubled, CPU, 10).held is None


def test_a_batch_without_rows_is_no_trouble(small, monkeypatch):
    """As a process gets it whose share of a small batch is nothing."""
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    for held in (True, False):
        rows = Rows(vectors, np.arange(40), lambda x: x, CPU, 3, hold=held)
        shares = [x for _, x in rows.batches(own_share(iter(windows_of(40, 1)), slice(1, None, 2)))]
        assert [x.shape for x in shares] == [(0, 3)] * 40


@pytest.fixture
def counted(monkeypatch):
    """What is read: for each read the first row, the last, and whether it was a run."""
    reads, real = [], batches.read_rows

    def read(array, rows, *more):
        reads.append(
            (rows.start, rows.stop - 1, True)
            if isinstance(rows, slice)
            else (int(rows[0]), int(rows[-1]), False)
        )
        return real(array, rows, *more)

    monkeypatch.setattr(batches, "read_rows", read)
    return reads


def test_a_large_map_is_read_in_long_runs(counted, monkeypatch, tmp_path):
    count = 200_000
    array = written(np.arange(2.0 * count, dtype=np.float32).reshape(count, 2), tmp_path)
    monkeypatch.setattr(batches, "HELD_BYTES", 0)
    rows = Rows(array, np.arange(count), lambda x: x, CPU, 2)
    seen = np.concatenate(
        [
            x[:, 0].numpy()
            for _, x in rows.batches(shuffled(count, 500, torch.Generator().manual_seed(0)))
        ]
    )
    np.testing.assert_array_equal(np.sort(seen), np.arange(0, 2 * count, 2))
    blocks = -(-count // batches.BLOCK_ROWS)
    assert (
        len(counted) <= blocks + 8
    )  # a block at a time at most: only where a window ends is one cut in two
    assert all(run for _, _, run in counted)
    assert (
        sum(last - first + 1 for first, last, _ in counted) <= 2.5 * count
    )  # and not much more is read than is wanted


def test_of_rows_nearly_all_wanted_whole_runs_are_read_and_of_few_only_those(counted, tmp_path):
    count = 60_000
    array = written(np.arange(2.0 * count, dtype=np.float32).reshape(count, 2), tmp_path)
    for step, runs in ((1, True), (50, False)):
        counted.clear()
        wanted = (
            np.arange(0, count, step)
            if step > 1
            else np.setdiff1d(np.arange(count), np.arange(0, count, 20))
        )
        rows = Rows(array, wanted, lambda x: x, CPU, 2, hold=False)
        list(rows.batches(shuffled(len(wanted), 500, torch.Generator().manual_seed(0))))
        assert {run for _, _, run in counted} == {runs}
