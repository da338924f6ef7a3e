"""The one home of an option: a field of a frozen dataclass.

Type, default, range and one sentence stand there, and nowhere else.

    @dataclass(frozen=True)
    class ScheduleOptions(Options):
        group: ClassVar[str] = "tokenizer.rq_vae.schedule"

        epochs: int = option(40, "Passes over the items fitted on, at most.", ge=1)
        shape: Literal["cosine", "constant"] = option("cosine", "Learning rate after the warm-up.")

Values are checked on construction, so Python users are told what users of a configuration are told.
Parameter models, the docs' tables and the check of `conf/base` are derived from the same fields.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from semantic_ids.errors import BadInput, nearest

BOUNDS = {
    "ge": ("at least", lambda value, bound: value >= bound),
    "gt": ("above", lambda value, bound: value > bound),
    "le": ("at most", lambda value, bound: value <= bound),
    "lt": ("below", lambda value, bound: value < bound),
}
"""Name of a bound, as pydantic calls it → how it reads, and whether a value is within it."""


def option(
    default: Any, meaning: str, *, elsewhere: str = "", min_length: int = 0, **bounds: float
) -> Any:
    """Declare an option as the field of a dataclass.

    Args:
        default: Its default; for a group its class, whose defaults then hold.
        meaning: One sentence (or a few) that says what it does.
        elsewhere: Of a group that a configuration keeps in another place: its dotted name there.
        min_length: How many a tuple must hold.
        **bounds: `ge`, `gt`, `le`, `lt`: the range of the number, or of each number of a tuple.
    """
    unknown = set(bounds) - set(BOUNDS)
    if unknown:
        raise TypeError(f"unknown bounds: {', '.join(sorted(unknown))}")
    metadata = {
        "meaning": meaning,
        "bounds": bounds,
        "elsewhere": elsewhere,
        "min_length": min_length,
    }
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def same_as(home: type[Options], name: str) -> Any:
    """Declare an option whose default, range and meaning stand in another group: its home."""
    known = next(known for known in fields(home) if known.name == name)
    return field(default=known.default, metadata=known.metadata)


@dataclass(frozen=True)
class Options:
    """A group of options, checked when it is made.

    Attributes:
        group: Dotted name of the group in the configuration: what errors name.
        moved: Former name of an option → the one that it has now. A former one is refused.

    Raises:
        BadInput: A value of another type or out of its range, or a combination that has no meaning.
    """

    group: ClassVar[str] = ""
    moved: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        hints = types_of(type(self))
        for known in fields(self):
            value = _read(getattr(self, known.name), hints[known.name])
            object.__setattr__(self, known.name, value)
            _check(self.group, known, hints[known.name], value)
        self.check()

    def check(self) -> None:
        """Raise `BadInput` for values that do not go together."""

    @classmethod
    def of(cls, values: Any = None) -> Self:
        """Make the group of a mapping, which may hold mappings for its groups.

        Raises:
            BadInput: An option that is not known, or a value that is refused.
        """
        if isinstance(values, cls):
            return values
        known = [found.name for found in fields(cls)]
        if values is not None and not isinstance(values, Mapping):
            raise BadInput(f"{values!r}", where=cls.group or cls.__name__, expected="a group")
        for name, value in (values or {}).items():
            cls.refuse_moved(name, value)
            if name not in known:
                raise BadInput(
                    f"unknown option '{name}'{nearest(name, known)}",
                    where=cls.group or cls.__name__,
                    expected=f"one of {', '.join(known)}",
                )
        return cls(**dict(values or {}))  # type: ignore[arg-type]

    @classmethod
    def refuse_moved(cls, name: str, value: Any) -> None:
        """Raise `BadInput` for the former name of an option, naming the one that it has now.

        A group may have the former name of an option: only what is no group is refused then.
        """
        if name in cls.moved and not isinstance(value, (Mapping, Options)):
            raise BadInput(
                f"option '{name}' is now '{cls.moved[name]}'", where=cls.group or cls.__name__
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON-like data, groups within groups."""
        found = {known.name: getattr(self, known.name) for known in fields(self)}
        return {
            name: value.to_dict()
            if isinstance(value, Options)
            else (list(value) if isinstance(value, tuple) else value)
            for name, value in found.items()
        }


def types_of(kind: type) -> dict[str, Any]:
    """Return the type of each option of a group."""
    return get_type_hints(kind)


def members(kind: type[Options]) -> Iterator[tuple[Field[Any], Any]]:
    """Yield field and type of the options and groups that a configuration has in this group."""
    hints = types_of(kind)
    for known in fields(kind):
        if not known.metadata.get("elsewhere"):
            yield known, hints[known.name]


