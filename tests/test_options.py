"""Options: types, ranges, groups, and what is said of a value that is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import numpy as np
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.options import Options, flat, option, same_as


@dataclass(frozen=True)
class Inner(Options):
    group: ClassVar[str] = "outer.inner"

    rounds: int = option(3, "Rounds.", ge=1)
    shape: Literal["flat", "steep"] = option("flat", "Shape.")


@dataclass(frozen=True)
class Outer(Options):
    group: ClassVar[str] = "outer"

    rate: float = option(0.5, "Rate.", gt=0, le=1)
    widths: tuple[int, ...] = option((4, 2), "Widths.", ge=1)
    bound: float | None = option(None, "Bound.", gt=1)
    on: bool = option(True, "Switch.")
    inner: Inner = option(Inner, "A group.")


def test_defaults_and_groups_of_mappings():
    made = Outer.of({"widths": [8], "inner": {"rounds": np.int64(5)}, "rate": 1, "bound": 2})
    assert made.to_dict() == {
        "rate": 1.0,
        "widths": [8],
        "bound": 2.0,
        "on": True,
        "inner": {"rounds": 5, "shape": "flat"},
    }
    assert Outer.of(made) is made and Outer.of() == Outer()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": 0}, r"outer\.rate: 'rate' is 0\.0; expected a number above 0 and at most 1"),
        ({"rate": float("nan")}, r"outer\.rate: 'rate' is nan"),
        ({"rate": True}, r"'rate' is True"),
        ({"rate": "fast"}, r"'rate' is 'fast'"),
        ({"widths": [4, 0]}, r"outer\.widths: 'widths' is \(4, 0\); expected whole numbers"),
        ({"widths": [4, 2.5]}, r"'widths' is \(4, 2\.5\)"),
        ({"bound": 1.0}, r"'bound' is 1\.0; expected a number or null above 1"),
        ({"on": 1}, r"'on' is 1; expected true or false"),
        ({"inner": {"rounds": 1.5}}, r"outer\.inner\.rounds: 'rounds' is 1\.5"),
        ({"inner": {"shape": "stepe"}}, r"outer\.inner\.shape: 'shape' is 'stepe'; expected one"),
        ({"inner": {"round": 1}}, r"outer\.inner: unknown option 'round'; the nearest is 'rounds'"),
        ({"inner": 3}, r"outer\.inner: 3; expected a group"),
    ],
)
def test_what_is_refused_is_named(values, said):
    with pytest.raises(BadInput, match=said):
        Outer.of(values)


def test_flat_names_every_option_once():
    names = [name for name, _, _ in flat(Outer)]
    assert names == ["rate", "widths", "bound", "on", "inner.rounds", "inner.shape"]


def test_an_option_taken_from_its_home_is_the_same():
    @dataclass(frozen=True)
    class Home(Options):
        size: int = option(3, "How many.", ge=1)

    @dataclass(frozen=True)
    class Guest(Options):
        size: int = same_as(Home, "size")

    assert Guest().size == 3 and fields(Guest)[0].metadata == fields(Home)[0].metadata
    with pytest.raises(BadInput, match="'size' is 0"):
        Guest(size=0)
