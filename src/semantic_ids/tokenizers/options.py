"""Options of the preprocessing and of residual k-means: type, default, range and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class PreprocessOptions(Options):
    """What happens to vectors before quantising.

    It is fitted with the tokenizer and saved in it.
    """

    group: ClassVar[str] = "tokenizer.preprocess"

    normalize: bool = option(
        False,
        "Bring every vector to unit length first. Its norm is then not in the codes: decode returns"
        " unit vectors, and zero vectors are bad input.",
    )
    center: bool = option(
        True,
        "Subtract the mean vector of the items fitted on (of the first 262,144 of them by item"
        " hash).",
    )
    scale: bool = option(
        True,
        "Divide by one number, so that the mean squared value of a dimension is 1. Distances keep"
        " their proportions; learning rates mean the same on all data.",
    )
    dimensions: int | None = option(
        None,
        "Keep only this many principal axes, those of most variance of the items fitted on (of the"
        " same rows as the mean). decode maps back to the full space, with the mean on the axes cut"
        " off. null keeps all.",
        ge=1,
    )
    whiten: float = option(
        0.0,
        "Even out the principal axes: axis j is divided by (its standard deviation / that of all"
        " axes kept) to this power. 0 leaves them unchanged, 1 gives all the same variance. Undone"
        " by decode. An axis of less than a thousandth of the largest standard deviation is taken"
        " to have that much.",
        ge=0,
        le=1,
    )

    def rotates(self, dim: int) -> bool:
        """Whether vectors of a width are mapped to their principal axes."""
        return self.whiten > 0 or (self.dimensions is not None and self.dimensions < dim)


@dataclass(frozen=True)
class RQKMeansOptions(Options):
    """Residual k-means, its codebooks annealed and refined together, codes found by beam search."""

    group: ClassVar[str] = "tokenizer.rq_kmeans"

    engine: Literal["torch", "faiss"] = option(
        "torch",
        "What runs the k-means that codebooks start from, level by level: PyTorch, or faiss.Kmeans,"
        " on all GPUs that faiss-gpu finds where the device is one. What follows is the same.",
    )
    beam_size: int = option(
        5,
        "Width of the beam that looks for the codes of an item. With 1 every code is the nearest"
        " one of its level: prefixes are a little more alike, the error is a little higher, and"
        " encoding is faster.",
        ge=1,
    )
    init: Literal["random", "k-means++", "progressive"] = option(
        "progressive",
        "What k-means starts from, level by level: random items, items far from each other, or"
        " centroids found in few principal axes and then in more and more of them.",
    )
    init_rows: int = option(
        16384,
        "Items that the codebooks start from; at least 32 a code are taken where there are so"
        " many.",
        ge=1,
    )
    iterations: int = option(
        4, "Lloyd iterations of the start; with progressive, at each of its ten widths.", ge=1
    )
    restarts: int = option(1, "Starts a level; the one with the lowest error is kept.", ge=1)
    max_points_per_centroid: int = option(
        512,
        "Fit on at most this many items a code of the largest codebook, the first by item hash."
        " They are held in memory.",
        ge=1,
    )
    anneal_rounds: int = option(
        80,
        "Rounds in which items draw their codes among those at the end of their beam, at a falling"
        " temperature, and all codebooks are then solved for these codes. More rounds, lower error;"
        " 0 leaves the codebooks as they started.",
        ge=0,
    )
    anneal_rows: int = option(
        10240, "Items of a round of annealing; each round takes others.", ge=1
    )
    temperature: float = option(
        0.1,
        "Temperature of the first round of annealing, as a share of the mean squared error; it"
        " falls evenly to 0.",
        ge=0,
    )
    refine_rounds: int = option(
        4,
        "Rounds of encoding all items fitted on and solving all codebooks for their codes, after"
        " the annealing, at most.",
        ge=0,
    )
    refine_gain: float = option(
        0.0005,
        "Stop refining when a round lowers the error by less than this share of it.",
        ge=0,
        lt=1,
    )
    unique_rounds: int = option(
        3,
        "Then rounds that solve the codebooks for the unique IDs of the items, at most. Only with"
        " identify.strategy reassign. Where max_points_per_centroid does not let the fit see every"
        " item, all are encoded once, and the last codebook alone is solved, on whole groups of a"
        " prefix; with balance it is left out then.",
        ge=0,
    )
    ridge: float = option(
        1.0,
        "Weight, in items, that pulls codebook vectors towards zero when they are solved for, so"
        " that codes with few items do not follow each of them.",
        ge=0,
    )
    balance: float | None = option(
        None,
        "How full a code of any level may be, of the items fitted on, as a multiple of its level's"
        " mean: 2 keeps every first code of 256 under 0.8 % of the catalogue. Prices that are added"
        " to the errors see to it. null for no bound.",
        gt=1,
    )
