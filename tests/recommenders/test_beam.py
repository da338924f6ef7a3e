"""The search against the probabilities of all IDs, taken one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.recommenders import beam
from semantic_ids.recommenders.beam import beam_search, users_at_once
from semantic_ids.recommenders.children import Children
from tests.recommenders.catalogues import catalogues, drawn
from tests.recommenders.networks import Drawn, OfChildren, all_ids, moved
from tests.tokenizers.pretend import GPU, pretend_gpu

NEAR = 2e-5
BIAS = torch.tensor([[0.7, -0.4], [0.0, -1.0], [-1.2, 0.5], [2.0, -3.0]])


def histories_of(items, users=5, length=4, seed=0):
    rng = np.random.default_rng(seed)
    found = torch.from_numpy(rng.integers(0, items, (users, length)))
    kept = torch.from_numpy(rng.integers(0, length + 1, users))
    return found.masked_fill(torch.arange(length) >= kept[:, None], -1)


def ids_of(children, leaves):
    return [tuple(row) for row in children.prefixes(leaves, children.levels).tolist()]


@settings(max_examples=80, deadline=None)
@given(catalogues(), st.integers(0, 9), st.booleans(), st.booleans(), st.booleans())
def test_a_beam_of_all_ids_finds_all_of_them_exactly(catalogue, seed, rounds, seen, of_children):
    codes, sizes = catalogue
    children, bias = Children(codes, sizes), BIAS[: len(sizes)] if seen else None
    if of_children:
        model = OfChildren(sizes, codes, seed, seen_bias=bias)
    else:
        model = Drawn(sizes, len(codes), seed, seen_bias=bias)
    histories = histories_of(len(codes), seed=seed)
    width = children.leaves + seed % 3  # more than there are, too
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beam, "ROUNDS_FROM", 0 if rounds else 10**9)
        leaves, scores = beam_search(model, children, histories, width)
    assert leaves.shape == scores.shape == (5, width)
    assert (leaves[:, children.leaves :] == -1).all()
    assert scores[:, children.leaves :].isneginf().all()
    for row, history in enumerate(histories):
        truth = all_ids(model, codes, history)
        found = dict(
            zip(
                ids_of(children, leaves[row, : children.leaves]), scores[row].tolist(), strict=False
            )
        )
        assert found.keys() == truth.keys()
        assert max(abs(found[i] - truth[i]) for i in truth) < NEAR
        assert abs(np.exp([*found.values()]).sum() - 1) < 1e-5
        assert (scores[row].diff()[: children.leaves - 1] <= 0).all()


@settings(max_examples=40, deadline=None)
@given(catalogues(most=60), st.integers(1, 12), st.integers(0, 9))
def test_a_narrow_beam_keeps_the_best_of_each_level(catalogue, width, seed):
    """The truth: all continuations of what is kept, sorted; not asked where two are too near."""
    codes, sizes = catalogue
    children, model = Children(codes, sizes), Drawn(sizes, len(codes), seed)
    histories = histories_of(len(codes), users=2, seed=seed)
    leaves, scores = beam_search(model, children, histories, width)
    for row, history in enumerate(histories):
        truth, kept = all_ids(model, codes, history), [()]
        for length in range(1, len(sizes) + 1):
            best = {}
            for i, score in truth.items():
                if i[: length - 1] in kept:
                    best[i[:length]] = np.logaddexp(best.get(i[:length], -np.inf), score)
            ordered = sorted(best, key=best.get, reverse=True)
            assume(all(best[a] - best[b] > NEAR for a, b in pairwise(ordered)))
            kept = ordered[:width]
        assert ids_of(children, leaves[row][leaves[row] >= 0]) == kept
        np.testing.assert_allclose(scores[row][: len(kept)], [truth[i] for i in kept], atol=NEAR)


@pytest.mark.parametrize("width", [1, 7, 50])
@pytest.mark.parametrize("rounded", [False, True])
def test_neither_rounds_nor_the_batch_show_in_what_is_found(width, rounded, monkeypatch):
    codes = drawn(900, (8, 12, 20), seed=3)
    children, model = Children(codes, (8, 12, 20)), Drawn((8, 12, 20), 900, 3, rounded=rounded)
    histories = histories_of(900, users=40)
    leaves, scores = beam_search(model, children, histories, width)
    asked = model.asked
    monkeypatch.setattr(beam, "ROUNDS_FROM", 10**9)
    model.asked = 0
    plain = beam_search(model, children, histories, width)
    assert asked <= model.asked
    torch.testing.assert_close(plain[0], leaves, rtol=0, atol=0)
    torch.testing.assert_close(plain[1], scores, rtol=0, atol=NEAR)
    for row, history in enumerate(histories):
        alone = beam_search(model, children, history[None], width)
        torch.testing.assert_close(alone[0][0], leaves[row], rtol=0, atol=0)
        torch.testing.assert_close(alone[1][0], scores[row], rtol=0, atol=NEAR)


def test_of_equal_scores_the_first_in_the_order_of_codes_is_better():
    codes = drawn(300, (6, 6, 9), seed=1)
    children, model = Children(codes, (6, 6, 9)), Drawn((6, 6, 9), 300, sharp=0.0)
    full = Children(np.argwhere(np.ones((3, 5, 2), bool)).astype(np.int32), (3, 5, 2))
    leaves, scores = beam_search(Drawn((3, 5, 2), 30, sharp=0.0), full, histories_of(30), 30)
    assert leaves.tolist() == [list(range(30))] * 5
    assert scores.max() - scores.min() < NEAR
    leaves, scores = beam_search(model, children, histories_of(300), children.leaves)
    for row in range(5):
        order = sorted(
            range(children.leaves), key=lambda place: (-scores[row, place], leaves[row, place])
        )
        assert order == list(range(children.leaves))


def test_one_width_for_each_user():
    codes = drawn(400, (6, 10, 12), seed=5)
    children, model = Children(codes, (6, 10, 12)), Drawn((6, 10, 12), 400)
    histories, widths = histories_of(400, users=4), torch.tensor([3, 40, 1, 9])
    leaves, scores = beam_search(model, children, histories, widths)
    assert leaves.shape == (4, 40)
    for row, width in enumerate(widths.tolist()):
        alone = beam_search(model, children, histories[row : row + 1], width)
        torch.testing.assert_close(leaves[row, :width], alone[0][0], rtol=0, atol=0)
        torch.testing.assert_close(scores[row, :width], alone[1][0], rtol=0, atol=NEAR)
        assert (leaves[row, width:] == -1).all() and scores[row, width:].isneginf().all()


def test_what_was_seen_counts_for_its_prefixes_even_where_it_is_not_allowed():
    codes, allowed = drawn(60, (4, 5, 6), seed=7), np.arange(60) % 3 > 0
    model = OfChildren((4, 5, 6), codes, seen_bias=BIAS[:3])
    children, histories = Children(codes, (4, 5, 6), allowed=allowed), histories_of(60)
    leaves, scores = beam_search(model, children, histories, children.leaves)
    for row, history in enumerate(histories):
        truth = all_ids(model, codes, history, allowed)
        found = dict(zip(ids_of(children, leaves[row]), scores[row].tolist(), strict=True))
        assert found.keys() == truth.keys()
        assert max(abs(found[i] - truth[i]) for i in truth) < NEAR


def test_a_catalogue_of_one_item_asks_nothing():
    children, model = Children(np.array([[2, 0, 1]]), (3, 5, 2)), Drawn((3, 5, 2), 1)
    leaves, scores = beam_search(model, children, histories_of(1), 3)
    assert leaves.tolist() == [[0, -1, -1]] * 5
    assert scores.tolist() == [[0.0, -np.inf, -np.inf]] * 5
    assert not model.asked


def test_forced_codes_are_not_asked_about():
    codes = np.array([[0, 1, 3], [0, 1, 2], [1, 0, 0], [2, 4, 1]])
    children, model = Children(codes, (3, 5, 4)), Drawn((3, 5, 4), 4)
    beam_search(model, children, histories_of(4), 10)
    assert model.asked == 5 * (1 + 0 + 1)  # the first code; then (0, 1) alone has two children


def test_items_that_are_not_allowed_are_never_found_and_the_others_add_up_to_one():
    codes = drawn(200, (5, 6, 7), seed=2)
    allowed = np.random.default_rng(0).random(200) < 0.3
    children, model = Children(codes, (5, 6, 7), allowed=allowed), Drawn((5, 6, 7), 200)
    leaves, scores = beam_search(model, children, histories_of(200), children.leaves)
    assert {i for row in leaves for i in ids_of(children, row)} == {
        tuple(row) for row in codes[allowed].tolist()
    }
    np.testing.assert_allclose(scores.exp().sum(1), 1, atol=1e-5)


def test_no_users_and_no_width():
    children, model = Children(drawn(20, (4, 4)), (4, 4)), Drawn((4, 4), 20)
    nobody = torch.empty((0, 3), dtype=torch.int64)
    assert [found.shape for found in beam_search(model, children, nobody, 6)] == [(0, 6)] * 2
    with pytest.raises(BadInput, match="a beam of width 0"):
        beam_search(model, children, histories_of(20), 0)


def test_fewer_users_at_once_where_a_step_is_wide():
    narrow, wide = Children(np.array([[0]]), (1,)), Children(np.array([[0]]), (2**20,))
    assert users_at_once(narrow, 50) == beam.CPU_USERS
    assert users_at_once(wide, 2) == 4 and users_at_once(wide, 10**6) == 1


@pytest.mark.parametrize("width", [5, 900])
def test_on_a_pretended_gpu_everything_is_there_and_the_same(width, monkeypatch):
    codes, bias = drawn(900, (8, 12, 20), seed=3), BIAS[:3]
    model, histories = Drawn((8, 12, 20), 900, 3, seen_bias=bias), histories_of(900, users=20)
    allowed = np.arange(900) % 4 > 0
    here = beam_search(model, Children(codes, (8, 12, 20), allowed=allowed), histories, width)
    with pretend_gpu(monkeypatch):
        children = Children(codes, (8, 12, 20), GPU, allowed)
        there = beam_search(moved(model, GPU), children, histories.to(GPU), width)
        assert users_at_once(children, 50) == beam.GPU_USERS
    for mine, theirs in zip(here, there, strict=True):
        assert theirs.device == GPU
        torch.testing.assert_close(theirs.values, mine, rtol=0, atol=NEAR)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_same():
    codes = drawn(900, (8, 12, 20), seed=3)
    bias = BIAS[:3]
    model, histories = Drawn((8, 12, 20), 900, 3, seen_bias=bias), histories_of(900, users=40)
    here = beam_search(model, Children(codes, (8, 12, 20)), histories, 50)
    moved(model, "cuda")
    there = beam_search(model, Children(codes, (8, 12, 20), "cuda"), histories.cuda(), 50)
    torch.testing.assert_close(there[1].cpu(), here[1], rtol=0, atol=1e-3)
    assert (there[0].cpu() == here[0]).float().mean() > 0.99
