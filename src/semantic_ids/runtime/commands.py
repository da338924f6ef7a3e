"""`semantic-ids encode`, `decode` and `info`: a tokenizer's graphs on the command line.

Exit codes: 0 done, 1 bad input or a defect (a defect shows its traceback), 2 malformed command
line, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from semantic_ids.errors import BadInput
from semantic_ids.runtime.files import PIPE, decode_npy, encode_npy
from semantic_ids.runtime.session import load_encoder
from semantic_ids.runtime.tables import encode_parquet, is_tables

_tokenizer = click.option(
    "-c", "--tokenizer", "folder", metavar="DIR", required=True, help="Folder of the tokenizer."
)
_threads = click.option(
    "--threads", type=click.IntRange(1), help="Threads; all cores by default. Codes do not change."
)


@click.group(name="semantic-ids")
def commands() -> None:
    """Encode and decode without torch, by the ONNX graphs of a tokenizer."""


@commands.command()
@click.option("-i", "--input", "source", metavar="IN", required=True, help="A .npy, parquet, or -.")
@_tokenizer
@click.option("-o", "--output", "target", metavar="OUT", help="By default IN_codes.npy, or -.")
@click.option("--id-column", default="ItemID", show_default=True, help="Of parquet.")
@click.option("--vector-column", default="embedding", show_default=True, help="Of parquet.")
@click.option("--tokens", is_flag=True, help="Write lines of text such as <a_45><b_123>.")
@_threads
def encode(
    source: str,
    folder: str,
    target: str | None,
    id_column: str,
    vector_column: str,
    tokens: bool,
    threads: int | None,
) -> None:
    """Encode vectors (n, D) to codes (n, L) int32.

    Codes are not unique IDs: items that are alike may have the same ones. Unique IDs are in
    semantic_ids.parquet of the project. `-` is stdin or stdout; what was written to stdout before
    an error stays written. A parquet file, a folder of them or a pattern becomes parquet with
    item_id, codes and semantic_id.
    """
    with _ending():
        if is_tables(source):
            if target == PIPE or (target is None and any(sign in source for sign in "*?[")):
                raise click.UsageError("parquet is written to a file: name it with -o.")
            target = target or _named(source, "codes.parquet")
            columns = {"id_column": id_column, "vector_column": vector_column}
            rows = encode_parquet(load_encoder(folder, threads), source, target, **columns)
        else:
            target = target or _named(source, "codes.txt" if tokens else "codes.npy")
            rows = encode_npy(load_encoder(folder, threads), source, target, tokens=tokens)
        _told(rows, target)


@commands.command()
@click.option("-i", "--input", "source", metavar="IN", required=True, help="A .npy, or -.")
@_tokenizer
@click.option("-o", "--output", "target", metavar="OUT", help="By default IN_vectors.npy, or -.")
@_threads
def decode(source: str, folder: str, target: str | None, threads: int | None) -> None:
    """Decode codes (n, L) to vectors (n, D) float32."""
    with _ending():
        target = target or _named(source, "vectors.npy")
        _told(decode_npy(load_encoder(folder, threads), source, target), target)


@commands.command()
@click.argument("folder", metavar="DIR")
def info(folder: str) -> None:
    """Say in JSON what a tokenizer's graphs are."""
    with _ending():
        encoder = load_encoder(folder, 1)
        about = ("kind", "dim", "codebook_sizes", "normalizes", "content")
        click.echo(json.dumps({name: getattr(encoder, name) for name in about}))


def _named(source: str, end: str) -> str:
    """Return the name of the output beside the input: x.npy → x_codes.npy."""
    path = Path(source)
    return PIPE if source == PIPE else str(path.with_name(f"{path.stem}_{end}"))


def _told(rows: int, target: str) -> None:
    if target != PIPE:
        click.echo(f"{rows:,} rows: {target}", err=True)


@contextmanager
def _ending() -> Iterator[None]:
    """End in one line where the user can mend what is wrong, and leave no half-written file."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except BadInput as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(*_: Any) -> None:
    raise SystemExit(143)
