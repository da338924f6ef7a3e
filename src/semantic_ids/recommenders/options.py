"""Options of recommenders: which network, how it is built, how it learns, how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.errors import BadInput
from semantic_ids.learning.options import CheckpointOptions
from semantic_ids.options import Options, option, same_as


@dataclass(frozen=True)
class ItemLevelOptions(Options):
    """A network that reads items and names the next one code by code, with a light head a level."""

    group: ClassVar[str] = "recommender.item_level"

    dim: int = option(128, "Width of the network; a multiple of heads.", ge=1)
    layers: int = option(2, "Causal blocks over the items of a history.", ge=1)
    heads: int = option(4, "Attention heads of each block.", ge=1)
    feed_forward: int = option(256, "Width of the feed-forward layers.", ge=1)
    head_hidden: int = option(256, "Hidden width of the head of each level.", ge=1)
    dropout: float = option(
        0.4,
        "Share that is left out at random while training, everywhere in the network.",
        ge=0,
        lt=1,
    )
    code_dropout: float = option(
        0.0,
        "Share of the codes of the items read that are left out at random while training, so that"
        " items that nobody had yet are read by codes that others have too.",
        ge=0,
        lt=1,
    )

    item_embeddings: bool = option(
        True,
        "Read items by an embedding of their own beside their codes. The network then grows with"
        " the items; false keeps its size, and reads all items by their codes alone.",
    )
    item_dropout: float = option(
        0.1,
        "With item_embeddings: share of the items read that are read by their codes alone while"
        " training, as those are that nobody had.",
        ge=0,
        lt=1,
    )
    node_embeddings: bool = option(
        True,
        "Tell codes apart by an embedding of each prefix of two codes and more, up to whole IDs."
        " The network then grows with the items; false keeps its size.",
    )
    seen: bool = option(
        True,
        "Learn two numbers a level that are added to codes which lead to some item, or to no item"
        " but those, of the user's own history: whether people come back to items, and to what is"
        " like them.",
    )
    ahead: float = option(
        0.5,
        "While training, chance that not the next item is the target but the one after it, and so"
        " on from there: the order of a day's items is chance.",
        ge=0,
        lt=1,
    )
    ahead_until: float = option(
        0.7,
        "With ahead: share of the training after which the next items alone are the targets.",
        ge=0,
        le=1,
    )

    def check(self) -> None:
        """Raise `BadInput` for a width that heads cannot share, and for what has no effect."""
        refuse_uneven(self.group, self.dim, self.heads)
        if not self.item_embeddings and self.item_dropout not in (0.0, type(self).item_dropout):
            raise BadInput(
                f"{self.item_dropout:g} has no effect: items have no embedding of their own",
                where=f"{self.group}.item_dropout",
                do="leave it out, or take item_embeddings true",
            )


@dataclass(frozen=True)
class TigerOptions(Options):
    """An encoder-decoder over tokens, of the sizes of TIGER (arXiv:2305.05065)."""

    group: ClassVar[str] = "recommender.tiger"

    dim: int = option(128, "Width of the network.", ge=1)
    layers: int = option(4, "Blocks of the encoder, and of the decoder.", ge=1)
    heads: int = option(6, "Attention heads of each block.", ge=1)
    head_dim: int = option(64, "Width of a head.", ge=1)
    feed_forward: int = option(1024, "Width of the feed-forward layers.", ge=1)
    dropout: float = option(
        0.1,
        "Share that is left out at random while training, everywhere in the network.",
        ge=0,
        lt=1,
    )


@dataclass(frozen=True)
class SASRecOptions(Options):
    """SASRec (W.-C. Kang, J. McAuley, arXiv:1808.09781), the baseline over items, without codes.

    What is not said here is that of `recommender.training`.
    """

    group: ClassVar[str] = "recommender.sasrec"

    dim: int = option(64, "Width of the network; a multiple of heads.", ge=1)
    layers: int = option(2, "Causal blocks over the items of a history.", ge=1)
    heads: int = option(2, "Attention heads of each block.", ge=1)
    feed_forward: int = option(128, "Width of the feed-forward layers.", ge=1)
    dropout: float = option(
        0.5,
        "Share that is left out at random while training, everywhere in the network.",
        ge=0,
        lt=1,
    )
    epochs: int = option(40, "Passes over the training windows, at most.", ge=1)
    learning_rate: float = option(0.002, "Highest learning rate.", gt=0)
    weight_decay: float = option(0.05, "Weight decay of AdamW.", ge=0)
    ahead: float = option(
        0.0,
        "While training, chance that not the next item is the target but the one after it, and so"
        " on from there: the order of a day's items is chance.",
        ge=0,
        lt=1,
    )
    ahead_until: float = option(
        0.7,
        "With ahead: share of the training after which the next items alone are the targets.",
        ge=0,
        le=1,
    )

    def check(self) -> None:
        """Raise `BadInput` where the width cannot be shared out among the heads."""
        refuse_uneven(self.group, self.dim, self.heads)


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How the recommender learns, and which epoch is kept."""

    group: ClassVar[str] = "recommender.training"

    epochs: int = option(16, "Passes over the training windows, at most.", ge=1)
    batch_windows: int = option(
        128,
        "Windows a step: stretches of a history with several targets each; of tiger single"
        " targets.",
        ge=1,
    )
    window_step: int = option(
        10,
        "Targets of each further window of a user whose history is longer than history.length.",
        ge=1,
    )
    accumulate: int = option(
        1, "On a GPU, parts of a batch that are computed one after the other.", ge=1
    )
    learning_rate: float = option(0.002, "Highest learning rate.", gt=0)
    weight_decay: float = option(
        0.05, "Weight decay of AdamW, of matrices; embeddings, norms and biases know none.", ge=0
    )
    beta2: float = option(
        0.98, "Decay of AdamW's average of squared gradients, a step.", gt=0, lt=1
    )
    schedule: Literal["cosine", "one_cycle", "constant"] = option(
        "cosine", "Learning rate after the warm-up."
    )
    warmup_steps: int = option(200, "Steps over which the learning rate rises.", ge=0)
    max_grad_norm: float | None = option(
        1.0, "Gradients are clipped to this norm; null leaves them unchanged.", gt=0
    )
    softmax: Literal["children", "codes"] = option(
        "children",
        "What the probability of a code is among: the codes that may follow the true prefix, or"
        " all codes of the level.",
    )
    label_smoothing: float = option(
        0.0, "Share of the target that is dealt out evenly to all that it is among.", ge=0, lt=1
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "What steps compute in; auto: bfloat16 on a GPU that has it, else float32."
    )
    patience: int | None = option(
        12, "Epochs without a better one after which training ends; null never ends it.", ge=1
    )
    evaluate_every: int = option(4, "Epochs between two evaluations.", ge=1)
    evaluate_targets: int = option(
        4000,
        "Targets of validation that choose the epoch, at most: those of the first users.",
        ge=1,
    )
    evaluate_beam: int = option(20, "Width of the beam of these evaluations.", ge=10)


