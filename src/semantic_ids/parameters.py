"""The parameters of a run, as pydantic models that Kedro checks and hands to the nodes.

Derived from the options of the rooms (`options.Options`), which are their one home: type, range and
meaning stand there, with the defaults of Python. Every value of a run is in `conf/base`, so the
models have no defaults. The docs' table of parameters is made from the same options.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticCustomError

from semantic_ids.export.options import ExportOptions
from semantic_ids.forecast.options import AdviceOptions
from semantic_ids.identifiers.options import IdentifyOptions
from semantic_ids.ingestion.history_options import HistoryOptions
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.metrics.options import EvaluateOptions
from semantic_ids.options import Options, from_text, is_group, members, option
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.recommenders.compare_options import CompareOptions
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.tokenizers.options import PreprocessOptions, RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from semantic_ids.workflows.options import SampleOptions, TokenizerOptions


@dataclass(frozen=True)
class TrackingOptions(Options):
    """MLflow, by way of kedro-mlflow. Where it writes is in `conf/base/mlflow.yml`."""

    group: ClassVar[str] = "tracking"

    enabled: bool = option(True, "Record runs in MLflow.")
    required: bool = option(
        False,
        "Stop at once when the tracking server does not answer, rather than going on untracked with"
        " a warning.",
    )
    timeout_seconds: float = option(
        5.0, "How long a remote tracking server has to answer at the start of a run.", gt=0
    )


@dataclass(frozen=True)
class LogOptions(Options):
    """Where the log of each run goes."""

    group: ClassVar[str] = "logs"

    folder: str = option(
        "logs",
        "Folder of the log files, <time>_<dataset>_<kind>.log, one a run; a relative one starts at"
        " the project root.",
    )


@dataclass(frozen=True)
class RunOptions(Options):
    """All parameters of a run."""

    ingest: IngestOptions = option(IngestOptions, "Parquet in.")
    sample: SampleOptions = option(SampleOptions, "Who is held out.")
    advice: AdviceOptions = option(AdviceOptions, "What is told before training.")
    tokenizer: TokenizerOptions = option(TokenizerOptions, "The tokenizer.")
    identify: IdentifyOptions = option(IdentifyOptions, "Codes to IDs.")
    export: ExportOptions = option(ExportOptions, "What other systems read.")
    evaluate: EvaluateOptions = option(EvaluateOptions, "What is measured.")
    publish: PublishOptions = option(PublishOptions, "Generations of the IDs.")
    recommender: RecommenderOptions = option(RecommenderOptions, "What the IDs are judged by.")
    judge: JudgeOptions = option(JudgeOptions, "How it is judged.")
    compare: CompareOptions = option(CompareOptions, "Several sets of IDs.")
    history: HistoryOptions = option(HistoryOptions, "User histories, for `recommend`.")
    tracking: TrackingOptions = option(TrackingOptions, "MLflow.")
    logs: LogOptions = option(LogOptions, "Log files.")


# ---- spellings of the command line ---------------------------------------------------------------


def _typed(hint: Any) -> BeforeValidator:
    """Read what was typed for an option of this type; other values are left alone."""
    return BeforeValidator(
        lambda value: from_text(value, hint) if isinstance(value, str) else _alone(value, hint)
    )


def _alone(value: Any, hint: Any) -> Any:
    """Take a single size for a list of one."""
    single = isinstance(value, int) and not isinstance(value, bool)
    return [value] if single and get_origin(hint) is tuple else value


def _no_number_from_bool(value: Any) -> Any:
    """Refuse true and false where pydantic would read 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("no_number", "Input should be a number")
    return value


# ---- models --------------------------------------------------------------------------------------


