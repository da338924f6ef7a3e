"""The contract of a tokenizer, over every kind."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from semantic_ids.codes import keys
from semantic_ids.errors import BadInput
from semantic_ids.tokenizers import fit_tokenizer, load_tokenizer
from semantic_ids.tokenizers.registry import tokenizer_class
from tests.tokenizers.conftest import KINDS, SIZES, fitted

ALL_CODES = np.array(list(itertools.product(*map(range, SIZES))), dtype=np.int32)


def latent(tokenizer, vectors):
    """The vectors in the space that is quantised, in float64."""
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(vectors))
        return tokenizer._to_latent(tokenizer.preprocessing.apply(x)).double().numpy()


def latent_sums(tokenizer, codes):
    """The sums of the codes' vectors, in float64."""
    return sum(
        tokenizer.quantizer.codebooks[level].double().numpy()[codes[..., level]]
        for level in range(codes.shape[-1])
    )


def test_shapes_types_and_ranges(tokenizer, vectors):
    codes = tokenizer.encode(vectors)
    assert codes.shape == (700, 3) and codes.dtype == np.int32
    assert (codes >= 0).all() and (codes < np.array(SIZES)).all()
    decoded = tokenizer.decode(codes)
    assert decoded.shape == vectors.shape and decoded.dtype == np.float32
    assert tokenizer.codebook_sizes == SIZES and tokenizer.dim == 12 and tokenizer.kind in KINDS


def beam_errors(tokenizer, x, beam):
    """Squared error that a beam search ends with, in float64, prefix by prefix as it is defined.

    (m, d) → (m,).
    """
    prefixes = np.zeros((len(x), 1, 0), dtype=np.int64)
    for size in tokenizer.codebook_sizes:
        added = np.broadcast_to(
            np.tile(np.arange(size), prefixes.shape[1])[None, :, None],
            (len(x), size * prefixes.shape[1], 1),
        )
        grown = np.concatenate([np.repeat(prefixes, size, axis=1), added], axis=2)
        errors = ((x[:, None] - latent_sums(tokenizer, grown)) ** 2).sum(-1)
        best = np.argsort(errors, axis=1)[:, :beam]
        prefixes = np.take_along_axis(grown, best[..., None], axis=1)
    return np.take_along_axis(errors, best, axis=1)[:, 0]


@pytest.mark.parametrize("beam", [1, 3, 6])
def test_encode_follows_the_beam(tokenizer, vectors, beam, monkeypatch):
    """With width 1 it is the nearest code level by level."""
    monkeypatch.setattr(type(tokenizer), "beam_size", beam)
    x = latent(tokenizer, vectors)
    found = ((x - latent_sums(tokenizer, tokenizer.encode(vectors))) ** 2).sum(1)
    np.testing.assert_allclose(found, beam_errors(tokenizer, x, beam), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, 100, 699])
def test_codes_do_not_depend_on_how_many_are_encoded_at_once(tokenizer, vectors, size):
    whole = tokenizer.encode(vectors)
    parts = np.concatenate([tokenizer.encode(vectors[i : i + size]) for i in range(0, 210, size)])
    np.testing.assert_array_equal(parts[:210], whole[: len(parts)][:210])


def test_codes_do_not_depend_on_the_order_of_rows(tokenizer, vectors):
    order = np.random.default_rng(3).permutation(len(vectors))
    np.testing.assert_array_equal(
        tokenizer.encode(vectors[order]), tokenizer.encode(vectors)[order]
    )


def test_nothing_in_nothing_out(tokenizer):
    assert tokenizer.encode(np.empty((0, 12), np.float32)).shape == (0, 3)
    assert tokenizer.decode(np.empty((0, 3), np.int32)).shape == (0, 12)
    codes, costs = tokenizer.candidates(np.empty((0, 12), np.float32), 4)
    assert codes.shape == (0, 4, 3) and costs.shape == (0, 4)


def test_decode_reconstructs_better_than_the_mean(tokenizer, vectors):
    decoded = tokenizer.decode(tokenizer.encode(vectors))
    assert ((vectors - decoded) ** 2).sum() < 0.6 * ((vectors - vectors.mean(0)) ** 2).sum()


@pytest.mark.parametrize("p", [0, 1, 2])
def test_a_prefix_decodes_to_what_its_codes_say(tokenizer, vectors, p):
    """The sum of the codes' vectors, mapped back; less is known with each code left out."""
    codes = tokenizer.encode(vectors)
    decoded = tokenizer.decode(codes[:, :p])
    z = torch.from_numpy(
        sum(
            (tokenizer.quantizer.codebooks[level].numpy()[codes[:, level]] for level in range(p)),
            start=np.zeros((700, tokenizer.quantizer.codebooks[0].shape[1]), np.float32),
        )
    )
    with torch.inference_mode():
        expected = tokenizer.preprocessing.undo(tokenizer._from_latent(z)).numpy()
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-4)
    if tokenizer.kind == "rq_kmeans":
        errors = [((vectors - tokenizer.decode(codes[:, :q])) ** 2).sum() for q in range(4)]
        assert errors == sorted(errors, reverse=True)


