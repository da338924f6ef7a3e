from __future__ import annotations

import json

import numpy as np
import pytest

from semantic_ids.forecast import Choice, forecast
from semantic_ids.forecast.capacity import percent


def drawn(items, sizes, crowding=0.0, seed=0):
    """Codes (n, L): a share of the items crowds around one prefix, the others are spread evenly."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, size, items) for size in sizes], axis=1)
    codes[rng.random(items) < crowding, :-1] = 0
    return codes.astype(np.int32)


def shared(codes):
    _, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return float((counts[which] > 1).mean())


def spilled(codes, room):
    counts = np.unique(codes[:, :-1], axis=0, return_counts=True)[1]
    return float(np.maximum(counts - room, 0).sum() / len(codes))


@pytest.mark.parametrize("crowding", [0.0, 0.3])
def test_a_pilot_of_all_items_tells_what_there_is(crowding):
    sizes = (8, 8, 16)
    codes = drawn(300, sizes, crowding)
    found = forecast(codes, sizes, sizes, 300)
    assert found.collision_rate == pytest.approx(shared(codes), abs=1e-12)
    assert found.chosen.spilled_rate == pytest.approx(spilled(codes, 16), abs=1e-12)
    assert (found.chosen.capacity, found.chosen.bits, found.chosen.fill) == (1024, 10.0, 300 / 1024)


@pytest.mark.parametrize("crowding", [0.0, 0.05, 0.3])
def test_a_pilot_of_some_items_comes_close(crowding):
    sizes = (16, 16, 64)
    codes = drawn(6000, sizes, crowding)
    found = forecast(codes[:1500], sizes, sizes, 6000)
    assert found.collision_rate == pytest.approx(shared(codes), rel=0.3)
    assert found.chosen.spilled_rate == pytest.approx(spilled(codes, 64), rel=0.3, abs=5e-3)


def test_evenly_used_codes_are_the_least_there_can_be():
    """No two of a few items need share their codes; of very many they must."""
    codes = np.stack([np.arange(64) // 8, np.arange(64) % 8], axis=1)
    assert forecast(codes, (8, 8), (8, 8), 64).collision_rate == 0
    assert forecast(codes, (8, 8), (8, 8), 200).collision_rate == pytest.approx(
        1 - (63 / 64) ** 199
    )


@pytest.mark.parametrize("crowding", [0.0, 0.2, 0.6])
@pytest.mark.parametrize("sizes", [(8, 8, 16), (16, 64), (4, 4, 4, 64), (8, 4, 8, 2)])
def test_the_sizes_suggested_would_do_and_half_of_them_would_not(crowding, sizes):
    """All items are known here, so that what would spill can be counted."""
    codes = drawn(1000, sizes, crowding)
    found = forecast(codes, sizes, sizes, 1000)
    assert 1 <= len(found.suggestions) <= 2
    levels = len(sizes)
    for choice in found.suggestions:
        *prefix, last = choice.codebook_sizes
        assert tuple(prefix) == sizes[: len(prefix)] and choice.fill <= 0.5
        truth = [
            spilled(np.concatenate([codes[:, : len(prefix)], codes[:, :1]], axis=1), size)
            for size in (last, last // 2)
        ]
        assert choice.spilled_rate == pytest.approx(truth[0], abs=1e-12) and truth[0] <= 0.01
        assert (
            choice.codebook_sizes == sizes or last == 2 or truth[1] > 0.01 or choice.fill * 2 > 0.5
        )
    first = found.suggestions[0].codebook_sizes
    assert found.chosen.would_do == (first == sizes)
    if not found.chosen.would_do:
        assert {len(choice.codebook_sizes) for choice in found.suggestions} <= {levels, levels + 1}


def test_where_one_vector_is_everywhere_there_are_at_least_codes_enough():
    codes = np.zeros((400, 3), dtype=np.int32)
    found = forecast(codes, (4, 4, 4), (4, 4, 4), 1_000_000)
    assert [choice.codebook_sizes for choice in found.suggestions] == [(4,) * 11]
    assert found.suggestions[0].fill <= 0.5 and found.suggestions[0].spilled_rate is None
    assert (
        "No sizes would give nearly all items room under their own prefix; 4x4x4x4x4x4x4x4x4x4x4"
        " (22 bits, 24 % full)" in found.in_words(unique=True)
    )


@pytest.mark.parametrize("sizes", [(100,), (7, 90), (1, 100), (100, 1)])
def test_odd_sizes(sizes):
    found = forecast(drawn(100, sizes), sizes, sizes, 100)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    assert any(choice.capacity >= 100 for choice in found.suggestions)


@pytest.mark.parametrize("items", [1, 2, 3])
def test_a_handful_of_items(items):
    found = forecast(drawn(items, (2, 2)), (2, 2), (2, 2), items)
    assert 0 <= found.collision_rate <= 1 and found.suggestions[0].capacity >= items


def test_codebooks_that_the_pilot_could_not_fill():
    """A smaller pilot is read as if its cells were split, and says so."""
    codes = drawn(1000, (16, 16))
    rough, plain = (
        forecast(codes, (16, 16), (64, 64), 4000),
        forecast(codes, (16, 16), (16, 16), 4000),
    )
    assert rough.pilot_sizes == (16, 16) and rough.chosen.capacity == 4096
    assert rough.collision_rate == pytest.approx(
        forecast(codes, (16, 16), (16, 16), 1000).collision_rate
    )  # 16 × the cells, √16 × the room
    assert "tried 16x16, so this is a rougher guess" in rough.in_words(unique=True)
    assert "rougher" not in plain.in_words(unique=True)


def test_what_is_said():
    codes = drawn(300, (8, 8, 64))
    found = forecast(codes, (8, 8, 64), (8, 8, 64), 300)
    assert not found.is_tight(unique=True)
    said = found.in_words(unique=True)
    assert said.startswith(
        "ID space: 8x8x64 makes 4,096 codes for 300 items (7.3 % full). By a pilot of 300 items,"
        " about "
    )
    assert (
        "of the items will share their codes before de-duplication, and 0 % will find no room under"
        " their own prefix." in said
    )
    assert "Sizes that would do: 8x8x64 (12 bits, 7.3 % full) or 8x8x" in said
    assert "prefix" not in found.in_words(unique=False) and "Sizes" not in found.in_words(
        unique=False
    )


def test_it_warns_of_overfull_prefixes_and_of_a_full_space():
    crowded = forecast(drawn(300, (8, 8, 16), 0.5), (8, 8, 16), (8, 8, 16), 300)
    assert crowded.is_tight(unique=True) and not crowded.is_tight(unique=False)
    assert "There is more room with tokenizer.codebook_sizes=8x8x" in crowded.in_words(unique=True)
    full = forecast(drawn(600, (8, 8, 16)), (8, 8, 16), (8, 8, 16), 600)
    assert full.is_tight(unique=True) and full.is_tight(unique=False)
    assert "There is more room with" in full.in_words(unique=False)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (5e-5, "less than 0.01 %"),
        (0.00072, "0.07 %"),
        (0.034, "3.4 %"),
        (0.126, "13 %"),
        (1, "100 %"),
        (12.5, "1250 %"),
    ],
)
def test_shares_in_words(share, text):
    assert percent(share) == text


def test_a_choice_as_json():
    choice = Choice((16, 16), 64, None)
    assert choice.to_json() == {
        "codebook_sizes": [16, 16],
        "bits": 8.0,
        "fill": 0.25,
        "spilled_rate": None,
    }
    assert not choice.would_do
