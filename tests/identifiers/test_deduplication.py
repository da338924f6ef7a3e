from __future__ import annotations

from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.identifiers import TokenizerCosts, deduplicate
from semantic_ids.identifiers.deduplication import require_unique
from semantic_ids.identifiers.placement import Placement


def reassigned(tokenizer, vectors, candidates=4):
    codes = tokenizer.encode(vectors)
    costs = TokenizerCosts(tokenizer, vectors)
    return codes, deduplicate(codes, costs, strategy="reassign", candidates=candidates)


def members(codes):
    """Prefix → rows."""
    found = defaultdict(list)
    for row, code in enumerate(codes.tolist()):
        found[tuple(code[:-1])].append(row)
    return found


def codes_are_distinct(codes):
    return len({tuple(code) for code in codes.tolist()}) == len(codes)


def least_distortion(tokenizer, vectors, prefix):
    """The best of all ways to give items under one prefix a last-level code each."""
    K = tokenizer.codebook_sizes[-1]
    costs = tokenizer.level_costs(
        vectors,
        np.tile(np.array(prefix, dtype=np.int32), (len(vectors), 1)).reshape(len(vectors), -1),
    )
    costs = costs.astype(np.float64)
    return min(
        sum(costs[i, k] for i, k in enumerate(choice))
        for choice in permutations(range(K), len(vectors))
    )


def random_vectors(n, dim, seed, distinct=None):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(distinct or n, dim)).astype(np.float32)
    return vectors if distinct is None else vectors[rng.integers(0, distinct, n)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", [(3, 4), (2, 2, 5), (6,)])
def test_reassign_is_the_best_of_all_assignments(make_tokenizer, sizes, seed):
    tokenizer = make_tokenizer(sizes, seed=seed)
    vectors = random_vectors(6, 3, seed)
    codes, result = reassigned(tokenizer, vectors)
    if result.spilled.any():
        pytest.skip("an overfull group: see test_overflow")
    total = sum(
        least_distortion(tokenizer, vectors[rows], prefix)
        for prefix, rows in members(codes).items()
    )
    assert codes_are_distinct(result.codes)
    assert result.distortion_after == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_overflow_with_one_other_prefix_is_the_best_of_everything(make_tokenizer, seed):
    """Four items, room for three.

    One leaves, and whoever it is, and whatever it takes, no other choice is better.
    """
    tokenizer = make_tokenizer((2, 3), seed=seed)
    vectors = (tokenizer.all_vectors[0] + 0.02 * random_vectors(4, 3, seed)).astype(np.float32)
    codes, result = reassigned(tokenizer, vectors)
    assert len(members(codes)) == 1
    errors = np.array(
        [tokenizer.distortion(vectors, np.tile(code, (4, 1))) for code in tokenizer.all_codes],
        dtype=np.float64,
    )
    home = tokenizer.all_codes[:, 0] == codes[0, 0]
    choices = [choice for choice in permutations(range(6), 4) if home[list(choice)].sum() == 3]
    assert result.spilled.sum() == 1
    assert result.distortion_after == pytest.approx(
        min(sum(errors[k, i] for i, k in enumerate(choice)) for choice in choices), rel=1e-6
    )


kinds = st.sampled_from(["exhaustive", "short-sighted", "blind"])
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    sizes=shapes,
    kind=kinds,
    seed=st.integers(0, 10**6),
    candidates=st.integers(1, 6),
)
def test_laws_of_reassign(make_tokenizer, data, sizes, kind, seed, candidates):
    n = data.draw(st.integers(1, int(np.prod(sizes))))
    tokenizer = make_tokenizer(sizes, seed=seed, kind=kind)
    vectors = random_vectors(n, 3, seed, distinct=data.draw(st.integers(1, n)))
    codes, result = reassigned(tokenizer, vectors, candidates)
    ids = result.codes
    assert ids.dtype == np.int32
    assert ids.shape == (n, len(sizes)) == (n, result.levels)
    assert (ids >= 0).all()
    assert (ids < np.array(sizes)).all()
    assert codes_are_distinct(ids)
    np.testing.assert_array_equal(result.moved, (ids != codes).any(1))
    np.testing.assert_array_equal(result.spilled, (ids[:, :-1] != codes[:, :-1]).any(1))
    assert not result.suffixed.any()
    assert result.distortion_before == pytest.approx(
        tokenizer.distortion(vectors, codes).sum(dtype=np.float64), rel=1e-5, abs=1e-9
    )
    assert result.distortion_after == pytest.approx(
        tokenizer.distortion(vectors, ids).sum(dtype=np.float64), rel=1e-5, abs=1e-9
    )
    if not result.spilled.any():  # greedy codes are the best under their prefix, not of all
        assert result.added_distortion >= -1e-6

    received = {tuple(code[:-1]) for code in ids[result.spilled].tolist()}
    count = Counter(map(tuple, codes.tolist()))
    for prefix, rows in members(codes).items():
        full, collides = len(rows) > sizes[-1], any(count[tuple(codes[row])] > 1 for row in rows)
        assert result.spilled[rows].sum() == max(0, len(rows) - sizes[-1])
        if not full and not collides and prefix not in received:
            np.testing.assert_array_equal(ids[rows], codes[rows])
    for prefix, rows in members(ids).items():
        paid = tokenizer.distortion(vectors[rows], ids[rows]).sum(dtype=np.float64)
        assert paid == pytest.approx(
            least_distortion(tokenizer, vectors[rows], prefix), rel=1e-5, abs=1e-6
        )
    twins = defaultdict(
        list
    )  # items with equal vectors under one prefix: the first rows have the cheapest codes
    for row in range(n):
        twins[(*ids[row, :-1].tolist(), vectors[row].tobytes())].append(row)
    for rows in twins.values():
        assert (np.diff(tokenizer.distortion(vectors[rows], ids[rows])) >= 0).all()


