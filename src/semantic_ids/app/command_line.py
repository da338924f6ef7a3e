"""`kedro run` of this project.

Kedro's own, with the same options, that ends in one line where the user can mend what is wrong.

Exit codes: 0 done, 1 bad input or a defect (a defect shows its traceback), 2 malformed command
line, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import click
import yaml
from kedro.framework.cli.jupyter import jupyter as kedro_jupyter
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError
from kedro.framework.project import LOGGING

from semantic_ids.app.explain import explain
from semantic_ids.app.hooks.configuration import refuse_parallel
from semantic_ids.app.packaged import packaged_configuration
from semantic_ids.app.resolvers import project_root
from semantic_ids.app.runtime_params import ParamsOption, joined
from semantic_ids.errors import BadInput
from semantic_ids.extras import MissingExtra, require
from semantic_ids.masking import mask


class RunCommand(click.Command):
    """A command whose options are Kedro's.

    Whatever goes wrong while they are read is a usage error, exit code 2.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options."""
        try:
            return super().parse_args(ctx, joined(args))
        except KedroCliError as error:  # shown by Kedro as the traceback that there is not
            raise click.UsageError(mask(error.message), ctx) from error
        except click.ClickException as error:
            error.message = mask(error.message)
            raise
        except click.exceptions.Exit:
            raise
        except Exception as error:
            raise click.UsageError(
                mask(f"the options cannot be read: {' '.join(str(error).split())}"), ctx
            ) from error


@click.group(name="semantic_ids")
def cli() -> None:
    """Commands of this project that replace Kedro's own."""


def _options() -> list[click.Parameter]:
    """Return Kedro's options, with `--params` read our way."""
    return [
        ParamsOption(known) if isinstance(known, click.Option) and known.name == "params" else known
        for known in kedro_run.params
    ]


@cli.command(cls=RunCommand, params=_options())
def run(**options: Any) -> dict[str, Any]:
    """Run a pipeline, by default the whole of it: parquet in, semantic IDs out."""
    root = Path(project_root())
    options["conf_source"] = options["conf_source"] or _packaged(root)
    _configure_logging(root)
    try:
        _require_runner(options["runner"])
        refuse_parallel(
            str(options["runner"]),
            options["is_async"] or bool(options["runner_params"].get("is_async")),
        )
        return kedro_run.callback(**_in_new_spelling(options))
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise SystemExit(130) from None
    except Exception as error:
        if isinstance(error, KedroCliError):
            raise click.ClickException(mask(error.message)) from error
        if isinstance(error, click.ClickException):
            error.message = mask(error.message)
            raise
        if message := explain(error):
            raise click.ClickException(mask(message)) from error
        _show_masked(error)
        raise


def _require_runner(name: str | None) -> None:
    """Raise `BadInput` where there is no runner of this name; None is Kedro's default."""
    from kedro.utils import load_obj

    try:
        load_obj(name or "SequentialRunner", "kedro.runner")
    except (AttributeError, ImportError, ValueError) as error:
        raise BadInput(
            f"there is no runner '{name}'", expected="SequentialRunner", do="leave --runner out"
        ) from error


def _show_masked(error: Exception) -> None:
    """End with the traceback of a defect, where Python would show a secret in it."""
    trace = "".join(traceback.format_exception(error))
    if (safe := mask(trace)) != trace:
        click.echo(safe, err=True, nl=False)
        raise SystemExit(1) from error


JUPYTER = {"setup": ("ipykernel",), "notebook": ("notebook",), "lab": ("jupyterlab",)}
"""Command of `kedro jupyter` → the modules that it needs."""


@click.pass_context
def _require_jupyter(context: click.Context) -> None:
    """Open Jupyter with the variables of the project loaded."""
    command = context.invoked_subcommand or ""
    try:
        require(*JUPYTER.get(command, ()), where=f"kedro jupyter {command}")
    except MissingExtra as error:
        raise click.ClickException(str(error)) from error


cli.add_command(
    click.Group(
        "jupyter",
        commands=dict(kedro_jupyter.commands),
        callback=_require_jupyter,
        help=kedro_jupyter.help,
    )
)


def _in_new_spelling(options: dict[str, Any]) -> dict[str, Any]:
    """Turn `--pipeline X` into `--pipelines X`, of which Kedro would warn that it is the older
    spelling.
    """
    if options["pipeline"] and not options["pipelines"]:
        return options | {"pipeline": None, "pipelines": [options["pipeline"]]}
    return options


def _packaged(root: Path) -> str | None:
    """Return the configuration of the wheel where this folder has none; None for Kedro's choice."""
    carried = packaged_configuration(root)
    return str(carried) if carried else None


def _configure_logging(root: Path) -> None:
    """Read `conf/logging.yml` from anywhere below the project.

    Kedro finds it from the project's own folder only.
    """
    file = root / "conf" / "logging.yml"
    if (
        "KEDRO_LOGGING_CONFIG" not in os.environ
        and file.is_file()
        and file.parent.parent != Path.cwd()
    ):
        LOGGING.configure(yaml.safe_load(file.read_text(encoding="utf-8")))
