"""Tokenizers as estimators: keyword options, `fit`, `transform`, parameters to get and to set.

They follow scikit-learn's conventions (Buitinck et al., "API design for machine learning software",
arXiv:1309.0238) and do not need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

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

if TYPE_CHECKING:
    from semantic_ids.identifiers import Strategy


class Estimator(ResidualTokenizer):
    """What the two kinds have in common as estimators.

    Every parameter is an attribute of `get_params()`; setting one makes a new, unfitted estimator
    of this object.
    """

    def __init_subclass__(cls, **given: Any) -> None:
        """Give the class a signature that names every option of the kind."""
        super().__init_subclass__(**given)
        if hasattr(cls, "options_class"):
            kinds = inspect.Parameter
            place = {"codebook_sizes": kinds.POSITIONAL_OR_KEYWORD}
            named = [
                kinds(name, place.get(name, kinds.KEYWORD_ONLY), default=default)
                for name, default in cls._defaults().items()
            ]
            cls.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]

    def __init__(
        self,
        codebook_sizes: Sequence[int] = (256, 256, 256),
        *,
        random_state: int = 42,
        device: str = "auto",
        preprocess: Any = None,
        strategy: Strategy = "reassign",
        candidates: int = 8,
        **options: Any,
    ) -> None:
        known = self._defaults()
        for name in options:
            if name not in known:
                raise BadInput(
                    f"unknown option '{name}'{nearest(name, known)}",
                    where=type(self).__name__,
                    expected=f"one of {', '.join(known)}",
                )
        self._given = {
            "codebook_sizes": codebook_sizes,
            "random_state": random_state,
            "device": device,
            "preprocess": preprocess,
            "strategy": strategy,
            "candidates": candidates,
            **options,
        }
        seed = _whole("random_state", random_state)
        super().__init__(codebook_sizes, seed, device, _plain(preprocess), options)
        self._ids_wanted = FitOptions(strategy=strategy, candidates=candidates)

    # ---- parameters ------------------------------------------------------------------------------

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return every parameter with its default: those of `__init__`, then those of the kind."""
        named = inspect.signature(cls.__init__).parameters.values()
        options = cls.options_class()
        return {
            **{
                given.name: given.default
                for given in named
                if given.name not in ("self", "options")
            },
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
        usual = self._defaults() | {"preprocess": PreprocessOptions()}
        groups = self._groups()
        said = [
            f"{name}={value!r}"
            for name, value in self._given.items()
            if not _same(groups.get(name, value), usual[name])
        ]
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
            x: n vectors: an array or memory map (n, D), a torch tensor, a column of lists, what
                `read_items` returns, or the path of a parquet file with the columns `ItemID` and
                `embedding`.
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
    """Residual k-means: level l clusters what levels 1 … l−1 left over; then all are refined.

    Args:
        codebook_sizes: Size of each level's codebook.
        random_state: Seed of everything random, a whole number.
        device: `auto`, `cpu` or `cuda`.
        preprocess: What happens to vectors first: a mapping of `normalize`, `center`, `scale`,
            `dimensions` and `whiten`.
        strategy: How IDs will be made unique. With `reassign` the codebooks are refined for it, as
            in the pipeline; with `suffix` or `none` they are not.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.
        **options: Every option of the group `tokenizer.rq_kmeans`, by its name there.

    Raises:
        BadInput: An option is not known, or its value is refused.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import RQKMeans
        >>> x = np.random.default_rng(0).normal(size=(1000, 8)).astype("float32")
        >>> tokenizer = RQKMeans(codebook_sizes=(8, 8, 32), random_state=42, device="cpu").fit(x)
        >>> codes = tokenizer.encode(x)
        >>> codes.shape, codes.dtype
        ((1000, 3), dtype('int32'))
        >>> tokenizer.encode(x[0]).tolist() == codes[0].tolist()  # one vector, one row of codes
        True
        >>> tokenizer.decode(codes[:, :2]).shape  # what the first two codes say
        (1000, 8)
        >>> tokenizer.get_params()["beam_size"]
        5
        >>> RQKMeans(codebook_size=(8, 8))
        Traceback (most recent call last):
        ...
        semantic_ids.errors.BadInput: RQKMeans: unknown option 'codebook_size'; the nearest is \
'codebook_sizes'; expected one of codebook_sizes, random_state, ...
    """


class RQVAE(Estimator, rq_vae.RQVAE):
    """An autoencoder around a residual quantiser (Rajput et al., arXiv:2305.05065).

    Args:
        codebook_sizes: Size of each level's codebook.
        random_state: Seed of everything random, a whole number.
        device: `auto`, `cpu` or `cuda`.
        preprocess: What happens to vectors first: a mapping of `normalize`, `center`, `scale`,
            `dimensions` and `whiten`.
        strategy: How IDs will be made unique. With `reassign` the training ends with epochs for it,
            as in the pipeline; with `suffix` or `none` it does not.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.
        validation_share: Share of the items that are watched while all are fitted on, chosen by
            the hashes of their vectors as the pipeline `sample` chooses them.
        **options: Every option of the group `tokenizer.rq_vae`, by its name there; groups in it are
            mappings.

    Raises:
        BadInput: An option is not known, or its value is refused.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import RQVAE
        >>> x = np.random.default_rng(0).normal(size=(500, 8)).astype("float32")
        >>> tokenizer = RQVAE(codebook_sizes=(4, 8, 32), device="cpu").fit(x)
        >>> tokenizer.transform(x).shape
        (500, 3)
    """

    def __init__(
        self,
        codebook_sizes: Sequence[int] = (256, 256, 256),
        *,
        random_state: int = 42,
        device: str = "auto",
        preprocess: Any = None,
        strategy: Strategy = "reassign",
        candidates: int = 8,
        validation_share: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(
            codebook_sizes,
            random_state=random_state,
            device=device,
            preprocess=preprocess,
            strategy=strategy,
            candidates=candidates,
            **options,
        )
        if not 0 <= validation_share < 1:
            raise BadInput(
                f"{validation_share!r}",
                where="validation_share",
                expected="at least 0 and below 1",
            )
        self._given["validation_share"] = validation_share

    def _watched(self, vectors: np.ndarray) -> np.ndarray | None:
        return np.flatnonzero(held_out(hashes_of(vectors), self._given["validation_share"]))


CLASSES: dict[str, type[Estimator]] = {cls.kind: cls for cls in (RQKMeans, RQVAE)}


def load_tokenizer(directory: str | Path, device: str = "cpu") -> Estimator:
    """Load a tokenizer from the folder it was saved in, by `save` or by a pipeline.

    Args:
        directory: The folder.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.

    Raises:
        BadInput: The folder or one of its files is missing, cannot be read, or is of a newer
            format.

    Examples:
        >>> import numpy as np, tempfile
        >>> from semantic_ids import RQKMeans, load_tokenizer
        >>> x = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")
        >>> folder = f"{tempfile.mkdtemp()}/my_tokenizer"
        >>> RQKMeans(codebook_sizes=(4, 8, 16), device="cpu").fit(x).save(folder)
        >>> load_tokenizer(folder)
        RQKMeans(codebook_sizes=(4, 8, 16), device='cpu')
        >>> load_tokenizer(folder).encode(x[:5]).shape
        (5, 3)
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
    """Whether a parameter has its default, be it given as a list, a tuple or an array."""
    if is_dataclass(value) or isinstance(value, Mapping):
        return usual is not None and _plain(value) == _plain(usual)
    return np.array_equal(np.asarray(value, dtype=object), np.asarray(usual, dtype=object))


def _whole(name: str, value: Any) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise BadInput(
        f"'{name}' is {value!r}",
        where=name,
        expected="a whole number: the same data and number give the same tokenizer",
    )