@dataclass(frozen=True)
class DecodingOptions(Options):
    """How the trained recommender is asked."""

    group: ClassVar[str] = "recommender.decoding"

    k: int = option(10, "Items recommended to each user.", ge=1)
    beam: int = option(50, "Width of the beam.", ge=1)
    exclude_seen: bool = option(False, "Leave out the items that the user had.")
    batch_users: int = option(256, "Users searched for together.", ge=1)


@dataclass(frozen=True)
class RecommenderCheckpointOptions(CheckpointOptions):
    """What is kept of a recommender's training, to go on from if it is killed.

    The weights do not depend on it.
    """

    group: ClassVar[str] = "recommender.checkpoints"

    every: int = same_as(CheckpointOptions, "every")


@dataclass(frozen=True)
class RecommenderOptions(Options):
    """A generative recommender over semantic IDs."""

    group: ClassVar[str] = "recommender"

    kind: Literal["item_level", "tiger"] = option(
        "item_level",
        "item_level: reads items, names the next one code by code with a light head a level."
        " tiger: an encoder-decoder over tokens.",
    )
    seed: int = option(42, "Seed of everything random.", ge=0)
    device: str = option("auto", "Where it learns: auto, cpu or cuda.")
    item_level: ItemLevelOptions = option(ItemLevelOptions, "Used when kind is item_level.")
    tiger: TigerOptions = option(TigerOptions, "Used when kind is tiger.")
    sasrec: SASRecOptions = option(SASRecOptions, "The baseline over items.")
    training: TrainingOptions = option(TrainingOptions, "How it learns.")
    decoding: DecodingOptions = option(DecodingOptions, "How it is asked.")
    checkpoints: RecommenderCheckpointOptions = option(
        RecommenderCheckpointOptions, "What is kept of the training."
    )


def refuse_uneven(group: str, dim: int, heads: int) -> None:
    """Raise `BadInput` where the width is no multiple of the heads."""
    if dim % heads:
        raise BadInput(
            f"dim {dim} and heads {heads}",
            where=group,
            expected="a dim that is a multiple of heads",
        )
