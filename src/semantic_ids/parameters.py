"""Every parameter: its type, its limits and its one description. Every value is in `conf/base`.

`Parameters` is the whole of `conf/base/parameters*.yml`. The docs' table of parameters is made from
this file, the doors check it before any work begins, and Kedro hands its parts to the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from semantic_ids.export.options import ExportOptions


def _list_from_text(value: Any) -> Any:
    """Read the command line's spelling of a list: `256x256x256`, or a single number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str) and all(part.strip().isdigit() for part in value.split("x")):
        return [int(part) for part in value.split("x")]
    return value


def _nothing_from_text(value: Any) -> Any:
    """Read the command line's spelling of nothing: `null` or `none`."""
    return None if isinstance(value, str) and value.lower() in ("null", "none", "") else value


def _names_from_text(value: Any) -> Any:
    """Read the command line's spelling of a list of names: `cat1+cat2`."""
    return value.split("+") if isinstance(value, str) and value != "auto" else value


Sizes = Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_list_from_text)]

CountOrNothing = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_nothing_from_text)]
PositiveOrNothing = Annotated[
    Annotated[float, Field(gt=0.0)] | None, BeforeValidator(_nothing_from_text)
]


class Group(BaseModel):
    """A group of parameters: no unknown keys, no defaults, not changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IngestParameters(Group):
    """Parquet in, memory map out."""

    id_column: str = Field(
        description="Column of the item ids: integers or strings, unique, never null."
    )
    vector_column: str = Field(
        description=(
            "Column of the vectors: list, large list or fixed-size list of floats or integers."
        )
    )
    dtype: Literal["float32", "float16"] = Field(
        description=(
            "Storage type of the vectors. float16 halves the disk and the time to read; a value it"
            " cannot hold is bad input."
        )
    )
    on_invalid: Literal["raise", "drop"] = Field(
        description=(
            "What to do with an invalid row: stop with its place and reason, or write it to"
            " 02_intermediate/rejected.parquet and go on."
        )
    )
    max_items: CountOrNothing = Field(
        description=(
            "Take only this many items, the first by item hash: for a quick try. null takes all."
        )
    )


class SampleParameters(Group):
    """Who is held out, and who is in the tuning subset."""

    validation_share: float = Field(
        ge=0.0,
        lt=1.0,
        description=(
            "Share of the items held out for validation, by hash of the stored vector, so that"
            " equal vectors are on one side."
        ),
    )
    tuning_items: int = Field(
        ge=0,
        description=(
            "Size of the tuning subset: the first items by item hash (all of them if there are"
            " fewer)."
        ),
    )


class AdviceParameters(Group):
    """What is told before training of how full the ID space will be.

    Nothing that is fitted depends on it.
    """

    pilot_items: int = Field(
        ge=0,
        description=(
            "Items of the pilot, a rough residual k-means whose codes tell how many items will"
            " share theirs and which codebook sizes would do: the first by item hash (all of them"
            " if there are fewer). Fewer than 48 a code of the largest codebook make it rougher. 0"
            " for no forecast."
        ),
    )


class PreprocessParameters(Group):
    """What happens to vectors before quantising.

    It is fitted with the tokenizer and saved in it.
    """

    normalize: bool = Field(
        description=(
            "Bring every vector to unit length first. Its norm is then not in the codes: decode"
            " returns unit vectors, and zero vectors are bad input."
        )
    )
    center: bool = Field(
        description=(
            "Subtract the mean vector of the items fitted on (of the first 262,144 of them by item"
            " hash)."
        )
    )
    scale: bool = Field(
        description=(
            "Divide by one number, so that the mean squared value of a dimension is 1. Distances"
            " keep their proportions; learning rates mean the same on all data."
        )
    )
    dimensions: CountOrNothing = Field(
        description=(
            "Keep only this many principal axes, those of most variance of the items fitted on (of"
            " the same rows as the mean). decode leads back into the full space, with the mean on"
            " the axes cut off. null keeps all."
        )
    )
    whiten: float = Field(
        ge=0.0,
        le=1.0,
        description=(
            "Even out the principal axes: axis j is divided by (its standard deviation / that of"
            " all axes kept) to this power. 0 leaves them as they are, 1 gives all the same"
            " variance. Undone by decode. An axis of less than a thousandth of the largest standard"
            " deviation is taken to have that much."
        ),
    )


class RQKMeansParameters(Group):
    """Residual k-means, its codebooks annealed and refined together, codes found by beam search."""

    beam_size: int = Field(
        ge=1,
        description=(
            "Width of the beam that looks for the codes of an item. With 1 every code is the"
            " nearest one of its level: prefixes are a little more alike, the error is a little"
            " higher, and encoding is faster."
        ),
    )
    init: Literal["random", "k-means++", "progressive"] = Field(
        description=(
            "What k-means starts from, level by level: random items, items far from each other, or"
            " centroids found in few principal axes and then in more and more of them."
        )
    )
    init_rows: int = Field(
        ge=1,
        description=(
            "Items that the codebooks start from; at least 32 a code are taken where there are so"
            " many."
        ),
    )
    iterations: int = Field(
        ge=1,
        description="Lloyd iterations of the start; with progressive, at each of its ten widths.",
    )
    restarts: int = Field(
        ge=1, description="Starts a level; the one with the lowest error is kept."
    )
    max_points_per_centroid: int = Field(
        ge=1,
        description=(
            "Fit on at most this many items a code of the largest codebook, the first by item hash."
            " They are held in memory."
        ),
    )
    anneal_rounds: int = Field(
        ge=0,
        description=(
            "Rounds in which items draw their codes among those at the end of their beam, at a"
            " falling temperature, and all codebooks are then solved for these codes. More rounds,"
            " lower error; 0 leaves the codebooks as they started."
        ),
    )
    anneal_rows: int = Field(
        ge=1, description="Items of a round of annealing; each round takes others."
    )
    temperature: float = Field(
        ge=0.0,
        description=(
            "Temperature of the first round of annealing, as a share of the mean squared error; it"
            " falls evenly to 0."
        ),
    )
    refine_rounds: int = Field(
        ge=0,
        description=(
            "Rounds of encoding all items fitted on and solving all codebooks for their codes,"
            " after the annealing, at most."
        ),
    )
    refine_gain: float = Field(
        ge=0.0,
        lt=1.0,
        description="Stop refining when a round lowers the error by less than this share of it.",
    )
    unique_rounds: int = Field(
        ge=0,
        description=(
            "Then rounds that solve the codebooks for the unique IDs of the items, at most. Only"
            " with identify.strategy reassign, and where max_points_per_centroid lets the fit see"
            " every item."
        ),
    )
    ridge: float = Field(
        ge=0.0,
        description=(
            "Weight, in items, that pulls codebook vectors towards zero when they are solved for,"
            " so that codes with few items do not follow each of them."
        ),
    )
    balance: Annotated[
        Annotated[float, Field(gt=1.0)] | None, BeforeValidator(_nothing_from_text)
    ] = Field(
        description=(
            "How full a code of any level may be, of the items fitted on, as a multiple of its"
            " level's mean: 2 keeps every first code of 256 under 0.8 % of the catalogue. Prices"
            " that are added to the errors see to it. null for no bound."
        )
    )


class RQVAEParameters(Group):
    """RQ-VAE: encoder, residual quantiser and decoder, trained together.

    Rajput et al., TIGER, arXiv:2305.05065.
    """

    architecture: Literal["residual", "mlp"] = Field(
        description=(
            "residual: x + MLP(x) on both sides, in the space of the embeddings; it starts as"
            " rq_kmeans is, and goes on from there. mlp: an encoder that leads to a latent space"
            " and a decoder that leads back."
        )
    )
    hidden: Sizes = Field(
        description="Widths of the encoder's hidden layers; the decoder mirrors them."
    )
    latent: int = Field(
        ge=1, description="With architecture mlp: width of the latent space that is quantised."
    )
    activation: Literal["silu", "relu"] = Field(description="Activation between the layers.")
    bias: bool = Field(description="Whether linear layers have a bias.")
    layer_norm: bool = Field(description="Whether each hidden layer is normalised.")
    dropout: float = Field(
        ge=0.0,
        lt=1.0,
        description="Share of the hidden units that are left out at random while training.",
    )

    quantizer: Literal["end_to_end", "gradient", "ema", "none"] = Field(
        description=(
            "What codebooks learn from. end_to_end: the reconstruction, through the decoder, and"
            " the codebook loss. gradient: the codebook loss alone, as in VQ-VAE. ema: moving"
            " averages of the vectors that take each code. none: a plain autoencoder to compare"
            " with; codebooks are made for its latent vectors when it is trained."
        )
    )
    joint: bool = Field(
        description=(
            "Whether commitment, codebook loss and averages compare a vector with the sum of all"
            " its codes, as rq_kmeans does, or, level by level, with what the levels before left"
            " over, as TIGER does."
        )
    )
    beam_size: int = Field(
        ge=1,
        description=(
            "Width of the beam that looks for the codes of an item, while training and after; 1"
            " takes the nearest code of each level."
        ),
    )
    init: Literal["rq_kmeans", "kmeans"] = Field(
        description=(
            "What codebooks start from, fitted to latent vectors: all that tokenizer.rq_kmeans"
            " describes, or plain k-means level by level."
        )
    )
    init_rows: int = Field(
        ge=1,
        description=(
            "With init kmeans: items whose residuals the codebooks start from; at least 32 a code"
            " are taken where there are so many."
        ),
    )
    gradient: Literal["straight_through", "rotation", "gumbel"] = Field(
        description=(
            "How the encoder's gradient gets past the choice of a code: as it is, turned as the"
            " code is turned against the vector (rotation trick), or through a soft draw among the"
            " codes (Gumbel-softmax)."
        )
    )
    temperature: float = Field(
        gt=0.0,
        description=(
            "With gradient gumbel: temperature of the draw at the first step, for errors in units"
            " of their level's mean error."
        ),
    )
    final_temperature: float = Field(
        gt=0.0,
        description=(
            "With gradient gumbel: temperature at the last step; it falls by equal factors."
        ),
    )
    sampling: float = Field(
        ge=0.0,
        description=(
            "Temperature at which codes are drawn while training, level by level, instead of taking"
            " the nearest; 0 draws nothing."
        ),
    )
    decay: float = Field(
        gt=0.0,
        lt=1.0,
        description=(
            "Decay of the moving averages of each code's uses, and with quantizer ema of its"
            " vectors, a step."
        ),
    )
    smoothing: float = Field(
        ge=0.0,
        description="With quantizer ema: Laplace smoothing, added to the uses of every code.",
    )
    reset_below: float = Field(
        ge=0.0,
        description=(
            "A code whose moving average of uses a step falls below this share of its fair part"
            " (batch_rows / codebook size) is set onto a badly reconstructed item. 0 never resets."
        ),
    )
    masking: float = Field(
        ge=0.0,
        le=1.0,
        description=(
            "Share of the items of a batch that are decoded from their first few codes only, as"
            " many as are drawn, so that prefixes mean more. 0 masks nothing."
        ),
    )
    sinkhorn: PositiveOrNothing = Field(
        description=(
            "While training, share the codes of the last level out evenly over each batch, by"
            " optimal transport with this much entropy (a share of the range of the errors; 0.003"
            " is usual). null for not."
        )
    )
    sinkhorn_iterations: int = Field(ge=1, description="With sinkhorn: its iterations.")

    reconstruction: Literal["mse", "cosine"] = Field(
        description=(
            "Loss of the reconstruction: squared error summed over dimensions, or 1 − cosine."
        )
    )
    commitment: float = Field(
        ge=0.0,
        description="Weight β of the commitment loss, which keeps the encoder near its codes.",
    )
    codebook_weight: float = Field(
        ge=0.0, description="Weight of the codebook loss, with quantizer end_to_end or gradient."
    )

    epochs: int = Field(ge=1, description="Passes over the items fitted on, at most.")
    batch_rows: int = Field(ge=1, description="Items a step, over all processes.")
    accumulate: int = Field(
        ge=1,
        description=(
            "Parts that a batch is led through the network in, one after the other: less memory,"
            " the same gradient."
        ),
    )
    optimizer: Literal["adamw", "adagrad"] = Field(description="AdamW, or Adagrad as in TIGER.")
    learning_rate: float = Field(gt=0.0, description="Highest learning rate, that of the decoder.")
    encoder_rate: float = Field(
        ge=0.0,
        description=(
            "Learning rate of the encoder, as a multiple of learning_rate. With architecture"
            " residual and 0 there is no encoder: vectors are quantised as they are."
        ),
    )
    codebook_rate: float = Field(
        ge=0.0,
        description=(
            "Learning rate of the codebooks, as a multiple of learning_rate, with quantizer"
            " end_to_end or gradient."
        ),
    )
    weight_decay: float = Field(
        ge=0.0, description="Weight decay of encoder and decoder; codebooks have none."
    )
    schedule: Literal["cosine", "one_cycle", "constant"] = Field(
        description=(
            "Learning rate after the warm-up: down to 0 by a cosine, the same with momentum running"
            " the other way (and a smooth warm-up), or constant."
        )
    )
    warmup_epochs: int = Field(
        ge=0, description="Epochs over which the learning rate rises from 0."
    )
    plain_epochs: int = Field(
        ge=0,
        description=(
            "Epochs at the beginning in which the network learns as a plain autoencoder. Only then"
            " do the codebooks start."
        ),
    )
    unique_epochs: int = Field(
        ge=0,
        description=(
            "Epochs at the end in which every item has the codes of its unique ID, which are made"
            " anew before each; the last of them is kept. Only with identify.strategy reassign, and"
            " where the latent vectors of all items fitted on take at most 512 MB."
        ),
    )
    clip: PositiveOrNothing = Field(
        description="Gradients are clipped to this norm; null leaves them."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description=(
            "What encoder and decoder compute in while training; the quantiser always in float32."
            " auto: bfloat16 on a GPU that has it."
        )
    )
    compile: bool = Field(
        description=(
            "Compile encoder and decoder (torch.compile). It takes a minute and a C++ compiler, and"
            " pays for long trainings on a GPU."
        )
    )

    patience: CountOrNothing = Field(
        description=(
            "Stop after this many epochs without a better one to keep; null never stops: with a"
            " falling learning rate the best epochs come last."
        )
    )
    burn_in: int = Field(
        ge=0,
        description="Epochs at the beginning that are neither kept nor judged to have collapsed.",
    )
    catalogue_every: int = Field(
        ge=1,
        description=(
            "Epochs between two looks at the codes of the catalogue. Only such an epoch, and the"
            " last, may be kept."
        ),
    )
    catalogue_rows: int = Field(
        ge=1,
        description=(
            "Items of the catalogue that are looked at, the first by item hash (all of them if"
            " there are fewer). With few, collisions are hardly seen: at least 50,000."
        ),
    )
    collision_tolerance: float = Field(
        ge=0.0,
        le=1.0,
        description=(
            "The epoch that is kept has the lowest validation loss of the reconstruction among"
            " those whose collision rate is at most this much above the lowest."
        ),
    )
    collapse_below: float = Field(
        ge=0.0,
        lt=1.0,
        description=(
            "A training fails when the catalogue uses a level as if it had less than this share of"
            " its codes (by perplexity). 0 never fails."
        ),
    )


class CheckpointParameters(Group):
    """What an rq_vae keeps of its training, to go on from if it is killed.

    The weights do not depend on it.
    """

    every: int = Field(
        ge=0, description="Epochs between two checkpoints, in 06_models/checkpoints; 0 writes none."
    )
    keep: int = Field(ge=1, description="How many of the last checkpoints of a training are kept.")
    resume: str = Field(
        description=(
            "auto: go on from the latest checkpoint of the same data and parameters, where there is"
            " one. never: begin anew. Or the path of a checkpoint."
        )
    )


class TokenizerParameters(Group):
    """The tokenizer and how it is fitted."""

    kind: Literal["rq_kmeans", "rq_vae"] = Field(
        description=(
            "rq_kmeans: residual k-means, seconds to minutes on a CPU. rq_vae: an autoencoder"
            " around a residual quantiser."
        )
    )
    codebook_sizes: Sizes = Field(
        min_length=1,
        description="Size of each level's codebook, of any size; on the command line 256x256x256.",
    )
    seed: int = Field(ge=0, lt=2**31, description="Seed of everything random in the fit.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        description="Where to compute; auto takes a CUDA device if there is one."
    )
    fit_on: Literal["train", "all"] = Field(
        description=(
            "Fit on every item, or hold the validation items out: what the metrics then say of them"
            " is what new items will see."
        )
    )
    preprocess: PreprocessParameters = Field(
        description="What happens to vectors before quantising."
    )
    rq_kmeans: RQKMeansParameters = Field(
        description="Used when kind is rq_kmeans, and where an rq_vae starts from one."
    )
    rq_vae: RQVAEParameters = Field(description="Used when kind is rq_vae.")
    checkpoints: CheckpointParameters = Field(description="Used when kind is rq_vae.")

    @property
    def options(self) -> dict[str, Any]:
        """The options of this kind of tokenizer, as `tokenizers.fit_tokenizer` takes them."""
        options = getattr(self, self.kind).model_dump()
        return options | (
            {"start": self.rq_kmeans.model_dump()} if self._starts_from_kmeans else {}
        )

    @property
    def _starts_from_kmeans(self) -> bool:
        return self.kind == "rq_vae" and self.rq_vae.init == "rq_kmeans"

    def in_use(self) -> dict[str, Any]:
        """Return the parameters that this tokenizer depends on."""
        used = {self.kind} | ({"rq_kmeans"} if self._starts_from_kmeans else set())
        return self.model_dump(exclude={"checkpoints"} | ({"rq_kmeans", "rq_vae"} - used))


class IdentifyParameters(Group):
    """Codes to unique IDs."""

    strategy: Literal["reassign", "suffix", "none"] = Field(
        description=(
            "reassign: every item its own last-level code, at the least added distortion. suffix:"
            " one more level, 0 where the codes are unique. none: items may share an ID."
        )
    )
    candidates: int = Field(
        ge=1,
        description=(
            "How many other prefixes an item of an overfull prefix is offered at a time, nearest"
            " first."
        ),
    )


class ExportParameters(Group):
    """What other systems read, beside the mapping from item ids to IDs."""

    faiss: bool = Field(description=ExportOptions.__dataclass_fields__["faiss"].metadata["meaning"])


class EvaluateParameters(Group):
    """How good codes and IDs are."""

    queries: int = Field(
        ge=1,
        description=(
            "Items whose nearest neighbours are compared, the first by item hash (all of them if"
            " there are fewer). At least 1,000 for a figure to quote."
        ),
    )
    twin: bool = Field(
        description=(
            "With fit_on all: fit a second tokenizer on the train split alone, to measure what new"
            " items will see. Doubles the training time."
        )
    )
    labels: Annotated[Literal["auto"] | list[str], BeforeValidator(_names_from_text)] = Field(
        description=(
            "Columns of the items file to hold prefixes against. auto: every text or integer column"
            " with 2 to max_label_values distinct values, and at most half as many as items."
        )
    )
    max_label_values: int = Field(
        ge=2, description="With labels auto: a column with more distinct values is not a label."
    )
    min_label_share: float = Field(
        ge=0.0,
        le=1.0,
        description=(
            "Fewer items than this share found in the items file means that it is not the file of"
            " these items: bad input."
        ),
    )


class TrackingParameters(Group):
    """MLflow, by way of kedro-mlflow. Where it writes is in `conf/base/mlflow.yml`."""

    enabled: bool = Field(description="Record runs in MLflow.")
    required: bool = Field(
        description=(
            "Stop at once when the tracking server does not answer, rather than going on untracked"
            " with a warning."
        )
    )
    timeout_seconds: float = Field(
        gt=0.0, description="How long a remote tracking server has to answer at the start of a run."
    )


class LogParameters(Group):
    """Where the log of each run goes."""

    folder: str = Field(
        description=(
            "Folder of the log files, <time>_<dataset>_<kind>.log, one a run; a relative one starts"
            " at the project root."
        )
    )


class Parameters(Group):
    """All parameters of a run, as `conf/base` spells them out."""

    ingest: IngestParameters
    sample: SampleParameters
    advice: AdviceParameters
    tokenizer: TokenizerParameters
    identify: IdentifyParameters
    export: ExportParameters
    evaluate: EvaluateParameters
    tracking: TrackingParameters
    logs: LogParameters


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every leaf of nested mappings."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


RUNTIME_PATHS = {
    "embeddings": "Parquet file, folder, glob or URL of the embeddings, in place of the sample.",
    "items": "Parquet file of texts and labels of the same items.",
    "data_root": "Folder under which everything that is written goes (02 to 08).",
}
"""Keys that `--params` takes beside the groups above; their values in conf are in `globals.yml`."""
