"""The peers. What was chosen for them is in `choose`, and so in the report.

All else is their default.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.faiss_peers import FaissKMeans, FaissRefined, FaissResidual
from benchmarks.systems import Encode, Fitted, System, given, layer_by_layer

BATCH_ROWS = 8192
"""Rows that a torch peer is given at a time to encode."""


class SklearnKMeans(System):
    """scikit-learn's KMeans on the residuals of the levels before."""

    name, title, package, modules = (
        "sklearn_kmeans",
        "scikit-learn KMeans, layer by layer",
        "scikit-learn",
        ("sklearn.cluster",),
    )

    def choose(self, quick: bool) -> dict[str, Any]:
        """scikit-learn's own defaults."""
        return {"init": "k-means++", "n_init": "auto", "max_iter": 300}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Fit level by level."""
        return layer_by_layer(vectors, codebook_sizes, seed, self._level)

    def _level(self, rest: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, Encode]:
        from sklearn.cluster import KMeans

        kmeans = KMeans(size, random_state=seed, **self.settings).fit(rest)
        return kmeans.cluster_centers_, kmeans.predict


class ConstrainedKMeans(System):
    """k-means with bounded clusters on the residuals of the levels before.

    What is encoded together shares the bound.
    """

    name, title, package = (
        "kmeans_constrained",
        "k-means-constrained, layer by layer",
        "k-means-constrained",
    )
    modules = ("k_means_constrained",)

    def choose(self, quick: bool) -> dict[str, Any]:
        """`fullest` is the largest cluster allowed, as a multiple of the mean.

        Each iteration solves a flow problem of all items.
        """
        return {"n_init": 1, "max_iter": 2 if quick else 10, "fullest": 1.5}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Fit level by level."""
        return layer_by_layer(vectors, codebook_sizes, seed, self._level)

    def _level(self, rest: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, Encode]:
        from k_means_constrained import KMeansConstrained

        rounds = {name: self.settings[name] for name in ("n_init", "max_iter")}
        most = math.ceil(self.settings["fullest"] * len(rest) / size)
        kmeans = KMeansConstrained(size, size_max=most, random_state=seed, **rounds).fit(rest)
        return kmeans.cluster_centers_, lambda x: kmeans.predict(
            x, size_max=min(len(x), max(most, math.ceil(len(x) / size)))
        )


class VectorQuantizePytorch(System):
    """vector-quantize-pytorch: codebooks that follow exponential moving averages, over shuffled
    batches.
    """

    name, title, package = (
        "vector_quantize_pytorch",
        "vector-quantize-pytorch ResidualVQ, EMA",
        "vector-quantize-pytorch",
    )
    modules = ("torch", "vector_quantize_pytorch")

    def choose(self, quick: bool) -> dict[str, Any]:
        """The first batch is a large one, as the k-means start sees no more than that."""
        rounds = {"epochs": 2 if quick else 20, "batch_rows": 1024, "first_batch_rows": 16384}
        return {**rounds, "kmeans_init": True, "decay": 0.8, "threshold_ema_dead_code": 2}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Pass over the vectors; no gradients are needed."""
        import torch
        from vector_quantize_pytorch import ResidualVQ

        torch.manual_seed(seed)
        chosen = {
            name: self.settings[name]
            for name in ("kmeans_init", "decay", "threshold_ema_dead_code")
        }
        model = ResidualVQ(dim=vectors.shape[1], codebook_size=tuple(codebook_sizes), **chosen)
        x = torch.from_numpy(vectors)
        with torch.no_grad():
            model.train()(x[torch.randperm(len(x))[: self.settings["first_batch_rows"]]])
            for _ in range(self.settings["epochs"]):
                for batch in torch.randperm(len(x)).split(self.settings["batch_rows"]):
                    model(x[batch])
        model.eval()

        def encode(vectors: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return (
                    torch.cat(
                        [model(block)[1] for block in torch.from_numpy(vectors).split(BATCH_ROWS)]
                    )
                    .numpy()
                    .astype(np.int32)
                )

        def decode(codes: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return model.get_output_from_indices(torch.from_numpy(codes).long()).numpy()

        return given([codebook.numpy().copy() for codebook in model.codebooks], encode, decode)


class SemanticIdKMeans(System):
    """semantic-id's RQKMeans on its CPU backend."""

    name, title, package = "semantic_id_kmeans", "semantic-id RQKMeans", "semantic-id"
    modules = ("semantic_id",)

    def choose(self, quick: bool) -> dict[str, Any]:
        """Its own defaults: scikit-learn with ten restarts."""
        return {"n_init": 2 if quick else 10, "max_iter": 100}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Fit."""
        from semantic_id import RQKMeans

        model = RQKMeans(
            len(codebook_sizes), list(codebook_sizes), random_state=seed, **self.settings
        ).fit(vectors)
        return given(model.codebooks_, partial(model.encode, batch_size=BATCH_ROWS), model.decode)


class SemanticIdVAE(System):
    """semantic-id's RQVAE. It is told to be verbose.

    Otherwise 0.2.5 puts the first epoch's weights back after the training.
    """

    name, title, package = "semantic_id_vae", "semantic-id RQVAE", "semantic-id"
    network = True
    modules = ("torch", "semantic_id")

    def choose(self, quick: bool) -> dict[str, Any]:
        """Its own defaults but for `kmeans_init`, `lr` (1e-4 there) and `batch_size` (2048)."""
        return {
            "epochs": 3 if quick else 100,
            "kmeans_init": True,
            "lr": 1e-3,
            "batch_size": 1024,
            "verbose": True,
        }

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Train."""
        import torch
        from semantic_id import RQVAE

        torch.manual_seed(seed)
        model = RQVAE(vectors.shape[1], list(codebook_sizes), **self.settings)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model.fit(vectors)
        model.verbose = False

        def make_tokenizer() -> Any:
            from benchmarks.adapters import Given

            codebooks = [
                layer.get_codebook().detach().numpy() for layer in model.module.rq.vq_layers
            ]
            return Given(
                codebooks,
                encoder=model.module.encoder,
                decoder=model.module.decoder,
                dim=vectors.shape[1],
            )

        return Fitted(
            partial(model.encode, batch_size=BATCH_ROWS),
            make_tokenizer,
            model.decode,
            self.settings["epochs"],
        )


