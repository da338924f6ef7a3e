"""The item-level network against brute force."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.beam import beam_search
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.heads import codes_seen, first_of_each
from semantic_ids.recommenders.item_level import ItemLevel
from semantic_ids.recommenders.options import ItemLevelOptions, TrainingOptions
from tests.recommenders.catalogues import catalogues
from tests.recommenders.cyclic import unique_codes

SMALL = ItemLevelOptions(dim=16, layers=2, heads=2, feed_forward=24, head_hidden=20)
LENGTH = 6


def network(codes, sizes, options=SMALL, seed=0):
    torch.manual_seed(seed)
    model = ItemLevel(codes, sizes, options, LENGTH).eval()
    if model.seen_bias is not None:
        torch.nn.init.normal_(model.seen_bias)
    if model.nodes is not None:
        torch.nn.init.normal_(model.nodes.table.weight, std=0.3)
    return model


def some_histories(items, users=5, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.full((users, LENGTH), -1)
    for row in rows:
        count = rng.integers(1, LENGTH + 1)
        row[:count] = rng.integers(0, items, count)
    return torch.from_numpy(rows)


def more_of_children(model, states, history, prefix, allowed=None):
    """What is added to the logit of each code after a prefix: for its node, and for what was seen.

    By loops over all items.
    """
    level, every = len(prefix), model.tokens.codes(torch.arange(len(model.tokens))).tolist()
    more, had = torch.zeros(model.tokens.sizes[level]), set(history[history >= 0].tolist())
    nodes = sorted({tuple(code[: level + 1]) for code in every})
    for code in range(len(more)):
        below = {item for item, its in enumerate(every) if its[: level + 1] == [*prefix, code]}
        own = below if allowed is None else below & allowed
        if below and getattr(model, "seen_bias", None) is not None:
            more[code] += model.seen_bias[level, 0].item() * bool(below & had)
            more[code] += model.seen_bias[level, 1].item() * (own <= had)
        if below and level and getattr(model, "nodes", None) is not None:
            z = model._z(states, torch.tensor([0]), torch.tensor([prefix]))[0]
            before = sum(len({tuple(c[: at + 1]) for c in every}) for at in range(1, level))
            row = before + nodes.index((*prefix, code))
            more[code] += (z @ model.nodes.table.weight[row]).item()
    return more


def item_log_probabilities(model, children, history):
    """Of every distinct ID: by asking for each of its codes after those before, one by one."""
    found, (ids, codes) = [], (children.leaves, children.prefixes)
    states = model.states(history[None])
    for leaf in range(ids):
        code = codes(torch.tensor([leaf]), children.levels)
        total, node = 0.0, torch.tensor([0])
        for level in range(children.levels):
            logits = model.next_logits(states, torch.tensor([0]), code[:, :level])[0].detach()
            logits = logits + more_of_children(model, states, history, code[0, :level].tolist())
            may, edges, valid = children.of(node, level)
            among = may[0][valid[0]]
            total += logits[among].log_softmax(0)[among == code[0, level]].item()
            node = edges[0][valid[0]][among == code[0, level]]
        found.append(total)
    return np.array(found)


@settings(deadline=None, max_examples=25)
@given(catalogues(most=12), st.integers(0, 9))
def test_probabilities_of_all_ids_add_up_and_are_those_of_the_search(catalogue, seed):
    codes, sizes = catalogue
    model, children = network(codes, sizes, seed=seed), Children(codes, sizes)
    histories = some_histories(len(codes), users=2, seed=seed)
    leaves, logs = beam_search(model, children, histories, children.leaves)
    for row, history in enumerate(histories):
        expected = item_log_probabilities(model, children, history)
        assert np.exp(expected).sum() == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(logs[row].numpy(), expected[leaves[row]], atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(catalogues(most=12), st.integers(0, 9))
def test_the_loss_is_minus_the_log_probability_of_the_item(catalogue, seed):
    codes, sizes = catalogue
    model, children = network(codes, sizes, seed=seed), Children(codes, sizes)
    histories = some_histories(len(codes), users=3, seed=seed)
    targets = torch.full_like(histories, -1)
    targets[:, :-1] = histories[:, 1:]
    found = model(histories, targets, children, TrainingOptions()).sum().item()
    expected = 0.0
    for history, target in zip(histories, targets, strict=True):
        for place in range(int((target >= 0).sum())):
            before = torch.full((LENGTH,), -1)
            before[: place + 1] = history[: place + 1]
            leaf = children.item_nodes[target[place], -1]
            expected -= item_log_probabilities(model, children, before)[leaf]
    assert found == pytest.approx(expected, abs=1e-3, rel=1e-4)


def test_nothing_depends_on_what_comes_later_or_on_padding():
    codes = unique_codes(20, (4, 3, 2))
    model, children = network(codes, (4, 3, 2)), Children(codes, (4, 3, 2))
    full = torch.arange(LENGTH)[None].clone()
    h = model.hidden(full)
    other = full.clone()
    other[0, 4:] = 11
    assert torch.equal(model.hidden(other)[0, :4], h[0, :4])
    short = full.clone()
    short[0, 3:] = -1
    assert torch.equal(model.states(short)[0][0], h[0, 2])
    torch.testing.assert_close(model.states(short[:, :3])[0][0], h[0, 2])
    assert beam_search(model, children, torch.full((1, LENGTH), -1), 3)[0].shape == (1, 3)


def test_one_by_one_is_as_all_together_bit_for_bit():
    sizes = (8, 6, 5)
    codes = unique_codes(120, sizes)
    model, children = network(codes, sizes), Children(codes, sizes)
    histories = some_histories(120, users=40)
    leaves, logs = beam_search(model, children, histories, 10)
    for row in range(0, 40, 7):
        one = beam_search(model, children, histories[row : row + 1], 10)
        assert torch.equal(one[0][0], leaves[row]) and torch.equal(one[1][0], logs[row])


def test_codes_left_out_are_whole_codes_and_only_while_training():
    sizes = (4, 3)
    codes = unique_codes(12, sizes)
    told = {"dropout": 0.0, "code_dropout": 0.5, "item_embeddings": False}
    options = ItemLevelOptions.of(SMALL.to_dict() | told)
    model = network(codes, sizes, options)
    items = torch.arange(12)[None, :LENGTH]
    assert torch.equal(model.hidden(items), model.hidden(items))
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    model.norm, model.places.weight.data = torch.nn.Identity(), 0 * model.places.weight.data
    model.train()
    for _ in range(40):
        model.hidden(items)
    first, second = (model.embedding(model.tokens(items))[0, :, level].detach() for level in (0, 1))
    states = torch.cat(seen)
    kinds = [0 * first, 2 * first, 2 * second, 2 * first + 2 * second]
    matches = torch.stack([torch.isclose(states, kind, atol=1e-6).all(2) for kind in kinds])
    assert (matches.sum(0) == 1).all() and (matches.sum((1, 2)) > 20).all()


def test_items_of_the_history_under_each_code_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.integers(0, 3, (7, 5, 3)))
    there = torch.from_numpy(rng.random((7, 5)) < 0.7)
    for level in range(3):
        prefixes = torch.from_numpy(rng.integers(0, 3, (7, level)))
        found = codes_seen(codes, there, prefixes, 4)
        for row in range(7):
            expected = Counter(
                id_[level].item()
                for id_, counts in zip(codes[row], there[row], strict=True)
                if counts and id_[:level].tolist() == prefixes[row].tolist()
            )
            assert found[row].tolist() == [expected[code] for code in range(4)]


def test_an_item_counts_where_it_is_first():
    items = torch.tensor([[3, 5, 3, 3, 5, -1, -1], [1, 2, 4, 9, 9, 1, 0]])
    expected = [[3, 5, -1, -1, -1, -1, -1], [1, 2, 4, 9, -1, -1, 0]]
    assert first_of_each(items).tolist() == expected


@pytest.mark.parametrize("wanted", ["nodes", "seen", "neither"])
def test_each_part_can_be_left_out(wanted):
    told = {"node_embeddings": wanted == "nodes", "seen": wanted == "seen"}
    codes, sizes = np.array([[0, 1], [0, 2], [1, 0], [1, 0]], np.int32), (2, 3)
    model = network(codes, sizes, ItemLevelOptions.of(SMALL.to_dict() | told))
    assert (model.nodes is not None, model.seen_bias is not None) == tuple(told.values())
    children, history = Children(codes, sizes), torch.tensor([0, 2, 0, -1, -1, -1])
    expected = item_log_probabilities(model, children, history)
    leaves, logs = beam_search(model, children, history[None], 3)
    np.testing.assert_allclose(logs[0].numpy(), expected[leaves[0]], atol=1e-4)


def test_a_node_is_that_of_the_ids_trained_on_also_where_few_items_are_allowed():
    sizes = (4, 3, 3)
    codes = unique_codes(30, sizes)
    allowed = np.arange(30) % 3 > 0
    model, some = network(codes, sizes), Children(codes, sizes, allowed=allowed)
    history = some_histories(30, users=1)
    leaves, logs = beam_search(model, some, history, some.leaves)
    chances = []
    for item in np.flatnonzero(allowed).tolist():
        code, states, total = codes[item].tolist(), model.states(history), 0.0
        for level in range(3):
            prefix = torch.tensor([code[:level]], dtype=torch.int64)
            logits = model.next_logits(states, torch.tensor([0]), prefix)[0].detach()
            logits = logits + more_of_children(
                model, states, history[0], code[:level], set(np.flatnonzero(allowed).tolist())
            )
            same = (codes[:, :level] == code[:level]).all(1) & allowed
            among = sorted(set(codes[same, level].tolist()))
            total += logits[among].log_softmax(0)[among.index(code[level])].item()
        chances.append(total)
    assert np.exp(chances).sum() == pytest.approx(1, abs=1e-4)
    found = {
        some.leaf_items[leaf].item(): log.item()
        for leaf, log in zip(leaves[0], logs[0], strict=True)
    }
    expected = dict(zip(np.flatnonzero(allowed).tolist(), chances, strict=True))
    assert found == pytest.approx(expected, abs=1e-4)


def test_items_of_which_nothing_is_learned_are_read_by_their_codes():
    sizes = (4, 3)
    codes = unique_codes(12, sizes)
    model = network(codes, sizes)
    plain = ItemLevelOptions.of(SMALL.to_dict() | {"item_embeddings": False})
    other = network(codes, sizes, plain)
    weights = {n: t for n, t in model.state_dict().items() if not n.startswith("items.")}
    other.load_state_dict(weights)
    read = torch.tensor([[3, 5, 7, -1, -1, -1]])
    assert not torch.allclose(model.hidden(read)[:, :3], other.hidden(read)[:, :3])
    model.forget(np.array([3, 5, 7]))
    assert torch.equal(model.hidden(read)[:, :3], other.hidden(read)[:, :3])
    assert model.items.weight[0].any() and not model.items.weight[5].any()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_own_embeddings_are_left_out_whole_and_only_while_training(share):
    told = {"dropout": 0.0, "item_dropout": share}
    codes = unique_codes(12, (4, 3))
    model = network(codes, (4, 3), ItemLevelOptions.of(SMALL.to_dict() | told)).train()
    items = torch.arange(12).repeat(50, 1)
    with torch.no_grad():
        own = model._own(items)
        left_out = (own == 0).all(2)
        kept = (own / model.items.weight)[~left_out]
    assert left_out.float().mean().item() == pytest.approx(share, abs=0.1)
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share)))
    assert torch.equal(model.eval()._own(items[:1])[0], model.items.weight)


def test_all_parameters_learn():
    sizes = (4, 3, 3)
    codes = unique_codes(30, sizes)
    model, children = network(codes, sizes).train(), Children(codes, sizes)
    items = some_histories(30, users=30)
    targets = torch.where(items >= 0, items.flip(0).clamp_min(0), -1)
    model(items, targets, children, TrainingOptions(label_smoothing=0.1)).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
