from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.identifiers import TokenizerCosts
from semantic_ids.identifiers.offers import ask
from semantic_ids.identifiers.placement import Placement

SIZES = (4, 3, 5)


@pytest.fixture
def vectors():
    return np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)


def offers_of(tokenizer, vectors, t, excluded):
    placement = Placement(TokenizerCosts(tokenizer, vectors), tokenizer.encode(vectors))
    return ask(placement, np.arange(len(vectors)), t, np.array(excluded, dtype=np.int64))


@pytest.mark.parametrize("kind", ["exhaustive", "short-sighted", "blind"])
@pytest.mark.parametrize(
    "excluded", [[], [0, 3, 4], list(range(11)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]]
)
def test_every_item_is_offered_open_prefixes(make_tokenizer, vectors, kind, excluded):
    tokenizer = make_tokenizer(SIZES, kind=kind)
    offers = offers_of(tokenizer, vectors, 3, excluded)
    assert offers.costs.shape == (20, 3)
    assert (offers.made() >= 1).all()
    for item in range(20):
        made = int(offers.made()[item])
        prefixes = offers.prefixes[item, :made].tolist()
        assert len(set(prefixes)) == made
        assert not set(prefixes) & set(excluded)
        codes = np.column_stack(
            [
                offers.prefixes[item, :made] // 3,
                offers.prefixes[item, :made] % 3,
                offers.last[item, :made],
            ]
        )
        np.testing.assert_array_equal(
            offers.costs[item, :made],
            tokenizer.distortion(np.repeat(vectors[item : item + 1], made, 0), codes),
        )
        assert (np.diff(offers.costs[item, :made]) >= 0).all()
        under = tokenizer.level_costs(np.repeat(vectors[item : item + 1], made, 0), codes[:, :-1])
        np.testing.assert_array_equal(codes[:, -1], under.argmin(1))


def test_the_nearest_open_prefix_comes_first(make_tokenizer, vectors):
    tokenizer, excluded = make_tokenizer(SIZES), [0, 5, 6]
    offers = offers_of(tokenizer, vectors, 2, excluded)
    is_open = ~np.isin(tokenizer.all_prefix_keys, excluded)
    errors = (
        (vectors[:, None].astype(np.float64) - tokenizer.all_vectors[None, is_open]) ** 2
    ).sum(2)
    np.testing.assert_allclose(offers.costs[:, 0], errors.min(1), rtol=1e-6)


def test_a_wider_search_finds_what_a_narrow_one_misses(make_tokenizer, vectors):
    excluded = list(range(11))
    narrow = offers_of(make_tokenizer(SIZES, kind="short-sighted"), vectors, 1, excluded)
    wide = offers_of(make_tokenizer(SIZES), vectors, 1, excluded)
    np.testing.assert_array_equal(narrow.prefixes, wide.prefixes)
    np.testing.assert_array_equal(narrow.last, wide.last)
