"""`semantic-ids search`: the nearest items of queries, by FAISS's index of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np

from semantic_ids.app.serving import ENDINGS, JSONL, NPY, PARQUET, ending, format_of, told
from semantic_ids.errors import BadInput
from semantic_ids.runtime.blocks import Block
from semantic_ids.runtime.files import PIPE, opened, require_apart
from semantic_ids.runtime.lines import Columns, Reading
from semantic_ids.runtime.npy import NpyRows
from semantic_ids.runtime.results import write_array, write_lines, write_table
from semantic_ids.runtime.search import Index, load_index
from semantic_ids.runtime.tables import read_tables


@click.command()
@click.option(
    "-c",
    "--index",
    "place",
    metavar="DIR",
    required=True,
    help="semantic_ids.faiss, a folder with it, a published generation or a folder of them.",
)
@click.option(
    "-q", "--queries", "source", metavar="IN", required=True, help="A file, or - (stdin)."
)
@click.option("-k", default=10, show_default=True, type=click.IntRange(1), help="Items a query.")
@click.option("-o", "--output", "target", metavar="OUT", default=PIPE, help="By default stdout.")
@click.option("--format", "given", type=click.Choice([NPY, PARQUET, JSONL]), help="Of queries.")
@click.option("--id-column", help="Of parquet: ItemID; of JSON lines: item_id, by default.")
@click.option("--vector-column", default="embedding", show_default=True, help="The same, vectors.")
@click.option("--threads", type=click.IntRange(1), help="Threads; all cores by default.")
def search(
    *,
    place: str,
    source: str,
    k: int,
    target: str,
    given: str | None,
    id_column: str | None,
    vector_column: str,
    threads: int | None,
) -> None:
    """Find the k nearest items of each query, by what their IDs decode to.

    Queries are raw vectors (n, D): .npy, parquet or JSON lines. The result is JSON lines, or what
    the name of the output says: .parquet with query, item_ids and distances, or .npy (n, k) with
    the fields item_id and distance. A query is called by its id, or its row number. Distances are
    squared. The index is what export.faiss=true writes.
    """
    with ending(), ExitStack() as stack:
        form = JSONL if target == PIPE else ENDINGS.get(Path(target).suffix)
        if form is None:
            raise click.UsageError(f"{target}: a name that ends in .npy, .parquet or .jsonl.")
        read_as = format_of(source, given)
        if form == NPY and read_as != NPY:
            raise click.UsageError("an array is written where queries are one: take .jsonl.")
        require_apart(source, target)
        index = load_index(place, threads)
        if read_as == PARQUET:
            columns = {"id_column": id_column or "ItemID", "vector_column": vector_column}
            blocks = read_tables(source, target, index.dim, **columns)
            told(_written(index, blocks, k, target, form), target)
            return
        file, name = stack.enter_context(opened(source)), "stdin" if source == PIPE else source
        if read_as == JSONL:
            names = Columns(id_column or "item_id", vector_column)
            reading = Reading(names, index.dim, (int, float), np.dtype(np.float32))
            told(_written(index, reading.blocks(file, name), k, target, form), target)
            return
        rows = _array(NpyRows(file, name), index.dim)
        told(_written(index, rows.blocks(), k, target, form, len(rows)), target)


def _written(
    index: Index, queries: Iterator[Block], k: int, target: str, form: str, rows: int = 0
) -> int:
    """Write what is found, in this form; return how many queries there were."""
    found = index.search(queries, k)
    if form == NPY:
        return write_array(found, target, (rows, k), index.ids)
    return (write_table if form == PARQUET else write_lines)(found, target)


def _array(rows: NpyRows, dim: int) -> NpyRows:
    if rows.shape[1] != dim:
        raise BadInput(
            f"an array of shape {rows.shape}",
            where=rows.name,
            expected=f"queries of {dim} numbers",
            do="take those that belong to this index",
        )
    return rows
