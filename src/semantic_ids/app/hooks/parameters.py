"""Check the tree of parameters, and say what is wrong in the words of the user.

Kedro checks the parameters of the nodes that run, key by key; this check comes before, covers the
whole tree, names the nearest known parameter and the file that a wrong value is written in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from semantic_ids.app.hooks.effects import refuse_without_effect, warn_unused
from semantic_ids.errors import BadInput, nearest
from semantic_ids.parameters import RUNTIME_PATHS, Parameters
from semantic_ids.tokenizers.rq_vae.options import MOVED as FORMER
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

Tree = Mapping[str, Any]

MOVED = {
    f"{RQVAEOptions.group}.{old}": f"{RQVAEOptions.group}.{new}" for old, new in FORMER.items()
}
"""Old dotted name of a parameter → the one that it has now. An old one is refused."""


def check_parameters(tree: Tree, runtime: Tree, folders: Sequence[Path] = ()) -> Parameters:
    """Return the typed parameters.

    Args:
        tree: Parameters as Kedro merged them: base, environment, `--params`.
        runtime: What `--params` (or `runtime_params` in Python) gave.
        folders: Configuration folders, those that win first; only to say where a value comes from.

    Raises:
        BadInput: Unknown, moved or missing parameters, values of a wrong type or out of range, or
            that would have no effect.
    """
    _refuse_unknown(tree, runtime, folders)
    try:
        parameters = Parameters.model_validate(
            {name: value for name, value in tree.items() if name not in RUNTIME_PATHS}
        )
    except ValidationError as error:
        raise _explain(error, tree, runtime, folders) from None
    refuse_without_effect(parameters)
    warn_unused(parameters, runtime)
    return parameters


def known_parameters(group: type[BaseModel] = Parameters, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every parameter, and of the groups they are in."""
    for name, field in group.model_fields.items():
        yield f"{prefix}{name}"
        if _is_group(field.annotation):
            yield from known_parameters(field.annotation, f"{prefix}{name}.")


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _refuse_unknown(tree: Tree, runtime: Tree, folders: Sequence[Path]) -> None:
    misplaced = [name for name in tree if name in RUNTIME_PATHS and name not in runtime]
    if misplaced:
        raise BadInput(
            f"'{misplaced[0]}' is not a parameter",
            where=_origin(misplaced[0], {}, folders),
            do="set it in globals.yml or with --params",
        )
    moved = [name for name in MOVED if not isinstance(_value(tree, name), _NotMoved)]
    unknown = [name for name in _unknown(tree, Parameters) if name not in (*RUNTIME_PATHS, *moved)]
    comma = any(name in runtime for name in RUNTIME_PATHS) and any(
        name in runtime and not _nearest_parameter(name) for name in unknown
    )
    said = [f"parameter '{name}' is now '{MOVED[name]}'" for name in moved]
    said += [f"unknown parameter '{name}'{_nearest_parameter(name)}" for name in unknown]
    if said:
        places = dict.fromkeys(_origin(name, runtime, folders) for name in (*moved, *unknown))
        raise BadInput(
            "; ".join(said),
            where=", ".join(places),
            do=r"write a comma in a path as \," if comma else None,
        )


def _unknown(tree: Tree, group: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        field = group.model_fields.get(name)
        if field is None:
            yield from _leaves(f"{prefix}{name}", value)
        elif _is_group(field.annotation) and isinstance(value, Mapping):
            yield from _unknown(value, field.annotation, f"{prefix}{name}.")


def _leaves(name: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name


def _nearest_parameter(name: str) -> str:
    known = [*known_parameters(), *RUNTIME_PATHS]
    if name in known:
        return f"; write it as a nested mapping, {name.replace('.', ': ')}: …"
    same_end = [
        candidate for candidate in known if candidate.rpartition(".")[2] == name.rpartition(".")[2]
    ]
    if same_end:
        return f"; the nearest is '{get_close_matches(name, same_end, n=1, cutoff=0.0)[0]}'"
    return nearest(name, known)


def _explain(
    error: ValidationError, tree: Tree, runtime: Tree, folders: Sequence[Path]
) -> BadInput:
    """Turn pydantic's report into one `BadInput`; several wrong values are named together."""
    wanted: dict[str, list[str]] = {}
    for fault in error.errors():
        name = _known_part(fault["loc"])
        wanted.setdefault(name, []).append(_expectation(fault["type"], fault["msg"]))
    found = [
        f"parameter '{name}' is {_show(_value(tree, name))}, expected"
        f" {' or '.join(dict.fromkeys(w))}"
        for name, w in wanted.items()
    ]
    places = dict.fromkeys(_origin(name, runtime, folders) for name in wanted)
    return BadInput("; ".join(found), where=", ".join(places))


def _known_part(location: tuple[str | int, ...]) -> str:
    """Return the parameter's dotted name.

    Pydantic appends the place in a list or the branch of a union.
    """
    known = set(known_parameters())
    names = [".".join(str(part) for part in location[:end]) for end in range(1, len(location) + 1)]
    return next((name for name in reversed(names) if name in known), names[-1])


def _expectation(kind: str, message: str) -> str:
    if kind == "missing":
        return "a value in conf/base"
    if kind in ("model_type", "model_attributes_type"):
        return "a group of parameters"
    if kind == "list_type":
        return "a list, such as 16x16x16 or brand+genre"
    if kind == "string_type":
        return "text (in a file or in Python in quotes)"
    return message.removeprefix("Input should be ").partition(", unable to parse")[0]


class _Absent:
    """What stands for a value that is not there."""


_ABSENT = _Absent()
_NotMoved = (_Absent, Mapping)
"""Not there, or a group: a new group may have the name of an old parameter."""


def _value(tree: Tree, name: str) -> object:
    if name in tree:  # a key with dots in it, which is never the parameter that was meant
        return tree[name]
    value: object = tree
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _show(value: object) -> str:
    return "missing" if value is _ABSENT else repr(value)


def _origin(name: str, runtime: Tree, folders: Sequence[Path]) -> str:
    """Say where a parameter was set: `--params`, or a file such as `conf/tiger/parameters.yml`."""
    if _value(runtime, name) is not _ABSENT:
        return "--params"
    for folder in folders:
        for file in sorted(folder.rglob("parameters*")):
            if (
                file.suffix in (".yml", ".yaml", ".json")
                and _value(yaml.safe_load(file.read_text(encoding="utf-8")) or {}, name)
                is not _ABSENT
            ):
                return f"{folder.parent.name}/{file.relative_to(folder.parent).as_posix()}"
    return "parameters"
