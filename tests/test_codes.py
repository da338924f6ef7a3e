from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from semantic_ids.codes import (
    LARGEST_KEY,
    capacity,
    check_capacity,
    check_sizes,
    keys,
    ranks,
    sizes_of,
    token,
    unpack,
)
from semantic_ids.errors import BadInput

SIZES = st.lists(st.integers(1, 2**40), min_size=1, max_size=9)


@given(SIZES, st.data())
def test_unpack_undoes_keys(sizes, data) -> None:
    assume(math.prod(sizes) <= LARGEST_KEY and max(sizes) <= 2**31)
    rows = data.draw(st.lists(st.tuples(*(st.integers(0, k - 1) for k in sizes)), max_size=8))
    codes = np.array(rows, dtype=np.int32).reshape(len(rows), len(sizes))
    packed = keys(codes, sizes)
    assert packed.dtype == np.int64
    assert ((packed >= 0) & (packed < math.prod(sizes))).all()
    found = unpack(packed, sizes)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, codes)


@pytest.mark.parametrize("given", [[4, 3], (4, 3), np.array([4, 3]), (np.int32(4), 3)])
def test_sizes_are_whole_numbers(given) -> None:
    assert sizes_of(given) == (4, 3) and all(type(k) is int for k in sizes_of(given))


@pytest.mark.parametrize("given", [(), (4, 0), (4, -1), (4.5, 3), (4.0, 3), (True, 3), 256, "4x3"])
def test_what_are_no_sizes_is_refused(given) -> None:
    with pytest.raises(BadInput, match=r"tokenizer\.codebook_sizes: 'codebook_sizes' is "):
        sizes_of(given)


@pytest.mark.parametrize("sizes", [(3, 4, 2), (1, 5), (2, 2, 2, 2)])
def test_keys_number_all_codes_in_their_order(sizes) -> None:
    codes = np.array(list(itertools.product(*(range(k) for k in sizes))), dtype=np.int32)
    np.testing.assert_array_equal(keys(codes, sizes), np.arange(capacity(sizes)))


def test_the_largest_key_fits() -> None:
    sizes = (2**31 - 1, 2**31 - 1, 2)
    codes = np.array([[k - 1 for k in sizes]], dtype=np.int32)
    assert keys(codes, sizes).tolist() == [math.prod(sizes) - 1]
    np.testing.assert_array_equal(unpack(keys(codes, sizes), sizes), codes)


def test_keys_of_no_levels_are_zero() -> None:
    np.testing.assert_array_equal(keys(np.zeros((3, 0), np.int32), ()), [0, 0, 0])


@given(st.lists(st.integers(-3, 3), max_size=40))
def test_ranks_count_earlier_equals(values) -> None:
    assert ranks(np.array(values, np.int64)).tolist() == [
        values[:row].count(value) for row, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("level", "letters"),
    [
        (0, "a"),
        (1, "b"),
        (25, "z"),
        (26, "aa"),
        (27, "ab"),
        (51, "az"),
        (52, "ba"),
        (26 + 26**2 - 1, "zz"),
        (26 + 26**2, "aaa"),
    ],
)
def test_token_letters(level, letters) -> None:
    assert token(level, 45) == f"<{letters}_45>"


def test_token_letters_are_all_different() -> None:
    assert len({token(level, 0) for level in range(1000)}) == 1000


@given(SIZES)
def test_capacity_is_limited_to_63_bits(sizes) -> None:
    if math.prod(sizes) < 2**63:
        check_capacity(sizes)
    else:
        with pytest.raises(BadInput, match="63"):
            check_capacity(sizes)


@pytest.mark.parametrize("sizes", [(256,) * 8, (2**63,)])
def test_too_large_for_a_key(sizes) -> None:
    with pytest.raises(BadInput, match="take fewer or smaller levels"):
        check_sizes(10**9, sizes, unique=False)


@given(st.integers(1, 10**7), st.lists(st.integers(1, 5000), min_size=1, max_size=5), st.booleans())
def test_sizes_serve_the_items_or_are_refused_with_sizes_that_do(items, sizes, unique) -> None:
    fits = items >= max(sizes) and (not unique or math.prod(sizes) >= items)
    if fits:
        check_sizes(items, sizes, unique=unique)
        return
    with pytest.raises(BadInput) as caught:
        check_sizes(items, sizes, unique=unique)
    assert "x".join(map(str, sizes)) in str(caught.value)
    assert " tokenizer.codebook_sizes=" in str(caught.value)


@given(st.integers(1, 10**7), st.lists(st.integers(1, 5000), min_size=1, max_size=5), st.booleans())
def test_suggested_sizes_would_do(items, sizes, unique) -> None:
    """A suggestion that is refused in its turn is no help."""
    try:
        check_sizes(items, sizes, unique=unique)
    except BadInput as error:
        suggested = str(error).split("tokenizer.codebook_sizes=")[1].split(" ")[0].rstrip(".")
        check_sizes(items, [int(k) for k in suggested.split("x")], unique=unique)
