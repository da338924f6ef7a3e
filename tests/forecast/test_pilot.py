"""The pilot: rough codes of the first items, and what the advice makes of them, held against a
tokenizer that is fitted in full.
"""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import clustered

from semantic_ids.errors import BadInput
from semantic_ids.forecast import forecast
from semantic_ids.forecast.pilot import pilot_codes


def pilot(vectors, sizes, items=1000, seed=1, **more):
    return pilot_codes(vectors, sizes, items=items, seed=seed, device="cpu", **more)


def test_codes_of_the_first_items_alone():
    vectors = clustered(1500, 12)
    codes, sizes = pilot(vectors, (16, 5, 9))
    assert codes.shape == (1000, 3) and codes.dtype == np.int32 and sizes == (16, 5, 9)
    assert (codes >= 0).all() and (codes < np.array(sizes)).all()
    changed = vectors.copy()
    changed[1000:] = np.nan
    np.testing.assert_array_equal(pilot(changed, (16, 5, 9))[0], codes)


def test_the_same_seed_gives_the_same_codes():
    vectors = clustered(600, 200)
    np.testing.assert_array_equal(pilot(vectors, (16, 16))[0], pilot(vectors, (16, 16))[0])
    assert not np.array_equal(pilot(vectors, (16, 16))[0], pilot(vectors, (16, 16), seed=2)[0])


def test_items_of_a_code_are_alike_and_equal_items_have_equal_codes():
    vectors = clustered(800, 150, clusters=8)
    vectors[400:] = vectors[:400]
    codes, _ = pilot(vectors, (8, 4))
    np.testing.assert_array_equal(codes[:400], codes[400:])
    spread = vectors.var(axis=0).sum()
    within = (
        sum(
            vectors[codes[:, 0] == code].var(axis=0).sum() * (codes[:, 0] == code).sum()
            for code in range(8)
        )
        / 800
    )
    assert within < 0.6 * spread


@pytest.mark.parametrize(
    ("items", "tried"),
    [(4800, (100, 100, 7)), (1000, (31, 31, 7)), (100, (10, 10, 7)), (3, (1, 1, 1))],
)
def test_codebooks_are_no_larger_than_the_pilot_can_fill(items, tried):
    codes, sizes = pilot(clustered(4800, 4), (4096, 256, 7), items=items)
    assert sizes == tried and len(codes) == items


def test_fewer_items_than_asked_for_one_level_and_one_code():
    codes, sizes = pilot(clustered(50, 3), (4, 1), items=9999)
    assert codes.shape == (50, 2) and sizes == (4, 1) and (codes[:, 1] == 0).all()
    assert pilot(clustered(50, 3), (5,))[0].shape == (50, 1)


def test_equal_vectors_all_over_do_no_harm():
    codes, _ = pilot(np.ones((300, 4), dtype=np.float32), (8, 8))
    assert len(np.unique(codes, axis=0)) == 1


def test_preprocessing_is_that_of_the_tokenizer():
    """At unit length, lengths tell nothing apart."""
    vectors = clustered(500, 6)
    longer = vectors * np.random.default_rng(0).choice(np.float32([1, 2, 4]), 500)[:, None]
    options = {"normalize": True, "center": False, "scale": False}
    np.testing.assert_array_equal(
        pilot(vectors, (8, 8), preprocess=options)[0], pilot(longer, (8, 8), preprocess=options)[0]
    )
    assert not np.array_equal(pilot(vectors, (8, 8))[0], pilot(longer, (8, 8))[0])
    longer[7] = 0
    with pytest.raises(BadInput, match="zero"):
        pilot(longer, (8, 8), preprocess=options)


def test_memory_maps_and_float16_are_read_alike(tmp_path):
    vectors = clustered(300, 5).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    np.testing.assert_array_equal(
        pilot(mapped, (6, 6))[0], pilot(vectors.astype(np.float32), (6, 6))[0]
    )


@pytest.mark.slow
def test_the_forecast_of_the_sample_comes_true(root):
    """From half of the embedded sample, for all of it."""
    from semantic_ids.tokenizers import fit_tokenizer

    column = pq.read_table(root / "data/01_raw/item_emb.parquet", columns=["embedding"])[
        "embedding"
    ].combine_chunks()
    vectors = (
        column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(column), -1)
    )
    vectors = vectors[np.random.default_rng(0).permutation(len(vectors))]
    sizes = (64, 64, 64)
    codes = fit_tokenizer(vectors, codebook_sizes=sizes, device="cpu", seed=1).encode(vectors)
    _, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    truth = (counts[which] > 1).mean()
    found = forecast(*pilot(vectors, sizes, items=4700), sizes, len(vectors))
    assert truth / 1.5 < found.collision_rate < truth * 1.5
