"""RQ-VAE: an autoencoder around a residual quantiser.

Rajput et al., "Recommender systems with generative retrieval", arXiv:2305.05065.

x → encoder → z → residual codes → ẑ → decoder → x̂
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from semantic_ids.contract import Assign
from semantic_ids.learning import distributed
from semantic_ids.learning.loop import Loop
from semantic_ids.options import Options
from semantic_ids.quantization.kmeans import kmeans, residual_kmeans
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.rq_kmeans import RQKMeans
from semantic_ids.tokenizers.rq_vae.codebooks import Start
from semantic_ids.tokenizers.rq_vae.networks import Network
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from semantic_ids.tokenizers.rq_vae.task import RQVAETask
from semantic_ids.tokenizers.starts import start_rows
from semantic_ids.tokenizers.unique import unique_by

AS_IT_IS = {"normalize": False, "center": False, "scale": False}
"""Preprocessing of latent vectors before codebooks are fitted to them."""


class RQVAE(ResidualTokenizer):
    """Residual codes of an encoder's latent vector, decoded by a network."""

    kind: ClassVar[str] = "rq_vae"
    options_class: ClassVar[type[Options]] = RQVAEOptions

    @property
    def beam_size(self) -> int:
        """Width of the beam that `encode` follows."""
        return self.options.codebook.beam_size

    @property
    def codebook_options(self) -> RQKMeansOptions:
        """How codebooks are solved for, in the latent space."""
        return self.options.start

    def _fit(
        self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None
    ) -> ResidualQuantizer:
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.seed)
            self.network = Network(self.width, self.codebook_sizes, self.options).to(self.device)
            distributed.join(self.device)
            task = RQVAETask(
                self.network,
                self.options,
                vectors,
                rows,
                monitor_rows,
                self.preprocessing.apply,
                self.width,
                start=self._start(),
                unique=unique_by(assign, vectors, rows) if assign else None,
            )
            if self.checkpoints is not None:
                made_with = {**self.config, "fitted_rows": len(rows)}
                self.checkpoints.describe(made_with, self._preprocess_tensors())
            loop = Loop(task, task.plan, self.seed, self.device, self.checkpoints)
            loop.run()
        self.network.eval()
        self.history = loop.history
        unique = sum(record.phase == "unique" for record in self.history)
        self.report = loop.report | {"unique_epochs": unique}
        return ResidualQuantizer(
            [codebook.detach().clone() for codebook in self.network.quantizer.codebooks]
        )

    def check_libraries(self) -> None:
        """Raise `BadInput` where codebooks start in FAISS and it is not installed."""
        if self.options.codebook.init == "rq_kmeans":
            self._over_latents().check_libraries()

    def _start(self) -> Start:
        """Return what makes codebooks for latent vectors.

        Plain k-means level by level, or all that `rq_kmeans` does.
        """
        if self.options.codebook.init == "kmeans":
            generator = torch.Generator().manual_seed(self.seed)
            return Start(
                start_rows(self.options.codebook.init_rows, self.codebook_sizes),
                lambda z: residual_kmeans(
                    z, self.codebook_sizes, lambda rest, size: kmeans(rest, size, generator)
                ),
            )
        tokenizer = self._over_latents()
        rows = max(self.codebook_sizes) * tokenizer.options.max_points_per_centroid
        return Start(rows, lambda z: tokenizer.fit(z.cpu().numpy()).quantizer.codebooks)

    def _over_latents(self) -> RQKMeans:
        """Return an rq_kmeans for latent vectors."""
        options = replace(
            self.options.start, beam_size=self.options.codebook.beam_size, balance=None
        )
        return RQKMeans(self.codebook_sizes, self.seed, self.device.type, AS_IT_IS, options)

    def _to_latent(self, x: Tensor) -> Tensor:
        return self.network.encoder(x)

    def _from_latent(self, z: Tensor) -> Tensor:
        return self.network.decoder(z)

    def _weights(self) -> dict[str, Tensor]:
        state = self.network.state_dict()
        return {
            name: tensor
            for name, tensor in state.items()
            if name.startswith(("encoder.", "decoder."))
        }

    def _load_weights(self, weights: dict[str, Tensor]) -> None:
        self.network = Network(self.width, self.codebook_sizes, self.options).to(self.device).eval()
        own = {
            name: tensor
            for name, tensor in weights.items()
            if name.startswith(("encoder.", "decoder."))
        }
        self.network.load_state_dict(own, strict=False)

    def to(self, device: str) -> Self:
        """Move to `auto`, `cpu` or `cuda`."""
        super().to(device)
        if self.dim:
            self.network = self.network.to(self.device)
        return self
