"""From a file or a pipe of vectors to one of codes, and back, in bounded memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.codes import written
from semantic_ids.errors import BadInput
from semantic_ids.progress import Progress
from semantic_ids.runtime.blocks import converted
from semantic_ids.runtime.checks import Name
from semantic_ids.runtime.npy import NpyRows, write_header
from semantic_ids.runtime.session import Encoder

PIPE = "-"
"""The name of stdin and stdout."""
PIECE = 1 << 18
"""Bytes of stdin that are read at a time."""


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
    write = _write_tokens if tokens else _write_rows
    return _convert(encoder, encoder.encode_block, source, target, (encoder.dim, shape), write)


def decode_npy(encoder: Encoder, source: str, target: str) -> int:
    """Decode an array of codes (n, L) to vectors (n, D) float32, and return n.

    See `encode_npy` for the arguments and errors.
    """
    shape = (encoder.dim, np.dtype(np.float32))
    widths = (len(encoder.codebook_sizes), shape)
    return _convert(encoder, encoder.decode_block, source, target, widths, _write_rows)


def _convert(
    encoder: Encoder,
    convert: Callable[[np.ndarray, Name], np.ndarray],
    source: str,
    target: str,
    widths: tuple[int, tuple[int, np.dtype]],
    write: Callable[[IO[bytes], np.ndarray], None],
) -> int:
    """Read, convert and write block by block.

    `widths` are that of what is read, and width and dtype of what comes out.
    """
    require_apart(source, target)
    width, (made_width, dtype) = widths
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
            if write is _write_rows:
                write_header(out, (len(rows), made_width), dtype)
            for block, made in converted(convert, rows.blocks(), encoder.threads):
                write(out, made)
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


class Stdin:
    """stdin, read piece by piece.

    A signal that comes between two pieces is heard before the next one is waited for, which may be
    for ever; a buffered reader would hear it after its last piece.

    Args:
        raw: What reads up to so many bytes.
    """

    def __init__(self, raw: Any) -> None:
        self._raw, self._held = raw, b""

    def read(self, size: int) -> bytes:
        """Read so many bytes, fewer at the end."""
        parts, self._held = [self._held[:size]], self._held[size:]
        missing = size - len(parts[0])
        while missing and (part := self._raw.read(min(missing, PIECE))):
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def readline(self, size: int) -> bytes:
        """Read a line with its end, at most so many bytes of it."""
        parts = [self._held]
        while b"\n" not in parts[-1] and sum(map(len, parts)) < size:
            if not (part := self._raw.read(PIECE)):
                break
            parts.append(part)
        found = b"".join(parts)
        end = min(size, found.find(b"\n") + 1 or len(found))
        self._held = found[end:]
        return found[:end]


@contextmanager
def opened(source: str) -> Iterator[IO[bytes] | Stdin]:
    """Open a file or stdin.

    Raises:
        BadInput: It cannot be opened.
    """
    if source == PIPE:
        yield Stdin(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
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
    with atomic_file(target, "-o") as temporary, temporary.open("wb") as file:
        yield file


def _write_rows(out: IO[bytes], rows: np.ndarray) -> None:
    out.write(rows.tobytes())


def _write_tokens(out: IO[bytes], codes: np.ndarray) -> None:
    """Write each row as a line of tokens."""
    out.write("".join(f"{row}\n" for row in written(codes.tolist())).encode("ascii"))
