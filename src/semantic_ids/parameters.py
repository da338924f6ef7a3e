"""Every parameter: its type, its limits and its one description. Every value is in `conf/base`.

`Parameters` is the whole of `conf/base/parameters*.yml`. The docs' table of parameters is made from this file, the doors check it before
any work begins, and Kedro hands its parts to the nodes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


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


class Group(BaseModel):
    """A group of parameters: no unknown keys, no defaults, not changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IngestParameters(Group):
    """Parquet in, memory map out."""

    id_column: str = Field(description="Column of the item ids: integers or strings, unique, never null.")
    vector_column: str = Field(description="Column of the vectors: list, large list or fixed-size list of floats or integers.")
    dtype: Literal["float32", "float16"] = Field(
        description="Storage type of the vectors. float16 halves the disk and the time to read; a value it cannot hold is bad input."
    )
    on_invalid: Literal["raise", "drop"] = Field(
        description="What to do with an invalid row: stop with its place and reason, or write it to 02_intermediate/rejected.parquet and go on."
    )
    max_items: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_nothing_from_text)] = Field(
        description="Take only this many items, the first by item hash: for a quick try. null takes all."
    )


class SampleParameters(Group):
    """Who is held out, and who is in the tuning subset."""

    validation_share: float = Field(
        ge=0.0,
        lt=1.0,
        description="Share of the items held out for validation, by hash of the stored vector, so that equal vectors are on one side.",
    )
    tuning_items: int = Field(ge=0, description="Size of the tuning subset: the first items by item hash (all of them if there are fewer).")


class AdviceParameters(Group):
    """What is told before training of how full the ID space will be. Nothing that is fitted depends on it."""

    pilot_items: int = Field(
        ge=0,
        description="Items of the pilot, a rough residual k-means whose codes tell how many items will share theirs and which codebook sizes would do: the first by item hash (all of them if there are fewer). Fewer than 48 a code of the largest codebook make it rougher. 0 for no forecast.",
    )


class PreprocessParameters(Group):
    """What happens to vectors before quantising. It is fitted with the tokenizer and saved in it."""

    normalize: bool = Field(
        description="Bring every vector to unit length first. Its norm is then not in the codes: decode returns unit vectors, and zero vectors are bad input."
    )
    center: bool = Field(description="Subtract the mean vector of the items fitted on (of the first 262,144 of them by item hash).")
    scale: bool = Field(
        description="Divide by one number, so that the mean squared value of a dimension is 1. Distances keep their proportions; learning rates mean the same on all data."
    )
    dimensions: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_nothing_from_text)] = Field(
        description="Keep only this many principal axes, those of most variance of the items fitted on (of the same rows as the mean). decode leads back into the full space, with the mean on the axes cut off. null keeps all."
    )
    whiten: float = Field(
        ge=0.0,
        le=1.0,
        description="Even out the principal axes: axis j is divided by (its standard deviation / that of all axes kept) to this power. 0 leaves them as they are, 1 gives all the same variance. Undone by decode. An axis of less than a thousandth of the largest standard deviation is taken to have that much.",
    )


class RQKMeansParameters(Group):
    """Residual k-means, its codebooks annealed and refined together, with codes found by beam search."""

    beam_size: int = Field(
        ge=1,
        description="Width of the beam that looks for the codes of an item. With 1 every code is the nearest one of its level: prefixes are a little more alike, the error is a little higher, and encoding is faster.",
    )
    init: Literal["random", "k-means++", "progressive"] = Field(
        description="What k-means starts from, level by level: random items, items far from each other, or centroids found in few principal axes and then in more and more of them."
    )
    init_rows: int = Field(ge=1, description="Items that the codebooks start from; at least 32 a code are taken where there are so many.")
    iterations: int = Field(ge=1, description="Lloyd iterations of the start; with progressive, at each of its ten widths.")
    restarts: int = Field(ge=1, description="Starts a level; the one with the lowest error is kept.")
    max_points_per_centroid: int = Field(
        ge=1, description="Fit on at most this many items a code of the largest codebook, the first by item hash. They are held in memory."
    )
    anneal_rounds: int = Field(
        ge=0,
        description="Rounds in which items draw their codes among those at the end of their beam, at a falling temperature, and all codebooks are then solved for these codes. More rounds, lower error; 0 leaves the codebooks as they started.",
    )
    anneal_rows: int = Field(ge=1, description="Items of a round of annealing; each round takes others.")
    temperature: float = Field(
        ge=0.0, description="Temperature of the first round of annealing, as a share of the mean squared error; it falls evenly to 0."
    )
    refine_rounds: int = Field(
        ge=0, description="Rounds of encoding all items fitted on and solving all codebooks for their codes, after the annealing, at most."
    )
    refine_gain: float = Field(ge=0.0, lt=1.0, description="Stop refining when a round lowers the error by less than this share of it.")
    unique_rounds: int = Field(
        ge=0,
        description="Then rounds that solve the codebooks for the unique IDs of the items, at most. Only with identify.strategy reassign, and where max_points_per_centroid lets the fit see every item.",
    )
    ridge: float = Field(
        ge=0.0,
        description="Weight, in items, that pulls codebook vectors towards zero when they are solved for, so that codes with few items do not follow each of them.",
    )
    balance: Annotated[Annotated[float, Field(gt=1.0)] | None, BeforeValidator(_nothing_from_text)] = Field(
        description="How full a code of any level may be, of the items fitted on, as a multiple of its level's mean: 2 keeps every first code of 256 under 0.8 % of the catalogue. Prices that are added to the errors see to it. null for no bound."
    )


