"""Tokenizers on a GPU: a pretended one everywhere, and a real one where there is one."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from semantic_ids.arrays import map_rows
from semantic_ids.compute.streaming import streamed
from semantic_ids.identifiers import unique_codes
from semantic_ids.learning.loop import Loop
from semantic_ids.quantization.kmeans import totals
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers import fit_tokenizer, load_tokenizer
from tests.conftest import clustered
from tests.grouped import grouped
from tests.tokenizers.conftest import AXES, KINDS, OPTIONS, SIZES
from tests.tokenizers.pretend import GPU, pretend_gpu, waits

CLOSED = np.array([0, 3, 11, 17], dtype=np.int64)
ONCE_AN_EPOCH = 1
"""The losses of an epoch are fetched when it is over."""
QUICK = {
    "rq_kmeans": {"anneal_rounds": 3, "refine_rounds": 2, "unique_rounds": 1},
    "rq_vae": {"epochs": 3, "batch_rows": 350, "warmup_epochs": 1},
}
on_a_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def gpu(test):
    for mark in on_a_gpu:
        test = mark(test)
    return test


def fit(vectors, kind, device, preprocess=None, options=None, **more):
    options = OPTIONS[kind] | QUICK[kind] | (options or {})
    return fit_tokenizer(
        vectors,
        kind=kind,
        codebook_sizes=SIZES,
        device=str(device),
        preprocess=preprocess,
        options=grouped(options) if kind == "rq_vae" else options,
        **more,
    )


def everything(tokenizer, vectors, codes):
    """What a tokenizer says of vectors; what depends on codes for the codes given."""
    candidates = tokenizer.candidates(vectors, 5)
    distinct = tokenizer.candidates(vectors, 4, distinct_prefixes=True, excluded=CLOSED)
    errors = (
        tokenizer.distortion(vectors, codes),
        tokenizer.level_costs(vectors, codes[:, :-1]),
        candidates[1],
        distinct[1],
    )
    return (tokenizer.encode(vectors), candidates[0], distinct[0]), (
        tokenizer.decode(codes),
        *errors,
    )


def assert_alike(found, expected):
    """The codes for nearly all, and the rest to float32's precision."""
    for codes, others in zip(found[0], expected[0], strict=True):
        assert (codes == others).mean() > 0.99
    for values, others in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(values, others, rtol=1e-4, atol=1e-4)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("semantic_ids.compute.threads.GPU_ROWS", 300)
    monkeypatch.setattr("semantic_ids.quantization.residual.GPU_BEAM_CELLS", 400_000)


