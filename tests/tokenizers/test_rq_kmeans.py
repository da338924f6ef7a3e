"""What is particular to rq_kmeans."""

from __future__ import annotations

import itertools

import faiss
import numpy as np
import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers import TokenizerCosts, deduplicate, unique_codes
from semantic_ids.tokenizers import rq_kmeans
from tests.conftest import clustered
from tests.tokenizers.conftest import fitted

PLAIN = {"init": "random", "iterations": 25, "anneal_rounds": 0, "refine_rounds": 0, "beam_size": 1}


@pytest.fixture(scope="module")
def vectors():
    return clustered(3000, 12, seed=1)


def error(tokenizer, vectors):
    return float(((vectors - tokenizer.decode(tokenizer.encode(vectors))) ** 2).sum())


def test_plain_residual_k_means_comes_close_to_faiss(vectors):
    """Layer by layer, both from random points; the mean of some seeds."""
    x = vectors - vectors.mean(0)
    theirs, ours = [], []
    for seed in range(4):
        rest = x.copy()
        for level in range(3):
            kmeans = faiss.Kmeans(
                12, 16, niter=25, seed=10 * seed + level, max_points_per_centroid=10_000
            )
            kmeans.train(rest)
            rest -= kmeans.centroids[kmeans.index.search(rest, 1)[1][:, 0]]
        theirs.append(float((rest**2).sum()))
        ours.append(
            error(
                fitted("rq_kmeans", vectors, sizes=(16, 16, 16), seed=seed, options=PLAIN), vectors
            )
        )
    assert np.mean(ours) < 1.05 * np.mean(theirs)


def test_it_ends_lower_than_faiss_with_refinement(vectors):
    """The residual quantiser of FAISS with a progressive start, a beam of 5 and refined codebooks,
    on the same vectors.
    """
    x = vectors - vectors.mean(0)
    theirs = faiss.ResidualQuantizer(12, 3, 4)
    theirs.train_type = theirs.Train_progressive_dim | theirs.Train_refine_codebook
    theirs.max_beam_size = 5
    theirs.train(x)
    left = float(((x - theirs.decode(theirs.compute_codes(x))) ** 2).sum())
    options = {"beam_size": 5, "anneal_rounds": 40, "anneal_rows": 2000, "ridge": 0.1}
    assert error(fitted("rq_kmeans", vectors, sizes=(16, 16, 16), options=options), vectors) < left


def test_each_level_lowers_the_error(vectors):
    errors = [
        error(fitted("rq_kmeans", vectors, sizes=(8,) * levels), vectors) for levels in (1, 2, 3, 4)
    ]
    assert all(np.diff(errors) < 0)


def test_the_history_is_the_error_relative_to_the_variance(vectors):
    tokenizer = fitted(
        "rq_kmeans",
        vectors,
        options={"anneal_rounds": 5, "refine_rounds": 3, "refine_gain": 0.0, "iterations": 4},
    )
    assert [row["step"] for row in tokenizer.history] == list(range(1, 12))
    assert [row["phase"] for row in tokenizer.history] == ["start"] * 3 + ["anneal"] * 5 + [
        "refine"
    ] * 3
    relative = error(tokenizer, vectors) / ((vectors - vectors.mean(0)) ** 2).sum()
    assert tokenizer.history[-1]["relative_mse"] == pytest.approx(relative, rel=0.02)


def test_the_fit_is_on_the_first_rows_up_to_the_points_a_centroid(vectors):
    same = {
        "preprocess": {"center": False, "scale": False},
        "options": {"max_points_per_centroid": 20},
    }
    tokenizer = fitted("rq_kmeans", vectors, **same)
    assert tokenizer.report["rows"] == 20 * 8
    spoilt = vectors.copy()
    spoilt[20 * 8 :] = 5
    np.testing.assert_array_equal(
        tokenizer.encode(vectors), fitted("rq_kmeans", spoilt, **same).encode(vectors)
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("engine", "faiss"),
        ("init", "random"),
        ("init", "k-means++"),
        ("init_rows", 500),
        ("iterations", 1),
        ("restarts", 4),
        ("max_points_per_centroid", 30),
        ("anneal_rounds", 4),
        ("anneal_rows", 200),
        ("temperature", 0.5),
        ("refine_rounds", 0),
        ("refine_gain", 0.9),
        ("ridge", 20.0),
        ("balance", 1.2),
    ],
)
def test_every_option_has_an_effect(vectors, option, value):
    a, b = fitted("rq_kmeans", vectors), fitted("rq_kmeans", vectors, options={option: value})
    assert not np.array_equal(a.quantizer.codebooks[0], b.quantizer.codebooks[0])