@pytest.mark.parametrize("sizes", [(4, 4, 4), (64,), (8, 8)])
@pytest.mark.parametrize("distinct", [None, 5, 1])
def test_as_many_items_as_codes(make_tokenizer, sizes, distinct):
    tokenizer = make_tokenizer(sizes)
    _, result = reassigned(tokenizer, random_vectors(64, 3, 4, distinct))
    np.testing.assert_array_equal(
        np.sort(result.codes @ np.cumprod([1, *sizes[:0:-1]])[::-1]), np.arange(64)
    )


def test_more_items_than_codes_is_bad_input(make_tokenizer):
    with pytest.raises(BadInput, match="cannot all be unique"):
        reassigned(make_tokenizer((2, 3)), random_vectors(7, 3, 0))


def test_thousands_of_equal_vectors(make_tokenizer):
    tokenizer = make_tokenizer((16, 16, 16), dim=2)
    vectors = np.concatenate(
        [random_vectors(400, 2, 0), np.repeat(random_vectors(1, 2, 1), 3000, axis=0)]
    )
    _, result = reassigned(tokenizer, vectors, candidates=16)
    assert codes_are_distinct(result.codes)
    equal = np.arange(400, 3400)
    home = members(tokenizer.encode(vectors))[
        tuple(tokenizer.encode(vectors[-1:])[0, :-1].tolist())
    ]
    stays = equal[~result.spilled[equal]]
    assert len(stays) <= 16 < len(home)
    np.testing.assert_array_equal(stays, equal[: len(stays)])  # the first by item hash stay


def test_batches_do_not_change_the_result(make_tokenizer, monkeypatch):
    tokenizer, vectors = make_tokenizer((4, 4, 8)), random_vectors(90, 3, 5, distinct=60)
    _, whole = reassigned(tokenizer, vectors)
    monkeypatch.setattr(Placement, "batch_rows", property(lambda self: 3))
    _, parts = reassigned(tokenizer, vectors)
    np.testing.assert_array_equal(whole.codes, parts.codes)
    assert whole.moved.any()


def test_the_result_does_not_depend_on_how_the_rows_came_in(make_tokenizer):
    """Rows are in item-hash order whatever the order of the input.

    With distinct vectors the IDs follow the items in any order.
    """
    tokenizer, vectors = make_tokenizer((4, 4, 8)), random_vectors(90, 3, 6)
    _, result = reassigned(tokenizer, vectors)
    order = np.random.default_rng(0).permutation(90)
    _, shuffled = reassigned(tokenizer, vectors[order])
    np.testing.assert_array_equal(shuffled.codes, result.codes[order])
    assert result.spilled.any()