# ---- on a GPU that is pretended ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")  # it is one, of sorts
@pytest.mark.parametrize(
    ("kind", "preprocess", "options"),
    [
        ("rq_kmeans", AXES | {"normalize": True}, {}),
        ("rq_kmeans", {}, {"init": "k-means++", "restarts": 2, "beam_size": 1}),
        ("rq_kmeans", {}, {"init": "random", "anneal_rounds": 0}),
        ("rq_vae", AXES, {}),
    ],
)
def test_the_way_over_a_gpu_ends_where_that_over_a_cpu_does(
    kind, preprocess, options, vectors, monkeypatch, small_chunks, tmp_path
):
    on_cpu = fit(vectors, kind, "cpu", preprocess, options)
    codes = on_cpu.encode(vectors)
    expected = everything(on_cpu, vectors, codes)
    with pretend_gpu(monkeypatch):
        tokenizer = fit(vectors, kind, GPU, preprocess, options)
        assert tokenizer.quantizer.codebooks[0].device == GPU
        assert_alike(everything(tokenizer, vectors, codes), expected)
        tokenizer.save(tmp_path)
        assert_alike(
            everything(load_tokenizer(tmp_path, device=str(GPU)), vectors, codes), expected
        )
        assert_alike(everything(tokenizer.to("cpu"), vectors, codes), expected)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize(
    "options",
    [{}, {"architecture": "residual", "quantizer": "end_to_end", "joint": True, "beam_size": 3}],
)
def test_a_training_reads_from_the_map_over_a_gpu_as_over_a_cpu(
    options, vectors, monkeypatch, small_chunks
):
    """Rows that are not held are sent window by window, each while the network works on the one
    before.
    """
    monkeypatch.setattr("semantic_ids.learning.batches.HELD_BYTES", 0)
    monkeypatch.setattr("semantic_ids.learning.batches.BUFFER_ROWS", 200)
    monkeypatch.setattr("semantic_ids.learning.batches.BLOCK_ROWS", 50)
    on_cpu = fit(vectors, "rq_vae", "cpu", None, options)
    with pretend_gpu(monkeypatch):
        tokenizer = fit(vectors, "rq_vae", GPU, None, options)
        assert (tokenizer.encode(vectors) == on_cpu.encode(vectors)).mean() > 0.99
        for found, expected in zip(
            tokenizer.quantizer.codebooks, on_cpu.quantizer.codebooks, strict=True
        ):
            torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reset_below": 0.0},
        {"architecture": "residual", "quantizer": "end_to_end", "joint": True, "beam_size": 3},
        {"quantizer": "gradient", "gradient": "rotation", "sinkhorn": 0.1, "clip": 1.0},
        {"unique_epochs": 1},
    ],
)
def test_a_step_waits_for_a_gpu_once_where_codes_are_reset_and_else_never(
    options, held, vectors, monkeypatch, small_chunks
):
    if not held:
        monkeypatch.setattr("semantic_ids.learning.batches.HELD_BYTES", 0)
    counted, step, epoch, steps = [], Loop._step, Loop._epoch, []

    def one_step(self, *given):
        steps.append(1)
        return step(self, *given)

    def one_epoch(self, number):
        before = len(waits)
        steps.clear()
        row = epoch(self, number)
        counted.append((len(waits) - before, len(steps), self.task.phase))
        return row

    monkeypatch.setattr(Loop, "_step", one_step)
    monkeypatch.setattr(Loop, "_epoch", one_epoch)
    assign = partial(unique_codes, candidates=4) if "unique_epochs" in options else None
    more = {"batch_rows": 50, "epochs": 2, "plain_epochs": 0} | options
    with pretend_gpu(monkeypatch):
        fit(vectors[:250], "rq_vae", GPU, None, more, assign=assign)
    for waited, taken, phase in counted:
        per_step = 0 if options.get("reset_below") == 0.0 else taken
        assert taken == 5 and (phase == "unique" or waited <= per_step + ONCE_AN_EPOCH)


def test_unique_codes_are_refined_for_on_a_gpu_as_on_a_cpu(vectors, monkeypatch, small_chunks):
    sizes = {"options": {"refine_rounds": 1}, "assign": partial(unique_codes, candidates=4)}
    expected = fit(vectors[:250], "rq_kmeans", "cpu", **sizes).encode(vectors)
    with pretend_gpu(monkeypatch):
        tokenizer = fit(vectors[:250], "rq_kmeans", GPU, **sizes)
        assert tokenizer.history[-1]["phase"] == "unique"
        assert (tokenizer.encode(vectors) == expected).mean() > 0.99


def test_sums_by_products_are_those_by_addition(vectors, monkeypatch, small_chunks):
    points, codes = torch.from_numpy(vectors), torch.arange(700) ** 2 % 11
    expected = totals(points, codes, 12)
    with pretend_gpu(monkeypatch):
        sums, counts = totals(points.to(GPU), codes.to(GPU), 12)
        torch.testing.assert_close(sums.cpu(), expected[0], rtol=1e-5, atol=1e-4)
        assert torch.equal(counts.cpu(), expected[1])


