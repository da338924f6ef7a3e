"""Today's catalogue against the generation before: laws over any history."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.publishing.append import compare
from semantic_ids.publishing.files import read_state, write_state
from tests.publishing.small import (
    MADE,
    catalogue,
    first,
    following,
    published,
    tokenizer_of,
)

SIZES = (3, 3, 6)
ITEMS = 16


def vectors_of(items, seed=0):
    """Item → vector, near to those of other items, so that they want the same codes."""
    spots = np.random.default_rng(seed).normal(size=(5, 3))
    return {item: (spots[item % 5] + 0.01 * item * (item % 3)).astype(np.float32) for item in items}


catalogues = st.lists(st.sets(st.integers(0, ITEMS - 1), min_size=1), min_size=2, max_size=6)
strategies = st.sampled_from(["reassign", "suffix"])


@settings(max_examples=60, deadline=None)
@given(catalogues, strategies, st.sampled_from(["retire", "keep"]), st.randoms())
def test_no_history_moves_an_id_or_issues_one_twice(history, strategy, on_missing, random):
    """Add, remove, revive and permute at will: an item has one ID for ever, an ID one item."""
    tokenizer = tokenizer_of(SIZES)
    state = first(tokenizer, vectors_of(history[0]), strategy)
    owner = {code: item for item, code in published(state.live).items()}
    for number, items in enumerate(history[1:], start=2):
        order = random.sample(sorted(items), len(items))
        made = following(
            tokenizer, state, vectors_of(order), number, strategy, on_missing=on_missing
        )
        expected = set(items) | (set(published(state.live)) if on_missing == "keep" else set())
        live, retired = published(made.state.live), published(made.state.retired)
        assert set(live) == expected
        assert not set(live) & set(retired)
        assert set(live) | set(retired) == set(owner.values()) | set(items)
        for item, code in [*live.items(), *retired.items()]:
            assert owner.setdefault(code, item) == item
        assert len(owner) == len(set(owner.values()))
        state = made.state


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, ITEMS - 1), min_size=1), st.sets(st.integers(0, ITEMS - 1)),
       strategies, st.randoms())  # fmt: skip
def test_the_order_of_rows_is_of_no_account(before, more, strategy, random):
    tokenizer, state = tokenizer_of(SIZES), first(tokenizer_of(SIZES), vectors_of(before), strategy)
    items = sorted(before | more)
    made = [
        following(tokenizer, state, vectors_of(order), 2, strategy)
        for order in (items, random.sample(items, len(items)))
    ]
    assert published(made[0].state.live) == published(made[1].state.live)


@pytest.mark.parametrize("strategy", ["reassign", "suffix", "none"])
def test_nothing_new_gives_the_same_bytes(tmp_path, strategy):
    tokenizer, vectors = tokenizer_of(SIZES), vectors_of(range(12))
    state = first(tokenizer, vectors, strategy)
    made = following(tokenizer, state, dict(reversed(vectors.items())), 2, strategy)
    assert made.is_the_same
    for name, some in (("a", state), ("b", made.state)):
        (tmp_path / name).mkdir()
        write_state(tmp_path / name, some, MADE)
    assert len(read_state(tmp_path / "b").retired) == 0
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_a_state_is_read_as_it_was_written(tmp_path):
    tokenizer = tokenizer_of(SIZES)
    state = first(tokenizer, vectors_of(range(12)))
    state = following(tokenizer, state, vectors_of(range(4, 14)), 2).state
    write_state(tmp_path, state, MADE)
    found = read_state(tmp_path)
    for one, other in ((found.live, state.live), (found.retired, state.retired)):
        assert published(one) == published(other) and (one.hashes == other.hashes).all()
    for name in ("vector_hashes", "vector_since", "retired_in"):
        assert (getattr(found, name) == getattr(state, name)).all(), name
    assert sorted(set(found.vector_since.tolist())) == [1, 2]
    assert found.retired_in.tolist() == [2] * 4


def test_items_are_told_apart_and_counted():
    tokenizer = tokenizer_of(SIZES)
    state = first(tokenizer, vectors_of(range(8)))
    state = following(tokenizer, state, vectors_of(range(2, 8)), 2).state  # 0 and 1 leave
    vectors = vectors_of([0, *range(3, 10)])  # 0 is back, 2 leaves, 8 and 9 are new
    vectors[5] = vectors[5] + 1
    made = following(tokenizer, state, vectors, 3)
    assert made.counts() == {
        "kept": 5, "new": 2, "missing": 1, "changed": 1, "revived": 1, "retired": 1, "spilled": 0,
    }  # fmt: skip
    assert not made.is_the_same
    today = made.today.item_ids.to_pylist()
    found = made.comparison
    assert {today[row] for row in found.new} == {8, 9}
    assert [today[row] for row in found.changed] == [5]
    assert [today[row] for row in found.revived[0]] == [0]
    assert [state.live.item_ids[int(row)].as_py() for row in found.missing] == [2]
    since = dict(zip(made.state.live.item_ids.to_pylist(), made.state.vector_since, strict=True))
    assert {item for item, number in since.items() if number == 3} == {0, 5, 8, 9}


@pytest.mark.parametrize("seed", range(8))
def test_new_items_get_the_best_of_what_is_free(seed):
    """Against all ways to give the free codes of a prefix to the new items that are under it."""
    tokenizer = tokenizer_of((2, 6), seed)
    rng = np.random.default_rng(seed)
    vectors = {item: rng.normal(size=3).astype(np.float32) for item in range(8)}
    state = first(tokenizer, {item: vectors[item] for item in range(4)})
    made = following(tokenizer, state, vectors, 2)
    _, rows = catalogue(vectors)
    out = set(map(tuple, state.live.codes.tolist()))
    for prefix in range(2):
        new = [row for row in made.comparison.new if made.ids[row, 0] == prefix]
        free = [last for last in range(6) if (prefix, last) not in out]
        costs = tokenizer.level_costs(rows[new], made.ids[new, :1]).astype(np.float64)
        best = min(
            sum(costs[i, k] for i, k in enumerate(choice))
            for choice in permutations(free, len(new))
        )
        paid = sum(costs[i, made.ids[row, 1]] for i, row in enumerate(new))
        assert paid == pytest.approx(best, rel=1e-6)


def test_a_crowded_prefix_spills_and_the_spilled_are_counted():
    tokenizer = tokenizer_of((4, 3))
    spot = tokenizer.decode(np.array([[1, 1]]))[0].astype(np.float32)
    vectors = {item: spot + np.float32(0.001 * item) for item in range(7)}
    state = first(tokenizer, {item: vectors[item] for item in range(3)})
    assert {code[0] for code in published(state.live).values()} == {1}  # that prefix is full
    made = following(tokenizer, state, vectors, 2)
    assert made.counts()["spilled"] == 4
    assert len(set(published(made.state.live).values())) == 7


def test_ids_of_retired_items_are_not_free():
    tokenizer = tokenizer_of((2, 2))
    state = first(tokenizer, vectors_of(range(3)))
    state = following(tokenizer, state, vectors_of([0]), 2).state
    state = following(tokenizer, state, vectors_of([0, 7]), 3).state
    with pytest.raises(BadInput, match="2x2 make 4 IDs, of which 4 were issued"):
        following(tokenizer, state, vectors_of([0, 7, 8]), 4)
    back = following(tokenizer, state, vectors_of([0, 1, 2, 7]), 4)
    assert len(back.state.retired) == 0


@pytest.mark.parametrize(
    ("options", "items", "message"),
    [
        ({"on_missing": "raise"}, range(1, 8), r"1 published items are missing, such as 0"),
        ({"most_missing": 0.5}, range(5, 8), r"5 of 8 published items \(62\.5%\) are missing"),
        ({"on_changed": "raise"}, range(8), "1 published items have another vector"),
    ],
)
def test_what_may_not_be_stops_the_run(options, items, message):
    tokenizer = tokenizer_of(SIZES)
    state = first(tokenizer, vectors_of(range(8)))
    vectors = vectors_of(items)
    vectors[7] = vectors[7] + 1
    with pytest.raises(BadInput, match=message):
        following(tokenizer, state, vectors, 2, **options)


def test_ids_of_another_type_are_refused():
    tokenizer = tokenizer_of(SIZES)
    state = first(tokenizer, vectors_of(range(8)))
    today, _ = catalogue({f"{item}": vector for item, vector in vectors_of(range(8)).items()})
    with pytest.raises(BadInput, match="item ids are text, those of the published"):
        compare(state, today)