def test_memory_maps_and_float16_are_read_alike(make_tokenizer, tmp_path):
    tokenizer, vectors = make_tokenizer((4, 4, 8)), random_vectors(90, 3, 7).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    _, mapped = reassigned(tokenizer, np.load(tmp_path / "vectors.npy", mmap_mode="r"))
    _, in_memory = reassigned(tokenizer, vectors.astype(np.float32))
    np.testing.assert_array_equal(mapped.codes, in_memory.codes)


def test_without_collisions_nothing_changes(make_tokenizer):
    tokenizer, vectors = make_tokenizer((3, 4)), random_vectors(40, 3, 8)
    _, first = np.unique(tokenizer.encode(vectors), axis=0, return_index=True)
    codes, result = reassigned(tokenizer, vectors[np.sort(first)])
    np.testing.assert_array_equal(result.codes, codes)
    assert (result.moved_rate, result.spilled_rate, result.added_distortion) == (0.0, 0.0, 0.0)
    assert result.distortion_before > 0


def test_suffix(make_tokenizer):
    tokenizer, vectors = make_tokenizer((2, 2)), random_vectors(30, 3, 9)
    codes = tokenizer.encode(vectors)
    result = deduplicate(codes, TokenizerCosts(tokenizer, vectors), strategy="suffix", candidates=4)
    assert codes_are_distinct(result.codes)
    assert result.sizes == (2, 2, max(Counter(map(tuple, codes.tolist())).values()))
    assert result.levels == 2
    np.testing.assert_array_equal(result.codes[:, :2], codes)
    assert result.suffixed_rate == pytest.approx((30 - len(np.unique(codes, axis=0))) / 30)
    assert (result.moved_rate, result.spilled_rate, result.added_distortion) == (0.0, 0.0, 0.0)


def test_none_keeps_collisions(make_tokenizer):
    tokenizer, vectors = make_tokenizer((2, 2)), random_vectors(30, 3, 9)
    codes = tokenizer.encode(vectors)
    result = deduplicate(codes, TokenizerCosts(tokenizer, vectors), strategy="none", candidates=4)
    np.testing.assert_array_equal(result.codes, codes)
    assert result.codes is not codes
    assert (result.sizes, result.levels, result.moved_rate, result.suffixed_rate) == (
        (2, 2),
        2,
        0.0,
        0.0,
    )


def test_input_codes_are_not_changed(make_tokenizer):
    tokenizer, vectors = make_tokenizer((2, 8)), random_vectors(12, 3, 10)
    codes = tokenizer.encode(vectors)
    before = codes.copy()
    assert deduplicate(
        codes, TokenizerCosts(tokenizer, vectors), strategy="reassign", candidates=2
    ).moved.any()
    np.testing.assert_array_equal(codes, before)


@pytest.mark.parametrize(
    ("codes", "message"),
    [([[0, 1], [0, 1]], "another item"), ([[0, -1], [0, 1]], "outside"), ([[0, 2]], "outside")],
)
def test_ids_that_are_not_unique_are_a_defect(codes, message):
    with pytest.raises(RuntimeError, match=message):
        require_unique(np.array(codes, dtype=np.int32), (2, 2))


@pytest.mark.parametrize("sizes", [(3, 40), (2, 2, 24)])
def test_groups_too_large_for_a_table_end_at_the_same_total(make_tokenizer, monkeypatch, sizes):
    tokenizer = make_tokenizer(sizes, seed=2)
    vectors = random_vectors(80, 3, 5, distinct=50)
    _, expected = reassigned(tokenizer, vectors)
    monkeypatch.setattr("semantic_ids.identifiers.reassign.DENSE_CELLS", 0)
    monkeypatch.setattr("semantic_ids.identifiers.sparse_assignment.CANDIDATES", 3)
    _, found = reassigned(tokenizer, vectors)
    assert codes_are_distinct(found.codes)
    assert found.distortion_before == expected.distortion_before
    assert found.distortion_after == pytest.approx(expected.distortion_after, rel=1e-6)
    for same in np.unique(vectors, axis=0):  # equal vectors: the first row has the cheapest code
        rows = np.flatnonzero((vectors == same).all(1))
        paid = tokenizer.distortion(vectors[rows], found.codes[rows])
        prefixes = [tuple(code[:-1]) for code in found.codes[rows].tolist()]
        for prefix in set(prefixes):
            mine = paid[[p == prefix for p in prefixes]]
            assert (np.diff(mine) >= 0).all()
