"""Ids as numbers, against a dictionary of Python's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.hashing import item_hash
from semantic_ids.ingestion import history_ids
from semantic_ids.ingestion.history_ids import Catalogue, Numbering

batches = st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=6)), max_size=8)


def array(values: list[int], *, text: bool) -> pa.Array:
    kind = pa.large_string() if text else pa.int64()
    return pa.array([str(i) for i in values] if text else values, kind)


@settings(deadline=None)
@given(batches, st.sampled_from([1, 4, 1 << 20]))
def test_ids_are_numbered_as_they_come_whatever_their_type(drawn, together):
    """And however many are looked up together; some are taken before others are added."""
    known: dict[str, int] = {}
    numbering = Numbering()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_ids, "_TOGETHER", together)
        for number, (text, values) in enumerate(drawn):
            numbering.add(array(values, text=text))
            if number % 2:
                before = [i for _, some in drawn[number - 1 : number + 1] for i in some]
                expected = [known.setdefault(str(i), len(known)) for i in before]
                assert numbering.take().tolist() == expected
    rest = drawn[-1][1] if len(drawn) % 2 else []
    assert numbering.take().tolist() == [known.setdefault(str(i), len(known)) for i in rest]
    assert len(numbering) == len(known)
    assert [str(numbering.name(number)) for number in range(len(known))] == list(known)
    ids, places = numbering.in_order()
    ordered = sorted(known, key=lambda i: (item_hash([i])[0], i))
    assert [str(i) for i in ids.to_pylist()] == ordered
    assert places.tolist() == [ordered.index(i) for i in known]
    text = any(text and values for text, values in drawn)
    assert ids.type == (pa.string() if text else pa.int64()) or not known


@settings(deadline=None)
@given(st.lists(st.integers(0, 20)), st.booleans(), st.booleans())
def test_items_are_found_by_their_ids(values, text, catalogue_text):
    items = [7, 3, 15, 0, 11]
    catalogue = Catalogue(array(items, text=catalogue_text))
    found = catalogue.rows(array(values, text=text))
    assert found.tolist() == [items.index(i) if i in items else -1 for i in values]
    strangers = {i for i in values if i not in items}
    assert catalogue.unknown_items == len(strangers) and found.dtype == np.int32
    shown = sorted(map(str, strangers), key=lambda i: item_hash([i])[0])[:3]
    assert catalogue.some_unknown() == ", ".join(f"'{i}'" for i in shown)


def test_without_a_catalogue_an_integer_and_its_text_are_one_item():
    catalogue = Catalogue(None)
    assert catalogue.rows(array([5, 7, 5], text=False)).tolist() == [0, 1, 0]
    assert catalogue.rows(array([7, 8], text=True)).tolist() == [1, 2]