def test_level_costs_are_squared_errors(tokenizer, vectors):
    x, prefixes = vectors[:50], tokenizer.encode(vectors[50:100])[:, :-1]
    costs = tokenizer.level_costs(x, prefixes)
    assert costs.shape == (50, SIZES[-1]) and costs.dtype == np.float32
    for code in range(SIZES[-1]):
        full = np.concatenate([prefixes, np.full((50, 1), code)], axis=1)
        expected = ((latent(tokenizer, x) - latent_sums(tokenizer, full)) ** 2).sum(1)
        np.testing.assert_allclose(costs[:, code], expected, rtol=1e-4, atol=1e-4)


def test_distortion_is_the_squared_error_where_it_is_quantised(tokenizer, vectors):
    codes = tokenizer.encode(vectors)[::-1]
    expected = ((latent(tokenizer, vectors) - latent_sums(tokenizer, codes)) ** 2).sum(1)
    found = tokenizer.distortion(vectors, codes)
    assert found.shape == (700,) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_where_distances_are_preserved_distortion_is_the_squared_error_but_for_a_factor(
    tokenizer, vectors, preprocess
):
    assert tokenizer.preserves_distances == (tokenizer.kind == "rq_kmeans" and not preprocess)
    codes = tokenizer.encode(vectors)[::-1]  # of other items, so that all errors are large
    factors = ((vectors - tokenizer.decode(codes)) ** 2).sum(1) / tokenizer.distortion(
        vectors, codes
    )
    assert np.allclose(factors, factors.mean(), rtol=1e-3) == tokenizer.preserves_distances


def test_unit_vectors_have_other_distances(vectors):
    assert not fitted("rq_kmeans", vectors, preprocess={"normalize": True}).preserves_distances


def every_cost(tokenizer, x):
    """Squared error of every code for every vector, by brute force: (m, ∏K)."""
    return ((latent(tokenizer, x)[:, None, :] - latent_sums(tokenizer, ALL_CODES)[None]) ** 2).sum(
        -1
    )


@pytest.mark.parametrize("t", [1, 5, 40])
def test_candidates_are_the_best_codes_of_all(tokenizer, vectors, t):
    x = vectors[:30]
    codes, costs = tokenizer.candidates(x, t)
    expected = np.sort(every_cost(tokenizer, x), axis=1)[:, :t]
    np.testing.assert_allclose(costs, expected, rtol=1e-3, atol=1e-3)
    own = ((latent(tokenizer, x)[:, None, :] - latent_sums(tokenizer, codes)) ** 2).sum(-1)
    np.testing.assert_allclose(own, costs, rtol=1e-3, atol=1e-3)
    for row in codes:
        assert len(np.unique(keys(row, SIZES))) == t


def test_candidates_with_distinct_prefixes_and_without_closed_ones(tokenizer, vectors):
    x = vectors[:30]
    excluded = np.array([0, 3, 11, 17, 25, 39], dtype=np.int64)
    codes, costs = tokenizer.candidates(x, 6, distinct_prefixes=True, excluded=excluded)
    best = every_cost(tokenizer, x).reshape(len(x), -1, SIZES[-1]).min(2)
    best[:, excluded] = np.inf
    np.testing.assert_allclose(costs, np.sort(best, axis=1)[:, :6], rtol=1e-3, atol=1e-3)
    for row in codes:
        prefixes = keys(row[:, :-1], SIZES[:-1])
        assert len(set(prefixes)) == 6 and not set(prefixes) & set(excluded)


def test_candidates_say_where_there_are_no_more(tokenizer, vectors):
    open_prefixes = [4, 20]
    excluded = np.setdiff1d(np.arange(SIZES[0] * SIZES[1]), open_prefixes)
    codes, costs = tokenizer.candidates(vectors[:10], 5, distinct_prefixes=True, excluded=excluded)
    assert (
        np.isfinite(costs[:, :2]).all()
        and np.isinf(costs[:, 2:]).all()
        and (codes[:, 2:] == -1).all()
    )
    assert {int(k) for k in keys(codes[:, :2].reshape(-1, 3)[:, :2], SIZES[:2])} <= set(
        open_prefixes
    )


