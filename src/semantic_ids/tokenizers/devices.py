"""Where to compute."""

from __future__ import annotations

import torch

from semantic_ids.errors import BadInput


def resolve(device: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device that is there.

    Raises:
        BadInput: There is no CUDA device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(
            "there is no CUDA device that this PyTorch can use",
            where=f"tokenizer.device={device}",
            expected="a CUDA device and a CUDA build of PyTorch",
            do="take --params=tokenizer.device=auto",
        )
    return torch.device(device)
