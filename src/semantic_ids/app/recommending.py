"""`semantic-ids recommend`: what may come next, asked of a trained recommender."""

from __future__ import annotations

from pathlib import Path

import click

from semantic_ids.app.serving import ending, told
from semantic_ids.errors import BadInput
from semantic_ids.extras import naming
from semantic_ids.runtime.files import PIPE

ENDINGS = (".parquet", ".jsonl", ".ndjson")


@click.command()
@click.option(
    "-c",
    "--recommender",
    "folder",
    metavar="DIR",
    required=True,
    help="A trained recommender: data/06_models/recommender.",
)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT", default=PIPE)
@click.option("-k", "--k", default=10, show_default=True, type=click.IntRange(1), help="Items.")
@click.option(
    "--exclude-seen/--keep-seen",
    "exclude_seen",
    default=None,
    help="Leave out, or keep, what is in the history; by default as it was trained to.",
)
@click.option("--allow", metavar="FILE", help="Ids of the items that may be recommended.")
@click.option("--deny", metavar="FILE", help="Ids of items that nobody is recommended.")
@click.option("--beam", type=click.IntRange(1), help="Width of the beam, at least k.")
@click.option(
    "--unknown",
    type=click.Choice(["skip", "raise"]),
    default="skip",
    show_default=True,
    help="Items that the catalogue does not have: pass them over, or refuse them.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
def recommend(
    *,
    folder: str,
    source: str,
    target: str,
    k: int,
    exclude_seen: bool | None,
    allow: str | None,
    deny: str | None,
    beam: int | None,
    unknown: str,
    device: str,
) -> None:
    """Recommend k items to each user of IN, by the items that it had.

    IN is parquet with the columns user and sequence, a list of item ids, the oldest first; or JSON
    lines: such lists, or objects with user and sequence; - is stdin. OUT is parquet with user,
    item_ids and log_probabilities, or JSON lines; by default these to stdout. Files of --allow and
    --deny have an id a line, or are parquet with the column item_id. Needs torch: the extra
    'pipeline'.
    """
    with ending():
        if target != PIPE and Path(target).suffix not in ENDINGS:
            raise click.UsageError(f"{target}: a name that ends in .parquet or .jsonl.")
        with naming("semantic-ids recommend"):
            from semantic_ids.workflows.asking import Question, load_recommender, recommend_file

            lists = {"allow": _ids(allow, "--allow"), "exclude": _ids(deny, "--deny")}
            question = Question(k, beam, exclude_seen, unknown=unknown, **lists)
            users, missing = recommend_file(
                load_recommender(folder, device), source, target, question
            )
        if missing:
            click.echo(f"{missing:,} items of the histories are not in the catalogue", err=True)
        told(users, target)


def _ids(file: str | None, option: str) -> list[str] | None:
    """Read a list of item ids: a line each, or the column `item_id` of parquet."""
    if file is None:
        return None
    path = Path(file)
    try:
        if path.suffix == ".parquet":
            from semantic_ids.runtime.tables import parquet

            table = parquet().read_table(path, columns=["item_id"])
            return [str(one) for one in table["item_id"].to_pylist()]
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"it cannot be read ({error})",
            where=f"{option} {file}",
            expected="an item id a line, or parquet with the column item_id",
        ) from error
    return [line.strip() for line in lines if line.strip()]
