"""Preprocessing against numpy in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.options import PreprocessOptions
from semantic_ids.tokenizers.preprocessing import LEAST_SPREAD, Preprocessing, principal_axes
from tests.conftest import clustered


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("rows", [np.arange(20_000), np.arange(0, 20_000, 3)])
def test_mean_and_scale_are_those_of_the_rows(normalize, center, scale, rows):
    vectors = clustered(20_000, 6, seed=1) + 3
    x = vectors.astype(np.float64)[rows]
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalize else x
    mean = x.mean(0) if center else np.zeros(6)
    spread = np.sqrt(((x - mean) ** 2).mean()) if scale else 1.0
    fitted = Preprocessing.fit(vectors, rows, PreprocessOptions(normalize, center, scale))
    np.testing.assert_allclose(fitted.mean, mean, atol=1e-6)
    assert fitted.scale == pytest.approx(spread, rel=1e-6)
    prepared = fitted.apply(torch.from_numpy(vectors[:100]))
    first = (
        vectors[:100] / np.linalg.norm(vectors[:100], axis=1, keepdims=True)
        if normalize
        else vectors[:100]
    )
    np.testing.assert_allclose(prepared, (first - mean) / spread, atol=1e-5)
    np.testing.assert_allclose(fitted.undo(prepared), first, atol=1e-5)


def test_a_large_offset_does_no_harm():
    vectors = clustered(10_000, 6, seed=1)
    near, far = (
        Preprocessing.fit(x, np.arange(10_000), PreprocessOptions())
        for x in (vectors, vectors + np.float32(4096))
    )
    assert far.scale == pytest.approx(near.scale, rel=1e-3)


def test_constant_vectors_have_scale_one():
    fitted = Preprocessing.fit(np.ones((10, 3), np.float32), np.arange(10), PreprocessOptions())
    assert fitted.scale == 1 and torch.equal(fitted.apply(torch.ones(1, 3)), torch.zeros(1, 3))


@pytest.fixture(scope="module")
def uneven() -> np.ndarray:
    """20,000 vectors of 8 dimensions, a hundred times as wide along one axis as along another, none
    of them a coordinate's.
    """
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(8, 8)))[0]
    return ((clustered(20_000, 8, seed=1) * np.geomspace(1, 0.01, 8)) @ rotation + 0.3).astype(
        np.float32
    )


def in_double(vectors, options):
    """The vectors that are rotated, and what is subtracted from them."""
    x = vectors.astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if options.normalize else x
    return x, x.mean(0) if options.center else np.zeros(x.shape[1])


def fit(vectors, **options):
    options = PreprocessOptions(**options)
    return Preprocessing.fit(vectors, np.arange(len(vectors)), options), *in_double(
        vectors, options
    )


def prepared(preprocessing, vectors):
    return preprocessing.apply(torch.from_numpy(vectors)).double().numpy()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("whiten", [0.0, 0.7])
@pytest.mark.parametrize("dimensions", [1, 3, 7])
def test_what_is_left_after_a_cut_is_the_best_approximation_of_that_rank(
    uneven, normalize, center, scale, whiten, dimensions
):
    """Eckart and Young: the singular value decomposition has it."""
    chosen = {
        "normalize": normalize,
        "center": center,
        "scale": scale,
        "whiten": whiten,
        "dimensions": dimensions,
    }
    preprocessing, x, mean = fit(uneven, **chosen)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    best = (u[:, :dimensions] * s[:dimensions]) @ vt[:dimensions] + mean
    best = best / np.linalg.norm(best, axis=1, keepdims=True) if normalize else best
    y = preprocessing.apply(torch.from_numpy(uneven))
    assert y.shape == (20_000, dimensions) and preprocessing.width == dimensions
    np.testing.assert_allclose(preprocessing.undo(y), best, atol=1e-4)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("dimensions", [None, 5])
@pytest.mark.parametrize("whiten", [0.0, 0.4, 1.0])
def test_each_axis_is_divided_by_the_power_of_its_relative_spread(
    uneven, scale, dimensions, whiten
):
    preprocessing, x, mean = fit(uneven, scale=scale, dimensions=dimensions, whiten=whiten)
    if dimensions is None and not whiten:
        assert preprocessing.axes is None
        return
    spreads = np.linalg.svd(x - mean, compute_uv=False)[:dimensions] / np.sqrt(len(x))
    expected = spreads / (spreads / np.sqrt((spreads**2).mean())) ** whiten
    expected /= np.sqrt((expected**2).mean()) if scale else 1.0
    covariance = np.cov(prepared(preprocessing, uneven), rowvar=False, bias=True)
    np.testing.assert_allclose(
        covariance, np.diag(expected**2), rtol=1e-3, atol=1e-4 * expected[0] ** 2
    )


@pytest.mark.parametrize("whiten", [False, True])
def test_against_scikit_learn(uneven, whiten):
    pca = PCA(5, whiten=whiten, svd_solver="full").fit(uneven.astype(np.float64))
    expected, y = (
        pca.transform(uneven),
        prepared(fit(uneven, dimensions=5, whiten=float(whiten), scale=whiten)[0], uneven),
    )
    largest = np.abs(pca.components_).argmax(1)  # scikit-learn takes the sign from the scores
    np.testing.assert_allclose(
        y, expected * np.sign(pca.components_[np.arange(5), largest]), atol=1e-3
    )


def test_full_whitening_gives_unit_covariance(uneven):
    covariance = np.cov(prepared(fit(uneven, whiten=1.0)[0], uneven), rowvar=False, bias=True)
    np.testing.assert_allclose(covariance, np.eye(8), atol=1e-3)


def test_a_rotation_changes_no_distance(uneven):
    y = prepared(fit(uneven, whiten=1e-9)[0], uneven[:200])  # as good as none, but it rotates
    plain = prepared(fit(uneven)[0], uneven[:200])
    assert not np.allclose(y, plain, atol=0.1)
    np.testing.assert_allclose(
        *(np.linalg.norm(z[:, None] - z[None], axis=2) for z in (y, plain)), atol=1e-5
    )


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("whiten", [0.3, 1.0])
def test_whitening_is_undone(uneven, normalize, center, scale, whiten):
    preprocessing, x, _ = fit(
        uneven, normalize=normalize, center=center, scale=scale, whiten=whiten
    )
    np.testing.assert_allclose(
        preprocessing.undo(preprocessing.apply(torch.from_numpy(uneven))), x, atol=2e-5
    )


def test_keeping_all_dimensions_rotates_nothing(uneven):
    all_of_them, plain = fit(uneven, dimensions=8)[0], fit(uneven)[0]
    assert all_of_them.axes is None and all_of_them.width == 8
    np.testing.assert_array_equal(prepared(all_of_them, uneven), prepared(plain, uneven))


def test_mean_and_scale_are_the_same_with_axes_as_without(uneven):
    plain, half, full = fit(uneven)[0], fit(uneven, whiten=1e-9)[0], fit(uneven, whiten=1.0)[0]
    assert torch.equal(plain.mean, half.mean) and torch.equal(plain.mean, full.mean)
    assert plain.scale == pytest.approx(half.scale, rel=1e-5) and plain.scale == pytest.approx(
        full.scale, rel=1e-5
    )


def test_the_order_of_the_rows_matters_no_more_than_rounding(uneven):
    shuffled = np.random.default_rng(4).permutation(uneven)
    a, b = (prepared(fit(x, dimensions=6, whiten=0.5)[0], uneven[:500]) for x in (uneven, shuffled))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_axes_come_by_variance_and_with_their_largest_component_positive(uneven):
    x = uneven.astype(np.float64)
    variances, axes = principal_axes(np.cov(x, rowvar=False))
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(axes.T @ axes, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(np.cov(x @ axes, rowvar=False), np.diag(variances), atol=1e-12)
    assert (axes[np.abs(axes).argmax(0), np.arange(8)] > 0).all()


def test_the_number_of_threads_changes_no_bit():
    vectors = clustered(2_000, 200, seed=3) @ np.diag(np.geomspace(1, 0.05, 200)).astype(np.float32)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(fit(vectors, dimensions=150, whiten=1.0)[0])
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert all(
        torch.equal(found[0].axes, other.axes) and torch.equal(found[0].whitening, other.whitening)
        for other in found[1:]
    )


def test_a_large_offset_does_no_harm_to_the_axes(uneven):
    vectors = np.round(uneven * 1024) / 1024  # so that nothing is lost where the offset is added
    near, far = (fit(x, dimensions=4)[0] for x in (vectors, vectors + np.float32(4096)))
    np.testing.assert_allclose(
        prepared(near, vectors[:100]), prepared(far, vectors[:100] + np.float32(4096)), atol=5e-3
    )


def test_an_axis_without_variance_is_not_blown_up():
    vectors = clustered(3_000, 6, seed=1)
    vectors[:, 3] = 0.25  # constant
    vectors[:, 4] = vectors[:, 2]  # twice the same
    preprocessing, x, _ = fit(vectors, whiten=1.0)
    y = prepared(preprocessing, vectors)
    assert np.abs(y).max() < 10
    np.testing.assert_allclose(preprocessing.undo(torch.from_numpy(y).float()), x, atol=1e-5)
    whitening = preprocessing.whitening.numpy()
    np.testing.assert_allclose(whitening[4:], LEAST_SPREAD * whitening[0], rtol=1e-6)


def test_fewer_rows_than_dimensions_have_axes_all_the_same():
    vectors = clustered(5, 9, seed=1)
    preprocessing, x, _ = fit(vectors, dimensions=7, whiten=0.5)
    y = preprocessing.apply(torch.from_numpy(vectors))
    assert y.shape == (5, 7) and bool(torch.isfinite(y).all())
    np.testing.assert_allclose(preprocessing.undo(y), x, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"whiten": 1.0}, {"dimensions": 2}, {"dimensions": 1, "whiten": 0.5, "normalize": True}],
)
def test_constant_vectors_have_axes_all_the_same(options):
    preprocessing, x, _ = fit(np.ones((10, 3), np.float32), **options)
    y = preprocessing.apply(torch.ones(10, 3))
    assert preprocessing.scale == 1 and not y.any()
    np.testing.assert_allclose(preprocessing.undo(y), x, atol=1e-6)


def test_dimensions_that_are_not_there_are_refused_before_a_row_is_read():
    nothing_to_read = SimpleNamespace(shape=(10, 3))
    with pytest.raises(
        BadInput,
        match=r"tokenizer\.preprocess\.dimensions: 4 dimensions of vectors that have 3",
    ):
        Preprocessing.fit(nothing_to_read, np.arange(10), PreprocessOptions(dimensions=4))


def test_a_zero_vector_has_no_direction():
    with pytest.raises(BadInput, match="1 vectors are zero"):
        Preprocessing.fit(
            np.eye(3, 4, dtype=np.float32)[:, :2], np.arange(3), PreprocessOptions(normalize=True)
        )
