"""`semantic-ids encode`, `decode` and `info`: a tokenizer on the command line, by its graphs or by
torch.

Exit codes: 0 done, 1 bad input or a defect (a defect shows its traceback), 2 malformed command
line, 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semantic_ids.atomic import FULL
from semantic_ids.errors import BadInput
from semantic_ids.extras import naming
from semantic_ids.publishing.locations import tokenizer_of
from semantic_ids.runtime.files import PIPE, decode_npy, encode_npy
from semantic_ids.runtime.lines import Columns, decode_lines, encode_lines
from semantic_ids.runtime.session import ENCODER_FILE, Encoder, load_encoder
from semantic_ids.runtime.tables import encode_parquet, is_tables

if TYPE_CHECKING:
    from semantic_ids.runtime.published import Published

NPY, PARQUET, JSONL = "npy", "parquet", "jsonl"
ENDINGS = {".npy": NPY, ".parquet": PARQUET, ".jsonl": JSONL, ".ndjson": JSONL}
"""How names of files end → what is in them."""
PATTERN = "*?["

_tokenizer = click.option(
    "-c",
    "--tokenizer",
    "folder",
    metavar="DIR",
    required=True,
    help="A tokenizer, a published generation or a folder of them; with torch also a checkpoint"
    " of a training.",
)
_optional = click.option(
    "-c", "--tokenizer", "folder", metavar="DIR", help="As for decode; not with --unique."
)
_threads = click.option(
    "--threads", type=click.IntRange(1), help="Threads; all cores by default. Codes do not change."
)
_backend = click.option(
    "--backend",
    type=click.Choice(["auto", "onnx", "torch"]),
    default="auto",
    show_default=True,
    help="What computes; auto: onnx where there are graphs. torch needs the extra 'pipeline'.",
)
_format = click.option(
    "--format",
    "given",
    type=click.Choice([NPY, PARQUET, JSONL]),
    help="Of input and output; by default what the input's name says, and npy for stdin.",
)
_ids = click.option("--id-column", help="Of parquet: ItemID; of JSON lines: item_id, by default.")


@click.group(name="semantic-ids")
def commands() -> None:
    """Encode and decode with a tokenizer, without torch where it has its graphs."""


@commands.command()
@click.option(
    "-i", "--input", "source", metavar="IN", required=True, help="A file, or - for stdin."
)
@_optional
@click.option("-o", "--output", "target", metavar="OUT", help="By default IN_codes.npy, or -.")
@_format
@_ids
@click.option("--vector-column", default="embedding", show_default=True, help="The same, vectors.")
@click.option("--tokens", is_flag=True, help="Write tokens as well, such as <a_45><b_123>.")
@click.option("--unique", metavar="BUNDLE", help="Look published IDs up; append what has none.")
@click.option("--beam", type=click.IntRange(1), help="Width of the beam, for torch alone.")
@_backend
@_threads
def encode(
    *,
    source: str,
    folder: str | None,
    target: str | None,
    given: str | None,
    id_column: str | None,
    vector_column: str,
    tokens: bool,
    unique: str | None,
    beam: int | None,
    backend: str,
    threads: int | None,
) -> None:
    """Encode vectors (n, D) to codes (n, L) int32.

    Codes are not unique IDs: items that are alike may have the same ones. Unique IDs are in
    semantic_ids.parquet of the project. `-` is stdin or stdout; what was written to stdout before
    an error stays written. A parquet file, a folder of them or a pattern becomes parquet with
    item_id, codes and semantic_id. JSON lines are lists, or objects with an id and a list. With
    --tokens an array becomes lines of text. With --unique items have the IDs that are published.
    Where the folder of all generations is given, items in parquet that have none yet are appended:
    the next generation is published with them (needs the extra 'pipeline').
    """
    with ending():
        kind = format_of(source, given)
        _require_columns(kind, id_column, vector_column)
        if unique is not None:
            _look_up(unique, source, target, kind, (id_column, vector_column))
            return
        if folder is None:
            raise click.UsageError("missing option '-c': the folder of a tokenizer.")
        target = _target(source, target, kind, "codes", text=tokens and kind == NPY)
        encoder = load(folder, threads, backend, beam)
        if kind == PARQUET:
            columns = {"id_column": id_column or "ItemID", "vector_column": vector_column}
            rows = encode_parquet(encoder, source, target, **columns)
        elif kind == JSONL:
            names = Columns(id_column or "item_id", vector_column)
            rows = encode_lines(encoder, source, target, names, tokens=tokens)
        else:
            rows = encode_npy(encoder, source, target, tokens=tokens)
        told(rows, target)


@commands.command()
@click.option(
    "-i", "--input", "source", metavar="IN", required=True, help="A file, or - for stdin."
)
@_tokenizer
@click.option("-o", "--output", "target", metavar="OUT", help="By default IN_vectors.npy, or -.")
@click.option("--format", "given", type=click.Choice([NPY, JSONL]), help="See encode.")
@click.option("--id-column", default="item_id", show_default=True, help="Of JSON lines.")
@click.option("--codes-column", default="codes", show_default=True, help="Of JSON lines.")
@_backend
@_threads
def decode(
    *,
    source: str,
    folder: str,
    target: str | None,
    given: str | None,
    id_column: str,
    codes_column: str,
    backend: str,
    threads: int | None,
) -> None:
    """Decode codes (n, L) to vectors (n, D) float32: an array, or JSON lines."""
    with ending():
        kind = format_of(source, given)
        if kind == PARQUET:
            raise click.UsageError("decode reads .npy and JSON lines, not parquet.")
        target = _target(source, target, kind, "vectors")
        encoder = load(folder, threads, backend)
        if kind == JSONL:
            rows = decode_lines(encoder, source, target, Columns(id_column, codes_column))
        else:
            rows = decode_npy(encoder, source, target)
        told(rows, target)


@commands.command()
@click.argument("folder", metavar="DIR")
@_backend
def info(folder: str, backend: str) -> None:
    """Say in JSON what a tokenizer is."""
    with ending():
        encoder = load(folder, 1, backend)
        about = ("backend", "kind", "dim", "codebook_sizes", "normalizes", "content")
        click.echo(json.dumps({name: getattr(encoder, name) for name in about}))


def _look_up(
    bundle: str, source: str, target: str | None, kind: str, columns: tuple[str | None, str]
) -> None:
    """Write the published IDs of the items of an input; append those that have none.

    `columns` are those of ids and vectors.
    """
    from semantic_ids.runtime.published import Published, look_up_lines, look_up_tables

    if kind == NPY:
        raise click.UsageError("--unique needs item ids, which arrays have none of: take parquet.")
    target = _target(source, target, kind, "ids")
    published = Published(bundle)
    if kind == PARQUET:
        id_column = columns[0] or "ItemID"
        published = _with_all(published, source, target, id_column, columns[1])
        rows = look_up_tables(published, source, target, id_column)
    else:
        rows = look_up_lines(published, source, target, columns[0] or "item_id")
    told(rows, target)


def _with_all(
    published: Published, source: str, target: str, id_column: str, vector_column: str
) -> Published:
    """Return the published IDs, of a next generation where items of the input had none."""
    from semantic_ids.runtime.published import Published, count_unknown

    if not published.can_grow or not count_unknown(published, source, target, id_column):
        return published
    click.echo(f"{published.unknown:,} items are not published: appending them", err=True)
    with naming("--unique with items that are not published"):
        from semantic_ids.app.appending import append_items

        append_items(published.place, source, id_column, vector_column)
    return Published(published.place)


def load(folder: str, threads: int | None, backend: str, beam: int | None = None) -> Encoder:
    """Load a tokenizer with what is to compute.

    Raises:
        BadInput: It is not there, cannot be read, or torch is wanted and not installed.
    """
    place = tokenizer_of(folder)
    if backend == "auto":
        graphs = (place / ENCODER_FILE).is_file()
        backend = "torch" if not graphs and _is_for_torch(place) else "onnx"
    if backend == "onnx":
        if beam is not None:
            raise BadInput(
                f"--beam {beam}",
                expected="no beam: a graph follows the one it was exported with",
                do="add --backend torch",
            )
        return load_encoder(place, threads)
    with naming("--backend torch", ", or export the tokenizer with export.onnx=true"):
        from semantic_ids.workflows.torch_encoder import load_torch_encoder

        return load_torch_encoder(place, threads, beam)


def _is_for_torch(place: Path) -> bool:
    """Whether torch alone can read what is there: a tokenizer without graphs, or a checkpoint."""
    checkpoints = ("state.safetensors", "epoch-*/state.safetensors", "*/epoch-*/state.safetensors")
    return (
        place.is_file()
        or (place / "model.safetensors").is_file()
        or any(found for pattern in checkpoints for found in place.glob(pattern))
    )


def format_of(source: str, given: str | None) -> str:
    """Return what is in an input: as it is said, or as its name says; npy where neither does."""
    if given:
        return given
    if is_tables(source):
        return PARQUET
    return ENDINGS.get(Path(source).suffix, NPY)


def _require_columns(kind: str, id_column: str | None, vector_column: str) -> None:
    if kind == NPY and (id_column or vector_column != "embedding"):
        raise click.UsageError("an array has no columns: leave --id-column and --vector-column.")


def _target(source: str, target: str | None, kind: str, what: str, *, text: bool = False) -> str:
    """Return the name of the output: as given, or beside the input, x.npy → x_codes.npy."""
    if kind == PARQUET and (PIPE in (source, target)):
        raise click.UsageError("parquet is read from files and written to a file: name them.")
    if not source or target == "":
        raise click.UsageError("a file needs a name.")
    if target is None:
        if any(sign in source for sign in PATTERN):
            raise click.UsageError("a pattern gives the output no name: name it with -o.")
        path = Path(os.path.abspath(source)) if source in (".", "..") else Path(source)
        return (
            source
            if source == PIPE
            else str(path.with_name(f"{path.stem}_{what}.{'txt' if text else kind}"))
        )
    wrong = ENDINGS.get(Path(target).suffix, kind) != kind or (text and target.endswith(".npy"))
    if target != PIPE and wrong:
        raise click.UsageError(
            f"{target}: what is written is {'text' if text else kind}, as the input is:"
            " take a name that says so."
        )
    return target


def told(rows: int, target: str) -> None:
    """Say on stderr what was written."""
    if target != PIPE:
        click.echo(f"{rows:,} rows: {target}", err=True)


@contextmanager
def ending() -> Iterator[None]:
    """End in one line where the user can mend what is wrong, and leave no half-written file."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("semantic_ids").setLevel(logging.INFO)  # of others, warnings alone
    before: Callable[..., Any] | int | None = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except BadInput as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise click.ClickException(
            f"no space left for what is written ({error.strerror})."
        ) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(*_: Any) -> None:
    click.echo("Terminated.", err=True)
    raise SystemExit(143)
