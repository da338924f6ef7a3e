"""`semantic-ids bundle verify|list|diff`: published generations on the command line.

Exit codes: 0 all is well, 1 something is wrong, 2 malformed command line.
"""

from __future__ import annotations

from pathlib import Path

import click

from semantic_ids.app.serving import ending
from semantic_ids.errors import BadInput
from semantic_ids.extras import naming
from semantic_ids.publishing.locations import LATEST, generation
from semantic_ids.publishing.manifest import Manifest, read_manifest

_folder = click.argument("folder", metavar="DIR")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def bundle() -> None:
    """Look at published generations.

    DIR is a folder of bundles, whose newest generation is meant, or that of a generation.
    """


@bundle.command()
@_folder
@click.option("--all", "every", is_flag=True, help="Every generation of a folder of bundles.")
def verify(folder: str, every: bool) -> None:
    """Compare a generation with its manifest: the sha256 of every file, counts, unique IDs."""
    from semantic_ids.publishing.verify import can_read_ids, problems

    with ending():
        found = 0
        for manifest in _those_of(folder, every):
            wrong = list(problems(manifest))
            found += len(wrong)
            for line in wrong:
                click.echo(f"{manifest.name}: {line}", err=True)
            if not wrong:
                files = len(manifest.values["files"])
                what = f"{files} files and their IDs" if can_read_ids() else f"{files} files"
                click.echo(f"{manifest.name}: {what} are as they were published")
        if not can_read_ids():
            click.echo("IDs were not looked at: they need the extra 'parquet'", err=True)
        if found:
            raise BadInput(
                f"{found} of its parts are not as they were published",
                where=folder,
                expected="what the manifest says",
                do="bring back a copy",
            )


@bundle.command(name="list")
@_folder
def list_(folder: str) -> None:
    """List the generations of a folder of bundles, with their counts and parents."""
    from semantic_ids.publishing.bundles import generations, newest

    with ending():
        there = generations(Path(folder))
        if not there:
            generation(folder)  # says what was expected
        latest = newest(Path(folder))
        width = max((len(manifest.name) for manifest in there), default=0)
        for manifest in there:
            values = manifest.values
            line = f"{manifest.name:<{width}}  {values['items']:>12,} items"
            line += f"  {values['retired']:>10,} retired  from {manifest.parent or 'nothing'}"
            click.echo(line + (f"  {LATEST}" if manifest.name == latest else ""))


@bundle.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
def diff(old: str, new: str) -> None:
    """Count what generation B has other than A: items kept, new, revived, retired, and moved IDs.

    `gone` are items of A that B has neither published nor retired.
    """
    from semantic_ids.publishing.verify import differences

    with ending(), naming("semantic-ids bundle diff"):
        found = differences(read_manifest(generation(old)), read_manifest(generation(new)))
        for name, count in found.items():
            click.echo(f"{name:<8} {count:>12,}")


def _those_of(folder: str, every: bool) -> list[Manifest]:
    from semantic_ids.publishing.bundles import generations

    one = generation(folder)
    is_folder = every and (Path(folder) / LATEST).is_file()
    return generations(Path(folder)) if is_folder else [read_manifest(one)]
