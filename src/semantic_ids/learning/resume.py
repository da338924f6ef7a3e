"""From a training to a checkpoint and back. Rank 0 decides where to resume, for all processes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from semantic_ids.learning import distributed
from semantic_ids.learning.checkpoints import NETWORK, Checkpoint, Checkpoints
from semantic_ids.learning.selection import Candidate, Selection


def packed(
    epoch: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    selection: Selection,
    state: dict[str, Any],
) -> Checkpoint:
    """Return the checkpoint of a training after an epoch.

    Args:
        epoch: Its number.
        module: The network.
        optimizer: Its optimizer.
        selection: The epochs that may be kept.
        state: Everything else, JSON-like.
    """
    moments = optimizer.state_dict()
    tensors = {f"{NETWORK}{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {
        f"optimizer/{i}/{name}": tensor
        for i, held in moments["state"].items()
        for name, tensor in held.items()
    }
    tensors |= {
        f"candidate/{i}/{name}": tensor
        for i, held in enumerate(selection.candidates)
        for name, tensor in held.state.items()
    }
    candidates = [{**asdict(held), "state": None} for held in selection.candidates]
    return Checkpoint(
        epoch,
        {name: tensor.detach().cpu() for name, tensor in tensors.items()},
        {**state, "param_groups": moments["param_groups"], "candidates": candidates},
    )


def unpack(
    found: Checkpoint, module: nn.Module, optimizer: torch.optim.Optimizer, selection: Selection
) -> None:
    """Bring a training to where a checkpoint has it."""
    module.load_state_dict(below(found.tensors, NETWORK))
    states = {
        i: below(found.tensors, f"optimizer/{i}/") for i in _numbers(found.tensors, "optimizer/")
    }
    optimizer.load_state_dict({"state": states, "param_groups": found.state["param_groups"]})
    selection.restore(
        [
            Candidate(**{**held, "state": below(found.tensors, f"candidate/{i}/")})
            for i, held in enumerate(found.state["candidates"])
        ]
    )


def latest(checkpoints: Checkpoints | None, device: torch.device) -> Checkpoint | None:
    """Return the checkpoint that rank 0 resumes from, in every process.

    Other processes may see no file of it, or an older one: they get it from rank 0.

    Raises:
        BadInput: See `Checkpoints.latest`.
    """
    first = distributed.rank() == 0
    found = checkpoints.latest() if checkpoints and first else None
    if distributed.world_size() == 1:
        return found
    said = json.dumps([found.epoch, found.state]).encode() if found else b""
    said = distributed.broadcast_bytes(said, device)
    if not said:
        return None
    epoch, state = json.loads(said)
    sent = save({n: t.contiguous() for n, t in found.tensors.items()}) if found else b""
    tensors = load(distributed.broadcast_bytes(sent, device))
    return found or Checkpoint(epoch, tensors, state)


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, by the rest of the name."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _numbers(tensors: dict[str, Tensor], prefix: str) -> list[int]:
    return sorted({int(name.split("/")[1]) for name in tensors if name.startswith(prefix)})
