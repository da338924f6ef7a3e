"""Histories of users as a folder of arrays, memory-mapped from here on."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from kedro_datasets._typing import TablePreview

from semantic_ids.arrays import release
from semantic_ids.artifacts import Provenance, require_content
from semantic_ids.atomic import atomic_folder
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.recommenders.histories import Histories, content_of

FORMAT = 1
_ARRAYS = ("items", "starts", "cuts")
_SHOWN = 20


class HistoriesDataset(ArtifactDataset[Histories, Histories]):
    """A folder of `users.parquet`, `items.npy`, `starts.npy`, `cuts.npy`, as `Histories` has them,
    and, written last, `manifest.json`.

    histories:
      type: semantic_ids.datasets.HistoriesDataset
      filepath: data/05_model_input/histories
    """

    def save(self, data: Histories) -> None:
        """Write the folder, whole or not at all.

        Raises:
            BadInput: There is no space left, or the folder may not be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        needed = sum(getattr(data, name).nbytes for name in _ARRAYS) + (1 << 16)
        users = pa.table({"user": data.users})
        with atomic_folder(self._filepath, needed=needed + users.nbytes) as folder:
            pq.write_table(users, folder / "users.parquet", compression="zstd")
            for name in _ARRAYS:
                np.save(folder / f"{name}.npy", getattr(data, name), allow_pickle=False)
            manifest = {
                "format": FORMAT,
                "provenance": data.provenance.to_json(),
                "users": len(data),
                "events": len(data.items),
                "report": dict(data.report),
            }
            text = json.dumps(manifest, indent=1) + "\n"
            (folder / "manifest.json").write_text(text, encoding="utf-8")

    def load(self) -> Histories:
        """Return the histories; the events are a read-only memory map.

        Raises:
            BadInput: There are none, or the folder is not as it was written.
        """
        folder = self.found()
        try:
            found, manifest = _read(folder)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise self.damaged(error) from error
        content = content_of(found.users.to_pylist(), found.items, found.starts, found.cuts)
        release(found.items)
        require_content(found.provenance, content)
        if (manifest["users"], manifest["events"]) != (len(found), len(found.items)):
            raise self.damaged("it holds other numbers of users and events than its manifest says")
        return found

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first users: how many events they have, and the first of them as rows of the
        catalogue.
        """
        folder = self.found()
        table = parquet_head(str(folder / "users.parquet"), nrows)
        starts = np.load(folder / "starts.npy", mmap_mode="r")[: len(table) + 1].tolist()
        items = _mapped(folder / "items.npy", starts[-1])[: starts[-1]].tolist()
        spans = list(pairwise(starts))
        table = table.append_column("events", [[end - begin for begin, end in spans]])
        first = [str(items[begin : min(end, begin + _SHOWN)]) for begin, end in spans]
        return TablePreview(table_preview(table.append_column("rows of the first", [first])))


def _read(folder: Path) -> tuple[Histories, dict[str, Any]]:
    import pyarrow.parquet as pq

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest["format"] != FORMAT:
        raise ValueError(f"its format is {manifest['format']} and not {FORMAT}")
    users = pq.read_table(folder / "users.parquet", memory_map=False).column("user")
    return Histories(
        users.combine_chunks(),
        _mapped(folder / "items.npy", manifest["events"]),
        np.load(folder / "starts.npy"),
        np.load(folder / "cuts.npy"),
        Provenance.from_json(manifest["provenance"]),
        manifest["report"],
    ), manifest


def _mapped(file: Path, events: int) -> np.ndarray:
    """Map the events read-only; an empty file cannot be mapped, and is read."""
    return np.load(file, mmap_mode="r" if events else None)
