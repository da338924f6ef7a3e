"""A GPU that is not there: tensors that say they are elsewhere, with their values in the memory of
the CPU.

So the code for a GPU runs, and is compared with that for a CPU, on a machine without one. What
PyTorch would refuse is refused: tensors on different devices in one operation, `.numpy()` of a
tensor on the GPU, a generator of the CPU for one. Refused as well is what it would do without a
word: to index a tensor on the GPU with one on the CPU, which waits for a copy, and what comes out
differently each time there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("meta")
"""Any device that is not the CPU and that every build of PyTorch knows."""
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
NOT_REPRODUCIBLE = {
    "index_add",
    "index_add_",
    "scatter_add",
    "scatter_add_",
    "scatter_reduce",
    "scatter_reduce_",
    "put_",
    "histc",
    "cumsum",
}
"""See `torch.use_deterministic_algorithms`; and so is what accumulates with `index_put_`. Sums of
whole numbers are the same in any order."""


class OnGPU(Tensor):
    """A tensor that says it is on the GPU."""

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGPU:
        return Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=GPU,
        )

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"OnGPU({self.values})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run(func, args, kwargs or {})


waits: list[str] = []
"""Operations so far that let the host wait for the GPU."""
ANSWERS = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "_unique2"}
"""What cannot be known before the GPU is done. To index with a mask asks for `nonzero`."""


def _waits(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether an operation lets the host wait: numbers of a tensor, or a copy from or to the GPU
    that is not made beside it.
    """
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    here = [leaf for leaf in given if isinstance(leaf, OnGPU)]
    if func.overloadpacket.__name__ in ANSWERS:
        return bool(here)
    if func.overloadpacket.__name__ in ("index", "index_put", "index_put_") and here:
        return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    if func is torch.ops.aten._to_copy.default and kwargs.get("device") is not None:
        crosses = (torch.device(kwargs["device"]).type == GPU.type) != bool(here)
        return crosses and not kwargs.get("non_blocking")
    if func is torch.ops.aten.copy_.default:
        return len(here) == 1 and args[1].ndim > 0 and not (args[2:3] or (False,))[0]
    return False


def run(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the values, and put the results where the operation would."""
    inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_gpu = [leaf for leaf in inputs if isinstance(leaf, OnGPU)]
    wanted = kwargs.get("device")
    there = bool(on_gpu) if wanted is None else torch.device(wanted).type == GPU.type
    if there and kwargs.get("generator") is not None:
        raise RuntimeError(f"{func}: a generator of the CPU for a tensor on the GPU")
    if (
        on_gpu
        and func not in COPIES
        and any(leaf.ndim and not isinstance(leaf, OnGPU) for leaf in inputs)
    ):
        raise RuntimeError(f"{func}: tensors on the GPU and on the CPU")
    if on_gpu and (
        (func.overloadpacket.__name__ in NOT_REPRODUCIBLE and inputs[0].is_floating_point())
        or ("index_put" in func.name() and list(args[3:4]) == [True])
    ):
        raise RuntimeError(f"{func}: differs from run to run on a GPU")
    if _waits(func, args, kwargs):
        waits.append(func.name())
    if func is torch.ops.aten.copy_.default:
        there = isinstance(args[0], OnGPU)
    plain = {id(leaf.values): leaf for leaf in on_gpu}
    args, kwargs = tree_map(
        lambda leaf: leaf.values if isinstance(leaf, OnGPU) else leaf, (args, kwargs)
    )
    results = func(
        *args, **(kwargs | ({"device": torch.device("cpu")} if wanted is not None else {}))
    )
    if not there:
        return results

    def placed(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return (
            plain[id(leaf)] if id(leaf) in plain else OnGPU(leaf)
        )  # an operation in place returns what it was given

    return tree_map(placed, results)


class _Factories(TorchDispatchMode):
    """Lets what makes tensors make them on the GPU."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return run(func, args, kwargs or {})


class Moment:
    """An event: what is to happen before it is reached happens when somebody waits for it, and not
    before.
    """

    def __init__(self, happens: Any = None) -> None:
        self.happens = happens
        self.waited = 0

    def synchronize(self) -> None:
        self.waited += 1
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()


class LateTransfer:
    """A transfer whose copies are made at the last moment, when they are waited for.

    Who waits too little gets rubbish.

    Attributes:
        buffers: Buffers made.
        sent: Chunks sent.
    """

    def __init__(self, device: torch.device = GPU) -> None:
        self.device = device
        self.buffers: list[Tensor] = []
        self.sent = 0

    def buffer(self, rows: int, width: int, dtype: torch.dtype) -> Tensor:
        self.buffers.append(torch.empty((rows, width), dtype=dtype))
        return self.buffers[-1]

    def send(self, rows: Tensor) -> tuple[Tensor, Moment]:
        self.sent += 1
        there = torch.full_like(rows, -77)
        return there, Moment(lambda: there.copy_(rows))

    def receive(self, rows: Tensor, copied: Moment) -> Tensor:
        copied.synchronize()
        return OnGPU(rows) if self.device.type == GPU.type else rows

    def fetch(self, results: Sequence[Tensor]) -> tuple[list[Tensor], Moment]:
        values = [result.values if isinstance(result, OnGPU) else result for result in results]
        fetched = [torch.full_like(value, -77) for value in values]

        def copy() -> None:
            for here, value in zip(fetched, values, strict=True):
                here.copy_(value)

        return fetched, Moment(copy)


@contextmanager
def pretend_gpu(monkeypatch: Any) -> Iterator[None]:
    """Let tokenizers find a GPU."""
    monkeypatch.setattr("semantic_ids.tokenizers.state.resolve", torch.device)
    monkeypatch.setattr("semantic_ids.compute.streaming.Transfer", LateTransfer)
    monkeypatch.setattr("semantic_ids.learning.batches.Transfer", LateTransfer)
    with _Factories():
        yield
