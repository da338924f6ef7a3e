"""What is measured: a system is fitted on vectors, and gives codes and something that decodes them.

Ours are here, the others in `peers`.

Importing this module imports no heavy library: a system names its own in `modules`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from semantic_ids.contract import Tokenizer

CONF = Path(__file__).parents[1] / "conf"

WATCHED_ROWS = 8192

Encode = Callable[[np.ndarray], np.ndarray]


class Unsupported(Exception):
    """A system cannot do what is asked, such as codebooks of that size."""


@dataclass(frozen=True)
class Fitted:
    """A system after its fit.

    Attributes:
        encode: (m, D) → (m, L) integers: the system's own codes.
        make_tokenizer: Returns what decodes and de-duplicates these codes; importing torch may be
            part of it.
        decode: (m, L) → (m, D), the system's own, where it has one: for the tests.
        epochs: Passes over the items that the fit took, for those that learn by gradients.
    """

    encode: Encode
    make_tokenizer: Callable[[], Tokenizer]
    decode: Encode | None = None
    epochs: int | None = None


class System(ABC):
    """One way to make codes.

    Attributes:
        name: What `--systems` calls it.
        title: What the report calls it.
        package: The distribution it comes from.
        modules: What it imports, which is done before the clock starts.
        ours: Whether it is this project's.
        step: Whether it is only a step on the way to one of ours, measured when it is asked for.
        network: Whether it trains an autoencoder: an RQ-VAE.
        streams: Whether it reads a memory map in chunks; others are given an array in memory, read
        before the clock starts. settings: What was set, shown in the report.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    package: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    ours: ClassVar[bool] = False
    step: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    network: ClassVar[bool] = False

    def __init__(self, *, quick: bool = False) -> None:
        self.settings: dict[str, Any] = self.choose(quick)

    @abstractmethod
    def choose(self, quick: bool) -> dict[str, Any]:
        """Return the settings; a quick run may take fewer rounds."""

    @abstractmethod
    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Fit on vectors (n, D) float32.

        Raises:
            Unsupported: It cannot, for a reason that is told.
        """

    @property
    def missing(self) -> str:
        """Why it cannot be measured here, or nothing."""
        absent = [module for module in self.modules if find_spec(module.split(".")[0]) is None]
        return f"`{self.package}` is not installed" if absent else ""

    @property
    def version(self) -> str:
        """Version of the package, empty where it is not installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return ""

    def load(self) -> None:
        """Import what the fit needs."""
        for module in self.modules:
            import_module(module)


def given(codebooks: Sequence[np.ndarray], encode: Encode, decode: Encode | None = None) -> Fitted:
    """Return a system whose codes stand for sums of codebook vectors: L arrays (K_l, D)."""

    def make_tokenizer() -> Tokenizer:
        from benchmarks.adapters import Given

        return Given(codebooks)

    return Fitted(encode, make_tokenizer, decode)


Level = Callable[[np.ndarray, int, int], tuple[np.ndarray, Encode]]
"""One level: residuals (n, D), number of codes, seed → centroids (K, D), and residuals (m, D) →
nearest codes (m,)."""


def layer_by_layer(
    vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int, level: Level
) -> Fitted:
    """Fit each level on what the levels before it left over, and encode greedily."""
    rest, levels = vectors, []
    for number, size in enumerate(codebook_sizes):
        centroids, nearest = level(rest, size, seed + number)
        levels.append((centroids, nearest))
        if number + 1 < len(codebook_sizes):
            rest = rest - centroids[nearest(rest)]
    return given([centroids for centroids, _ in levels], partial(_encode_greedily, levels))


def _encode_greedily(
    levels: Sequence[tuple[np.ndarray, Encode]], vectors: np.ndarray
) -> np.ndarray:
    rest, codes = vectors, []
    for number, (centroids, nearest) in enumerate(levels):
        codes.append(nearest(rest))
        if number + 1 < len(levels):
            rest = rest - centroids[codes[-1]]
    return np.stack(codes, axis=1).astype(np.int32)


def base_values(group: str) -> dict[str, Any]:
    """Return a group of the project's own parameters, as `conf/base` has them."""
    import yaml

    return yaml.safe_load((CONF / "base" / f"parameters_{group}.yml").read_text(encoding="utf-8"))[
        group
    ]


