"""Texts and labels of the items, where the user has some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from semantic_ids.datasets.parquet_source import from_root
from semantic_ids.datasets.previews import table_preview
from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource

if TYPE_CHECKING:
    import pyarrow as pa

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
        return _read(self._source()).replace_schema_metadata(
            {"semantic_ids.location": self._location}
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
    import pyarrow as pa

    first = source.footers[0]
    names = [field.name for field in first.schema if _is_scalar(field.type)]
    for footer in source.footers[1:]:
        missing = [name for name in names if name not in footer.schema.names]
        if missing:
            raise BadInput(
                f"column '{missing[0]}' is missing, which is in {first.file}",
                where=footer.file,
                expected="the same columns in all files",
            )
    batches = [pa.Table.from_batches([batch]) for _, batch in source.batches(names)]
    try:
        return (
            pa.concat_tables(batches, promote_options="permissive")
            if batches
            else first.schema.empty_table().select(names)
        )
    except (pa.ArrowException, TypeError) as error:
        raise BadInput(
            f"the files' columns are of different types: {error}",
            where=source.location,
            expected="the same types in all files",
        ) from error


def _is_scalar(kind: pa.DataType) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    binary = (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )
    return not (pa.types.is_nested(kind) or binary)
