"""`semantic-ids`, or `python -m semantic_ids`: the commands, each imported when it is asked for.

`run` does what `kedro run` does, also where there is no project, and is what options without a
command go to. The others need neither Kedro nor torch.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from semantic_ids import __version__
from semantic_ids.extras import RUN, MissingExtra, named, require

COMMANDS = {
    "encode": ("semantic_ids.app.serving:encode", "Vectors to codes."),
    "decode": ("semantic_ids.app.serving:decode", "Codes to vectors."),
    "search": (
        "semantic_ids.app.searching:search",
        "The nearest items of queries (needs the extra 'faiss' or 'gpu').",
    ),
    "recommend": (
        "semantic_ids.app.recommending:recommend",
        "Items that may come next, by a trained recommender (needs the extra 'pipeline').",
    ),
    "bundle": ("semantic_ids.app.bundles:bundle", "Published generations: verify, list, diff."),
    "info": ("semantic_ids.app.serving:info", "What a tokenizer is, in JSON."),
    "run": (
        "semantic_ids.cli:run",
        "A pipeline, by default all: parquet in, IDs out (needs the extra 'pipeline').",
    ),
}
"""Command → where it is, and what `--help` says of it, for which it is not imported."""


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in their order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "run":
            _configure()
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.group(
    cls=Commands, name="semantic-ids", context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="semantic-ids")
def commands() -> None:
    """Item embeddings in, semantic IDs out.

    Options without a command, as in `semantic-ids --env=test`, are those of `run`.
    """


def main(arguments: list[str] | None = None, **options: Any) -> Any:
    """Run a command with the arguments of the command line.

    Called from an interactive Python, return what Kedro returns.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version")):
        given = ["run", *given]
    how = {"prog_name": "semantic-ids", "standalone_mode": not hasattr(sys, "ps1"), **options}
    try:
        return commands.main(given, **how)
    except ModuleNotFoundError as error:
        missing = named(error, f"semantic-ids {given[0]}")
        if missing is None:
            raise
        click.echo(f"Error: {missing}", err=True)
        raise SystemExit(1) from error


def _configure() -> None:
    """Make this package the project that Kedro runs.

    Kedro reads how to log when it is imported.
    """
    try:
        require(*RUN, where="semantic-ids run")
    except MissingExtra as error:
        raise click.ClickException(str(error)) from error
    from semantic_ids.app.packaged import packaged_configuration
    from semantic_ids.app.resolvers import project_root

    if carried := packaged_configuration(Path(project_root())):
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(carried / "logging.yml"))
    from kedro.framework.project import configure_project

    configure_project("semantic_ids")


if __name__ == "__main__":
    main()
