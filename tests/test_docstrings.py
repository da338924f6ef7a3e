"""The examples in the docstrings of the public API do what they say."""

from __future__ import annotations

import doctest

import pytest

import semantic_ids

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FUNCTIONS = ["RQKMeans", "RQVAE", "evaluate", "load_tokenizer", "read_items", "unique_ids"]


def examples(name: str) -> list[doctest.DocTest]:
    """The examples of a public name and its members."""
    found = doctest.DocTestFinder().find(getattr(semantic_ids, name), name, module=False, globs={})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_users_call_has_examples(name):
    assert examples(name)


@pytest.mark.parametrize("name", semantic_ids.__all__)
def test_examples_run(name):
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in examples(name):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