def test_what_a_gpu_would_refuse_is_refused_here(monkeypatch):
    with pretend_gpu(monkeypatch):
        x, rows = torch.ones(4, 3).to(GPU), torch.tensor([1, 1])
        for wrong in (
            lambda: x + torch.ones(4, 3),
            lambda: x[rows],
            x.numpy,
            lambda: torch.rand(3, device=GPU, generator=torch.Generator()),
            lambda: x.index_add_(0, rows.to(GPU), x[:2]),
            lambda: x.index_put_((rows.to(GPU),), x[:2], accumulate=True),
            lambda: x.cumsum(0),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()


# ---- on a real one -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    return clustered(100_000, 32, seed=2, clusters=200)


def gpu_fit(vectors, kind="rq_kmeans", **options):
    return fit_tokenizer(
        vectors,
        kind=kind,
        codebook_sizes=(64, 64, 64),
        device="cuda",
        options=grouped(options) if kind == "rq_vae" else options,
    )


@gpu
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_fits_as_well_as_a_cpu(kind, vectors):
    errors = []
    for device in ("cpu", "cuda"):
        tokenizer = fit_tokenizer(
            vectors,
            kind=kind,
            codebook_sizes=SIZES,
            device=device,
            options=grouped(OPTIONS[kind]) if kind == "rq_vae" else OPTIONS[kind],
        )
        errors.append(((vectors - tokenizer.decode(tokenizer.encode(vectors))) ** 2).sum())
    assert errors[1] < 1.1 * errors[0]


@gpu
def test_a_gpu_says_the_same_as_a_cpu(tokenizer, vectors, small_chunks, tmp_path):
    tokenizer.save(tmp_path)
    codes = tokenizer.encode(vectors)
    assert_alike(
        everything(load_tokenizer(tmp_path, device="cuda"), vectors, codes),
        everything(tokenizer, vectors, codes),
    )


@gpu
def test_many_rows_have_the_codes_and_distortion_they_have_on_a_cpu(many):
    tokenizer = gpu_fit(many, beam_size=5)
    found = tokenizer.encode(many)
    distortion = tokenizer.distortion(many, found)
    tokenizer.to("cpu")
    expected = tokenizer.encode(many)
    assert (found == expected).all(axis=1).mean() > 0.99
    assert distortion.mean(dtype=np.float64) == pytest.approx(
        tokenizer.distortion(many, expected).mean(dtype=np.float64), rel=1e-4
    )


@gpu
@pytest.mark.parametrize("kind", ["float32", "float16", "float64"])
@pytest.mark.parametrize("scattered", [False, True])
def test_rows_that_are_streamed_arrive_whole(many, kind, scattered, tmp_path):
    np.save(tmp_path / "rows.npy", many.astype(kind))
    mapped = map_rows(tmp_path / "rows.npy")
    order = np.random.default_rng(0).permutation(len(many)) if scattered else np.arange(len(many))
    parts = [
        order[i : i + 999] if scattered else slice(i, min(i + 999, len(many)))
        for i in range(0, len(many), 999)
    ]
    wide = torch.ones(32, 8192, device="cuda")
    found = []
    for rows in streamed(mapped, parts, torch.device("cuda")):
        nothing = (rows @ wide)[
            :, 0
        ] * 0  # takes a while, so that chunks queue for the computations
        found.append(nothing + rows[:, 5])
    np.testing.assert_array_equal(
        torch.cat(found).cpu().numpy(), many.astype(kind).astype(np.float32)[order, 5]
    )


@gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"init": "k-means++"}])
def test_two_fits_on_a_gpu_give_the_same_bytes(kind, options, many, tmp_path):
    if kind == "rq_vae" and options:
        pytest.skip("an option of rq_kmeans")
    options = options or ({"epochs": 3, "hidden": [64], "latent": 16} if kind == "rq_vae" else {})
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        gpu_fit(many, kind, **options).save(tmp_path / name)
        written.append((tmp_path / name / "model.safetensors").read_bytes())
    assert written[0] == written[1]


@gpu
def test_codes_on_a_gpu_do_not_change_from_call_to_call(many):
    tokenizer = gpu_fit(many, beam_size=5)
    codes = tokenizer.encode(many)
    for _ in range(3):
        np.testing.assert_array_equal(tokenizer.encode(many), codes)


@gpu
def test_tf32_around_us_changes_no_code(many):
    tokenizer = gpu_fit(many)
    codes = tokenizer.encode(many)
    torch.set_float32_matmul_precision("high")
    try:
        np.testing.assert_array_equal(tokenizer.encode(many), codes)
    finally:
        torch.set_float32_matmul_precision("highest")


@gpu
@pytest.mark.slow
def test_vectors_are_streamed_and_never_all_on_the_gpu(tmp_path):
    n, dim = 1_000_000, 128
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float32, (n, dim))
    for start in range(0, n, 100_000):
        rows[start : start + 100_000] = clustered(100_000, dim, seed=start)
    rows.flush()
    mapped = map_rows(tmp_path / "rows.npy")
    tokenizer = fit_tokenizer(
        mapped,
        rows=np.arange(20_000),
        codebook_sizes=(256, 256, 256),
        device="cuda",
        options={"beam_size": 1},
    )
    peaks = []
    for count in (n // 4, n):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        tokenizer.encode(mapped[:count])
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 1.1 * peaks[0] and peaks[1] < n * dim * 4


@gpu
def test_a_quantizer_on_a_gpu_lists_equal_codes_in_order():
    quantizer = ResidualQuantizer(
        [torch.zeros(3, 2, device="cuda"), torch.zeros(4, 2, device="cuda")]
    )
    z = torch.ones(2, 2, device="cuda")
    assert quantizer.encode(z).tolist() == [[0, 0], [0, 0]]
    assert quantizer.best_codes(z, 12)[0][0].tolist() == [
        [a, b] for a in range(3) for b in range(4)
    ]
