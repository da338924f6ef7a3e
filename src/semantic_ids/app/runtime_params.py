"""`--params=NAME=VALUE,NAME=VALUE`: a value is what was typed.

Kedro reads values as YAML, for which ` #` begins a comment and `0`, `no` and `null` are no text.
Here the type of the option decides, and paths are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import click

from semantic_ids.options import flat, from_text
from semantic_ids.parameters import RUNTIME_PATHS, RunOptions

AGAIN = "\0"
"""What stands between the values of `--params` where it is given more than once."""

_NEXT = re.compile(rf"(?<!\\),+(?=\s*(?:[\w.-]*\s*=|$|{AGAIN}))|{AGAIN}")
"""A comma that another name and `=`, or nothing, follow; other commas belong to the value."""


class ParamsOption(click.Option):
    """Kedro's `--params`, read as above; a mapping, as `--config` has it, is taken as it is."""

    def __init__(self, kedros: click.Option) -> None:
        super().__init__(
            [*kedros.opts],
            type=click.UNPROCESSED,
            default="",
            help=kedros.help,
            callback=lambda context, _, value: (
                value if isinstance(value, dict) else read_params(value, context)
            ),
        )


def joined(arguments: list[str]) -> list[str]:
    """Return the arguments with all `--params` in the place of the first, so that none is lost."""
    rest: list[str] = []
    values: list[str] = []
    left = iter(arguments)
    for argument in left:
        name, equals, value = argument.partition("=")
        if argument == "--":
            return [*rest, *_as_one(values), argument, *left]
        if name != "--params":
            rest.append(argument)
        elif equals:
            values.append(value)
        else:
            following = next(left, None)
            if following is None:
                rest.append(argument)
            else:
                values.append(following)
    return [*rest, *_as_one(values)]


def _as_one(values: list[str]) -> list[str]:
    return [f"--params={AGAIN.join(values)}"] if values else []


def read_params(text: str, context: click.Context | None = None) -> dict[str, Any]:
    """Return the nested mapping that the value of `--params` means.

    Raises:
        click.UsageError: A name without a value, a value without a name, or `${`.
    """
    tree: dict[str, Any] = {}
    for name, value in _pairs(text, context):
        *groups, last = name.split(".")
        target = tree
        for group in groups:
            if not isinstance(target.get(group), dict):
                target[group] = {}
            target = target[group]
        target[last] = from_text(value, types()[name]) if name in types() else value
    return tree


@cache
def types() -> dict[str, Any]:
    """Return the type of each parameter that can be given, by its dotted name."""
    return {name: hint for name, _, hint in flat(RunOptions)} | dict.fromkeys(RUNTIME_PATHS, str)


def _pairs(text: str, context: click.Context | None) -> Iterator[tuple[str, str]]:
    for part in _NEXT.split(text):
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.replace(r"\,", ",")
        ends = [end.strip() for end in value.split(",")[1:]]
        forgotten = next((end for end in ends if end in types()), None)
        if not part.strip():
            continue
        if not equals or not name or forgotten:
            raise click.UsageError(
                f"'{forgotten or part.strip()}' in --params: expected NAME=VALUE, such as"
                " tokenizer.seed=7",
                context,
            )
        if "${" in value:
            raise click.UsageError(
                f"'{value}' in --params: '${{' is not filled in here; write the value itself",
                context,
            )
        yield name, value