def dotted(groups: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of every option of nested groups."""
    for name, value in groups.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class Ours(System):
    """A kind of this project's, with the values of `conf/base`, on the CPU."""

    kind: ClassVar[str]
    package = "semantic-ids"
    ours = True
    streams = True

    def choose(self, quick: bool) -> dict[str, Any]:
        """The options of the kind."""
        values = base_values("tokenizer")
        return {
            **{f"preprocess.{name}": value for name, value in values["preprocess"].items()},
            **dict(dotted(values[self.kind])),
        }

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Fit as the stage `train` does for `reassign`.

        An rq_vae watches a few of the rows that it is fitted on, and no others.
        """
        from semantic_ids.workflows.fitting import FitOptions, fit

        preprocess = {
            name.removeprefix("preprocess."): value
            for name, value in self.settings.items()
            if name.startswith("preprocess.")
        }
        options: dict[str, Any] = {}
        for name, value in self.settings.items():
            if not name.startswith("preprocess."):
                group, _, own = name.rpartition(".")
                (options.setdefault(group, {}) if group else options)[own] = value
        options |= {"start": base_values("tokenizer")["rq_kmeans"]} if self.kind == "rq_vae" else {}
        wanted = FitOptions(
            kind=self.kind,
            codebook_sizes=tuple(codebook_sizes),
            seed=seed,
            device="cpu",
            preprocess=preprocess,
            options=options,
            candidates=base_values("identify")["candidates"],
        )
        watched = np.arange(min(len(vectors), WATCHED_ROWS))
        tokenizer: Any = fit(vectors, wanted, monitor_rows=watched)
        return Fitted(
            tokenizer.encode, lambda: tokenizer, tokenizer.decode, tokenizer.report.get("epochs")
        )


class RQKMeans(Ours):
    """Residual k-means, its codebooks annealed, codes by beam search."""

    name = kind = "rq_kmeans"
    title = "**Semantic IDs, rq_kmeans**"
    modules = (
        "torch",
        "scipy.optimize",
        "semantic_ids.tokenizers.rq_kmeans",
        "semantic_ids.identifiers",
    )


class RQKMeansGreedy(RQKMeans):
    """The same with every code the nearest of its level."""

    name = "rq_kmeans_greedy"
    title = "**Semantic IDs, rq_kmeans, beam 1**"

    def choose(self, quick: bool) -> dict[str, Any]:
        """The options of the kind, without a beam."""
        return {**super().choose(quick), "beam_size": 1}


class PlainKMeans(RQKMeans):
    """Without annealing and refinement: residual k-means level by level."""

    name = "plain_kmeans"
    title = "k-means level by level, beam 1"
    step = True
    without: ClassVar[dict[str, Any]] = {
        "init": "random",
        "iterations": 25,
        "anneal_rounds": 0,
        "refine_rounds": 0,
        "unique_rounds": 0,
        "beam_size": 1,
    }

    def choose(self, quick: bool) -> dict[str, Any]:
        """The options of the kind, but for what is left out."""
        return {**super().choose(quick), **self.without}


class FaissEngine(PlainKMeans):
    """All steps, with codebooks that start in FAISS."""

    name = "rq_kmeans_faiss"
    title = "**Semantic IDs, rq_kmeans**, engine faiss"
    modules = (*RQKMeans.modules, "faiss")
    without: ClassVar[dict[str, Any]] = {"engine": "faiss"}


class PlainFaiss(PlainKMeans):
    """The environment `faiss`: what most tools make of FAISS."""

    name = "plain_faiss"
    title = "`--env=faiss`: faiss.Kmeans level by level, beam 1"
    modules = FaissEngine.modules
    without: ClassVar[dict[str, Any]] = {
        **PlainKMeans.without,
        "engine": "faiss",
        "init_rows": 65536,
    }


class ProgressiveStart(PlainKMeans):
    """k-means that starts progressively."""

    name = "progressive_start"
    title = "progressive start"
    without: ClassVar[dict[str, Any]] = {
        "anneal_rounds": 0,
        "refine_rounds": 0,
        "unique_rounds": 0,
        "beam_size": 1,
    }


class WithBeam(PlainKMeans):
    """The same, encoded with a beam."""

    name = "with_beam"
    title = "+ beam"
    without: ClassVar[dict[str, Any]] = {"anneal_rounds": 0, "refine_rounds": 0, "unique_rounds": 0}


class WithRefinement(PlainKMeans):
    """The same, and all codebooks refined together."""

    name = "with_refinement"
    title = "+ joint refinement, 20 rounds"
    without: ClassVar[dict[str, Any]] = {
        "anneal_rounds": 0,
        "refine_rounds": 20,
        "refine_gain": 0.0,
        "unique_rounds": 0,
    }


class WithAnnealing(PlainKMeans):
    """The same, annealed before."""

    name = "with_annealing"
    title = "+ annealing"
    without: ClassVar[dict[str, Any]] = {"unique_rounds": 0}


class RQVAE(Ours):
    """An autoencoder around a residual quantiser, which starts as rq_kmeans is."""

    kind = "rq_vae"
    name = environment = "rq_vae"
    title = "**Semantic IDs, rq_vae**"
    modules = ("torch", "semantic_ids.tokenizers.rq_vae.model")
    network = True
    environment: ClassVar[str]

    def choose(self, quick: bool) -> dict[str, Any]:
        """The options of the environment."""
        import yaml

        file = CONF / self.environment / "parameters_tokenizer.yml"
        own = yaml.safe_load(file.read_text(encoding="utf-8"))["tokenizer"].get("rq_vae", {})
        quickly = (
            {
                "schedule.epochs": 6,
                "schedule.warmup_epochs": 1,
                "schedule.plain_epochs": 0,
                "selection.burn_in": 0,
                "selection.collapse_below": 0.0,
            }
            if quick
            else {}
        )
        return {**super().choose(quick), **dict(dotted(own)), **quickly}


class RQVAELarge(RQVAE):
    """The same with a larger network and more epochs."""

    name, environment = "rq_vae_large", "ablations/large"
    title = "**Semantic IDs, rq_vae, large**"


class RQVAEMlp(RQVAE):
    """An encoder that leads to a latent space."""

    name = environment = "rq_vae_mlp"
    title = "**Semantic IDs, rq_vae, mlp**"


class Tiger(RQVAE):
    """The set-up of TIGER."""

    name = environment = "tiger"
    title = "**Semantic IDs, rq_vae as in TIGER**"


STEPS: tuple[type[System], ...] = (
    PlainKMeans,
    PlainFaiss,
    FaissEngine,
    ProgressiveStart,
    WithBeam,
    WithRefinement,
    WithAnnealing,
)


def systems() -> dict[str, type[System]]:
    """Return all systems by name, ours first."""
    from benchmarks.peers import PEERS

    everyone: tuple[type[System], ...] = (
        RQKMeans,
        RQKMeansGreedy,
        RQVAE,
        RQVAELarge,
        RQVAEMlp,
        Tiger,
        *STEPS,
        *PEERS,
    )
    return {system.name: system for system in everyone}