def test_steps_can_be_left_out_and_refinement_lowers_the_error():
    """With fewer axes for the early steps than there are."""
    x = clustered(3000, 40, seed=2) * np.linspace(1, 0.01, 40, dtype=np.float32)
    errors = {}
    for anneal, refine in itertools.product((0, 30), (0, 4)):
        options = {
            "anneal_rounds": anneal,
            "refine_rounds": refine,
            "refine_gain": 0.0,
            "iterations": 4,
        }
        tokenizer = fitted("rq_kmeans", x, sizes=(16, 16, 16), options=options)
        assert [row["phase"] for row in tokenizer.history] == ["start"] * 3 + [
            "anneal"
        ] * anneal + ["refine"] * refine
        errors[anneal, refine] = error(tokenizer, x)
    assert errors[0, 4] < errors[0, 0] and errors[30, 4] < errors[30, 0]


def test_a_wider_beam_lowers_the_error(vectors):
    errors = [
        error(
            fitted("rq_kmeans", vectors, sizes=(16, 16, 16), options={"beam_size": beam}), vectors
        )
        for beam in (1, 2, 6)
    ]
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing(vectors, threads):
    before, torch_threads = fitted("rq_kmeans", vectors), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        again = fitted("rq_kmeans", vectors)
        np.testing.assert_array_equal(again.encode(vectors), before.encode(vectors))
    finally:
        torch.set_num_threads(torch_threads)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.quantizer.codebooks, again.quantizer.codebooks, strict=True)
    )


def crowded():
    """Many items in few places, so that unique codes cost something."""
    return clustered(1500, 8, seed=3, clusters=12)


def unique_error(tokenizer, x):
    codes, costs = tokenizer.encode(x), TokenizerCosts(tokenizer, x)
    return deduplicate(codes, costs, strategy="reassign", candidates=4).distortion_after


def test_refinement_for_unique_codes_lowers_the_error_with_unique_codes():
    x, sizes = crowded(), (8, 16, 16)
    plain = fitted("rq_kmeans", x, sizes=sizes)
    calls = []

    def assign(codes, costs):
        calls.append((codes.shape, codes.dtype, costs.sizes))
        np.testing.assert_array_equal(costs.likeness(np.arange(1500)), vector_hash(x))
        return unique_codes(codes, costs, candidates=4)

    for_unique = fitted("rq_kmeans", x, sizes=sizes, options={"unique_rounds": 4}, assign=assign)
    assert calls and set(calls) == {((1500, 3), np.dtype(np.int32), sizes)}
    assert unique_error(for_unique, x) < unique_error(plain, x)
    assert {row["phase"] for row in for_unique.history} >= {"unique"}


@pytest.mark.parametrize("why", ["no rounds", "every prefix is overfull"])
def test_otherwise_there_is_no_refinement_for_unique_codes(why):
    def assign(codes, costs):
        raise AssertionError("not to be called")

    options = {"unique_rounds": 0} if why == "no rounds" else {"max_points_per_centroid": 20}
    x = crowded() if why == "no rounds" else np.repeat(crowded()[:40], 30, axis=0)
    few = fitted("rq_kmeans", x, sizes=(16, 16, 16), options=options, assign=assign)
    assert few.report["unique_rounds"] == few.report["unique_rows"] == 0


@pytest.mark.parametrize("init", ["random", "k-means++", "progressive"])
def test_the_engine_of_the_start_makes_no_difference_in_the_end(vectors, init):
    """Other centroids, as good on the mean of some seeds, before the other steps and after."""
    for steps in ({"anneal_rounds": 0, "refine_rounds": 0}, {"anneal_rounds": 20}):
        ends = {}
        for engine in ("torch", "faiss"):
            options = {"engine": engine, "init": init, "iterations": 10, **steps}
            ends[engine] = np.mean(
                [
                    error(
                        fitted("rq_kmeans", vectors, sizes=(16,) * 3, seed=seed, options=options),
                        vectors,
                    )
                    for seed in range(3)
                ]
            )
        assert ends["faiss"] == pytest.approx(ends["torch"], rel=0.05)


