"""Whole prefix groups: which are drawn, what codes cost in them, what the last codebook gains."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from semantic_ids.codes import keys
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers import TokenizerCosts, deduplicate, unique_codes
from semantic_ids.quantization.costs import TensorCosts
from semantic_ids.quantization.residual import ResidualQuantizer, sums
from semantic_ids.tokenizers import prefix_groups
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.prefix_groups import LastLevelCosts, draw_groups
from tests.conftest import clustered
from tests.tokenizers.conftest import fitted

SIZES = (6, 6, 16)
assign = partial(unique_codes, candidates=4)


def some_codes(n=3000, seed=0):
    random = np.random.default_rng(seed)
    crowded = random.choice(36, n, p=random.dirichlet(np.full(36, 0.5)))
    first, second = np.divmod(crowded, 6)
    return np.column_stack([first, second, random.integers(0, 16, n)]).astype(np.int32)


def test_groups_are_drawn_whole_and_hold_no_more_items_than_codes():
    codes = some_codes(300)
    prefixes = keys(codes[:, :-1], SIZES)
    counts = np.bincount(prefixes, minlength=36)
    assert (counts > 16).any()  # some are overfull
    for most in (0, 20, 60, 300):
        rows = draw_groups(codes[:, :-1], SIZES, most)
        assert len(rows) <= most and (np.diff(rows) > 0).all()
        drawn = np.bincount(prefixes[rows], minlength=36)
        assert ((drawn == 0) | (drawn == counts)).all() and drawn.max(initial=0) <= 16
    assert len(rows) == counts[counts <= 16].sum()  # all that are not overfull


def test_the_draw_follows_from_the_prefixes_alone():
    codes = some_codes(300)
    order = np.random.default_rng(1).permutation(len(codes))
    drawn = draw_groups(codes[:, :-1], SIZES, 60)
    again = draw_groups(codes[order, :-1], SIZES, 60)
    np.testing.assert_array_equal(np.sort(order[again]), drawn)


def test_costs_are_those_of_the_whole_codes():
    generator = torch.Generator().manual_seed(0)
    books = [torch.randn(size, 5, generator=generator) for size in SIZES]
    z = torch.randn(400, 5, generator=generator)
    codes = some_codes(400)
    hashes = vector_hash(z.numpy())
    prefixes = torch.from_numpy(codes[:, :-1]).long()
    rest = TensorCosts(z - sums(books[:-1], prefixes), ResidualQuantizer(books[-1:]), hashes)
    found, whole = LastLevelCosts(rest, SIZES), TensorCosts(z, ResidualQuantizer(books), hashes)
    rows = np.array([3, 399, 0, 77])
    for ask in (
        lambda costs: costs.level_costs(rows, codes[rows, :-1]),
        lambda costs: costs.distortion(rows, codes[rows]),
        lambda costs: costs.likeness(rows),
    ):
        np.testing.assert_allclose(ask(found), ask(whole), rtol=1e-4, atol=1e-5)


def test_nearest_codes_that_are_not_looked_for_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(2)
    codes = some_codes(700, seed=2)
    prefixes = codes[draw_groups(codes[:, :-1], SIZES, 300), :-1]
    rest = torch.randn(len(prefixes), 5, generator=generator)
    codebook = torch.randn(16, 5, generator=generator)
    hashes, found = vector_hash(rest.numpy()), {}
    for crowded in (0.2, 2, 1000):  # none but who is alone, some, all are looked for
        monkeypatch.setattr(prefix_groups, "CROWDED", crowded)
        made = prefix_groups.refine_last_level(
            rest, prefixes, codebook, SIZES, assign, hashes, RQKMeansOptions(unique_rounds=3)
        )
        found[crowded] = list(made)
    assert len(found[0.2]) == len(found[2]) == len(found[1000]) > 1
    for one, other, last in zip(*found.values(), strict=True):
        assert one.error == other.error == last.error
        assert torch.equal(one.codebooks[0], other.codebooks[0])
        assert torch.equal(one.codebooks[0], last.codebooks[0])


# ---- the fit -------------------------------------------------------------------------------------

PARTLY = {"max_points_per_centroid": 50}
"""The fit sees 800 items."""
LEVELS = (16, 16, 16)


@pytest.fixture(scope="module")
def crowded():
    return clustered(2400, 8, seed=3, clusters=300)


@pytest.fixture(scope="module")
def refined(crowded):
    return fitted("rq_kmeans", crowded, sizes=LEVELS, options=PARTLY, assign=assign)


def unique_error(tokenizer, x):
    costs = TokenizerCosts(tokenizer, x)
    return deduplicate(
        tokenizer.encode(x), costs, strategy="reassign", candidates=4
    ).distortion_after


def test_a_fit_that_sees_a_part_of_the_items_gains_for_the_unique_ids_of_all(crowded, refined):
    plain = fitted("rq_kmeans", crowded, sizes=LEVELS, options=PARTLY)
    assert refined.report["rows"] == 800 and 0 < refined.report["unique_rows"] <= 800
    assert refined.report["unique_rounds"] > 0 == plain.report["unique_rounds"]
    assert plain.report["unique_rows"] == 0
    for level in (0, 1):
        assert torch.equal(refined.quantizer.codebooks[level], plain.quantizer.codebooks[level])
    assert unique_error(refined, crowded) < 0.99 * unique_error(plain, crowded)
    errors = refined.history.series("relative_mse_unique")[1]
    assert len(errors) == refined.report["unique_rounds"] and 0 < errors[-1] <= errors[0] < 1


def test_only_rows_fitted_on_are_in_the_groups(crowded):
    rows = np.flatnonzero(np.arange(len(crowded)) % 5)
    seen = []

    def watched(codes, costs):
        seen.append(costs.likeness(np.arange(len(codes))))
        found = assign(codes, costs)
        assert len(np.unique(found, axis=0)) == len(codes)
        return found

    tokenizer = fitted(
        "rq_kmeans", crowded, sizes=LEVELS, options=PARTLY, rows=rows, assign=watched
    )
    hashes = vector_hash(crowded)
    assert len(seen[0]) == tokenizer.report["unique_rows"]
    assert np.isin(seen[0], hashes[rows]).all() and not np.isin(seen[0], hashes[::5]).any()
    # every group is whole: as many items as have its prefix, by the codebooks before the rounds
    plain = fitted("rq_kmeans", crowded, sizes=LEVELS, options=PARTLY, rows=rows)
    prefixes = keys(plain.rough_prefixes(crowded, plain.quantizer)[rows], LEVELS)
    drawn = np.isin(hashes[rows], seen[0])
    assert not np.isin(prefixes[drawn], prefixes[~drawn]).any()


def test_the_same_with_any_number_of_threads(crowded, refined):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        again = fitted("rq_kmeans", crowded, sizes=LEVELS, options=PARTLY, assign=assign)
    finally:
        torch.set_num_threads(threads)
    assert again.content == refined.content


def test_rough_prefixes_are_mostly_those_of_the_codes(crowded, refined):
    rough = refined.rough_prefixes(crowded, refined.quantizer)
    assert rough.shape == (len(crowded), 2)
    assert (rough == refined.encode(crowded)[:, :-1]).all(1).mean() > 0.6
    one = ResidualQuantizer(refined.quantizer.codebooks[:1])
    assert refined.rough_prefixes(crowded, one).shape == (len(crowded), 0)


def test_with_balance_there_are_none_and_the_log_says_so(crowded, caplog):
    options = PARTLY | {"balance": 2.0}
    with caplog.at_level("INFO"):
        found = fitted("rq_kmeans", crowded, sizes=LEVELS, options=options, assign=assign)
    assert found.report["unique_rounds"] == found.report["unique_rows"] == 0
    assert "a max_points_per_centroid of at least 150 lets it" in caplog.text
