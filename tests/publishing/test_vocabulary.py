"""Tokens and ids."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.codes import read_tokens, token
from semantic_ids.errors import BadInput
from semantic_ids.publishing.vocabulary import Marker, Vocabulary

SIZES = (5, 12, 3)


def table(vocabulary):
    """Id → token, counted one by one."""
    texts = [
        token(level, code) for level, size in enumerate(vocabulary.sizes) for code in range(size)
    ]
    return dict(enumerate(texts, start=vocabulary.first_id))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(0, 50_000))
def test_every_token_has_an_id_of_its_own_and_back(sizes, first):
    vocabulary = Vocabulary(tuple(sizes), first, pad=None, unknown=None, begin=None, end=None)
    expected = table(vocabulary)
    assert list(vocabulary.ids) == list(expected)
    assert list(vocabulary.tokens()) == list(expected.values())
    assert [vocabulary.token_of(number) for number in expected] == list(expected.values())
    assert [vocabulary.id_of(text) for text in expected.values()] == list(expected)


@given(st.integers(0, 2000), st.integers(0, 10**9))
def test_a_token_is_read_as_it_was_written(level, code):
    assert read_tokens(token(level, code)) == [(level, code)]


def test_ids_of_codes_are_first_offset_and_code():
    vocabulary = Vocabulary.of(SIZES, 3)
    codes = np.array([[0, 0, 0], [4, 11, 2]], np.int32)
    assert vocabulary.ids_of(codes).tolist() == [[4, 9, 21], [8, 20, 23]]
    np.testing.assert_array_equal(vocabulary.codes_of(vocabulary.ids_of(codes)), codes)
    assert vocabulary.ids_of(codes[:, :2]).tolist() == [[4, 9], [8, 20]]
    assert vocabulary.ids_of(np.zeros((0, 3), np.int32)).shape == (0, 3)


@pytest.mark.parametrize("codes", [[[5, 0, 0]], [[0, -1, 0]], [[0, 0, 0, 0]]])
def test_codes_without_a_token_are_refused(codes):
    with pytest.raises(BadInput, match="expected"):
        Vocabulary.of(SIZES, 3).ids_of(codes)


@pytest.mark.parametrize("ids", [[[3, 9, 21]], [[4, 8, 21]], [[4, 9, 24]], [[4, 9, 21, 4]]])
def test_ids_that_are_no_token_of_their_level_are_refused(ids):
    with pytest.raises(BadInput, match="expected"):
        Vocabulary.of(SIZES, 3).codes_of(ids)


def test_markers():
    vocabulary = Vocabulary.of(SIZES, 3)
    assert [vocabulary.token_of(number) for number in range(4)] == ["<pad>", "<unk>", "<s>", "</s>"]
    assert vocabulary.id_of("</s>") == 3 == vocabulary.end.id
    for wrong in ("<a_5>", "<d_0>", "<a_01>", "a", "<a_1><a_2>", ""):
        with pytest.raises(BadInput, match="there is no token"):
            vocabulary.id_of(wrong)
    with pytest.raises(BadInput, match="there is no token with id 24"):
        vocabulary.token_of(24)


def test_texts():
    vocabulary = Vocabulary.of(SIZES, 3)
    assert vocabulary.write([[1, 11, 2], [1, 1, 0]]) == ["<a_1><b_11><c_2>", "<a_1><b_1><c_0>"]
    text = "bought <a_1><b_11><c_2>, <a_1> <a_2><b_1><c_0> then<b_1><c_0><a_0><b_12><c_0><a_9><b_0>"
    assert vocabulary.read(text).tolist() == [[1, 11, 2], [2, 1, 0]]
    assert vocabulary.read("").shape == (0, 3)


@given(st.lists(st.tuples(*(st.integers(0, k - 1) for k in SIZES)), max_size=9), st.text("a <_1>"))
def test_what_was_written_is_read_whatever_is_between(rows, between):
    vocabulary = Vocabulary.of(SIZES, 3)
    found = vocabulary.read(between.join(["", *vocabulary.write(rows)]))
    assert [tuple(row) for row in found.tolist()] == rows


def test_a_suffix_has_room_and_nothing_moves_as_it_grows():
    first = Vocabulary.of((5, 12, 3), 2, suffix_room=4, made_from="one")
    assert first.suffix_level == 3 and first.sizes == (5, 12, 7)
    more = Vocabulary.of((5, 12, 9), 2, made_from="two").following(first)
    fewer = Vocabulary.of((5, 12, 2), 2, made_from="three").following(first)
    assert more.sizes == (5, 12, 9) and fewer.sizes == first.sizes
    assert fewer.fingerprint == first.fingerprint != more.fingerprint
    assert (more.made_from, fewer.made_from) == ("two", "three")
    assert table(first).items() <= table(more).items()
    assert Vocabulary.of((5, 12), 2, suffix_room=4).sizes == (5, 12)
    assert more.following(None) is more


@pytest.mark.parametrize("sizes", [(5, 13, 3), (5, 12), (5, 12, 3, 2)])
def test_other_levels_do_not_follow(sizes):
    with pytest.raises(BadInput, match="expected the codebook sizes of the generation before"):
        Vocabulary.of(sizes, 2).following(Vocabulary.of(SIZES, 2))


def test_a_vocabulary_that_follows_keeps_where_it_begins():
    own = Vocabulary(SIZES, 50_000, pad=None, unknown=None, begin=None, end=Marker("<eos>", 7))
    assert Vocabulary.of(SIZES, 3).following(own).first_id == 50_000


def test_it_comes_back_from_disk(tmp_path):
    for vocabulary in (
        Vocabulary.of((5, 12, 3), 2, made_from="abc"),
        Vocabulary(SIZES, 32_000, pad=None, unknown=None, begin=None, end=Marker("<eos>", 7)),
    ):
        place = vocabulary.save(tmp_path)
        assert place == tmp_path / "vocabulary.json"
        assert Vocabulary.load(tmp_path) == Vocabulary.load(place) == vocabulary


def test_what_the_file_says():
    values = Vocabulary.of((5, 12, 3), 2, made_from="abc").to_json()
    assert values | {"fingerprint": ""} == {
        "format": 1,
        "tokens_per_level": [5, 12, 3],
        "offsets": [0, 5, 17],
        "first_id": 4,
        "last_id": 23,
        "pad": {"token": "<pad>", "id": 0},
        "unknown": {"token": "<unk>", "id": 1},
        "begin": {"token": "<s>", "id": 2},
        "end": {"token": "</s>", "id": 3},
        "suffix_level": 3,
        "fingerprint": "",
        "semantic_ids": "abc",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": [0, 5, 16]}, "do not go together|does not go together"),
        ({"first_id": 5}, "does not go together"),
        ({"end": {"token": "</s>", "id": 2}}, "does not go together"),
        ({"format": 2}, "its format is 2"),
        ({"tokens_per_level": []}, "codebook_sizes"),
        ({"begin": 3}, "it is no vocabulary"),
        ({"semantic_ids": 3}, "does not go together"),
        ({"suffix_level": 2.5}, "does not go together"),
    ],
)
def test_a_file_that_was_changed_is_refused(tmp_path, change, message):
    values = Vocabulary.of(SIZES, 3).to_json() | change
    (tmp_path / "vocabulary.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=message):
        Vocabulary.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null"])
def test_a_file_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "vocabulary.json").write_text(text)
    with pytest.raises(BadInput, match="vocabulary"):
        Vocabulary.load(tmp_path)
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(BadInput, match="there is no vocabulary"):
        Vocabulary.load(tmp_path)