def flat(kind: type[Options], prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """Yield dotted name, field and type of every option of a group and of the groups in it."""
    for known, hint in members(kind):
        if is_group(hint):
            yield from flat(hint, f"{prefix}{known.name}.")
        else:
            yield f"{prefix}{known.name}", known, hint


def is_group(hint: Any) -> bool:
    """Whether a type is a group of options."""
    return isinstance(hint, type) and is_dataclass(hint) and issubclass(hint, Options)


def from_text(text: str, hint: Any) -> Any:
    """Read a value that was typed, as on a command line: the type of the option decides.

    Text stays what was typed, also `0`, `no`, `null` and `1e5`. What cannot be read stays text, for
    the check of the option to refuse.

    Args:
        text: `true`, `1e5`, `null`, `16x16x16`, `[16,16,16]`, `16,16,16`, `brand+genre`.
        hint: Type of the option.
    """
    takes, word = _parts(hint), text.strip()
    if str in takes or word in [v for p in takes if get_origin(p) is Literal for v in get_args(p)]:
        return text if str in takes else word
    if type(None) in takes and word.lower() in NOTHING:
        return None
    for part in takes:
        try:
            if get_origin(part) is tuple:
                return _list(word, get_args(part)[0])
            if part in READERS:
                return READERS[part](word)
        except (ValueError, OverflowError):
            continue
    return text


NOTHING = ("null", "none", "~", "")
"""How nothing is typed for an option that may be null."""

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _boolean(word: str) -> bool:
    if word.lower() not in _BOOLEANS:
        raise ValueError(word)
    return _BOOLEANS[word.lower()]


def _whole(word: str) -> int:
    """Read `100000` and `1e5`."""
    try:
        return int(word)
    except ValueError:
        number = float(word)
        if not number.is_integer():
            raise
        return int(number)


def _list(word: str, kind: Any) -> list[Any]:
    """Read `[]`, `[16,16]`, `16,16`, `16x16` and `16X16`; of names `[a,b]`, `a,b` and `a+b`."""
    bracketed = word.startswith("[") and word.endswith("]")
    inside = word[1:-1] if bracketed else word
    if bracketed and not inside.strip():
        return []
    if kind is int:
        return [_whole(part) for part in re.split(r"[xX×,]", inside)]
    sign = "," if bracketed or "," in inside else "+"
    return [_unquoted(part.strip()) for part in inside.split(sign)]


def _unquoted(name: str) -> str:
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "'\""
    return name[1:-1] if quoted else name


READERS: dict[Any, Callable[[str], Any]] = {bool: _boolean, int: _whole, float: float}


def words(hint: Any) -> str:
    """Say what a type takes: `a whole number`, `one of a, b`, `a number or null`."""
    origin = get_origin(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else words(part) for part in get_args(hint))
    if origin is tuple:
        return (
            "whole numbers"
            if get_args(hint)[0] is int
            else f"several of {words(get_args(hint)[0])}"
        )
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return simple.get(hint, getattr(hint, "__name__", str(hint)))


def _read(value: Any, hint: Any) -> Any:
    """Take a list for a tuple, a mapping for a group, an int for a float, numpy's for Python's."""
    if is_group(hint):
        return hint.of(value)
    if hasattr(value, "item") and not getattr(value, "ndim", 0):
        value = value.item()
    takes = _parts(hint)
    if any(get_origin(part) is tuple for part in takes) and isinstance(value, (list, tuple)):
        return tuple(item.item() if hasattr(item, "item") else item for item in value)
    if (
        float in takes
        and int not in takes
        and isinstance(value, int)
        and not isinstance(value, bool)
    ):
        return float(value)
    return value


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _check(group: str, known: Field[Any], hint: Any, value: Any) -> None:
    bounds = known.metadata.get("bounds", {})
    if is_group(hint) or (
        any(_is(value, part) for part in _parts(hint))
        and _within(value, bounds)
        and not (isinstance(value, tuple) and len(value) < known.metadata.get("min_length", 0))
    ):
        return
    limits = " and ".join(f"{BOUNDS[name][0]} {bound:g}" for name, bound in bounds.items())
    raise BadInput(
        f"'{known.name}' is {value!r}",
        where=f"{group}.{known.name}" if group else known.name,
        expected=" ".join(part for part in (words(hint), limits) if part),
    )


def _is(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; true and false are no numbers, and a number is finite."""
    origin = get_origin(hint)
    if origin is Literal:
        return any(value == known and type(value) is type(known) for known in get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and all(_is(item, get_args(hint)[0]) for item in value)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, float) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is Any or (isinstance(hint, type) and isinstance(value, hint))


def _within(value: Any, bounds: Mapping[str, float]) -> bool:
    numbers = value if isinstance(value, tuple) else () if value is None else (value,)
    return all(
        BOUNDS[name][1](number, bound) for name, bound in bounds.items() for number in numbers
    )
