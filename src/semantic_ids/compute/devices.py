"""Where to compute, and how exactly."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from semantic_ids.errors import BadInput


def resolve(device: str, where: str = "tokenizer.device") -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device that is there.

    Args:
        device: The option's value.
        where: The option's name, for errors.

    Raises:
        BadInput: It is none of these, or there is no CUDA device.
    """
    if device == "auto":
        return _own("cuda" if torch.cuda.is_available() else "cpu")
    if device.partition(":")[0] not in ("cpu", "cuda"):
        raise BadInput(f"{device!r}", where=where, expected="auto, cpu or cuda")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(
            "there is no CUDA device that this PyTorch can use",
            where=f"{where}={device}",
            expected="a CUDA device and a CUDA build of PyTorch",
            do=f"take {where}=auto",
        )
    return _own(device)


def _own(device: str) -> torch.device:
    """Return the device of this process.

    Of several that `torchrun` started on a machine, each has a GPU of its own.
    """
    found = torch.device(device)
    if found.type == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return found


def has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU multiplies bfloat16 itself.

    `torch.cuda.is_bf16_supported` also counts cards that emulate it, which is slower than float32:
    NVIDIA has it from compute capability 8.0 (Ampere) on. Of ROCm, which has no such number,
    PyTorch is asked. A CPU is not counted.
    """
    if device.type != "cuda":
        return False
    if torch.version.hip:
        return bool(torch.cuda.is_bf16_supported())
    return torch.cuda.get_device_capability(device) >= (8, 0)


BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Processors that have one of them multiply bfloat16 at least twice as fast as float32."""


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name) for name in BFLOAT16_INSTRUCTIONS)


class _Precision:
    """The switch of the whole process for the precision of float32 products on GPUs.

    Calls that overlap, in any number of threads, share it: the first one sets it, and the last one
    sets it back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.before: Any = None

    def enter(self) -> None:
        """Set full precision, if no call has."""
        with self.lock:
            if not self.calls:
                self.before = getattr(torch.backends.cuda.matmul, _switch()[0])
                setattr(torch.backends.cuda.matmul, *_switch())
            self.calls += 1

    def leave(self) -> None:
        """Set back what was there, if no other call needs full precision."""
        with self.lock:
            self.calls -= 1
            if not self.calls:
                setattr(torch.backends.cuda.matmul, _switch()[0], self.before)


_precision = _Precision()


def _switch() -> tuple[str, str | bool]:
    """Return the name of PyTorch's switch, which is another from torch 2.9 on, and its value."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        return "fp32_precision", "ieee"
    return "allow_tf32", False


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply float32 in full, whatever the program around us or its surroundings have
    set.

    With TF32, which keeps 10 bits of each factor, items would get other codes. It is off by
    default, but frameworks turn it on, and so does the environment of some container images
    (`TORCH_ALLOW_TF32_CUBLAS_OVERRIDE`). The switch is that of the whole process, so it is entered
    once around a public call, never for a chunk; calls in several threads may overlap. On a CPU
    nothing changes.
    """
    if device.type == "cpu":
        yield
        return
    _precision.enter()
    try:
        yield
    finally:
        _precision.leave()