def test_plain_in_faiss_is_faiss_level_by_level(vectors):
    """The very codebooks of `faiss.Kmeans`, with the seeds that are drawn for it."""
    options = {**PLAIN, "engine": "faiss"}
    tokenizer = fitted("rq_kmeans", vectors, sizes=(16, 16), options=options)
    codes = tokenizer.encode(vectors)
    rest = vectors - tokenizer.preprocessing.mean.numpy()
    for level, codebook in enumerate(tokenizer.linear_decoder().codebooks):
        means = np.stack([rest[codes[:, level] == code].mean(0) for code in range(16)])
        moved = ((means - codebook) ** 2).sum() / (codebook**2).sum()
        assert moved < 0.01  # Lloyd has all but come to an end
        rest = rest - codebook[codes[:, level]]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_engine_faiss_is_the_same_with_any_number_of_threads(vectors, threads):
    options = {"engine": "faiss"}
    expected = fitted("rq_kmeans", vectors, options=options).quantizer.codebooks
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    try:
        again = fitted("rq_kmeans", vectors, options=options).quantizer.codebooks
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])
    assert all(torch.equal(a, b) for a, b in zip(expected, again, strict=True))


def test_the_engine_faiss_without_faiss_is_refused_before_any_work(vectors, monkeypatch):
    from semantic_ids.compute import faiss_library

    def unread(*_):
        raise AssertionError("vectors are read")

    faiss_library.load_faiss.cache_clear()
    monkeypatch.setattr("semantic_ids.extras.find_spec", lambda name: None)
    monkeypatch.setattr("semantic_ids.tokenizers.preprocessing.Preprocessing.fit", unread)
    with pytest.raises(BadInput, match=r"engine: 'faiss' is not installed.*semantic-ids\[faiss\]"):
        fitted("rq_kmeans", vectors, options={"engine": "faiss"})
    with pytest.raises(BadInput, match="'faiss' is not installed"):
        fitted("rq_vae", vectors, options={"init": "rq_kmeans", "start": {"engine": "faiss"}})


def test_identical_vectors_and_fewer_places_than_codes_are_no_trouble():
    x = np.repeat(clustered(5, 6, seed=1), 40, axis=0)
    tokenizer = fitted("rq_kmeans", x, sizes=(8, 8))
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(x)), x, atol=0.05)


def test_the_history_counts_errors_in_one_space(vectors):
    """What annealing leaves out of the axes counts as error, so that the curve does not jump."""
    options = {"anneal_rounds": 20, "refine_rounds": 4, "beam_size": 1}
    tokenizer = fitted("rq_kmeans", vectors, options=options)
    steps, errors = tokenizer.history.series("relative_mse")
    first = tokenizer.history.phases()["refine"]
    assert steps == list(range(1, len(steps) + 1))
    x = tokenizer.preprocessing.apply(torch.from_numpy(vectors))
    dropped = x - x @ tokenizer_axes(x) @ tokenizer_axes(x).T
    least = float((dropped**2).sum() / (x**2).sum())
    assert least > 0.01  # or the test could not fail
    assert min(errors[3 : first - 1]) > least
    assert errors[first - 2] * 0.8 < errors[first - 1] < errors[first - 2] * 1.2


def tokenizer_axes(x):
    """The axes that hold 95 % of the second moment, by numpy."""
    values, axes = np.linalg.eigh((x.T @ x).numpy().astype(np.float64))
    shares = np.cumsum(values[::-1]) / values.sum()
    kept = int(np.searchsorted(shares, 0.95) + 1)
    return torch.from_numpy(axes[:, ::-1][:, :kept].astype(np.float32))


def test_the_progress_of_a_fit_counts_the_work_of_its_rounds(vectors, monkeypatch):
    bars = []

    class Watched(rq_kmeans.Progress):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            bars.append(self)

    monkeypatch.setattr(rq_kmeans, "Progress", Watched)
    options = {
        "anneal_rounds": 5,
        "anneal_rows": 100,
        "refine_rounds": 3,
        "refine_gain": 0.0,
        "iterations": 4,
    }
    fitted("rq_kmeans", vectors, sizes=(16, 8), options={**options, "init_rows": 200})
    rows = len(vectors)
    assert [(bar.done, bar.total) for bar in bars] == [(10, 10)]
    assert bars[0].worked == bars[0].work == 2 * 4 * min(rows, 16 * 32) + 5 * 100 + 3 * rows
