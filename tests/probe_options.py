"""What every option must refuse: wrong types, values just beyond each bound, unknown choices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from semantic_ids.options import Options, flat


def wrong_values(kind: type[Options]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name of each option of a group, with each value that it must refuse."""
    for name, known, hint in flat(kind):
        parts = set(get_args(hint)) if type(None) in get_args(hint) else {hint}
        yield from ((name, value) for value in _of_wrong_type(hint, parts))
        if parts & {int, float} or get_origin(hint) is tuple:
            wrap = (lambda value: [value]) if get_origin(hint) is tuple else (lambda value: value)
            whole = int in parts or int in get_args(hint)
            for bound, limit in known.metadata["bounds"].items():
                yield name, wrap(_just_beyond(bound, limit, whole=whole))


def _of_wrong_type(hint: Any, parts: set[Any]) -> Iterator[Any]:
    yield object()
    if hint is Any:
        return
    if get_origin(hint) is Literal:
        yield from (f"{get_args(hint)[0]}x", "", True)
        return
    if str not in parts and not any(get_origin(part) is Literal for part in parts):
        yield "text"
    if type(None) not in parts:
        yield None
    if parts & {int, float}:
        yield from (True, math.nan, math.inf)
    if parts & {int}:
        yield 1.5
    if parts & {bool}:
        yield from (1, "true")


def _just_beyond(bound: str, limit: float, *, whole: bool) -> float:
    step = 1 if whole else 1e-9
    beyond = {"ge": limit - step, "gt": limit, "le": limit + step, "lt": limit}[bound]
    return int(beyond) if whole else float(beyond)
