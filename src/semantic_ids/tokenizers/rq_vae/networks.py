"""Encoder and decoder of an RQ-VAE, and the whole of it.

X → encoder → z → codes → ẑ → decoder → x̂.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from semantic_ids.learning.layers import Linear
from semantic_ids.learning.precision import full_float32
from semantic_ids.tokenizers.rq_vae.quantizer import Quantized, TrainableResidualQuantizer

if TYPE_CHECKING:
    from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions


@dataclass
class Passed:
    """What a batch became.

    Attributes:
        decoded: Shape (m, W).
        quantized: What the quantiser made of it.
    """

    decoded: Tensor
    quantized: Quantized


class Network(nn.Module):
    """Encoder, quantiser and decoder.

    Args:
        width: Width W of the prepared vectors.
        sizes: Size of each level's codebook.
        options: The kind's options.
    """

    def __init__(self, width: int, sizes: Sequence[int], options: RQVAEOptions) -> None:
        super().__init__()
        self.latent = options.latent_width(width)
        widths = [width, *options.network.hidden, self.latent]
        make = Residual if options.network.architecture == "residual" else mlp
        self.encoder: nn.Module = make(widths, options) if options.encodes else nn.Identity()
        self.decoder: nn.Module = make(widths[::-1], options)
        self.quantizer = TrainableResidualQuantizer(sizes, self.latent, options)

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Passed:
        """Encode, quantise and decode prepared vectors: (m, W).

        The quantiser computes in float32, also where `torch.autocast` is on.

        Args:
            x: The vectors.
            codes: Codes (m, L) that they are to have; those that the quantiser finds if None.
        """
        z = self.encoder(x)
        with full_float32(x.device):
            quantized = self.quantizer(z.float(), codes)
        return Passed(self.decoder(quantized.value).float(), quantized)


class Residual(nn.Module):
    """x + MLP(x), which is x at first: the last layer starts at zero."""

    def __init__(self, widths: Sequence[int], options: RQVAEOptions) -> None:
        super().__init__()
        self.change = mlp(widths, options)
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(m, W) → (m, W)."""
        return x + self.change(x)


def mlp(widths: Sequence[int], options: RQVAEOptions) -> nn.Sequential:
    """Linear layers of the given widths.

    After each but the last: layer norm and dropout where they are wanted, and an activation.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers.append(Linear(before, after, bias=options.network.bias))
        layers += [nn.LayerNorm(after)] if options.network.layer_norm else []
        layers.append(nn.SiLU() if options.network.activation == "silu" else nn.ReLU())
        layers += [nn.Dropout(options.network.dropout)] if options.network.dropout > 0 else []
    ends = 1 + options.network.layer_norm + (options.network.dropout > 0)
    return nn.Sequential(*layers[:-ends])
