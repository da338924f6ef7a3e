"""Codes, or the semantic IDs made of them, as one parquet file with a row an item.

The columns are `item_id`, `codes` (fixed-size list<int32>) and, for semantic IDs, `semantic_id`, a
string of tokens. Provenance and layout are in the metadata of the schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semantic_ids.artifacts import Codes, Provenance, require_content
from semantic_ids.export.tokens import codes_column, token_strings
from semantic_ids.hashing import fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

PROVENANCE_KEY = b"semantic_ids.provenance"
ROWS_A_GROUP = 1 << 18


def with_provenance(schema: pa.Schema, provenance: Provenance, **more: Any) -> pa.Schema:
    """Return a schema that carries the provenance, and other JSON-like values, in its metadata."""
    extra = {
        f"semantic_ids.{name}".encode(): json.dumps(value).encode() for name, value in more.items()
    }
    return schema.with_metadata(
        {PROVENANCE_KEY: json.dumps(provenance.to_json(), sort_keys=True).encode(), **extra}
    )


def made_from(table: pa.Table) -> Provenance | None:
    """Return the provenance in a table's metadata, None where there is none."""
    text = (table.schema.metadata or {}).get(PROVENANCE_KEY)
    return Provenance.from_json(json.loads(text)) if text else None


def read_ids(file: str | Path) -> Codes:
    """Read ids and codes, and leave the strings where they are.

    Raises:
        BadInput: The codes are not those that its provenance names.
        OSError, ValueError, KeyError: It is no such file.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(file, columns=["item_id", "codes"], memory_map=False)
    try:
        provenance = made_from(table)
    except (KeyError, ValueError) as error:
        raise ValueError("what it was made from cannot be read") from error
    if provenance is None:
        raise ValueError("it does not say what it was made from")
    try:
        layout = json.loads(table.schema.metadata[b"semantic_ids.layout"])
        sizes, levels = tuple(layout["sizes"]), layout["levels"]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError("it does not say how its codes are laid out") from error
    codes = table["codes"].combine_chunks().flatten().to_numpy().reshape(len(table), len(sizes))
    require_content(provenance, fingerprint(codes))
    return Codes(table["item_id"].combine_chunks(), codes, sizes, levels, provenance)


def write_ids(file: str | Path, data: Codes, *, tokens: bool) -> None:
    """Write ids and codes, a row group at a time.

    Args:
        file: Where to; the caller sees to it that it appears whole.
        data: What is written.
        tokens: Write the column `semantic_id`.
    """
    import pyarrow.parquet as pq

    layout = {"sizes": list(data.sizes), "levels": data.levels}
    schema = with_provenance(
        _rows(data, slice(0, 0), tokens).schema, data.provenance, layout=layout
    )
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for start in range(0, len(data), ROWS_A_GROUP):
            rows = _rows(data, slice(start, start + ROWS_A_GROUP), tokens)
            writer.write_table(rows.cast(schema))


def _rows(data: Codes, rows: slice, tokens: bool) -> pa.Table:
    import pyarrow as pa

    part = data.codes[rows]
    columns = {
        "item_id": data.item_ids.slice(rows.start, len(part)),
        "codes": codes_column(part),
    }
    if tokens:
        columns["semantic_id"] = token_strings(part)
    return pa.table(columns)