def test_save_and_load_give_the_same_codes_and_vectors(tokenizer, vectors, tmp_path):
    tokenizer.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = load_tokenizer(tmp_path, device="cpu")
    codes = tokenizer.encode(vectors)
    np.testing.assert_array_equal(loaded.encode(vectors), codes)
    np.testing.assert_array_equal(loaded.decode(codes), tokenizer.decode(codes))
    assert loaded.config == json.loads((tmp_path / "config.json").read_text()) == tokenizer.config


def test_only_what_is_rotated_saves_its_axes_and_a_file_without_them_is_bad_input(
    tokenizer, vectors, preprocess, tmp_path
):
    tokenizer.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    axes = {"preprocess.axes", "preprocess.whitening"}
    assert axes & set(tensors) == (axes if preprocess else set())
    assert tokenizer.width == (9 if preprocess else 12) and tokenizer.dim == 12
    if preprocess:
        save_file(
            {name: tensor for name, tensor in tensors.items() if name not in axes},
            tmp_path / "model.safetensors",
        )
        with pytest.raises(BadInput, match=r"preprocess\.axes"):
            load_tokenizer(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_from_before_there_were_axes_loads(kind, vectors, tmp_path):
    tokenizer = fitted(kind, vectors)
    tokenizer.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["preprocess"] = {
        name: config["preprocess"][name] for name in ("normalize", "center", "scale")
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_tokenizer(tmp_path, device="cpu")
    np.testing.assert_array_equal(loaded.encode(vectors), tokenizer.encode(vectors))
    assert loaded.config == tokenizer.config


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_decoded_lies_on_the_axes_kept(kind, vectors):
    """Without variance across the axes kept, and with the mean of the vectors there."""
    tokenizer = fitted(kind, vectors, preprocess={"dimensions": 3, "whiten": 1.0})
    decoded = tokenizer.decode(tokenizer.encode(vectors)).astype(np.float64)
    x = vectors.astype(np.float64)
    _, _, axes = np.linalg.svd(x - x.mean(0))
    np.testing.assert_allclose((decoded - x.mean(0)) @ axes[3:].T, 0, atol=1e-5)
    best = (x - x.mean(0)) @ axes[:3].T @ axes[:3] + x.mean(0)
    assert ((best - decoded) ** 2).sum() < 0.5 * ((best - x.mean(0)) ** 2).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_more_dimensions_than_there_are_is_bad_input(kind, vectors):
    with pytest.raises(
        BadInput, match=r"tokenizer\.preprocess\.dimensions: 13 dimensions of vectors that have 12"
    ):
        fitted(kind, vectors, preprocess={"dimensions": 13})


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(
    kind, vectors, preprocess, tmp_path
):
    written = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        fitted(kind, vectors, seed=seed, preprocess=preprocess).save(tmp_path / name)
        written.append((tmp_path / name / "model.safetensors").read_bytes())
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_does_not_touch_the_random_state_of_the_caller(kind, vectors):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fitted(kind, vectors)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_map_of_float16_is_fitted_like_its_values(kind, vectors, tmp_path):
    np.save(tmp_path / "v.npy", vectors.astype(np.float16))
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    values = vectors.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(
        fitted(kind, mapped).encode(mapped), fitted(kind, values).encode(values)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_rows_given_are_fitted_on(kind, vectors, preprocess):
    """The other items of the catalogue have a say in which epoch of rq_vae is kept, if collisions
    are to count.
    """
    rows = np.arange(0, 700, 2)
    spoilt = vectors.copy()
    spoilt[1::2] = 1e6
    options = {"collision_tolerance": 1.0} if kind == "rq_vae" else {}
    a, b = (
        fitted(kind, x, rows=rows, monitor_rows=rows[:50], preprocess=preprocess, options=options)
        for x in (vectors, spoilt)
    )
    np.testing.assert_array_equal(a.encode(vectors), b.encode(vectors))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(9,), (4, 300), (3, 3, 3, 3)])
def test_any_number_and_size_of_levels(kind, sizes, vectors):
    tokenizer = fitted(kind, vectors, sizes=sizes)
    codes = tokenizer.encode(vectors)
    assert codes.shape == (700, len(sizes)) and (codes < np.array(sizes)).all()
    costs = tokenizer.level_costs(vectors, codes[:, :-1])
    np.testing.assert_allclose(
        costs[np.arange(700), codes[:, -1]], costs.min(1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_with_normalisation_length_is_of_no_account_and_unit_vectors_come_out(
    kind, vectors, preprocess
):
    tokenizer = fitted(kind, vectors, preprocess=preprocess | {"normalize": True})
    assert tokenizer.normalizes
    codes = tokenizer.encode(vectors)
    np.testing.assert_array_equal(tokenizer.encode(vectors * 4), codes)
    np.testing.assert_allclose(np.linalg.norm(tokenizer.decode(codes), axis=1), 1, rtol=1e-5)
    with pytest.raises(BadInput, match="zero"):
        tokenizer.encode(np.zeros((2, 12), np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_centring_takes_a_common_offset_away(kind, vectors, preprocess):
    a, b = (fitted(kind, x, preprocess=preprocess) for x in (vectors, vectors + 64))
    assert (a.encode(vectors) == b.encode(vectors + 64)).mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_takes_a_common_factor_away(kind, vectors, preprocess):
    a, b = (fitted(kind, x, preprocess=preprocess) for x in (vectors, vectors * 1024))
    np.testing.assert_array_equal(a.encode(vectors), b.encode(vectors * 1024))


@pytest.mark.parametrize("kind", KINDS)
def test_constant_vectors_are_no_trouble(kind, preprocess):
    x = np.ones((300, 12), np.float32)
    tokenizer = fitted(kind, x, preprocess=preprocess)
    assert len(np.unique(tokenizer.encode(x), axis=0)) == 1
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(x)), x, atol=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_rows_than_codes_is_bad_input(kind, vectors):
    with pytest.raises(BadInput, match="fewer than"):
        fitted(kind, vectors[:6])


@pytest.mark.parametrize("kind", KINDS)
def test_codes_that_do_not_fit_a_key_are_bad_input(kind, vectors):
    with pytest.raises(BadInput, match=r"2\*\*63"):
        fitted(kind, vectors, sizes=(256,) * 8)


def test_a_device_that_is_not_there_is_bad_input(vectors):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BadInput, match="CUDA"):
        fit_tokenizer(vectors, device="cuda")


def test_wrong_shapes_and_codes_are_bad_input(tokenizer, vectors):
    with pytest.raises(BadInput, match=r"\(m, 12\)"):
        tokenizer.encode(vectors[:, :5])
    with pytest.raises(BadInput, match="each in"):
        tokenizer.decode(np.array([[0, 0, 7]]))
    with pytest.raises(BadInput, match="each in"):
        tokenizer.decode(np.array([[0, -1, 0]]))


def test_unknown_kinds_and_options_name_the_nearest(vectors):
    with pytest.raises(BadInput, match="nearest is 'rq_kmeans'"):
        tokenizer_class("rq_kmean")
    with pytest.raises(BadInput, match="nearest is 'iterations'"):
        fitted("rq_kmeans", vectors, options={"iteration": 5})


@pytest.mark.parametrize("damage", ["missing", "config", "truncated"])
def test_a_damaged_tokenizer_is_bad_input(tokenizer, tmp_path, damage):
    tokenizer.save(tmp_path)
    if damage == "missing":
        (tmp_path / "config.json").unlink()
    elif damage == "config":
        (tmp_path / "config.json").write_text("{")
    else:
        model = tmp_path / "model.safetensors"
        model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(BadInput, match=str(tmp_path)):
        load_tokenizer(tmp_path)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_the_best_candidate_is_never_worse_than_the_greedy_code(tokenizer, vectors, t, seed):
    x = vectors[np.random.default_rng(seed).integers(0, 700, 5)]
    greedy = tokenizer.encode(x)
    cost = tokenizer.level_costs(x, greedy[:, :-1])[np.arange(5), greedy[:, -1]]
    best = tokenizer.candidates(x, t)[1]
    assert (best[:, 0] <= cost * (1 + 1e-3) + 1e-3).all() and (np.diff(best, axis=1) >= 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_their_row(tokenizer, vectors, value):
    wrong = vectors.copy()
    wrong[300, 4] = value
    codes = tokenizer.encode(vectors)
    prefixes = codes[:, :-1]
    for refused in (
        lambda: tokenizer.encode(wrong),
        lambda: tokenizer.distortion(wrong, codes),
        lambda: tokenizer.level_costs(wrong, prefixes),
        lambda: tokenizer.candidates(wrong, 2),
    ):
        with pytest.raises(BadInput, match="row 300 of the vectors"):
            refused()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_values_that_are_not_finite_are_refused_before_anything_is_fitted(kind, vectors, value):
    wrong = vectors.copy()
    wrong[650, 0] = value
    with pytest.raises(BadInput, match="row 650 of the vectors"):
        fitted(kind, wrong)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [[5, 4, 6], [5, 5, 6], [-1, 4], [4, 700]])
def test_rows_ascend_and_are_there(kind, vectors, rows):
    given = np.array([*rows[:1], *range(10, 600), *rows[1:]]) if rows[0] > 0 else np.array(rows)
    with pytest.raises(BadInput, match="ascending"):
        fitted(kind, vectors, rows=given)
