"""Every system that is installed.

Its codes are in range, and our tokenizer decodes them as the system itself does.
"""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.systems import Fitted, System, Unsupported, systems

from tests.benchmarks.conftest import SIZES
from tests.conftest import clustered

NEW = clustered(60, 12, seed=6)
LAYERED = ("faiss_kmeans", "sklearn_kmeans", "kmeans_constrained", "vector_quantize_vae")


@pytest.fixture(scope="module", params=systems())
def system(request) -> System:
    system = systems()[request.param](quick=True)
    if system.missing:
        pytest.skip(system.missing)
    return system


@pytest.fixture(scope="module")
def fitted(system, vectors) -> Fitted:
    return system.fit(vectors, SIZES, 3)


def test_codes_are_in_range(fitted, vectors):
    for x in (vectors, NEW):
        codes = fitted.encode(x)
        assert codes.shape == (len(x), len(SIZES)) and np.issubdtype(codes.dtype, np.integer)
        assert (codes >= 0).all() and (codes < SIZES).all()
    assert len(np.unique(fitted.encode(vectors), axis=0)) > max(SIZES)


def test_tokenizer_has_the_sizes_and_decodes_what_the_system_decodes(system, fitted):
    tokenizer = fitted.make_tokenizer()
    assert tokenizer.codebook_sizes == SIZES and tokenizer.dim == NEW.shape[1]
    codes = fitted.encode(NEW)
    decoded = tokenizer.decode(codes)
    if fitted.decode is None:
        assert system.name in LAYERED
    else:
        np.testing.assert_allclose(decoded, fitted.decode(codes), rtol=1e-4, atol=1e-4)


def test_distortion_is_that_of_the_space_that_is_quantised(fitted):
    tokenizer = fitted.make_tokenizer()
    codes = fitted.encode(NEW)
    costs = tokenizer.level_costs(NEW, codes[:, :-1])
    np.testing.assert_allclose(
        costs[np.arange(len(NEW)), codes[:, -1]],
        tokenizer.distortion(NEW, codes),
        rtol=1e-3,
        atol=1e-4,
    )


def test_codes_follow_the_vectors(system, fitted, vectors):
    if system.network:
        pytest.skip("too few rounds for a network to have learnt anything")
    tokenizer = fitted.make_tokenizer()
    error = ((tokenizer.decode(fitted.encode(vectors)) - vectors) ** 2).sum()
    assert error < 0.7 * ((vectors - vectors.mean(0)) ** 2).sum()


def test_same_seed_same_codes(system, vectors, fitted):
    np.testing.assert_array_equal(system.fit(vectors, SIZES, 3).encode(NEW), fitted.encode(NEW))


def test_layers_encode_greedily(vectors):
    system = systems()["sklearn_kmeans"](quick=True)
    fitted = system.fit(vectors, SIZES, 0)
    rest, codes = NEW.astype(np.float64), fitted.encode(NEW)
    for level, codebook in enumerate(fitted.make_tokenizer().quantizer.codebooks):
        nearest = ((rest[:, None] - codebook.numpy()) ** 2).sum(2).argmin(1)
        np.testing.assert_array_equal(codes[:, level], nearest)
        rest = rest - codebook.numpy()[nearest]


def test_constrained_clusters_are_bounded(vectors):
    system = systems()["kmeans_constrained"](quick=True)
    if system.missing:
        pytest.skip(system.missing)
    first = system.fit(vectors, SIZES, 0).encode(vectors)[:, 0]
    assert np.bincount(first).max() <= np.ceil(system.settings["fullest"] * len(vectors) / SIZES[0])


def test_faiss_says_which_sizes_it_cannot_do(vectors):
    system = systems()["faiss_rq"]()
    if system.missing:
        pytest.skip(system.missing)
    with pytest.raises(Unsupported, match="powers of two"):
        system.fit(vectors, (8, 5, 7), 0)


def test_a_beam_that_looks_up_finds_the_codes_of_one_that_does_not(vectors):
    system = systems()["faiss_rq_refined"]()
    if system.missing:
        pytest.skip(system.missing)
    with_tables = system.fit(vectors, SIZES, 0).encode(NEW)
    system.settings["use_beam_LUT"] = 0
    np.testing.assert_array_equal(system.fit(vectors, SIZES, 0).encode(NEW), with_tables)


def test_ours_takes_the_values_of_conf_base():
    settings = systems()["rq_vae"]().settings
    assert (
        settings["preprocess.center"] is True
        and settings["schedule.epochs"]
        > systems()["rq_vae"](quick=True).settings["schedule.epochs"]
    )


def test_a_missing_package_is_named():
    class Absent(systems()["sklearn_kmeans"]):
        package, modules = "no-such-package", ("no_such_module.part",)

    assert Absent().missing == "`no-such-package` is not installed" and Absent().version == ""
