"""The encoder-decoder against brute force and against T5."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.beam import beam_search
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.options import TigerOptions, TrainingOptions
from semantic_ids.recommenders.tiger import Tiger, buckets
from tests.recommenders.catalogues import catalogues
from tests.recommenders.cyclic import unique_codes
from tests.recommenders.test_item_level import (
    LENGTH,
    item_log_probabilities,
    some_histories,
)

SMALL = TigerOptions(dim=16, layers=2, heads=3, head_dim=4, feed_forward=24)


def network(codes, sizes, seed=0):
    torch.manual_seed(seed)
    model = Tiger(codes, sizes, SMALL, LENGTH).eval()
    for stack in (model.encoder, model.decoder):
        torch.nn.init.normal_(stack.distances.weight)
    return model


@settings(deadline=None, max_examples=15)
@given(catalogues(most=10), st.integers(0, 9))
def test_probabilities_of_all_ids_add_up_and_are_those_of_the_search(catalogue, seed):
    codes, sizes = catalogue
    model, children = network(codes, sizes, seed=seed), Children(codes, sizes)
    histories = some_histories(len(codes), users=3, seed=seed)
    leaves, logs = beam_search(model, children, histories, children.leaves)
    for row, history in enumerate(histories):
        expected = item_log_probabilities(model, children, history)
        assert np.exp(expected).sum() == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(logs[row].numpy(), expected[leaves[row]], atol=1e-4)


@settings(deadline=None, max_examples=15)
@given(catalogues(most=10), st.integers(0, 9))
def test_the_loss_is_minus_the_log_probability_of_the_item(catalogue, seed):
    codes, sizes = catalogue
    model, children = network(codes, sizes, seed=seed), Children(codes, sizes)
    histories = some_histories(len(codes), users=4, seed=seed)
    targets, expected = torch.full_like(histories, -1), 0.0
    for row, history in enumerate(histories):
        item = (3 * row + seed) % len(codes)
        targets[row, (history >= 0).sum() - 1] = item
        leaf = children.item_nodes[item, -1]
        expected -= item_log_probabilities(model, children, history)[leaf]
    found = model(histories, targets, children, TrainingOptions()).sum().item()
    assert found == pytest.approx(expected, abs=1e-3, rel=1e-4)


def test_beams_of_many_users_are_as_each_alone():
    sizes = (6, 5, 4)
    codes = unique_codes(90, sizes)
    model, children = network(codes, sizes), Children(codes, sizes)
    histories = some_histories(90, users=9)
    leaves, logs = beam_search(model, children, histories, 8)
    for row in range(9):
        known = histories[row][histories[row] >= 0]
        one, own = beam_search(model, children, known[None], 8)  # and without padding
        assert torch.equal(one[0], leaves[row])
        torch.testing.assert_close(own[0], logs[row], atol=1e-5, rtol=1e-5)


def test_users_may_have_no_beam_or_several():
    sizes = (4, 3)
    codes = unique_codes(12, sizes)
    model = network(codes, sizes)
    states = model.states(some_histories(12, users=4))
    rows, prefixes = torch.tensor([0, 2, 2, 2, 3]), torch.tensor([[0], [1], [3], [2], [1]])
    found = model.next_logits(states, rows, prefixes)
    for at, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
        alone = model.next_logits(tuple(s[row][None] for s in states), row[None] * 0, prefix[None])
        torch.testing.assert_close(found[at], alone[0], atol=1e-5, rtol=1e-5)


def test_histories_without_items_do_not_crash():
    codes = unique_codes(12, (4, 3))
    model, children = network(codes, (4, 3)), Children(codes, (4, 3))
    _, logs = beam_search(model, children, torch.full((2, LENGTH), -1), 12)
    assert logs.exp().sum(1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_all_parameters_learn():
    sizes = (4, 3, 3)
    codes = unique_codes(30, sizes)
    model, children = network(codes, sizes).train(), Children(codes, sizes)
    items = some_histories(30, users=20)
    targets = torch.full_like(items, -1)
    targets[torch.arange(20), (items >= 0).sum(1) - 1] = torch.arange(20)
    model(items, targets, children, TrainingOptions(label_smoothing=0.1)).sum().backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_its_parameters_are_those_of_the_published_sizes():
    codes, sizes = np.zeros((5, 4), np.int32), (256, 256, 256, 4)
    with torch.device("meta"):
        model = Tiger(codes, sizes, TigerOptions(), 20)
    attention = 4 * 128 * 6 * 64
    layers = 4 * (attention + 2 * 128 * 1024) + 4 * (2 * attention + 2 * 128 * 1024)
    norms = (4 * 2 + 1) * 128 + (4 * 3 + 1) * 128
    tables = 772 * 128 + 128 + 2 * 32 * 6 + 772 * 129
    assert sum(p.numel() for p in model.parameters()) == layers + norms + tables


@pytest.mark.parametrize("both", [True, False])
def test_distances_are_numbered_as_in_t5(both):
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    ahead = torch.arange(-300, 301)[None]
    expected = t5.T5Attention._relative_position_bucket(
        ahead, bidirectional=both, num_buckets=32, max_distance=128
    )
    assert torch.equal(buckets(ahead, both=both), expected)


def test_numbers_of_distances_by_hand():
    ahead = torch.tensor([0, -1, -7, -8, -9, -127, -128, -500, 1, 7, 8, 500])
    assert buckets(ahead, both=True).tolist() == [0, 1, 7, 8, 8, 15, 15, 15, 17, 23, 24, 31]
    assert buckets(ahead, both=False).tolist()[:5] == [0, 1, 7, 8, 9]
    assert buckets(ahead, both=False).tolist()[5:] == [31, 31, 31, 0, 0, 0, 0]
