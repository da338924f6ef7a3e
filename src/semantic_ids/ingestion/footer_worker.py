"""A process of its own that reads the footers of parquet files.

The parquet library ends its process on some damaged or encrypted footers. Here that ends this one,
and the run goes on with a clear message: see `footers`. One process serves any number of files.

It reads requests from its input, each a length of 8 bytes and a footer, and answers each with one
line of JSON. It ends with its input, or when nothing was asked for a while.
"""

from __future__ import annotations

import base64
import json
import os
import select
import sys
from typing import Any

MAGIC = b"PAR1"
IDLE_SECONDS = 10
"""After so long without a request it ends; the next request starts another."""
DECLARED, IGNORED = b"ARROW:schema", b"arrow:schema"
"""The key under which Arrow's own types are kept in a footer, and one that Arrow does not know."""


def whole(footer: bytes) -> bytes:
    """Return the smallest parquet file with this footer: it can be opened, and has no pages."""
    return MAGIC + footer + len(footer).to_bytes(4, "little") + MAGIC


def plain(footer: bytes) -> bytes:
    """Return a footer whose columns are read with the types of parquet alone.

    The types that Arrow keeps beside them (views, dictionaries, fixed sizes, extensions) change how
    a column is held, not what it says. Some of them cannot be read back: in pyarrow 25 a null in a
    fixed-size list, in all versions 128-bit integers.
    """
    return footer.replace(DECLARED, IGNORED)


def describe(footer: bytes) -> dict[str, Any]:
    """Return what a footer says, JSON-like.

    Raises:
        Exception: Whatever the library raises for one that it cannot read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = pq.ParquetFile(pa.BufferReader(whole(plain(footer))))
    metadata, schema = read.metadata, read.schema_arrow.remove_metadata()
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.num_rows for group in groups) != metadata.num_rows:
        raise ValueError(f"its row groups do not have the {metadata.num_rows} rows that it says")
    size: dict[str, int] = {}
    for column in (group.column(c) for group in groups for c in range(group.num_columns)):
        name = column.path_in_schema
        size[name] = size.get(name, 0) + max(column.total_uncompressed_size, 4 * column.num_values)
    try:
        declared = pq.ParquetFile(pa.BufferReader(whole(footer))).schema_arrow.remove_metadata()
    except (pa.ArrowException, OSError, ValueError):
        declared = schema
    return {
        "schema": _text(schema),
        "declared": _text(declared),
        "group_rows": [group.num_rows for group in groups],
        "bytes": size,
    }


def answer(footer: bytes) -> str:
    """Return one line: what a footer says, or why it cannot be read."""
    try:
        return json.dumps(describe(footer))
    except Exception as error:  # whatever it is, it is said of this file alone
        return json.dumps({"error": f"{error}", "kind": type(error).__name__})


def _text(schema: Any) -> str:
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def _received(count: int) -> bytes:
    parts = []
    while count and (part := os.read(0, min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def main() -> None:
    """Answer until there is nothing more to answer."""
    while select.select([0], [], [], IDLE_SECONDS)[0]:
        length = _received(8)
        if len(length) < 8:
            return
        sys.stdout.write(answer(_received(int.from_bytes(length, "little"))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
