"""The documentation's table of parameters, made from the options of the rooms and the values in
`conf/base`.

MkDocs calls `on_page_markdown` for every page (see `hooks` in mkdocs.yml); the table takes the
place of the line `<!-- parameters -->`. To read the table without MkDocs:

    python scripts/parameters_table.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from semantic_ids.options import Options, is_group, members
from semantic_ids.parameters import RUNTIME_PATHS, RunOptions

MARK = "<!-- parameters -->"
ROOT = Path(__file__).parents[1]
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def base_values() -> dict[str, Any]:
    """Return all parameters of `conf/base` as one nested dict."""
    values: dict[str, Any] = {}
    for file in sorted((ROOT / "conf/base").glob("parameters*.yml")):
        values.update(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return values


def rows(
    options: type[Options], values: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted name, value in conf/base, what it takes, description) of every parameter,
    groups opened.
    """
    for known, hint in members(options):
        name = known.name
        if is_group(hint):
            yield from rows(hint, values[name], f"{prefix}{name}.")
        else:
            text = takes(hint, known.metadata["bounds"])
            yield f"{prefix}{name}", written(values[name]), text, known.metadata["meaning"]


def written(value: object) -> str:
    """Write a value as YAML does."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def takes(hint: Any, bounds: Mapping[str, float]) -> str:
    """Say in words what a parameter takes: `a | b`, `number > 0`, `list of integer ≥ 1`."""
    origin = get_origin(hint)
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(hint))
    if origin in (Union, UnionType):
        return " | ".join(takes(part, bounds) for part in get_args(hint))
    if origin is tuple:
        return f"list of {takes(get_args(hint)[0], bounds)}"
    name = {int: "integer", float: "number", str: "text", bool: "true | false", type(None): "null"}
    limits = [] if hint is type(None) else [f"{SIGNS[b]} {at:,}" for b, at in bounds.items()]
    return " ".join([name[hint], *limits])


def escape(cell: str) -> str:
    """Escape what Markdown or HTML would swallow; in code, only the bar of the table."""
    bar = cell.replace("|", "\\|")
    return bar if "`" in cell else bar.replace("<", "&lt;")


def table(header: list[str], lines: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    escaped = [[escape(cell) for cell in line] for line in lines]
    return "\n".join(
        f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *escaped]
    )


def section(group: str, options: type[Options], values: dict[str, Any]) -> str:
    """Return the heading, the purpose and the table of one group of parameters."""
    lines = [
        (f"`{name}`", f"`{value}`", kind, text)
        for name, value, kind, text in rows(options, values, f"{group}.")
    ]
    found = table(["parameter", "value", "takes", "meaning"], lines)
    return f"## {group}\n\n{(options.__doc__ or '').strip()}\n\n{found}"


def markdown() -> str:
    """Return one section a group of parameters, and one of the runtime paths."""
    values = base_values()
    sections = [
        section(known.name, hint, values[known.name]) for known, hint in members(RunOptions)
    ]
    paths = table(["key", "meaning"], [(f"`{name}`", text) for name, text in RUNTIME_PATHS.items()])
    return "\n\n".join(
        [*sections, f"## Paths\n\nTheir values are in `conf/base/globals.yml`.\n\n{paths}"]
    )


def on_page_markdown(text: str, **_: object) -> str:
    """Put the table in its place. MkDocs calls this for each page."""
    return text.replace(MARK, markdown()) if MARK in text else text


if __name__ == "__main__":
    print(markdown())
