"""What kedro-viz shows of a table: its first rows, short enough to read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_LIST = 8
LONGEST_TEXT = 200


def table_preview(table: pa.Table) -> dict[str, Any]:
    """Return a small table as kedro-viz takes it: JSON alone, and long values are cut.

    Dates that Python has no years for are shown as text, as are numbers that JSON has not.
    """
    columns = [_cells(column) for column in table.columns]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return {"index": list(range(len(rows))), "columns": table.column_names, "data": rows}


def parquet_head(path: str, nrows: int) -> pa.Table:
    """Read the first rows of a local parquet file, and no more of it than they need."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        batch = next(file.iter_batches(batch_size=nrows), None)
        return file.schema_arrow.empty_table() if batch is None else pa.Table.from_batches([batch])


def _cells(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())  # Python's dates end with the year 9999
    return [_cell(scalar) for scalar in column]


def _cell(scalar: pa.Scalar) -> Any:
    """Return one value as JSON has it."""
    try:
        value = scalar.as_py()
    except (ValueError, OverflowError):  # a date beyond Python's, within a list or struct
        return f"{scalar.type}"
    if isinstance(value, list):
        return _short_list(value)
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _short_list(values: list[Any]) -> str:
    shown = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in values[:LONGEST_LIST])
    more = f", … {len(values)} values" if len(values) > LONGEST_LIST else ""
    return f"[{', '.join(shown)}{more}]"
