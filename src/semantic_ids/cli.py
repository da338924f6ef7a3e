"""Where Kedro looks for this project's commands.

Where Kedro is installed and the rest of the extra `pipeline` is not, they say so.
"""

from __future__ import annotations

from typing import NoReturn

import click

from semantic_ids.extras import named

try:
    from semantic_ids.app.command_line import cli, run
except ModuleNotFoundError as error:
    _missing = named(error, "kedro run")
    if _missing is None:
        raise
    _line = str(_missing)

    @click.group(name="semantic_ids")
    def cli() -> None:
        """Commands of this project that replace Kedro's own."""

    @cli.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def run(words: tuple[str, ...]) -> NoReturn:
        """Run a pipeline: with the extra 'pipeline', which is not installed."""
        raise click.ClickException(_line)


__all__ = ["cli", "run"]
