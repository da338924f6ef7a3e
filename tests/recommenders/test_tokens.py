"""Tokens: no two codes of two levels share one."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings

from semantic_ids.recommenders.tokens import Tokens
from tests.recommenders.catalogues import catalogues


@settings(deadline=None, max_examples=40)
@given(catalogues())
def test_every_code_of_every_level_has_a_token_of_its_own(catalogue):
    codes, sizes = catalogue
    tokens = Tokens(codes, sizes)
    every = [
        {tokens.offsets[level] + code for code in range(size)} for level, size in enumerate(sizes)
    ]
    assert sorted(t for level in every for t in level) == list(range(tokens.size))
    items = torch.arange(len(codes))
    assert torch.equal(tokens.codes(items), torch.from_numpy(codes).long())
    for level in range(len(sizes)):
        assert set(tokens(items)[:, level].tolist()) <= every[level]
    table = torch.arange(tokens.size)
    parts = [tokens.level(table, level).tolist() for level in range(len(sizes))]
    assert [sorted(level) for level in every] == parts


def test_they_are_no_part_of_what_is_saved():
    assert not Tokens(np.zeros((3, 2), int), (1, 1)).state_dict()
