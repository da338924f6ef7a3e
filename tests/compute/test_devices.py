"""What a GPU is asked for and told: precision of products, bfloat16."""

from __future__ import annotations

import threading

import pytest
import torch

from semantic_ids.compute.devices import full_precision, has_bfloat16, resolve
from semantic_ids.errors import BadInput

GPU, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "", "CPU", "cudnn"])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(BadInput, match=r"tokenizer\.device: .*expected auto, cpu or cuda"):
        resolve(device)


def switch():
    return torch.backends.cuda.matmul.fp32_precision


@pytest.fixture(params=["high", "highest"])
def around(request):
    """What the program around us has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(request.param)
    yield request.param
    torch.set_float32_matmul_precision(before)


def test_products_on_a_gpu_are_in_full_precision_whatever_is_set(around):
    with full_precision(GPU):
        assert switch() == "ieee"
    assert torch.get_float32_matmul_precision() == around
    assert torch.backends.cuda.matmul.allow_tf32 == (around == "high")
    with full_precision(CPU):
        assert torch.get_float32_matmul_precision() == around


def test_calls_within_calls_leave_what_was_there(around):
    before = switch()
    with pytest.raises(ValueError, match="inside"), full_precision(GPU):
        with full_precision(GPU):
            pass
        assert switch() == "ieee"
        raise ValueError("inside")
    assert switch() == before


def test_a_call_that_ends_does_not_end_it_for_one_that_overlaps(around):
    """A begins, B begins, A ends, B computes on, B ends: as two threads may."""
    before = switch()
    first, second = full_precision(GPU), full_precision(GPU)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert switch() == "ieee"
    second.__exit__(None, None, None)
    assert switch() == before


def test_threads_never_see_it_off_and_it_is_set_back(around):
    before, seen, start = switch(), [], threading.Barrier(4)

    def calls():
        start.wait()
        for _ in range(300):
            with full_precision(GPU):
                seen.append(switch())

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1200 and set(seen) == {"ieee"} and switch() == before


@pytest.mark.parametrize(
    ("capability", "has_it"), [((7, 5), False), ((8, 0), True), ((9, 0), True), ((12, 0), True)]
)
def test_bfloat16_that_is_emulated_does_not_count(monkeypatch, capability, has_it):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert has_bfloat16(GPU) is has_it and not has_bfloat16(CPU)


@pytest.mark.parametrize("supported", [True, False])
def test_rocm_is_asked_itself(monkeypatch, supported):
    monkeypatch.setattr(torch.version, "hip", "6.3")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert has_bfloat16(GPU) is supported
