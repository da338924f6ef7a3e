"""Checks that only a GPU can give an answer to, with PyTorch, numpy and safetensors alone.

Each one compares a device with the CPU, or with itself, and says what it found. With pytest the
suite's own tests for a GPU come on top of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semantic_ids.compute.streaming import streamed
from semantic_ids.learning.loop import Loop
from semantic_ids.tokenizers import fit_tokenizer
from semantic_ids.tokenizers.base import ResidualTokenizer

ROOT = Path(__file__).parents[1]
SIZES = (32, 32, 32)
LEAST_SAME, MOST_ERROR = 0.99, 1.1
"""Share of the codes that must be those of the CPU, and by how much the error may be larger."""
SHORT: dict[str, dict[str, Any]] = {
    "rq_kmeans": {"anneal_rounds": 10, "beam_size": 3},
    "rq_vae": {
        "network": {"architecture": "mlp", "hidden": (64,), "latent": 16, "dropout": 0.0},
        "codebook": {"quantizer": "ema", "joint": False, "init": "kmeans"},
        "schedule": {"epochs": 4},
        "unique": {"epochs": 0},
        "selection": {"collapse_below": 0.0},
    },
}


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        what: What was checked.
        passed: Whether it is as it should be.
        found: In words.
        seconds: How long it took.
    """

    what: str
    passed: bool
    found: str
    seconds: float


def fitted(kind: str, x: np.ndarray, device: str, **groups: Any) -> ResidualTokenizer:
    """Fit a small tokenizer; `groups` are groups of options of an rq_vae."""
    options = {**SHORT[kind]}
    for name, group in groups.items():
        options[name] = {**options.get(name, {}), **group}
    return fit_tokenizer(x, kind=kind, codebook_sizes=SIZES, device=device, options=options)


def parity(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Compare the codes of one tokenizer on the CPU and on the device."""
    tokenizer = fitted(kind, x, "cpu")
    expected = tokenizer.encode(x)
    same = float((tokenizer.to(device).encode(x) == expected).all(axis=1).mean())
    return same > LEAST_SAME, f"{same:.3%} of the items have the codes that they have on the CPU"


def fit_error(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Compare what is lost after a fit on the CPU and on the device."""
    lost = []
    for where in ("cpu", device):
        tokenizer = fitted(kind, x, where)
        lost.append(float(((x - tokenizer.decode(tokenizer.encode(x))) ** 2).sum()))
    ratio = lost[1] / lost[0]
    return ratio < MOST_ERROR, f"error {ratio:.4f} times that of a fit on the CPU"


def same_bytes(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Fit twice."""
    contents = {fitted(kind, x, device).content for _ in range(2)}
    return len(contents) == 1, f"{len(contents)} different contents of 2 fits"


def tf32(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Encode where the program around has TF32 on."""
    tokenizer = fitted(kind, x, device)
    expected, before = tokenizer.encode(x), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        changed = int((tokenizer.encode(x) != expected).any(axis=1).sum())
    finally:
        torch.set_float32_matmul_precision(before)
    return not changed, f"TF32 around us changes the codes of {changed} items"


def bfloat16(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Train in bfloat16, and encode in float32 after it."""
    lost = []
    for precision in ("float32", "bfloat16"):
        tokenizer = fitted(kind, x, device, optimizer={"precision": precision})
        lost.append(float(((x - tokenizer.decode(tokenizer.encode(x))) ** 2).sum()))
    ratio = lost[1] / lost[0]
    return ratio < MOST_ERROR, f"error {ratio:.4f} times that of a training in float32"


def waits(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Count how often a step waits for the device: at most once, to learn what to reset."""
    if not device.startswith("cuda"):
        return True, "nothing to wait for"
    counted, steps, step = [0], [0], Loop._step

    def watched(self: Loop, *given: Any) -> Any:
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                found = step(self, *given)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        counted[0] += sum("synchroniz" in str(one.message) for one in heard)
        steps[0] += 1
        return found

    Loop._step = watched  # type: ignore[method-assign]
    try:
        fitted(kind, x, device)
    finally:
        Loop._step = step  # type: ignore[method-assign]
    return counted[0] <= steps[0], f"{counted[0] / max(1, steps[0]):.2f} waits a step"


def whole_rows(kind: str, x: np.ndarray, device: str) -> tuple[bool, str]:
    """Stream rows while the device is busy: each must arrive whole."""
    parts = [slice(i, min(i + 999, len(x))) for i in range(0, len(x), 999)]
    wide = torch.ones(x.shape[1], 2048, device=device)
    found = [
        rows[:, 1] + 0 * (rows @ wide)[:, 0] for rows in streamed(x, parts, torch.device(device))
    ]
    wrong = int((torch.cat(found).cpu().numpy() != x[:, 1].astype(np.float32)).sum())
    return not wrong, f"{wrong} of {len(x):,} rows arrived wrong"


CHECKS: tuple[tuple[str, str, Callable[[str, np.ndarray, str], tuple[bool, str]]], ...] = (
    ("rows arrive whole", "rq_kmeans", whole_rows),
    *((f"the codes of the CPU, {kind}", kind, parity) for kind in SHORT),
    *((f"a fit as good as on the CPU, {kind}", kind, fit_error) for kind in SHORT),
    *((f"the same bytes twice, {kind}", kind, same_bytes) for kind in SHORT),
    ("full precision, rq_kmeans", "rq_kmeans", tf32),
    ("bfloat16, rq_vae", "rq_vae", bfloat16),
    ("a step does not wait, rq_vae", "rq_vae", waits),
)


def checks(x: np.ndarray, device: str) -> Iterator[Checked]:
    """Run every check on vectors (n, D), and the suite's tests where pytest is there."""
    for what, kind, check in CHECKS:
        started = time.perf_counter()
        try:
            passed, found = check(kind, x, device)
        except Exception as error:  # the others still have something to say
            passed, found = False, f"{type(error).__name__}: {error}".splitlines()[0]
        yield Checked(what, passed, found, time.perf_counter() - started)
    if device.startswith("cuda") and find_spec("pytest"):
        yield suite()


def suite() -> Checked:
    """Run the suite's own tests for a GPU."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "tests/tokenizers/test_gpu.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (ran.stdout.strip().splitlines() or ran.stderr.strip().splitlines() or [""])[-1]
    seconds = time.perf_counter() - started
    return Checked("the tests marked gpu", ran.returncode == 0, said.strip("= "), seconds)