class Group(BaseModel):
    """A group of parameters: no unknown keys, no defaults, not changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TokenizerGroup(Group):
    """What a run does with the parameters of its tokenizer."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of this kind of tokenizer, as `tokenizers.fit_tokenizer` takes them."""
        options = getattr(self, self._read("kind")).model_dump()
        return options | (
            {"start": self._read("rq_kmeans").model_dump()} if self._starts_from_kmeans else {}
        )

    @property
    def _starts_from_kmeans(self) -> bool:
        return self._read("kind") == "rq_vae" and self._read("rq_vae").codebook.init == "rq_kmeans"

    def _read(self, name: str) -> Any:
        """Return a field; type checkers cannot see those of a derived model."""
        return getattr(self, name)

    def in_use(self) -> dict[str, Any]:
        """Return the parameters that this tokenizer depends on."""
        used = {self._read("kind")} | ({"rq_kmeans"} if self._starts_from_kmeans else set())
        return self.model_dump(exclude={"checkpoints"} | ({"rq_kmeans", "rq_vae"} - used))


BASES: dict[type[Options], type[Group]] = {TokenizerOptions: TokenizerGroup}
"""Options whose model has methods of its own."""


@cache
def model_of(options: type[Options]) -> type[Group]:
    """Derive the model of a group of options: the same names, types, ranges and texts."""
    found: dict[str, Any] = {}
    for known, hint in members(options):
        annotation = model_of(hint) if is_group(hint) else _spelled(hint, known.metadata["bounds"])
        least = known.metadata["min_length"]
        limits = {"min_length": least} if least else {}
        found[known.name] = (annotation, Field(description=known.metadata["meaning"], **limits))
    return create_model(
        options.__name__.replace("Run", "").replace("Options", "") + "Parameters",
        __base__=BASES.get(options, Group),
        __doc__=options.__doc__,
        __module__=__name__,
        **found,
    )


def _spelled(hint: Any, bounds: Mapping[str, float]) -> Any:
    """Return the type that pydantic checks, with the spellings that the command line has for it."""
    parts = get_args(hint) if get_origin(hint) not in (Literal, tuple) else ()
    if type(None) in parts:
        (inner,) = (part for part in parts if part is not type(None))
        return Annotated[_bounded(inner, bounds) | None, _typed(hint)]
    if any(get_origin(part) is tuple for part in parts):
        listed = [_list_of(p, bounds) if get_origin(p) is tuple else p for p in parts]
        return Annotated[Union[tuple(listed)], _typed(hint)]  # noqa: UP007
    if get_origin(hint) is tuple:
        return Annotated[_list_of(hint, bounds), _typed(hint)]
    kind = _bounded(hint, bounds)
    return Annotated[kind, _typed(hint)] if hint in (bool, int, float) else kind


def _list_of(hint: Any, bounds: Mapping[str, float]) -> Any:
    return list[_bounded(get_args(hint)[0], bounds)]  # type: ignore[misc]


def _bounded(kind: Any, bounds: Mapping[str, float]) -> Any:
    read = [BeforeValidator(_no_number_from_bool)] if kind in (int, float) else []
    limits = [Field(**dict[str, Any](bounds))] if bounds else []
    return Annotated[kind, *read, *limits] if read or limits else kind  # type: ignore[return-value]


IngestParameters = model_of(IngestOptions)
SampleParameters = model_of(SampleOptions)
AdviceParameters = model_of(AdviceOptions)
PreprocessParameters = model_of(PreprocessOptions)
RQKMeansParameters = model_of(RQKMeansOptions)
RQVAEParameters = model_of(RQVAEOptions)
TokenizerParameters = model_of(TokenizerOptions)
IdentifyParameters = model_of(IdentifyOptions)
ExportParameters = model_of(ExportOptions)
EvaluateParameters = model_of(EvaluateOptions)
PublishParameters = model_of(PublishOptions)
HistoryParameters = model_of(HistoryOptions)
RecommenderParameters = model_of(RecommenderOptions)
JudgeParameters = model_of(JudgeOptions)
CompareParameters = model_of(CompareOptions)
Parameters = model_of(RunOptions)


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
    "histories": "Parquet file, folder, glob or URL of user histories, for `recommend`.",
    "data_root": "Folder under which everything that is written goes (02 to 08).",
}
"""Keys that `--params` takes beside the groups above; their values in conf are in `globals.yml`."""
