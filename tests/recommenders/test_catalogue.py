from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.recommenders import catalogue
from semantic_ids.recommenders.catalogue import Catalogue

TEXTS = ["pen", "ink", "café", "", "pen2", "7"]


def of(item_ids: np.ndarray) -> Catalogue:
    n = len(item_ids)
    codes = np.arange(2 * n, dtype=np.int32).reshape(n, 2)
    return Catalogue(item_ids, codes, (2 * n, 2 * n), np.arange(n)[::-1].copy(), "abc")


def text(values: list[str]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


@pytest.mark.parametrize("ids", [text(TEXTS), np.array([5, -3, 10**15, 0])], ids=["text", "int"])
def test_rows_are_found_and_unknown_ones_told(ids):
    known = of(ids)
    asked = [*ids.tolist(), "nobody", ids[0], 99]
    assert known.rows_of(asked).tolist() == [*range(len(ids)), -1, 0, -1]
    assert known.rows_of([]).tolist() == []
    assert of(ids[:0]).rows_of(asked).tolist() == [-1] * len(asked)


def test_a_number_and_its_text_are_one_id():
    assert of(np.array([5, 7])).rows_of(["7", 5, "05", 5.0]).tolist() == [1, 0, -1, -1]
    assert of(text(["5", "7"])).rows_of([7, "5"]).tolist() == [1, 0]


def test_ids_of_equal_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(catalogue, "item_hash", lambda ids: np.zeros(len(list(ids)), np.uint64))
    assert of(text(TEXTS)).rows_of(["7", "ink", "oil"]).tolist() == [5, 1, -1]


@pytest.mark.parametrize("ids", [text(TEXTS), np.array([5, -3, 10**15, 0]), text([])])
def test_arrays_hold_all_of_it(ids):
    known = of(ids)
    again = Catalogue.of_arrays(known.arrays(), known.sizes, known.made_from)
    assert again.item_ids.tolist() == known.item_ids.tolist()
    assert again.item_ids.dtype == known.item_ids.dtype
    assert np.array_equal(again.codes, known.codes) and np.array_equal(again.events, known.events)
    assert (again.sizes, again.made_from) == (known.sizes, "abc")
    assert all(array.dtype.kind in "iu" for array in known.arrays().values())


def test_a_list_marks_its_items_and_must_have_one():
    known = of(text(TEXTS))
    assert known.mask(["ink", "oil", "7"], "allow").tolist() == [
        *(False, True, False, False, False, True)
    ]
    with pytest.raises(BadInput, match=r"allow: none of the 2 items is in the catalogue; .*'pen'"):
        known.mask(["oil", 3], "allow")
