"""What the end of a parquet file says of it.

Footers are read in a process of its own, which a damaged one may end without harm.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.footer_worker import MAGIC, answer, plain, whole

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ENCRYPTED = b"PARE"
"""What a file ends in whose footer is encrypted."""
_UNSUPPORTED = re.compile(
    "not (yet )?(supported|implemented|built)|NotImplemented|unsupported|decrypt", re.IGNORECASE
)


@dataclass(frozen=True)
class Footer:
    """What the end of a parquet file says of it.

    Attributes:
        file: Path or URL.
        schema: Its columns and their types, as they are read: those of parquet alone.
        declared: Its columns and their types as their writer declared them.
        group_rows: Rows of each row group.
        sizes: Path of a column, such as `embedding.list.element` → about how many bytes its row
            groups take together when decoded.
        digest: Stands for the bytes of the footer; a file whose footer is another has changed.
    """

    file: str
    schema: pa.Schema
    declared: pa.Schema
    group_rows: tuple[int, ...]
    sizes: dict[str, int]
    digest: bytes = b""

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.group_rows)

    def column_bytes(self, name: str) -> int:
        """About how many bytes a column takes when decoded."""
        return sum(
            size for path, size in self.sizes.items() if path == name or path.startswith(f"{name}.")
        )

    def kind(self, name: str, *, declared: bool = False) -> pa.DataType | None:
        """Return the type of a column, or of a field of a struct that is named `item.embedding`.

        None where there is no such column, or where its name occurs several times.
        """
        return kind_of(self.declared if declared else self.schema, name)


def digest_of(end: bytes) -> bytes:
    """Return 16 bytes that stand for a footer."""
    return blake2b(end, digest_size=16).digest()


def kind_of(fields: pa.Schema | pa.StructType, name: str) -> pa.DataType | None:
    """Return the type of a column or of a struct's field, by its name with dots; None without."""
    import pyarrow as pa

    if (found := fields.get_field_index(name)) >= 0:
        return fields.field(found).type
    for dot in (m.start() for m in re.finditer(r"\.", name)):
        outer = fields.get_field_index(name[:dot])
        if outer >= 0 and pa.types.is_struct(fields.field(outer).type):
            inner = kind_of(fields.field(outer).type, name[dot + 1 :])
            if inner is not None:
                return inner
    return None


def read_end(file: IO[bytes], name: str) -> bytes:
    """Return the footer of an open file, as bytes.

    Raises:
        BadInput: It is empty, cut off, no parquet file, or its footer is encrypted.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    begins = file.read(4)
    file.seek(max(0, size - 8))
    last = file.read(8)
    length = int.from_bytes(last[:4], "little")
    if last[4:] == ENCRYPTED:
        raise _not_supported("its footer is encrypted", name)
    if size < 12:
        raise _not_whole(f"it has {size} bytes", name)
    if last[4:] != MAGIC:
        cut_off = "it begins as one, but its end is missing" if begins == MAGIC else "no PAR1 in it"
        raise _not_whole(cut_off, name)
    if length > size - 12:
        raise _not_whole(f"its footer of {length:,} bytes is longer than the file", name)
    file.seek(size - 8 - length)
    return file.read(length)


def read_footer(end: bytes, name: str) -> Footer:
    """Return what the footer of a file says.

    Args:
        end: The footer: see `read_end`.
        name: What the file is called.

    Raises:
        BadInput: It cannot be read, or holds what is not supported.
    """
    import pyarrow as pa

    found = _reader.describe(end, name)
    if "error" in found:
        raise _refused(found["kind"], found["error"], name)
    schema, declared = (
        pa.ipc.read_schema(pa.py_buffer(base64.b64decode(found[key])))
        for key in ("schema", "declared")
    )
    return Footer(
        name, schema, declared, tuple(found["group_rows"]), found["bytes"], digest_of(end)
    )


def parquet_file(file: str | IO[bytes], end: bytes) -> pq.ParquetFile:
    """Open a file whose footer has been read, to read its rows.

    By default pyarrow keeps every column chunk that it has read ahead: 3.4 GB for 1,000,000 × 768.
    Without pre-buffering and with a small read buffer it is 0.2 GB, and faster.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(pa.BufferReader(whole(plain(end))))
    return pq.ParquetFile(
        file,
        metadata=metadata,
        pre_buffer=False,
        buffer_size=1 << 20,
        page_checksum_verification=True,
    )


class _Reader:
    """The process that reads footers: started when first needed, and anew where it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._ended = 0
        self._errors: IO[bytes] | None = None

    def describe(self, end: bytes, name: str) -> dict[str, Any]:
        """Return what a footer says, or its error.

        Raises:
            BadInput: The process died of it.
        """
        with self._lock:
            line = self._asked(end) or self._asked(end)  # an idle one may just have ended
            if not line and self._ended >= 0:  # it did not die of this footer, but cannot run
                line = answer(end).encode()
            if line:
                return dict(json.loads(line))
            said = self._last_words()
        if "crypt" in said:
            raise _not_supported("columns are encrypted", name)
        raise _not_whole(f"its footer is damaged ({said or 'the parquet library ended'})", name)

    def _asked(self, end: bytes) -> bytes:
        """Ask the process and return its answer, nothing where it ended or does not start."""
        try:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(len(end).to_bytes(8, "little") + end)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            self.close()
            return b""
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid():
            if self._process.poll() is None:
                return self._process
            self.close()
        self._ended = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has died
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "semantic_ids.ingestion.footer_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            start_new_session=True,  # Ctrl-C is for the run; this one ends with its input
        )
        return self._process

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._ended = process.wait()

    def _last_words(self) -> str:
        """Return the last line that the process wrote before it died."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("  what():").strip() if lines else ""


_reader = _Reader()


def _refused(kind: str, reason: str, file: str) -> BadInput:
    if kind == "UnicodeDecodeError":
        return BadInput(
            f"a column name is no text: {reason}", where=file, do="write or copy the file again"
        )
    if _UNSUPPORTED.search(f"{kind}: {reason}"):
        return _not_supported(reason, file)
    return _not_whole(reason, file)


def is_unsupported(error: object) -> bool:
    """Whether an error of the library is about what it does not do, not about damage."""
    return bool(_UNSUPPORTED.search(f"{type(error).__name__}: {error}"))


def _not_supported(found: str, file: str) -> BadInput:
    return BadInput(
        f"{found}, which is not supported",
        where=file,
        expected="a parquet file that is not encrypted, of types that pyarrow reads",
        do="write it without",
    )


def _not_whole(found: str, file: str) -> BadInput:
    return BadInput(
        f"not a whole parquet file: {found}",
        where=file,
        expected="a parquet file with its footer",
        do="write or copy it again",
    )
