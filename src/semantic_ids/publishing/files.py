"""The items of a generation on disk.

`semantic_ids.parquet` has those that are published, as the catalog's file of that name, and
`retired.parquet` those that left: `item_id`, `codes`, `retired_in`. After a refit,
`reserved.parquet` has the IDs of vocabularies before, which go to nobody: `item_id`, `codes`.
`delta.parquet` says what is other than in the generation before: `item_id`, `codes`, `change`
(`new`, `revived`, `retired`, and after a refit `moved`). `vector_hashes.npy` and
`vector_since.npy` have a row for each row of `semantic_ids.parquet`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.export.tokens import codes_column
from semantic_ids.hashing import item_hash
from semantic_ids.publishing.append import Appended
from semantic_ids.publishing.mapping import Mapping, read_mapping, write_mapping
from semantic_ids.publishing.state import State

if TYPE_CHECKING:
    import pyarrow as pa

IDS, RETIRED, DELTA = "semantic_ids.parquet", "retired.parquet", "delta.parquet"
RESERVED = "reserved.parquet"
HASHES, SINCE = "vector_hashes.npy", "vector_since.npy"


def write_state(folder: Path, state: State, provenance: Provenance) -> None:
    """Write the items of a generation; the same state gives the same bytes."""
    write_mapping(folder / IDS, state.live, provenance)
    retired_in = np.asarray(state.retired_in, dtype=np.int32)
    _write_rows(folder / RETIRED, state.retired, retired_in=retired_in)
    if state.reserved is not None:
        _write_rows(folder / RESERVED, state.reserved)
    np.save(folder / HASHES, state.vector_hashes, allow_pickle=False)
    np.save(folder / SINCE, state.vector_since, allow_pickle=False)


def read_state(folder: Path) -> State:
    """Read the items of a generation.

    Raises:
        BadInput: A file is missing, damaged, or of another length than the others.
    """
    import pyarrow.parquet as pq

    live = read_mapping(folder / IDS)
    try:
        table = pq.read_table(folder / RETIRED, memory_map=False)
        arrays = [np.load(folder / name, allow_pickle=False) for name in (HASHES, SINCE)]
        retired, reserved = _mapping_of(table, live), None
        if (folder / RESERVED).is_file():
            reserved = _mapping_of(pq.read_table(folder / RESERVED, memory_map=False), live)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise damaged(folder, error) from error
    if any(array.shape != (len(live),) for array in arrays):
        raise damaged(folder, f"{HASHES} or {SINCE} has other rows than {IDS}")
    hashes, since = arrays
    return State(live, hashes, since, retired, table["retired_in"].to_numpy(), reserved)


def write_delta(folder: Path, before: State | None, made: Appended | None, after: State) -> None:
    """Write what is other than in the generation before; in the first, all items are new."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if before is None or made is None:
        _write_rows(folder / DELTA, after.live, change="new")
        return
    found, today = made.comparison, made.today.item_ids
    back, (rows, theirs) = found.revived[0], found.kept
    moved = rows[(made.ids[rows] != before.live.codes[theirs]).any(axis=1)]
    gone = before.live.take(found.missing if made.retired else found.missing[:0])
    parts = [
        *(
            _rows(today.take(pa.array(some)), made.ids[some], change=change)
            for some, change in ((found.new, "new"), (back, "revived"), (moved, "moved"))
        ),
        _rows(gone.item_ids, gone.codes, change="retired"),
    ]
    kinds = [part.schema.field("item_id").type for part in parts]
    ids = pa.large_string() if pa.large_string() in kinds else kinds[0]
    schema = parts[0].schema.set(0, pa.field("item_id", ids))
    pq.write_table(pa.concat_tables([part.cast(schema) for part in parts]), folder / DELTA)


def _write_rows(file: Path, mapping: Mapping, **more: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(_rows(mapping.item_ids, mapping.codes, **more), file, compression="zstd")


def _rows(item_ids: pa.Array, codes: np.ndarray, **more: Any) -> pa.Table:
    import pyarrow as pa

    columns = {
        name: pa.repeat(value, len(codes)) if isinstance(value, str) else pa.array(value)
        for name, value in more.items()
    }
    return pa.table({"item_id": item_ids, "codes": codes_column(codes), **columns})


def _mapping_of(table: pa.Table, live: Mapping) -> Mapping:
    ids = table["item_id"].combine_chunks()
    codes = table["codes"].combine_chunks().flatten().to_numpy()
    codes = codes.reshape(len(table), live.codes.shape[1])
    sizes = (max(s, int(c.max(initial=-1)) + 1) for s, c in zip(live.sizes, codes.T, strict=True))
    return Mapping(ids, item_hash(ids.to_pylist()), codes, tuple(sizes), live.levels)


def damaged(folder: Path, reason: object) -> BadInput:
    """Return the error for a generation that cannot be read."""
    return BadInput(
        f"the generation cannot be read: {reason}",
        where=str(folder),
        expected="the files as they were published",
        do="see what `semantic-ids bundle verify` says of it, and bring back a copy",
    )
