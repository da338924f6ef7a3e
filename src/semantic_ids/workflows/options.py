"""Options of a split and of a tokenizer, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.learning.options import CheckpointOptions
from semantic_ids.options import Options, option
from semantic_ids.tokenizers.options import PreprocessOptions, RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions


@dataclass(frozen=True)
class SampleOptions(Options):
    """Who is held out, and who is in the tuning subset."""

    group: ClassVar[str] = "sample"

    validation_share: float = option(
        0.1,
        "Share of the items held out for validation, by hash of the stored vector, so that equal"
        " vectors are on one side.",
        ge=0,
        lt=1,
    )
    tuning_items: int = option(
        20000,
        "Size of the tuning subset: the first items by item hash (all of them if there are fewer).",
        ge=0,
    )


@dataclass(frozen=True)
class TokenizerOptions(Options):
    """The tokenizer and how it is fitted."""

    group: ClassVar[str] = "tokenizer"

    kind: Literal["rq_kmeans", "rq_vae"] = option(
        "rq_kmeans",
        "rq_kmeans: residual k-means, seconds to minutes on a CPU. rq_vae: an autoencoder around a"
        " residual quantiser.",
    )
    codebook_sizes: tuple[int, ...] = option(
        (256, 256, 256),
        "Size of each level's codebook, of any size; on the command line 256x256x256.",
        min_length=1,
        ge=1,
    )
    seed: int = option(42, "Seed of everything random in the fit.", ge=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "Where to compute; auto takes a CUDA device if there is one."
    )
    fit_on: Literal["train", "all"] = option(
        "all",
        "Fit on every item, or hold the validation items out: what the metrics then say of them is"
        " what new items will see.",
    )
    preprocess: PreprocessOptions = option(
        PreprocessOptions, "What happens to vectors before quantising."
    )
    rq_kmeans: RQKMeansOptions = option(
        RQKMeansOptions, "Used when kind is rq_kmeans, and where an rq_vae starts from one."
    )
    rq_vae: RQVAEOptions = option(RQVAEOptions, "Used when kind is rq_vae.")
    checkpoints: CheckpointOptions = option(CheckpointOptions, "Used when kind is rq_vae.")