class RQVAEParameters(Group):
    """RQ-VAE: MLP encoder, residual quantiser with EMA codebooks, MLP decoder (Rajput et al., TIGER, arXiv:2305.05065)."""

    hidden: Sizes = Field(description="Widths of the encoder's hidden layers; the decoder mirrors them.")
    latent: int = Field(ge=1, description="Width of the latent space that is quantised.")
    activation: Literal["silu", "relu"] = Field(description="Activation between the layers.")
    epochs: int = Field(ge=1, description="Passes over the items fitted on, at most.")
    batch_rows: int = Field(ge=1, description="Items a step.")
    learning_rate: float = Field(
        gt=0.0, description="Highest learning rate of AdamW, reached after the warm-up and then lowered by a cosine."
    )
    weight_decay: float = Field(ge=0.0, description="Weight decay of AdamW.")
    warmup_epochs: int = Field(
        ge=0,
        description="Epochs over which the learning rate rises from 0 while the network learns as a plain autoencoder. Only then do the codebooks start.",
    )
    clip: float = Field(gt=0.0, description="Gradients are clipped to this norm.")
    commitment: float = Field(ge=0.0, description="Weight β of the commitment loss, which keeps the encoder near its codes.")
    decay: float = Field(gt=0.0, lt=1.0, description="Decay of the codebooks' exponential moving averages, a step.")
    init_rows: int = Field(
        ge=1,
        description="Items whose residuals the codebooks start from, by k-means; at least 32 a code are taken where there are so many.",
    )
    reset_below: float = Field(
        ge=0.0,
        description="A code whose moving average of uses a step falls below this share of its fair part (batch_rows / codebook size) is set onto a badly reconstructed item. 0 never resets.",
    )
    patience: int = Field(ge=1, description="Stop after this many epochs without a lower validation loss, and keep the best.")


class TokenizerParameters(Group):
    """The tokenizer and how it is fitted."""

    kind: Literal["rq_kmeans", "rq_vae"] = Field(
        description="rq_kmeans: residual k-means, seconds to minutes on a CPU. rq_vae: an autoencoder around a residual quantiser."
    )
    codebook_sizes: Sizes = Field(min_length=1, description="Size of each level's codebook, of any size; on the command line 256x256x256.")
    seed: int = Field(ge=0, lt=2**31, description="Seed of everything random in the fit.")
    device: Literal["auto", "cpu", "cuda"] = Field(description="Where to compute; auto takes a CUDA device if there is one.")
    fit_on: Literal["train", "all"] = Field(
        description="Fit on every item, or hold the validation items out: what the metrics then say of them is what new items will see."
    )
    preprocess: PreprocessParameters = Field(description="What happens to vectors before quantising.")
    rq_kmeans: RQKMeansParameters = Field(description="Used when kind is rq_kmeans.")
    rq_vae: RQVAEParameters = Field(description="Used when kind is rq_vae.")

    def in_use(self) -> dict[str, Any]:
        """Return the parameters that this kind of tokenizer takes."""
        return self.model_dump(exclude={"rq_kmeans", "rq_vae"} - {self.kind})


class IdentifyParameters(Group):
    """Codes to unique IDs."""

    strategy: Literal["reassign", "suffix", "none"] = Field(
        description="reassign: every item its own last-level code, at the least added distortion. suffix: one more level, 0 where the codes are unique. none: items may share an ID."
    )
    candidates: int = Field(ge=1, description="How many other prefixes an item of an overfull prefix is offered at a time, nearest first.")


class EvaluateParameters(Group):
    """How good codes and IDs are."""

    queries: int = Field(
        ge=1,
        description="Items whose nearest neighbours are compared, the first by item hash (all of them if there are fewer). At least 1,000 for a figure to quote.",
    )
    twin: bool = Field(
        description="With fit_on all: fit a second tokenizer on the train split alone, to measure what new items will see. Doubles the training time."
    )
    labels: Annotated[Literal["auto"] | list[str], BeforeValidator(_names_from_text)] = Field(
        description="Columns of the items file to hold prefixes against. auto: every text or integer column with 2 to max_label_values distinct values, and at most half as many as items."
    )
    max_label_values: int = Field(ge=2, description="With labels auto: a column with more distinct values is not a label.")
    min_label_share: float = Field(
        ge=0.0,
        le=1.0,
        description="Fewer items than this share found in the items file means that it is not the file of these items: bad input.",
    )


class TrackingParameters(Group):
    """MLflow, by way of kedro-mlflow. Where it writes is in `conf/base/mlflow.yml`."""

    enabled: bool = Field(description="Record runs in MLflow.")
    required: bool = Field(
        description="Stop at once when the tracking server does not answer, rather than going on untracked with a warning."
    )
    timeout_seconds: float = Field(gt=0.0, description="How long a remote tracking server has to answer at the start of a run.")


class LogParameters(Group):
    """Where the log of each run goes."""

    folder: str = Field(
        description="Folder of the log files, <time>_<dataset>_<kind>.log, one a run; a relative one starts at the project root."
    )


class Parameters(Group):
    """All parameters of a run, as `conf/base` spells them out."""

    ingest: IngestParameters
    sample: SampleParameters
    advice: AdviceParameters
    tokenizer: TokenizerParameters
    identify: IdentifyParameters
    evaluate: EvaluateParameters
    tracking: TrackingParameters
    logs: LogParameters


RUNTIME_PATHS = {
    "embeddings": "Parquet file, folder, glob or URL of the embeddings, in place of the sample.",
    "items": "Parquet file of texts and labels of the same items.",
    "data_root": "Folder under which everything that is written goes (02 to 08).",
}
"""Keys that `--params` takes beside the groups above; their values in conf are in `globals.yml`."""
