"""The training of an RQ-VAE on one device: a part of `gpu.py`, and a command of its own.

Items a second, beside a plain loop with a DataLoader on the same network.

    PYTHONPATH=src python benchmarks/training.py --items 50000 --dim 384 --hidden 512 --batch 1024

Needs torch, numpy and safetensors alone, so it runs on a bare GPU machine. Every figure is the
median of the epochs but the first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.encoding import carry_out  # noqa: E402
from semantic_ids.arrays import map_rows, read_rows  # noqa: E402
from semantic_ids.tokenizers import fit_tokenizer  # noqa: E402
from semantic_ids.tokenizers.rq_vae.networks import Network  # noqa: E402
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions  # noqa: E402

DECAY = 0.99


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was trained, and how.
        items_per_second: Median over the epochs but the first.
        all_items_per_second: Of every epoch.
        encoded_per_second: Items encoded a second, where that was measured.
        peak_bytes: Most memory allocated on the GPU; None on a CPU.
    """

    what: str
    items_per_second: float
    all_items_per_second: list[float]
    encoded_per_second: float | None = None
    peak_bytes: int | None = None


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--sizes", default="256x256x256", help="codebook sizes")
    parser.add_argument(
        "--hidden", type=int, nargs="+", default=[1024], help="widths of the hidden layers"
    )
    parser.add_argument("--latent", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile too")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the vectors lie meanwhile: 6 bytes a number (default: a temporary folder)",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build/benchmark-training.json")
    return parser.parse_args(words)


def options(asked: argparse.Namespace, **changes: Any) -> dict[str, Any]:
    """Return a common set-up: a latent space, EMA codebooks, the nearest code of each level.

    Changes are groups of options.
    """
    common: dict[str, dict[str, Any]] = {
        "network": {
            "architecture": "mlp",
            "hidden": tuple(asked.hidden),
            "latent": asked.latent,
            "dropout": 0.0,
        },
        "codebook": {
            "quantizer": "ema",
            "joint": False,
            "beam_size": 1,
            "init": "kmeans",
            "ema_decay": DECAY,
        },
        "loss": {"commitment": 0.25},
        "optimizer": {"encoder_rate": 1.0, "batch_rows": asked.batch, "precision": "float32"},
        "schedule": {"epochs": asked.epochs},
        "selection": {"catalogue_every": asked.epochs, "collapse_below": 0.0},
    }
    return {
        group: {**common.get(group, {}), **changes.get(group, {})} for group in common | changes
    }


def ours(
    asked: argparse.Namespace, vectors: np.ndarray, device: torch.device, what: str, **changes: Any
) -> Row:
    """Train with the project's trainer, and encode all items."""
    _forget_peak(device)
    sizes = [int(size) for size in asked.sizes.split("x")]
    few = np.arange(min(len(vectors), asked.batch))
    tokenizer = fit_tokenizer(
        vectors,
        kind="rq_vae",
        codebook_sizes=sizes,
        seed=asked.seed,
        device=device.type,
        options=options(asked, **changes),
        monitor_rows=few,
    )
    speeds = [row["items_per_second"] for row in tokenizer.history if "items_per_second" in row]
    most = peak(device)
    tokenizer.encode(vectors[: asked.batch])
    started = time.perf_counter()
    tokenizer.encode(vectors)
    return Row(
        what,
        statistics.median(speeds[1:] or speeds),
        speeds,
        len(vectors) / (time.perf_counter() - started),
        most,
    )


class PlainQuantizer(nn.Module):
    """A residual quantiser as one writes it down at first.

    Distances by `cdist`, averages by one-hot products.
    """

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.codebooks = nn.ParameterList(
            [nn.Parameter(torch.randn(k, dim), requires_grad=False) for k in sizes]
        )
        self.counts = nn.ParameterList(
            [nn.Parameter(torch.ones(k), requires_grad=False) for k in sizes]
        )
        self.sums = nn.ParameterList(
            [nn.Parameter(codebook.clone(), requires_grad=False) for codebook in self.codebooks]
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(m, d) → quantised vectors, commitment loss."""
        rest, total, commitment = z, torch.zeros_like(z), z.new_zeros(())
        for codebook, counts, sums in zip(self.codebooks, self.counts, self.sums, strict=True):
            codes = torch.cdist(rest.detach(), codebook).argmin(1)
            vectors = codebook[codes]
            with torch.no_grad():
                hot = nn.functional.one_hot(codes, len(codebook)).float()
                counts.mul_(DECAY).add_(hot.sum(0), alpha=1 - DECAY)
                sums.mul_(DECAY).add_(hot.T @ rest, alpha=1 - DECAY)
                codebook.copy_(sums / counts.clamp(min=1e-5)[:, None])
            commitment = commitment + ((rest - vectors) ** 2).sum(1).mean()
            total, rest = total + vectors, rest - vectors
        return z + (total - z).detach(), commitment


def plain(asked: argparse.Namespace, vectors: np.ndarray, device: torch.device) -> Row:
    """Train the same network in a plain loop; the vectors are in memory before the clock starts."""
    _forget_peak(device)
    sizes, chosen = [int(size) for size in asked.sizes.split("x")], RQVAEOptions.of(options(asked))
    torch.manual_seed(asked.seed)
    network = Network(vectors.shape[1], sizes, chosen).to(device)
    quantizer = PlainQuantizer(sizes, asked.latent).to(device)
    data = torch.utils.data.TensorDataset(torch.from_numpy(read_rows(vectors, slice(None))))
    loader = torch.utils.data.DataLoader(
        data, batch_size=asked.batch, shuffle=True, pin_memory=device.type == "cuda"
    )
    optimizer = torch.optim.AdamW(
        [*network.encoder.parameters(), *network.decoder.parameters()], lr=1e-3
    )
    speeds = []
    for _ in range(asked.epochs):
        started = time.perf_counter()
        for (batch,) in loader:
            x = batch.to(device, non_blocking=True)
            quantized, commitment = quantizer(network.encoder(x))
            loss = ((network.decoder(quantized) - x) ** 2).sum(
                1
            ).mean() + chosen.loss.commitment * commitment
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        speeds.append(len(vectors) / (time.perf_counter() - started))
    return Row(
        "plain loop with a DataLoader",
        statistics.median(speeds[1:] or speeds),
        speeds,
        peak_bytes=peak(device),
    )


def measure(
    asked: argparse.Namespace, paths: dict[str, Path], device: torch.device
) -> Iterator[Row]:
    """Measure one way to train after the other."""
    wide, narrow = (map_rows(paths[kind]) for kind in ("float32", "float16"))
    yield plain(asked, wide, device)
    yield ours(asked, wide, device, "the same network, float32")
    yield ours(asked, narrow, device, "the same from float16 vectors")
    yield ours(asked, wide, device, "the same, bfloat16", optimizer={"precision": "bfloat16"})
    if asked.compile:
        yield ours(asked, wide, device, "the same, compiled", optimizer={"compile": True})
    quickly = {"anneal_rounds": 4, "max_points_per_centroid": 64}
    residual = {
        "network": {"architecture": "residual"},
        "codebook": {
            "quantizer": "end_to_end",
            "joint": True,
            "beam_size": 5,
            "init": "rq_kmeans",
        },
        "start": quickly,
    }
    yield ours(asked, wide, device, "residual, beam 5", **residual)
    yield ours(
        asked,
        wide,
        device,
        "residual, beam 5, no encoder",
        **residual,
        optimizer={"encoder_rate": 0.0},
    )


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> int | None:
    """Return the most memory allocated on the GPU since it was forgotten; None on a CPU."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else None


def table(rows: Sequence[Row]) -> str:
    """Write the rows as a table; ratios are to the first."""
    lines = [f"{'':34}{'items/s':>12}{'ratio':>8}{'encode/s':>14}{'GPU, MB':>10}"]
    for row in rows:
        encoded = "" if row.encoded_per_second is None else f"{row.encoded_per_second:,.0f}"
        peak = "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:,.0f}"
        ratio = row.items_per_second / rows[0].items_per_second
        lines.append(
            f"{row.what:34}{row.items_per_second:>12,.0f}{ratio:>8.2f}{encoded:>14}{peak:>10}"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    carry_out(arguments(words), measure, table)


if __name__ == "__main__":
    main()
