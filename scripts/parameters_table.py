"""The documentation's table of parameters, made from `semantic_ids.parameters` and the values in
`conf/base`.

MkDocs calls `on_page_markdown` for every page (see `hooks` in mkdocs.yml); the table takes the
place of the line `<!-- parameters -->`. To read the table without MkDocs:

    python scripts/parameters_table.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from semantic_ids.parameters import RUNTIME_PATHS, Parameters

MARK = "<!-- parameters -->"
ROOT = Path(__file__).parents[1]


def base_values() -> dict[str, Any]:
    """Return all parameters of `conf/base` as one nested dict."""
    values: dict[str, Any] = {}
    for file in sorted((ROOT / "conf/base").glob("parameters*.yml")):
        values.update(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return values


def rows(
    model: type[BaseModel], values: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield (dotted name, value in conf/base, what it takes, description) of every parameter,
    groups opened.
    """
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from rows(field.annotation, values[name], f"{prefix}{name}.")
        else:
            yield (
                f"{prefix}{name}",
                written(values[name]),
                takes(field.annotation, field.metadata),
                field.description or "",
            )


def written(value: object) -> str:
    """Write a value as YAML does."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def takes(annotation: object, constraints: list[Any] | None = None) -> str:
    """Say in words what a parameter takes: `a | b`, `number > 0`, `list of integer ≥ 1`."""
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return takes(inner, more)
    if origin in (Union, UnionType):
        return " | ".join(takes(part) for part in get_args(annotation))
    if origin is list:
        return f"list of {takes(get_args(annotation)[0])}"
    name = {int: "integer", float: "number", str: "text", bool: "true | false", type(None): "null"}[
        annotation
    ]
    return " ".join([name, *bounds(constraints or [])])


def bounds(constraints: list[Any]) -> Iterator[str]:
    """Yield the bounds among a field's constraints: `≥ 1`, `< 1`.

    A `Field` inside an annotation carries them in its metadata.
    """
    for constraint in constraints:
        yield from bounds(getattr(constraint, "metadata", []))
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (bound := getattr(constraint, attribute, None)) is not None:
                yield f"{sign} {bound:,}".removesuffix(".0")


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


def section(group: str, model: type[BaseModel], values: dict[str, Any]) -> str:
    """Return the heading, the purpose and the table of one group of parameters."""
    lines = [
        (f"`{name}`", f"`{value}`", kind, text)
        for name, value, kind, text in rows(model, values, f"{group}.")
    ]
    found = table(["parameter", "value", "takes", "meaning"], lines)
    return f"## {group}\n\n{(model.__doc__ or '').strip()}\n\n{found}"


def markdown() -> str:
    """Return one section a group of parameters, and one of the runtime paths."""
    values = base_values()
    sections = [
        section(group, field.annotation, values[group])
        for group, field in Parameters.model_fields.items()
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
