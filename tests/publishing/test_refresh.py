"""Refreshed tokenizers, and what they change, measured on the items."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.optimize import linear_sum_assignment

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash, mix
from semantic_ids.identifiers import TokenizerCosts, unique_codes
from semantic_ids.publishing import refresh
from semantic_ids.publishing.churn import reused, shares
from semantic_ids.publishing.relabel import relabel
from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import ROOT
from tests.identifiers.conftest import ExhaustiveTokenizer
from tests.tokenizers.conftest import AXES, SIZES, VARIANTS, fitted


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_errors_are_those_of_decoded_vectors(vectors, variant, normalize) -> None:
    kind, options = variant
    preprocess = {**AXES, "normalize": normalize}
    tokenizer = fitted(kind, vectors, preprocess=preprocess, options=options)
    rows = np.arange(3, 700, 5)
    codes = tokenizer.encode(vectors[rows])
    x = vectors[rows].astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalize else x
    expected = ((x - tokenizer.decode(codes)) ** 2).sum(axis=1)
    assert refresh.errors(tokenizer, vectors, rows, codes) == pytest.approx(expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_warm_lowers_the_error_of_the_ids_that_are_out(vectors: np.ndarray, variant) -> None:
    kind, options = variant
    tokenizer = fitted(kind, vectors[:500], options=options)
    ids = np.full((len(vectors), len(SIZES)), -1, dtype=np.int32)
    ids[:600] = tokenizer.encode(vectors[:600])
    ids[::7, -1] = (ids[::7, -1] + 1) % SIZES[-1]  # as de-duplication moves items
    ids[600:] = -1
    moved = refresh.warm(tokenizer, vectors, ids)
    distortions = [one.distortion(vectors[:600], ids[:600]).sum() for one in (tokenizer, moved)]
    assert distortions[1] < distortions[0]
    assert moved.config["preprocess"] == tokenizer.config["preprocess"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_aligned_tokenizer_differs_in_names_alone(vectors: np.ndarray, variant) -> None:
    kind, options = variant
    old = fitted(kind, vectors, options=options)
    new = fitted(kind, vectors, options=options, sizes=(7, 5, 9), seed=4)
    found = refresh.aligned(old, new, vectors)
    before, after = new.encode(vectors), found.encode(vectors)
    assert found.decode(after) == pytest.approx(new.decode(before), abs=1e-5)
    codes = old.encode(vectors)
    same = [(one[:, 0] == codes[:, 0]).mean() for one in (before, after)]
    assert same[1] > same[0]
    shuffled = relabel(old, [np.random.default_rng(1).permutation(k) for k in SIZES])
    assert (refresh.aligned(old, shuffled, vectors).encode(vectors) == codes).all()


SMALL = (3, 2, 5)
"""30 IDs."""


def reissued(tokenizer, x, own, issued):
    costs = TokenizerCosts(tokenizer, x)
    return refresh.reissue(
        tokenizer.encode(x), costs, own, issued, strategy="reassign", candidates=4
    )


def a_refit(seed: int, items: int = 12, issued: int = 16, sizes: tuple[int, ...] = SMALL):
    """A tokenizer, items, and IDs that were issued: to the first items, and to others."""
    rng = np.random.default_rng(seed)
    tokenizer = ExhaustiveTokenizer(
        [rng.normal(size=(size, 3)) * 0.5**level for level, size in enumerate(sizes)]
    )
    x = rng.normal(size=(items, 3)).astype(np.float32)
    every = np.array(list(product(*map(range, sizes))), dtype=np.int32)
    ids = rng.permutation(every)[:issued]
    own = np.full((items, len(sizes)), -1, dtype=np.int32)
    own[: items // 2] = ids[: items // 2]
    codes = tokenizer.encode(x)
    if not (ids[1:] == codes[0]).all(axis=1).any():  # item 0 is where it was
        own[0] = codes[0]
        ids = np.unique(np.concatenate([ids[1:], codes[:1]]), axis=0)
    return tokenizer, x, own, ids


@pytest.mark.parametrize("seed", range(30))
def test_no_id_goes_to_another_item_after_a_refit(seed: int) -> None:
    tokenizer, x, own, issued = a_refit(seed)
    codes, costs = tokenizer.encode(x), TokenizerCosts(tokenizer, x)
    made = refresh.reissue(codes, costs, own, issued, strategy="reassign", candidates=4)
    assert len(np.unique(made.ids, axis=0)) == len(x) and made.sizes == SMALL
    assert (made.keeps == (made.ids == own).all(axis=1)).all()
    hashes = np.arange(len(x), dtype=np.uint64)
    of_others = np.array([one for one in issued if not (own == one).all(axis=1).any()])
    names = 1000 + np.arange(len(of_others), dtype=np.uint64)
    had = own[:, 0] >= 0
    assert reused([(names, of_others), (hashes[had], own[had]), (hashes, made.ids)]) == 0
    assert made.keeps[(codes == own).all(axis=1)].all()
    spilled = (made.ids[:, :2] != codes[:, :2]).any(axis=1) & ~made.keeps
    assert (made.spilled == spilled).all()
    without = ~made.keeps & had
    assert (
        tokenizer.distortion(x[without], made.ids[without])
        < tokenizer.distortion(x[without], own[without])
    ).all()


@pytest.mark.parametrize("seed", range(10))
def test_ids_of_a_refit_are_near_the_best_there_are(seed: int) -> None:
    """Against the least error of all ways to give each item an ID of its own under any prefix."""
    tokenizer, x, own, issued = a_refit(seed, items=5, issued=9)
    made = reissued(tokenizer, x, own, issued)
    table = ((x[:, None].astype(np.float64) - tokenizer.all_vectors[None]) ** 2).sum(axis=2)
    for one in issued:
        column = np.flatnonzero((tokenizer.all_codes == one).all(axis=1))
        table[~(own == one).all(axis=1), column] = 1e6
    best = table[linear_sum_assignment(table)].sum()
    taken = reissued(tokenizer, x, own * 0 - 1, issued)
    found, worse = (tokenizer.distortion(x, one.ids).sum() for one in (made, taken))
    assert best <= found * (1 + 1e-6) and found <= worse * (1 + 1e-6)


def test_ids_beyond_smaller_codebooks_are_no_longer_in_the_way() -> None:
    tokenizer, x, own, issued = a_refit(3, sizes=(3, 2, 6))
    smaller = ExhaustiveTokenizer([book[:5] for book in tokenizer.codebooks])
    made = reissued(smaller, x, own, issued)
    assert made.sizes == (3, 2, 5) and (made.ids < (3, 2, 5)).all()
    others = [one for one in issued if not (own == one).all(axis=1).any()]
    assert not any((made.ids == one).all(axis=1).any() for one in others)


def test_suffixes_go_on_after_those_that_were_issued() -> None:
    tokenizer, x, _, _ = a_refit(5, items=6)
    x[1] = x[2] = x[0]
    codes = tokenizer.encode(x)
    own = np.full((6, 4), -1, dtype=np.int32)
    own[1] = [*codes[1], 4]
    own[3] = [*(codes[3] + 1) % 2, 0]
    issued = np.array([own[1], own[3], [*codes[0], 0]], dtype=np.int32)
    made = refresh.reissue(
        codes, TokenizerCosts(tokenizer, x), own, issued, strategy="suffix", candidates=4
    )
    assert made.ids[:3].tolist() == [[*codes[0], 5], [*codes[1], 4], [*codes[2], 6]]
    assert made.keeps.tolist() == [False, True, False, False, False, False]
    assert made.sizes[-1] == 7 and len(np.unique(made.ids, axis=0)) == 6


def test_items_may_share_ids_where_nothing_makes_them_unique() -> None:
    tokenizer, x, own, issued = a_refit(7)
    codes = tokenizer.encode(x)
    own[2] = codes[2]
    made = refresh.reissue(
        codes, TokenizerCosts(tokenizer, x), own, issued, strategy="none", candidates=4
    )
    assert (made.ids == codes).all() and made.keeps[2]


def test_too_few_ids_that_were_never_issued() -> None:
    tokenizer, x, own, issued = a_refit(1, items=16, issued=29)
    with pytest.raises(BadInput, match="make 30 IDs, of which 29 were issued"):
        reissued(tokenizer, x, own, issued)


def test_vectors_of_another_width_are_refused(vectors: np.ndarray) -> None:
    tokenizer = fitted("rq_kmeans", vectors)
    for call in (
        lambda: refresh.warm(tokenizer, vectors[:, :5], tokenizer.encode(vectors)),
        lambda: refresh.aligned(tokenizer, tokenizer, vectors[:, :5]),
    ):
        with pytest.raises(BadInput, match="vectors of 5 dimensions for a tokenizer of 12"):
            call()


@pytest.mark.slow
def test_warm_keeps_the_prefixes_of_the_sample() -> None:
    """Nine tenths of the sample are published, then all of it is there: of the published items,
    99 % would still be encoded to the same codes, and to the same prefixes all the more."""
    table = pq.read_table(ROOT / "data/01_raw/item_emb.parquet")
    hashes = item_hash(table["ItemID"].to_pylist())
    order = np.argsort(hashes)
    vectors = np.stack(table["embedding"].to_numpy())[order].astype(np.float32)
    new = mix(hashes[order] + np.uint64(1)) < np.uint64(0.1 * 2.0**64)
    old = vectors[~new]
    assign = partial(unique_codes, candidates=8)
    tokenizer = fit_tokenizer(old, assign=assign, device="cpu")
    codes = tokenizer.encode(old)
    published = np.full((len(vectors), 3), -1, dtype=np.int32)
    published[~new] = unique_codes(codes, TokenizerCosts(tokenizer, old), candidates=8)
    moved = refresh.warm(tokenizer, vectors, published)
    found = shares(codes, moved.encode(old))
    assert all(found[f"prefix.{length}"] >= 0.99 for length in (1, 2, 3))
    newcomers = vectors[new]
    before, after = (
        one.distortion(newcomers, one.encode(newcomers)).sum() for one in (tokenizer, moved)
    )
    assert after < 0.95 * before
