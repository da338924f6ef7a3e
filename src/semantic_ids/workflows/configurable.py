"""The parameters of an estimator: keywords of its class, `get_params`, `set_params`.

They follow scikit-learn's conventions (Buitinck et al., "API design for machine learning software",
arXiv:1309.0238) and do not need it. Names and defaults of a kind's options are those of its
dataclass, and stand nowhere else.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from semantic_ids.errors import BadInput, nearest
from semantic_ids.options import Options, flat, words
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.options import PreprocessOptions
from semantic_ids.workflows.fitting import FitOptions

if TYPE_CHECKING:
    from semantic_ids.identifiers import Strategy


class Configurable(ResidualTokenizer):
    """A tokenizer whose options are keywords, to be read, set and cloned.

    Setting one makes a new, unfitted tokenizer of this object.
    """

    def __init_subclass__(cls, **given: Any) -> None:
        """Give the class a signature and a docstring that name every option of the kind."""
        super().__init_subclass__(**given)
        if hasattr(cls, "options_class"):
            kinds = inspect.Parameter
            place = {"codebook_sizes": kinds.POSITIONAL_OR_KEYWORD}
            named = [
                kinds(name, place.get(name, kinds.KEYWORD_ONLY), default=default)
                for name, default in cls._defaults().items()
            ]
            cls.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
            cls.__doc__ = (
                f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{_described(cls.options_class)}"
            )

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
        for name, value in options.items():
            self.options_class.refuse_moved(name, value)
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
        self._wanted = FitOptions(
            codebook_sizes=tuple(codebook_sizes),
            seed=_whole("random_state", random_state),
            device=device,
            strategy=strategy,
            candidates=candidates,
        )
        super().__init__(
            self._wanted.codebook_sizes, self._wanted.seed, device, _plain(preprocess), options
        )

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
        """Whether `fit` was called; scikit-learn asks."""
        return bool(self.dim)

    @property
    def n_features_in_(self) -> int:
        """Number of dimensions of the vectors fitted on, under scikit-learn's name."""
        if not self.dim:
            raise AttributeError(f"{type(self).__name__} is not fitted")
        return self.dim

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is told this is: a transformer without a target."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(),
        )


def _described(kind: type) -> str:
    """Say what each option of a kind takes and means, with the default, for `help`."""
    lines = ["Options:"]
    for name, known, hint in flat(kind) if issubclass(kind, Options) else ():
        text = f"{name} ({words(hint)}, {known.default!r}): {known.metadata['meaning']}"
        lines += textwrap.wrap(text, 100, initial_indent=" " * 4, subsequent_indent=" " * 8)
    return "\n".join(lines) if len(lines) > 1 else ""


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
    """Return a seed; scikit-learn's None and generators would give other codes each time."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < 2**31:
        return int(value)
    raise BadInput(
        f"{value!r}",
        where=name,
        expected="a whole number from 0 to 2**31 - 1",
        do="give one: the same data and number give the same tokenizer",
    )
