"""Groups of the options of an RQ-VAE: type, default, range and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NoReturn

from semantic_ids.errors import BadInput
from semantic_ids.options import Options, option


@dataclass(frozen=True)
class NetworkOptions(Options):
    """Encoder and decoder."""

    group: ClassVar[str] = "tokenizer.rq_vae.network"

    architecture: Literal["residual", "mlp"] = option(
        "residual",
        "residual: x + MLP(x) on both sides, in the space of the embeddings; it starts as "
        "rq_kmeans is, and goes on from there. mlp: an encoder that maps to a latent space and "
        "a decoder that maps back.",
    )
    hidden: tuple[int, ...] = option(
        (1024,), "Widths of the encoder's hidden layers; the decoder mirrors them.", ge=1
    )
    latent: int = option(
        128, "With architecture mlp: width of the latent space that is quantised.", ge=1
    )
    activation: Literal["silu", "relu"] = option("silu", "Activation between the layers.")
    bias: bool = option(True, "Whether linear layers have a bias.")
    layer_norm: bool = option(False, "Whether each hidden layer is normalised.")
    dropout: float = option(
        0.1, "Share of the hidden units that are left out at random while training.", ge=0, lt=1
    )


@dataclass(frozen=True)
class CodebookOptions(Options):
    """The residual quantiser: its codebooks, how they start and what they learn from."""

    group: ClassVar[str] = "tokenizer.rq_vae.codebook"

    quantizer: Literal["end_to_end", "gradient", "ema", "none"] = option(
        "end_to_end",
        "What codebooks learn from. end_to_end: the reconstruction, through the decoder, and "
        "the codebook loss. gradient: the codebook loss alone, as in VQ-VAE. ema: moving "
        "averages of the vectors that take each code. none: a plain autoencoder to compare "
        "with; codebooks are made for its latent vectors when it is trained.",
    )
    joint: bool = option(
        True,
        "Whether commitment, codebook loss and averages compare a vector with the sum of all "
        "its codes, as rq_kmeans does, or, level by level, with what the levels before left "
        "over, as TIGER does.",
    )
    beam_size: int = option(
        5,
        "Width of the beam that looks for the codes of an item, while training and after; 1 "
        "takes the nearest code of each level.",
        ge=1,
    )
    init: Literal["rq_kmeans", "kmeans"] = option(
        "rq_kmeans",
        "What codebooks start from, fitted to latent vectors: all that tokenizer.rq_kmeans "
        "describes, or plain k-means level by level.",
    )
    init_rows: int = option(
        16384,
        "With init kmeans: items whose residuals the codebooks start from; at least 32 a code "
        "are taken where there are so many.",
        ge=1,
    )
    ema_decay: float = option(
        0.95,
        "Decay of the moving averages of each code's uses, and with quantizer ema of its "
        "vectors, a step.",
        gt=0,
        lt=1,
    )
    smoothing: float = option(
        1e-05, "With quantizer ema: Laplace smoothing, added to the uses of every code.", ge=0
    )
    reset_below: float = option(
        0.02,
        "A code whose moving average of uses a step falls below this share of its fair part "
        "(optimizer.batch_rows / codebook size) is set onto a badly reconstructed item. 0 never "
        "resets.",
        ge=0,
    )
    masking: float = option(
        0.0,
        "Share of the items of a batch that are decoded from their first few codes only, as "
        "many as are drawn, so that prefixes mean more. 0 masks nothing.",
        ge=0,
        le=1,
    )
    sinkhorn: float | None = option(
        None,
        "While training, share the codes of the last level out evenly over each batch, by "
        "optimal transport with this much entropy (a share of the range of the errors; 0.003 is"
        " usual). null for not.",
        gt=0,
    )
    sinkhorn_iterations: int = option(50, "With sinkhorn: its iterations.", ge=1)


@dataclass(frozen=True)
class GradientOptions(Options):
    """How gradients get past the choice of a code, and how codes are drawn."""

    group: ClassVar[str] = "tokenizer.rq_vae.gradient"

    estimator: Literal["straight_through", "rotation", "gumbel"] = option(
        "straight_through",
        "How the encoder's gradient gets past the choice of a code: unchanged, turned as the "
        "code is turned against the vector (rotation trick), or through a soft draw among the "
        "codes (Gumbel-softmax).",
    )
    temperature: float = option(
        1.0,
        "With estimator gumbel: temperature of the draw at the first step, for errors in units "
        "of their level's mean error.",
        gt=0,
    )
    final_temperature: float = option(
        0.1, "With estimator gumbel: temperature at the last step; it falls by equal factors.", gt=0
    )
    sampling: float = option(
        0.0,
        "Temperature at which codes are drawn while training, level by level, instead of taking"
        " the nearest; 0 draws nothing.",
        ge=0,
    )

    def check(self) -> None:
        """Raise `BadInput` where the draws of Gumbel-softmax meet others."""
        if self.estimator == "gumbel" and self.sampling > 0:
            refuse_two_draws(f"gradient.sampling {self.sampling:g}")


@dataclass(frozen=True)
class LossOptions(Options):
    """What is made small."""

    group: ClassVar[str] = "tokenizer.rq_vae.loss"

    reconstruction: Literal["mse", "cosine"] = option(
        "mse", "Loss of the reconstruction: squared error summed over dimensions, or 1 − cosine."
    )
    commitment: float = option(
        1.0, "Weight β of the commitment loss, which keeps the encoder near its codes.", ge=0
    )
    codebook_weight: float = option(
        0.0, "Weight of the codebook loss, with codebook.quantizer end_to_end or gradient.", ge=0
    )


@dataclass(frozen=True)
class OptimizerOptions(Options):
    """A step of the training."""

    group: ClassVar[str] = "tokenizer.rq_vae.optimizer"

    name: Literal["adamw", "adagrad"] = option("adamw", "AdamW, or Adagrad as in TIGER.")
    learning_rate: float = option(0.001, "Highest learning rate, that of the decoder.", gt=0)
    encoder_rate: float = option(
        0.1,
        "Learning rate of the encoder, as a multiple of learning_rate. With network.architecture "
        "residual and 0 there is no encoder: vectors are quantised as they are.",
        ge=0,
    )
    codebook_rate: float = option(
        1.0,
        "Learning rate of the codebooks, as a multiple of learning_rate, with codebook.quantizer "
        "end_to_end or gradient.",
        ge=0,
    )
    weight_decay: float = option(
        0.0001, "Weight decay of encoder and decoder; codebooks have none.", ge=0
    )
    max_grad_norm: float | None = option(
        None, "Gradients are clipped to this norm; null leaves them.", gt=0
    )
    batch_rows: int = option(512, "Items a step, over all processes.", ge=1)
    accumulate: int = option(
        1,
        "Parts that a batch passes through the network in, one after the other: less memory, "
        "the same gradient.",
        ge=1,
    )
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "What encoder and decoder compute in while training; the quantiser always in float32. "
        "auto: bfloat16 on a GPU that has it.",
    )
    compile: bool = option(
        False,
        "Compile encoder and decoder (torch.compile). It takes a minute and a C++ compiler, and"
        " pays for long trainings on a GPU.",
    )


@dataclass(frozen=True)
class ScheduleOptions(Options):
    """How many epochs there are, and how the learning rate moves in them."""

    group: ClassVar[str] = "tokenizer.rq_vae.schedule"

    epochs: int = option(40, "Passes over the items fitted on, at most.", ge=1)
    shape: Literal["cosine", "one_cycle", "constant"] = option(
        "cosine",
        "Learning rate after the warm-up: down to 0 by a cosine, the same with momentum running"
        " the other way (and a smooth warm-up), or constant.",
    )
    warmup_epochs: int = option(1, "Epochs over which the learning rate rises from 0.", ge=0)
    plain_epochs: int = option(
        0,
        "Epochs at the beginning in which the network learns as a plain autoencoder. Only then "
        "do the codebooks start.",
        ge=0,
    )


@dataclass(frozen=True)
class SelectionOptions(Options):
    """Which epoch is kept, and when a training stops or fails."""

    group: ClassVar[str] = "tokenizer.rq_vae.selection"

    patience: int | None = option(
        None,
        "Stop after this many epochs without a better one to keep; null never stops: with a "
        "falling learning rate the best epochs come last.",
        ge=1,
    )
    burn_in: int = option(
        0, "Epochs at the beginning that are neither kept nor judged to have collapsed.", ge=0
    )
    catalogue_every: int = option(
        1,
        "Epochs between two looks at the codes of the catalogue. Only such an epoch, and the "
        "last, may be kept.",
        ge=1,
    )
    catalogue_rows: int = option(
        65536,
        "Items of the catalogue that are looked at, the first by item hash (all of them if "
        "there are fewer). With few, collisions are hardly seen: at least 50,000.",
        ge=1,
    )
    collision_tolerance: float = option(
        0.01,
        "The epoch that is kept has the lowest validation loss of the reconstruction among "
        "those whose collision rate is at most this much above the lowest.",
        ge=0,
        le=1,
    )
    collapse_below: float = option(
        0.1,
        "A training fails when the catalogue uses a level as if it had less than this share of "
        "its codes (by perplexity). 0 never fails.",
        ge=0,
        lt=1,
    )


@dataclass(frozen=True)
class UniqueOptions(Options):
    """The last epochs, in which items have the codes of their unique IDs."""

    group: ClassVar[str] = "tokenizer.rq_vae.unique"

    epochs: int = option(
        20,
        "Epochs at the end in which every item has the codes of its unique ID, which are made "
        "anew before each; the last of them is kept. Only with identify.strategy reassign.",
        ge=0,
    )


def refuse_two_draws(other: str) -> NoReturn:
    """Raise `BadInput`: codes would be drawn in two ways."""
    raise BadInput(
        f"gradient.estimator gumbel and {other}: Gumbel-softmax draws its codes itself",
        where="tokenizer.rq_vae",
        expected="one of the two",
        do="take gradient.sampling 0 and codebook.sinkhorn null, or another gradient.estimator",
    )
