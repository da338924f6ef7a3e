"""What there is to do, and how fast this machine does it: what an estimate is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

LATENT_BYTES = 512 << 20
"""Latent vectors up to this size are held to make their codes unique:
`tokenizers.rq_vae.task.UNIQUE_BYTES`."""


@dataclass(frozen=True)
class Speed:
    """What a probe has found of this machine.

    Attributes:
        products: Operations a second of float32 products, over all threads, where the tokenizer
            computes.
        cpu_products: The same on the CPU, where metrics are computed.
        search: Seconds an item of the beam search of `encode`, over all threads, without the
            product with the codebooks.
        drawn_search: The same of the search of the annealing, which finds a code for each beam.
        passes: Numbers a second that a single thread goes over in float64.
        threads: How many threads that is.
    """

    products: float
    cpu_products: float
    search: float
    drawn_search: float
    passes: float
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """What there is to do.

    Attributes:
        items: n items of the catalogue.
        dim: Dimensions D.
        fit_items: Items the tokenizer is fitted on.
        watched_items: Items that an rq_vae watches, of those or of others.
        codebook_sizes: L sizes.
        kind: `rq_kmeans` or `rq_vae`.
        options: Of the kind: as `parameters.RQKMeansParameters` or `parameters.RQVAEParameters`
            describe them.
        width: Dimensions W of prepared vectors: D, or the principal axes kept.
        rotates: Whether vectors are led to principal axes first.
        strategy: `reassign`, `suffix` or `none`.
        candidates: Prefixes that an item of an overfull one is offered at a time.
        queries: Items whose neighbours are compared.
        twin_items: Items that a twin is fitted on; 0 without one.
        collision_rate: Expected share of items that share their codes.
        spilled_rate: Expected share of items without room under their own prefix.
        on_gpu: Whether the tokenizer computes on a GPU; its memory is not counted.
    """

    items: int
    dim: int
    fit_items: int
    watched_items: int
    codebook_sizes: Sequence[int]
    kind: str
    options: Mapping[str, Any]
    width: int
    rotates: bool
    strategy: str
    candidates: int
    queries: int
    twin_items: int
    collision_rate: float
    spilled_rate: float
    on_gpu: bool = False

    @property
    def codes(self) -> int:
        """Codes of all levels together."""
        return sum(self.codebook_sizes)

    @property
    def pairs(self) -> int:
        """Numbers in the tables of the products of every two codebooks."""
        return sum(a * b for a, b in combinations(self.codebook_sizes, 2))

    @property
    def latent(self) -> int:
        """Dimensions of what is quantised."""
        return (
            self.options["latent"]
            if self.kind == "rq_vae" and self.options["architecture"] == "mlp"
            else self.width
        )

    @property
    def decoder_widths(self) -> list[int]:
        """Widths of an rq_vae's decoder, from its input to its output."""
        return (
            [self.latent, *reversed(self.options["hidden"]), self.width]
            if self.kind == "rq_vae"
            else []
        )

    @property
    def encoder_widths(self) -> list[int]:
        """Widths of its encoder; a residual one that does not learn is left out."""
        left_out = (
            self.kind == "rq_vae"
            and self.options["architecture"] == "residual"
            and self.options["encoder_rate"] == 0
        )
        return [] if left_out else self.decoder_widths[::-1]

    @property
    def encoder(self) -> float:
        """Operations of a vector's way through the encoder; 0 without one."""
        return 2.0 * sum(a * b for a, b in pairwise(self.encoder_widths))

    @property
    def decoder(self) -> float:
        """Operations of a vector's way through the decoder; 0 without one."""
        return 2.0 * sum(a * b for a, b in pairwise(self.decoder_widths))

    @property
    def start(self) -> Job | None:
        """The rq_kmeans in the latent space that an rq_vae starts from.

        None where it starts from plain k-means.
        """
        if self.kind != "rq_vae" or self.options["init"] != "rq_kmeans":
            return None
        options = {**self.options["start"], "beam_size": self.options["beam_size"]}
        return replace(
            self,
            kind="rq_kmeans",
            options=options,
            dim=self.latent,
            width=self.latent,
            rotates=False,
            strategy="none",
        )

    def fit_rows(self, items: int) -> int:
        """Of so many items to fit on, how many are."""
        most = (
            items
            if self.kind == "rq_vae"
            else max(self.codebook_sizes) * self.options["max_points_per_centroid"]
        )
        return min(items, most)

    def start_rows(self, items: int) -> int:
        """Of so many items to fit on, how many the codebooks start from."""
        return min(
            self.fit_rows(items), max(self.options["init_rows"], 32 * max(self.codebook_sizes))
        )

    def unique_epochs(self, items: int) -> int:
        """Of so many items to fit on, in how many epochs of an rq_vae they have the codes of their
        unique IDs.
        """
        wanted = (
            self.kind == "rq_vae"
            and self.strategy == "reassign"
            and items * self.latent * 4 <= LATENT_BYTES
        )
        return min(self.options["unique_epochs"], self.options["epochs"]) if wanted else 0

    @property
    def overfull_rate(self) -> float:
        """Share of items of overfull prefixes, those that stay included.

        3.2 % with 0.83 % spilled, 63 % with 46 %.
        """
        return min(1.0, self.spilled_rate**0.7)

    @property
    def contested_rate(self) -> float:
        """Share of items of prefixes with a collision.

        42 to 45 % where 20 to 27 % share their codes, 91 % where 62 % do.
        """
        return 1 - (1 - self.collision_rate) ** 2.5

    @property
    def distinct(self) -> float:
        """Different codes: 84 % of the items where 27 % share theirs, 51 % where 62 %, 7 % where 98
        %.
        """
        return self.items * (1 - 0.8 * self.collision_rate)
