"""`encode` and `decode` of a tokenizer as modules: one path of operations over all rows at once,
which an exporter can write down. Nothing is checked there; who runs them checks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semantic_ids.tokenizers.base import ResidualTokenizer


class EncoderGraph(nn.Module):
    """Vectors → codes: (m, D) float32 → (m, L) int32.

    Args:
        tokenizer: Fitted, on the CPU.
    """

    def __init__(self, tokenizer: ResidualTokenizer) -> None:
        super().__init__()
        self.dim, self.levels = tokenizer.dim, len(tokenizer.codebook_sizes)
        self._prepare, self._to_latent = tokenizer.preprocessing.apply, tokenizer._to_latent
        self._quantizer, self._beam = tokenizer.quantizer, tokenizer.beam_size
        if self._quantizer.holds_products:
            _ = self._quantizer.products  # made here, they are numbers of the graph

    def forward(self, vectors: Tensor) -> Tensor:
        """Encode."""
        latent = self._to_latent(self._prepare(vectors))
        return self._quantizer.encode_at_once(latent, self._beam).to(torch.int32)


class DecoderGraph(nn.Module):
    """Codes → vectors: (m, L) int32 → (m, D) float32.

    Args:
        tokenizer: Fitted, on the CPU.
    """

    def __init__(self, tokenizer: ResidualTokenizer) -> None:
        super().__init__()
        self.dim, self.levels = tokenizer.dim, len(tokenizer.codebook_sizes)
        self._undo, self._from_latent = tokenizer.preprocessing.undo, tokenizer._from_latent
        self._quantizer = tokenizer.quantizer

    def forward(self, codes: Tensor) -> Tensor:
        """Decode."""
        return self._undo(self._from_latent(self._quantizer.decode(codes.to(torch.int64))))
