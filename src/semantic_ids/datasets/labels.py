"""Texts and labels of the items, where the user has some."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from semantic_ids.datasets.parquet_source import from_root
from semantic_ids.datasets.previews import table_preview
from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource

if TYPE_CHECKING:
    import pyarrow as pa

    from semantic_ids.ingestion.footers import Footer

logger = logging.getLogger(__name__)

LEFT_OUT = b"semantic_ids.left_out"
"""Key of the metadata that says which columns of the file are no labels, and why."""
LONGEST_BYTES = 256
"""Bytes an item up to which a column of bytes may be text; pictures are longer."""
NOTHING = "none"
"""The location that means: there are no labels."""


class LabelsDataset(AbstractDataset):
    """The scalar columns of a parquet file, folder, glob or URL of items.

    None where the location is `none`.

    Args:
        location: The file, folder (its `items.parquet` if there is one), glob or URL, or `none`.
        root: Folder that a relative location starts at.
        metadata: Read by kedro-viz.
    """

    def __init__(self, location: str, root: str, metadata: dict[str, Any] | None = None) -> None:
        self._location = (
            NOTHING
            if str(location).lower() in (NOTHING, "null")
            else from_root(str(location), root)
        )
        self.metadata = metadata

    def load(self) -> Any:
        """Return a table of all scalar columns, which knows its file, or None.

        Raises:
            BadInput: There is no such file, it cannot be read, or the files do not have the same
                columns.
        """
        if self._location == NOTHING:
            return None
        source = self._source()
        for sentence in source.left_out:
            logger.warning("%s", sentence)
        table = _read(source)
        return table.replace_schema_metadata(
            {**(table.schema.metadata or {}), "semantic_ids.location": self._location}
        )

    def save(self, data: None) -> None:
        """Refuse: this is the user's."""
        raise DatasetError("items is only read, never written")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, without reading more than that takes.

        An empty table where there are no labels.
        """
        if self._location == NOTHING:
            return TablePreview({"index": [], "columns": [], "data": []})
        return TablePreview(table_preview(self._source().head(nrows)))

    def _source(self) -> ParquetSource:
        return ParquetSource(self._location, favourite="items.parquet", parameter="items")

    def _exists(self) -> bool:
        return self._location == NOTHING or self._source().exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._location}


def _read(source: ParquetSource) -> pa.Table:
    """Read the scalar columns of all files, and note in the metadata why others are left out."""
    import pyarrow as pa

    with_rows = [footer for footer in source.footers if footer.rows]
    first = with_rows[0] if with_rows else source.footers[0]
    left_out = _left_out(first)
    names = [name for name in first.schema.names if name not in left_out]
    for footer in with_rows[1:]:
        missing = [name for name in names if name not in footer.schema.names]
        if missing:
            raise BadInput(
                f"column '{missing[0]}' is missing, which is in {first.file}",
                where=footer.file,
                expected="the same columns in all files",
            )
        left_out = _left_out(footer) | left_out
        for name in set(footer.schema.names) - set(names):
            left_out.setdefault(name, f"is missing in {first.file}")
    names = [name for name in names if name not in left_out]
    batches = [
        pa.Table.from_batches([_as_text(batch, left_out)]) for _, batch in source.batches(names)
    ]
    batches = [table.drop_columns([n for n in names if n in left_out]) for table in batches]
    return _joined(source, batches, first.schema.empty_table().select(names), left_out)


def _joined(
    source: ParquetSource, batches: list[pa.Table], nothing: pa.Table, left_out: dict[str, str]
) -> pa.Table:
    import pyarrow as pa

    try:
        table = pa.concat_tables(batches, promote_options="permissive") if batches else nothing
    except (pa.ArrowException, TypeError) as error:
        raise BadInput(
            f"the files' columns are of different types: {error}",
            where=source.location,
            expected="the same types in all files",
        ) from error
    return table.replace_schema_metadata({LEFT_OUT: json.dumps(left_out)})


def _left_out(footer: Footer) -> dict[str, str]:
    """Return name → why it is none, of the columns of a file that are no labels."""
    names = footer.schema.names
    reasons = {
        name: f"is there {names.count(name)} times" for name in names if names.count(name) > 1
    }
    for field in footer.schema:
        if field.name not in reasons and not _is_scalar(footer, field.name, field.type):
            declared = footer.kind(field.name, declared=True) or field.type
            reasons[field.name] = f"is of type {declared}"
    return reasons


def _is_scalar(footer: Footer, name: str, kind: pa.DataType) -> bool:
    """Whether a column has one value an item; bytes may be text, if they are few."""
    import pyarrow as pa

    from semantic_ids.ingestion.columns import is_bytes

    if is_bytes(kind):
        return footer.column_bytes(name) <= LONGEST_BYTES * max(1, footer.rows)
    return not (pa.types.is_nested(kind) or pa.types.is_fixed_size_binary(kind))


def _as_text(batch: pa.RecordBatch, left_out: dict[str, str]) -> pa.RecordBatch:
    """Return a batch whose bytes and UUIDs are text; note the columns of bytes that are none."""
    import pyarrow as pa

    from semantic_ids.ingestion.columns import as_text, is_bytes, is_uuid

    for number, field in enumerate(batch.schema):
        if is_bytes(field.type) or is_uuid(field.type):
            try:
                text = as_text(batch.column(number))
            except pa.ArrowInvalid:
                left_out[field.name] = "is of bytes that are no text (UTF-8)"
                text = pa.nulls(len(batch), pa.large_string())
            batch = batch.set_column(number, field.name, text)
    return batch