class VectorQuantizeVAE(System):
    """An RQ-VAE as one builds it around vector-quantize-pytorch.

    Its ResidualVQ between two small networks, in a plain loop.
    """

    name, title, package = (
        "vector_quantize_vae",
        "vector-quantize-pytorch ResidualVQ in an autoencoder",
        "vector-quantize-pytorch",
    )
    modules = ("torch", "vector_quantize_pytorch")
    network = True

    def choose(self, quick: bool) -> dict[str, Any]:
        """An encoder of two layers, EMA codebooks, AdamW and one cycle.

        The best of a few decays, with codes drawn and not.
        """
        network = {
            "hidden": [512, 256],
            "latent": 64,
            "epochs": 3 if quick else 100,
            "batch_rows": 1024,
            "lr": 1e-3,
        }
        return {**network, "kmeans_init": True, "decay": 0.8, "threshold_ema_dead_code": 2}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Train."""
        import torch
        from vector_quantize_pytorch import ResidualVQ

        torch.manual_seed(seed)
        x = torch.from_numpy(vectors)
        mean, scale = x.mean(0), x.std()
        widths = [vectors.shape[1], *self.settings["hidden"], self.settings["latent"]]
        encoder, decoder = _network(widths), _network(widths[::-1])
        names = ("kmeans_init", "decay", "threshold_ema_dead_code")
        quantizer = ResidualVQ(
            dim=widths[-1],
            codebook_size=tuple(codebook_sizes),
            **{name: self.settings[name] for name in names},
        )
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset((x - mean) / scale),
            batch_size=self.settings["batch_rows"],
            shuffle=True,
        )
        parameters = [*encoder.parameters(), *quantizer.parameters(), *decoder.parameters()]
        optimizer = torch.optim.AdamW(parameters, lr=self.settings["lr"])
        steps = self.settings["epochs"] * len(loader)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.settings["lr"], total_steps=steps
        )
        for _ in range(self.settings["epochs"]):
            for (batch,) in loader:
                quantized, _, losses = quantizer(encoder(batch))
                loss = ((decoder(quantized) - batch) ** 2).sum(1).mean() + losses.sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        quantizer.eval()

        def encode(vectors: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                blocks = torch.from_numpy(np.asarray(vectors)).split(BATCH_ROWS)
                return (
                    torch.cat([quantizer(encoder((block - mean) / scale))[1] for block in blocks])
                    .numpy()
                    .astype(np.int32)
                )

        def make_tokenizer() -> Any:
            from benchmarks.adapters import Given

            codebooks = [codebook.detach().numpy() for codebook in quantizer.codebooks]
            to_latent, back = (
                (lambda v: encoder((v - mean) / scale)),
                (lambda z: decoder(z) * scale + mean),
            )
            return Given(codebooks, encoder=to_latent, decoder=back, dim=vectors.shape[1])

        return Fitted(encode, make_tokenizer, None, self.settings["epochs"])


def _network(widths: Sequence[int]) -> Any:
    """Linear layers of the given widths with SiLU between them."""
    from torch import nn

    layers = [
        layer
        for before, after in pairwise(widths)
        for layer in (nn.Linear(before, after), nn.SiLU())
    ]
    return nn.Sequential(*layers[:-1])


PEERS: tuple[type[System], ...] = (
    FaissKMeans,
    FaissResidual,
    FaissRefined,
    SklearnKMeans,
    VectorQuantizePytorch,
    SemanticIdKMeans,
    SemanticIdVAE,
    VectorQuantizeVAE,
    ConstrainedKMeans,
)
