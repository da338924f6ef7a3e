"""RQ-VAE: an autoencoder around a residual quantiser."""

from __future__ import annotations

from semantic_ids.tokenizers.rq_vae.model import RQVAE, RQVAEOptions

__all__ = ["RQVAE", "RQVAEOptions"]
