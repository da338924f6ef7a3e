"""Where to compute, and how exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from semantic_ids.errors import BadInput


def resolve(device: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device that is there.

    Raises:
        BadInput: There is no CUDA device.
    """
    if device == "auto":
        return _own("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(
            "there is no CUDA device that this PyTorch can use",
            where=f"tokenizer.device={device}",
            expected="a CUDA device and a CUDA build of PyTorch",
            do="take --params=tokenizer.device=auto",
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


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply float32 in full, whatever the program around us or its surroundings have
    set.

    With TF32, which keeps 10 bits of each factor, items would get other codes. It is off by
    default, but frameworks turn it on, and so does the environment of some container images
    (`TORCH_ALLOW_TF32_CUBLAS_OVERRIDE`). On a CPU nothing changes.
    """
    if device.type == "cpu":
        yield
        return
    products = torch.backends.cuda.matmul
    switch, full = (
        ("fp32_precision", "ieee") if hasattr(products, "fp32_precision") else ("allow_tf32", False)
    )  # the one of torch 2.9 on
    before = getattr(products, switch)
    setattr(products, switch, full)
    try:
        yield
    finally:
        setattr(products, switch, before)
