"""From a file or a pipe of vectors to one of codes, and back, in bounded memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.codes import token
from semantic_ids.errors import BadInput
from semantic_ids.progress import Progress
from semantic_ids.runtime.npy import NpyRows, write_header
from semantic_ids.runtime.session import Encoder

PIPE = "-"
"""The name of stdin and stdout."""


def encode_npy(encoder: Encoder, source: str, target: str, *, tokens: bool = False) -> int:
    """Encode an array of vectors (n, D) to codes (n, L) int32, and return n.

    Args:
        encoder: What encodes.
        source: A .npy file, or `-` for stdin.
        target: A .npy file that is written whole or not at all, or `-` for stdout.
        tokens: Write lines of text, such as `<a_45><b_123>`, in the place of an array.

    Raises:
        BadInput: The input is damaged, or a row has no codes; nothing is written then to a file.
    """
    shape = (len(encoder.codebook_sizes), np.dtype(np.int32))
    as_text = _lines if tokens else None
    return _convert(encoder.encode, source, target, encoder.dim, shape, as_text)


def decode_npy(encoder: Encoder, source: str, target: str) -> int:
    """Decode an array of codes (n, L) to vectors (n, D) float32, and return n.

    See `encode_npy` for the arguments and errors.
    """
    shape = (encoder.dim, np.dtype(np.float32))
    return _convert(encoder.decode, source, target, len(encoder.codebook_sizes), shape, None)


def _convert(
    convert: Callable[[np.ndarray, int], np.ndarray],
    source: str,
    target: str,
    width: int,
    made: tuple[int, np.dtype],
    as_text: Callable[[np.ndarray], bytes] | None,
) -> int:
    """Read, convert and write block by block; `made` is width and dtype of what comes out."""
    require_apart(source, target)
    with opened(source) as file:
        rows = NpyRows(file, "stdin" if source == PIPE else source)
        if rows.shape[1] != width:
            raise BadInput(
                f"an array of shape {rows.shape}",
                where=rows.name,
                expected=f"rows of {width} numbers",
                do="take those that belong to this tokenizer",
            )
        with created(target) as out, Progress("convert", len(rows), "rows") as progress:
            if as_text is None:
                write_header(out, (len(rows), made[0]), made[1])
            for start, block in rows.blocks():
                result = convert(block, start)
                out.write(result.tobytes() if as_text is None else as_text(result))
                progress.advance(len(block))
    return len(rows)


def require_apart(source: str, target: str) -> None:
    """Refuse to write over what is read, and to a target that is no file."""
    if target == PIPE:
        return
    if source != PIPE and Path(source).resolve() == Path(target).resolve():
        raise BadInput(
            "the output would replace the input",
            where=target,
            expected="another name",
            do="give one with -o",
        )
    if Path(target).exists() and not Path(target).is_file():
        raise BadInput(
            "it is there, and no file",
            where=target,
            expected="the name of a file, or - for stdout",
            do="give one with -o",
        )


@contextmanager
def opened(source: str) -> Iterator[IO[bytes]]:
    """Open a file or stdin.

    Raises:
        BadInput: It cannot be opened.
    """
    if source == PIPE:
        yield sys.stdin.buffer
        return
    try:
        file = open(source, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise BadInput(
            f"it cannot be opened ({error.strerror})", where=source, expected="a file", do="see -i"
        ) from error
    with file:
        yield file


@contextmanager
def created(target: str) -> Iterator[IO[bytes]]:
    """Write to stdout, or to a file that has its name when the block ends well."""
    if target == PIPE:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with atomic_file(target) as temporary, temporary.open("wb") as file:
        yield file


def _lines(codes: np.ndarray) -> bytes:
    """Write each row as a line of tokens."""
    rows = ("".join(token(level, code) for level, code in enumerate(row)) for row in codes.tolist())
    return "".join(f"{row}\n" for row in rows).encode("ascii")
