"""The children against a trie of dicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.recommenders.children import Children
from tests.recommenders.catalogues import catalogues, drawn


def dict_trie(codes):
    root = {}
    for row in codes.tolist():
        here = root
        for code in row:
            here = here.setdefault(code, {})
    return root


def walk(children, by_prefix):
    """Check one level after the other; return the prefix of each leaf."""
    frontier = [((), 0, by_prefix)]
    for level in range(children.levels):
        nodes = torch.tensor([node for _, node, _ in frontier] + [-1])
        codes, edges, valid = children.of(nodes, level)
        assert codes.shape == edges.shape == valid.shape == (len(nodes), children.widest[level])
        assert not valid[-1].any() and valid.sum(1).max() == children.widest[level]
        following = []
        for row, (prefix, _, known) in enumerate(frontier):
            assert codes[row][valid[row]].tolist() == sorted(known)
            for code, edge in zip(
                codes[row][valid[row]].tolist(), edges[row][valid[row]].tolist(), strict=True
            ):
                following.append(((*prefix, code), edge, known[code]))
        assert [edge for _, edge, _ in following] == list(range(len(following)))  # in code order
        frontier = following
        reached = torch.arange(len(frontier))
        assert children.prefixes(reached, level + 1).tolist() == [list(p) for p, _, _ in frontier]
    return [prefix for prefix, _, _ in frontier]


@settings(max_examples=150, deadline=None)
@given(catalogues(), st.data())
def test_it_knows_what_a_dict_knows(catalogue, data):
    codes, sizes = catalogue
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes))))
    allowed[data.draw(st.integers(0, len(codes) - 1))] = True
    for mask in (None, allowed):
        children = Children(codes, sizes, allowed=mask)
        rows = np.arange(len(codes)) if mask is None else np.flatnonzero(mask)
        leaves = walk(children, dict_trie(codes[rows]))
        assert children.leaves == len(leaves) == len({tuple(row) for row in codes[rows].tolist()})
        assert (children.sizes, children.levels) == (sizes, len(sizes))
        assert (children.item_nodes[np.setdiff1d(np.arange(len(codes)), rows)] == -1).all()
        known = {tuple(row[:length]) for row in codes[rows].tolist() for length in range(1, 9)}
        for item, row in enumerate(codes.tolist()):
            there = [tuple(row[: length + 1]) in known for length in range(len(row))]
            assert (children.prefix_nodes[item] >= 0).tolist() == there
        np.testing.assert_array_equal(children.prefix_nodes[rows], children.item_nodes[rows])
        for length in range(1, len(sizes) + 1):
            reached = children.prefixes(children.item_nodes[rows, length - 1], length)
            np.testing.assert_array_equal(reached, codes[rows, :length])
            nodes, below = np.unique(children.item_nodes[rows, length - 1], return_counts=True)
            np.testing.assert_array_equal(children.items_below[length - 1], below)
            first = children.first_items[length - 1].numpy()
            assert set(first.tolist()) <= set(rows.tolist())
            np.testing.assert_array_equal(children.item_nodes[first, length - 1], nodes)
        of_leaf = np.split(children.leaf_items.numpy(), children.leaf_starts[1:-1])
        assert children.leaf_sizes.tolist() == [len(items) for items in of_leaf]
        for leaf, items in zip(leaves, of_leaf, strict=True):
            same = rows[(codes[rows] == leaf).all(1)]
            np.testing.assert_array_equal(items, same)


def test_any_shape_of_nodes():
    children = Children(drawn(200, (4, 5, 6)), (4, 5, 6))
    nodes = torch.randint(-1, len(children.codes[0]), (3, 7))
    for found, flat in zip(children.of(nodes, 1), children.of(nodes.ravel(), 1), strict=True):
        torch.testing.assert_close(found.flatten(0, 1), flat, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("codes", "allowed", "message"),
    [
        (np.zeros((0, 2), np.int32), None, "there is no ID"),
        (drawn(3, (2, 2)), np.zeros(3, bool), "no item is allowed"),
        (drawn(3, (2, 2)), np.ones(4, bool), r"a mask of shape \(4,\)"),
        (drawn(3, (2, 2)), np.ones(3, np.int64), "type int64"),
        (drawn(9, (2, 3)), None, "codes of 2 levels"),
    ],
)
def test_what_it_refuses(codes, allowed, message):
    with pytest.raises(BadInput, match=message):
        Children(codes, (2, 2), allowed=allowed)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_is_the_same_on_a_gpu():
    codes = drawn(500, (8, 8, 8))
    here, there = Children(codes, (8, 8, 8)), Children(codes, (8, 8, 8), "cuda")
    nodes = torch.arange(-1, len(here.codes[1]))
    for mine, theirs in zip(here.of(nodes, 2), there.of(nodes.cuda(), 2), strict=True):
        torch.testing.assert_close(theirs.cpu(), mine, rtol=0, atol=0)
