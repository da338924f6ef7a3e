"""RQ-VAE: an autoencoder around a residual quantiser (Rajput et al., "Recommender systems with generative retrieval", arXiv:2305.05065).

x → encoder → z → residual codes → ẑ → decoder → x̂
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.contract import Assign
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.ema import EMAResidualQuantizer
from semantic_ids.tokenizers.residual import ResidualQuantizer
from semantic_ids.tokenizers.training import Trainer


@dataclass(frozen=True)
class RQVAEOptions:
    """Described in `parameters.RQVAEParameters`; the defaults are those of `conf/base`."""

    hidden: Sequence[int] = (512,)
    latent: int = 128
    activation: str = "silu"
    epochs: int = 100
    batch_rows: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup_epochs: int = 5
    clip: float = 1.0
    commitment: float = 0.25
    decay: float = 0.95
    init_rows: int = 16384
    reset_below: float = 0.25
    patience: int = 20


class Network(nn.Module):
    """Encoder, quantiser and decoder.

    Args:
        width: Width W of the prepared vectors.
        sizes: Size of each level's codebook.
        options: The kind's options.
    """

    def __init__(self, width: int, sizes: Sequence[int], options: RQVAEOptions) -> None:
        super().__init__()
        widths = [width, *options.hidden, options.latent]
        self.encoder = mlp(widths, options.activation)
        self.decoder = mlp(widths[::-1], options.activation)
        self.quantizer = EMAResidualQuantizer(sizes, options.latent, options.decay, options.reset_below)


def mlp(widths: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of the given widths with an activation between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU() if activation == "silu" else nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class RQVAE(ResidualTokenizer):
    """Residual codes of an encoder's latent vector, decoded by an MLP."""

    kind: ClassVar[str] = "rq_vae"
    options_class: ClassVar[type] = RQVAEOptions

    def _fit(self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None) -> ResidualQuantizer:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self.network = Network(self.width, self.codebook_sizes, self.options).to(self.device)
            trainer = Trainer(self.network, self.options, self.seed, self._prepared)
            trainer.fit(vectors, rows, monitor_rows)
        self.network.eval()
        self.history, self.report = trainer.history, trainer.report
        return ResidualQuantizer([codebook.data.clone() for codebook in self.network.quantizer.codebooks])

    def _to_latent(self, x: Tensor) -> Tensor:
        return self.network.encoder(x)

    def _from_latent(self, z: Tensor) -> Tensor:
        return self.network.decoder(z)

    def _weights(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return {name: tensor for name, tensor in state.items() if name.startswith(("encoder.", "decoder."))}

    def _load_weights(self, weights: dict[str, Tensor]) -> None:
        self.network = Network(self.width, self.codebook_sizes, self.options).to(self.device).eval()
        own = {name: tensor for name, tensor in weights.items() if name.startswith(("encoder.", "decoder."))}
        self.network.load_state_dict(own, strict=False)

    def to(self, device: str) -> Self:
        """Move to `auto`, `cpu` or `cuda`."""
        super().to(device)
        if self.dim:
            self.network = self.network.to(self.device)
        return self
