"""What kedro-viz shows of a table: its first rows, short enough to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LIST = 8


def table_preview(table: pa.Table) -> dict[str, Any]:
    """Return a small table as kedro-viz takes it; long lists are cut."""
    rows = [[_short(value) for value in row.values()] for row in table.to_pylist()]
    return {"index": list(range(len(rows))), "columns": table.column_names, "data": rows}


def parquet_head(path: str, nrows: int) -> pa.Table:
    """Read the first rows of a local parquet file, and no more of it than they need."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        batch = next(file.iter_batches(batch_size=nrows), None)
        return file.schema_arrow.empty_table() if batch is None else pa.Table.from_batches([batch])


def _short(value: Any) -> Any:
    if isinstance(value, list):
        text = ", ".join(
            f"{v:.4g}" if isinstance(v, float) else str(v) for v in value[:LONGEST_LIST]
        )
        return f"[{text}, … {len(value)} values]" if len(value) > LONGEST_LIST else f"[{text}]"
    return value
