"""Tokenizers as estimators: keyword options, `fit`, `transform`, parameters to get and to set.

They follow scikit-learn's conventions (Buitinck et al., "API design for machine learning software",
arXiv:1309.0238) and do not need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.codes import check_sizes
from semantic_ids.errors import BadInput, nearest
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.tokenizers import rq_kmeans, rq_vae
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.format import read_config
from semantic_ids.tokenizers.preprocessing import PreprocessOptions
from semantic_ids.tokenizers.registry import tokenizer_class
from semantic_ids.workflows.fitting import FitOptions, hashes_of, held_out
from semantic_ids.workflows.inputs import as_codes, as_vectors, hash_order, in_order, items_of

SHARED: dict[str, Any] = {
    "codebook_sizes": (256, 256, 256),
    "random_state": 42,
    "device": "auto",
    "preprocess": None,
    "strategy": "reassign",
    "candidates": 8,
}
"""Parameters of every kind with their defaults; those of a kind come from its options."""


class Estimator(ResidualTokenizer):
    """What the two kinds have in common as estimators.

    Every parameter is an attribute of `get_params()`; setting one makes a new, unfitted estimator
    of this object.
    """

    own: ClassVar[dict[str, Any]] = {}
    """Parameters that only this kind has and that are no option of the tokenizer."""

    def __init_subclass__(cls, **given: Any) -> None:
        """Give the class a signature that names every option of the kind."""
        super().__init_subclass__(**given)
        if hasattr(cls, "options_class"):
            kinds = inspect.Parameter
            named = [
                kinds(
                    name,
                    kinds.POSITIONAL_OR_KEYWORD if name == "codebook_sizes" else kinds.KEYWORD_ONLY,
                    default=default,
                )
                for name, default in cls._defaults().items()
            ]
            cls.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]

    def __init__(self, codebook_sizes: Sequence[int] = (256, 256, 256), **given: Any) -> None:
        known = self._defaults()
        for name in given:
            if name not in known:
                raise BadInput(
                    f"unknown option '{name}'{nearest(name, known)}",
                    where=type(self).__name__,
                    expected=f"one of {', '.join(known)}",
                )
        self._given = {"codebook_sizes": codebook_sizes, **given}
        values = known | self._given
        super().__init__(
            codebook_sizes,
            _whole("random_state", values["random_state"]),
            values["device"],
            _plain(values["preprocess"]),
            {name: given[name] for name in given if name not in SHARED and name not in self.own},
        )
        self._ids_wanted = FitOptions(strategy=values["strategy"], candidates=values["candidates"])

    # ---- parameters ------------------------------------------------------------------------------

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return every parameter with its default."""
        options = cls.options_class()
        return {
            **SHARED,
            **cls.own,
            **{known.name: getattr(options, known.name) for known in fields(cls.options_class)},
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all parameters by name; with `deep` those in groups too, as `group__name`."""
        found = {name: self._given.get(name, value) for name, value in self._defaults().items()}
        if deep:
            for group, options in self._groups().items():
                found |= {f"{group}__{name}": value for name, value in _plain(options).items()}
        return found

    def _groups(self) -> dict[str, Any]:
        """Return the parameters that are groups of others."""
        own = {known.name: getattr(self.options, known.name) for known in fields(self.options)}
        return {
            "preprocess": self.preprocess_options,
            **{name: value for name, value in own.items() if is_dataclass(value)},
        }

    def set_params(self, **changes: Any) -> Self:
        """Set parameters by name, those in groups as `group__name`, and return itself.

        The estimator is to be fitted again after that.

        Raises:
            BadInput: A parameter is not known, or has a value that is refused.
        """
        given = dict(self._given)
        for name, value in changes.items():
            group, _, inner = name.partition("__")
            given[group] = {**_plain(given.get(group)), inner: value} if inner else value
        if changes:
            self.__init__(**given)  # type: ignore[misc]
        return self

    def __repr__(self) -> str:
        """Write the parameters that differ from their defaults."""
        usual = self._defaults() | {"preprocess": _plain(PreprocessOptions())}
        said = [f"{k}={v!r}" for k, v in self._given.items() if not _same(v, usual[k])]
        return f"{type(self).__name__}({', '.join(said)})"

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether `fit` was called."""
        return bool(self.dim)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, which asks, what this is: a transformer without a target."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(),
        )

    # ---- what it does ----------------------------------------------------------------------------

    def fit(  # type: ignore[override]
        self,
        x: Any,
        y: Any = None,
        *,
        item_ids: Any = None,
        checkpoints: Checkpoints | None = None,
    ) -> Self:
        """Fit on vectors, with the refinement for unique IDs that the pipeline has.

        Args:
            x: n vectors: an array or memory map (n, D), a torch tensor, a column of lists, or the
                path of a parquet file with the columns `ItemID` and `embedding`.
            y: Ignored; scikit-learn passes it.
            item_ids: n ids. With them the items are taken in the order of their hash, as the
                pipeline takes them, and the result is that of the pipeline, whatever the order of
                `x`; without them in the order of `x`.
            checkpoints: Where rq_vae keeps its state while it trains.

        Raises:
            BadInput: Vectors or ids that cannot be taken, fewer items than codes, and what
                `tokenizers.fit_tokenizer` refuses.
        """
        vectors, ids = items_of(x, item_ids)
        wanted = self._ids_wanted.assign is not None
        check_sizes(len(vectors), self.codebook_sizes, unique=wanted)
        vectors = in_order(vectors, None if ids is None else hash_order(ids, len(vectors)))
        super().fit(
            vectors,
            monitor_rows=self._watched(vectors),
            assign=self._ids_wanted.assign,
            checkpoints=checkpoints,
        )
        self.provenance = Provenance("tokenizer", content=self.content)
        return self

    def encode(self, x: Any) -> np.ndarray:
        """Return the codes of vectors: (m, D) → (m, L) int32, one vector (D,) → (L,)."""
        vectors = as_vectors(x)
        if vectors.ndim == 1:
            return super().encode(vectors[None])[0]
        return super().encode(vectors)

    def decode(self, codes: Any) -> np.ndarray:
        """Return the vectors that codes or their prefixes stand for.

        (m, p) → (m, D) float32, one (p,) → (D,), with p ≤ L.
        """
        codes = as_codes(codes)
        if codes.ndim == 1:
            return super().decode(codes[None])[0]
        return super().decode(codes)

    def transform(self, x: Any) -> np.ndarray:
        """Do what `encode` does, under scikit-learn's name."""
        return self.encode(x)

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """Do what `decode` does, under scikit-learn's name."""
        return self.decode(codes)

    def fit_transform(self, x: Any, y: Any = None, **given: Any) -> np.ndarray:
        """Fit, and return the codes of the same vectors."""
        return self.fit(x, y, **given).encode(x)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of `transform`: `code_1` for the first level."""
        levels = range(1, len(self.codebook_sizes) + 1)
        return np.array([f"code_{level}" for level in levels], dtype=object)

    def _watched(self, vectors: np.ndarray) -> np.ndarray | None:
        """Return the rows that a training in epochs watches."""
        return None

    @classmethod
    def _from_config(cls, config: dict[str, Any], device: str) -> Self:
        return cls(
            tuple(config["codebook_sizes"]),
            random_state=config["seed"],
            device=device,
            preprocess=config["preprocess"],
            **config["options"],
        )


class RQKMeans(Estimator, rq_kmeans.RQKMeans):
    """Residual k-means."""


class RQVAE(Estimator, rq_vae.RQVAE):
    """An autoencoder around a residual quantiser."""

    own: ClassVar[dict[str, Any]] = {"validation_share": 0.1}

    def _watched(self, vectors: np.ndarray) -> np.ndarray | None:
        share = (self._defaults() | self._given)["validation_share"]
        return np.flatnonzero(held_out(hashes_of(vectors), share))


CLASSES: dict[str, type[Estimator]] = {cls.kind: cls for cls in (RQKMeans, RQVAE)}


def load_tokenizer(directory: str | Path, device: str = "cpu") -> Estimator:
    """Load a tokenizer from the folder it was saved in, by `save` or by a pipeline.

    Args:
        directory: The folder.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.

    Raises:
        BadInput: The folder or one of its files is missing, cannot be read, or is of a newer
            format.
    """
    config = read_config(directory)
    kind = tokenizer_class(config.get("kind", "")).kind
    return CLASSES[kind].load(directory, config, device)


def _plain(group: Any) -> dict[str, Any]:
    """Return a group of options, which may be a mapping, as a dict."""
    if group is None:
        return {}
    if isinstance(group, Mapping):
        return dict(group)
    return {known.name: getattr(group, known.name) for known in fields(group)}


def _same(value: Any, usual: Any) -> bool:
    """Whether a parameter has its default, given as a list or a tuple, a group or a mapping."""
    if value is None or isinstance(value, (str, bool)):
        return value == usual
    if isinstance(value, Mapping) or is_dataclass(value):
        return usual is not None and _plain(value) == _plain(usual)
    return np.array_equal(value, usual)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise BadInput(
        f"'{name}' is {value!r}",
        where=name,
        expected="a whole number: the same data and number give the same tokenizer",
    )
