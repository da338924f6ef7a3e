"""A refit: IDs move, and none goes to another item, however generations follow each other."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.publishing.churn import reused
from semantic_ids.publishing.files import read_state, write_delta, write_state
from semantic_ids.publishing.refit import refit
from tests.publishing.small import MADE, first, following, published, tokenizer_of

SIZES = (4, 3, 6)
ITEMS = 14


def vector(item: int) -> np.ndarray:
    return np.random.default_rng(item).normal(size=3).astype(np.float32)


def items(which) -> dict[str, np.ndarray]:
    return {f"i{item}": vector(item) for item in which}


refitted = partial(following, make=refit)


def owners(states) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (part.hashes, part.codes)
        for state in states
        for part in (state.live, state.retired, state.reserved)
        if part is not None
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["reassign", "suffix"]),
    st.lists(
        st.tuples(
            st.sets(st.integers(0, ITEMS - 1), min_size=1),
            st.sampled_from([None, SIZES, (4, 3, 5), (3, 4, 7)]),
        ),
        min_size=2,
        max_size=6,
    ),
)
def test_no_id_ever_goes_to_another_item(strategy, generations) -> None:
    """Items come, leave and return, and some generations have a tokenizer of their own, whose
    codebooks may be smaller or larger than before."""
    tokenizer, states = tokenizer_of(SIZES, seed=1), []
    for number, (there, sizes) in enumerate(generations, start=1):
        if not states:
            states.append(first(tokenizer, items(there), strategy))
            continue
        if sizes is None:
            made = following(tokenizer, states[-1], items(there), number, strategy)
            before, after = published(states[-1].live), published(made.state.live)
            assert all(after[item] == before[item] for item in after if item in before)
        else:
            tokenizer = tokenizer_of(sizes, seed=number)
            made = refitted(tokenizer, states[-1], items(there), number, strategy)
            assert (made.ids[:, :3] < sizes).all() and not len(made.state.retired)
        states.append(made.state)
        assert set(published(made.state.live)) == set(items(there))
        every = made.state.every_id
        assert len(np.unique(every, axis=0)) == len(every)
    assert reused(owners(states)) == 0


def test_an_item_that_returns_after_a_refit_is_new() -> None:
    tokenizer = tokenizer_of(SIZES, seed=1)
    state = first(tokenizer, items(range(10)))
    old = published(state.live)
    state = following(tokenizer, state, items(range(9)), 2).state
    state = refitted(tokenizer_of(SIZES, seed=2), state, items(range(8)), 3).state
    assert {"i8", "i9"} <= set(published(state.reserved))
    reserved = published(state.reserved)
    made = following(tokenizer_of(SIZES, seed=2), state, items(range(10)), 4)
    assert made.counts()["new"] == 2 and made.counts()["revived"] == 0
    assert published(made.state.live)["i9"] != old["i9"]
    gone = following(tokenizer_of(SIZES, seed=2), made.state, items(range(9)), 5).state
    back = following(tokenizer_of(SIZES, seed=2), gone, items(range(10)), 6)
    assert back.counts()["revived"] == 1 and published(back.state.reserved) == reserved
    assert published(back.state.live) == published(made.state.live)


def test_the_same_tokenizer_moves_nothing_that_was_where_it_is_encoded() -> None:
    tokenizer = tokenizer_of(SIZES, seed=1)
    state = first(tokenizer, items(range(ITEMS)))
    made = refitted(tokenizer, state, items(range(ITEMS)), 2)
    assert published(made.state.live) == published(state.live)
    assert len(made.state.reserved) == 0 and made.counts()["kept"] == ITEMS


def test_changed_vectors_are_noted() -> None:
    tokenizer = tokenizer_of(SIZES, seed=1)
    state = first(tokenizer, items(range(5)))
    made = refitted(tokenizer_of(SIZES, seed=2), state, items(range(5)) | {"i3": vector(99)}, 2)
    ids = made.state.live.item_ids.to_pylist()
    since = dict(zip(ids, made.state.vector_since.tolist(), strict=True))
    assert since == {"i0": 1, "i1": 1, "i2": 1, "i3": 2, "i4": 1}


def test_what_is_on_disk_after_a_refit(tmp_path) -> None:
    before = first(tokenizer_of(SIZES, seed=1), items(range(8)))
    before = following(tokenizer_of(SIZES, seed=1), before, items(range(7)), 2).state
    made = refitted(tokenizer_of((4, 3, 4), seed=2), before, items([*range(1, 7), 7, 9]), 3)
    write_state(tmp_path, made.state, MADE)
    read = read_state(tmp_path)
    assert published(read.reserved) == published(made.state.reserved) and read.reserved
    assert published(read.live) == published(made.state.live) and len(read.retired) == 0
    assert (read.reserved.codes < read.reserved.sizes).all()
    write_delta(tmp_path, before, made, made.state)
    delta = {}
    for row in pq.read_table(tmp_path / "delta.parquet").to_pylist():
        delta.setdefault(row["change"], {})[row["item_id"]] = tuple(row["codes"])
    old, new = published(before.live), published(made.state.live)
    moved = {item for item in old if item in new and new[item] != old[item]}
    assert set(delta["moved"]) == moved and delta["retired"] == {"i0": old["i0"]}
    assert set(delta["new"]) == {"i9"} and set(delta["revived"]) == {"i7"}
    for change in ("moved", "new", "revived"):
        assert all(new[item] == codes for item, codes in delta[change].items())


def test_what_cannot_be_refitted() -> None:
    tokenizer = tokenizer_of(SIZES, seed=1)
    state = first(tokenizer, items(range(6)))
    with pytest.raises(BadInput, match="a tokenizer of 2 levels for a vocabulary of 3"):
        refitted(tokenizer_of((8, 9)), state, items(range(6)), 2)
    with pytest.raises(BadInput, match="1 published items are missing, and without their vectors"):
        refitted(tokenizer, state, items(range(5)), 2, on_missing="keep")
    with pytest.raises(BadInput, match="1 published items are missing, such as"):
        refitted(tokenizer, state, items(range(5)), 2, on_missing="raise")
