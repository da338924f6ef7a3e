"""Options of an rq_vae in a row, by names that are short: tests change one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from semantic_ids.tokenizers.rq_vae.options import MOVED


def grouped(options: Mapping[str, Any]) -> dict[str, Any]:
    """Put each option into its group: `epochs` into `schedule`, `unique_epochs` into `unique`.

    Groups that are given as such stay as they are.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            found[name] = {**found.get(name, {}), **value}
        else:
            group, _, own = MOVED[name].partition(".")
            found[group] = {**found.get(group, {}), own: value}
    return found


def within(groups: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return groups of options with some of them changed."""
    changed = grouped(options)
    return {name: {**groups.get(name, {}), **changed.get(name, {})} for name in groups | changed}
