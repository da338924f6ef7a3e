"""Delta tables: which of the files in the folder count, as its log says.

Overwritten and deleted rows stay in the folder until a vacuum, so that its files alone are another
table. The log is read as the protocol describes it
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md): the last checkpoint, and the commits
after it. What changes the meaning of the files themselves (deletion vectors, mapped column names)
is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LOG = "_delta_log"
HARMLESS = {
    "appendOnly",
    "changeDataFeed",
    "checkConstraints",
    "columnMapping",
    "deletionVectors",
    "generatedColumns",
    "identityColumns",
    "inCommitTimestamp",
    "invariants",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
    "variantType",
}
"""Features of a table that leave its files as they are, or whose use is looked for below."""
_COMMIT = re.compile(r"(\d{20})\.json$")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.\d{10}\.(\d{10}))?\.parquet$")
_V2_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.[0-9a-f-]{36}\.(?:json|parquet)$")


def active_files(system: AbstractFileSystem, table: str) -> list[str]:
    """Return the files that a Delta table consists of, by name.

    Args:
        system: The file system.
        table: The folder that has the log.

    Raises:
        BadInput: The log is not whole, or the files do not mean what they say.
    """
    active: set[tuple[str, str]] = set()
    for action in _actions(system, table):
        if file := action.get("remove"):
            active.discard(_key(file))
        elif file := action.get("add"):
            active.add(_key(file))
        elif protocol := action.get("protocol"):
            unknown = set(protocol.get("readerFeatures") or ()) - HARMLESS
            if unknown:
                raise _refused(f"it has the feature {', '.join(sorted(unknown))}", table)
        elif metadata := action.get("metaData"):
            mode = dict(metadata.get("configuration") or {}).get("delta.columnMapping.mode")
            if mode not in (None, "none"):
                raise _refused(f"its columns are renamed (column mapping '{mode}')", table)
    if not active:
        raise _refused("it has no rows", table)
    if any(vector for _, vector in active):
        raise _refused("rows are deleted by deletion vectors", table)
    return sorted(_located(system, table, path) for path, _ in active)


def _key(file: dict[str, Any]) -> tuple[str, str]:
    """Return what the log knows a file by: its path, and its deletion vector where it has one."""
    vector = file.get("deletionVector") or {}
    known = ("storageType", "pathOrInlineDv", "offset")
    return file["path"], "".join(str(vector.get(name)) for name in known) if vector else ""


def _actions(system: AbstractFileSystem, table: str) -> Iterator[dict[str, Any]]:
    """Yield what the last checkpoint holds, and then every later commit."""
    names = [
        str(path).rstrip("/").rsplit("/", 1)[-1]
        for path in system.ls(f"{table}/{LOG}", detail=False)
    ]
    version, checkpoint = _last_checkpoint(names)
    if any((m := _V2_CHECKPOINT.match(name)) and int(m[1]) >= version for name in names):
        raise _refused("its checkpoint is of version 2", table)
    commits = sorted(int(m[1]) for name in names if (m := _COMMIT.match(name)))
    later = [commit for commit in commits if commit > version]
    if (version < 0 and not later) or later != list(range(version + 1, version + 1 + len(later))):
        raise _refused("its log is not whole: commits are missing", table)
    for name in checkpoint:
        yield from _checkpoint(system, f"{table}/{LOG}/{name}")
    for commit in later:
        text = system.cat_file(f"{table}/{LOG}/{commit:020d}.json").decode()
        yield from (json.loads(line) for line in text.splitlines() if line.strip())


def _last_checkpoint(names: Iterable[str]) -> tuple[int, list[str]]:
    """Return the version of the last whole checkpoint and its files; −1 where there is none."""
    parts: dict[tuple[int, int], list[str]] = {}
    for name in names:
        if m := _CHECKPOINT.match(name):
            parts.setdefault((int(m[1]), int(m[2] or 1)), []).append(name)
    whole = [key for key, found in parts.items() if len(found) == key[1]]
    return (max(whole)[0], sorted(parts[max(whole)])) if whole else (-1, [])


def _checkpoint(system: AbstractFileSystem, path: str) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with system.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        known = [name for name in ("protocol", "metaData", "add") if name in _roots(parquet)]
        for batch in parquet.iter_batches(batch_size=4096, columns=known):
            yield from batch.to_pylist()


def _roots(parquet: Any) -> list[str]:
    return list(parquet.schema_arrow.names)


def _located(system: AbstractFileSystem, table: str, path: str) -> str:
    """Return a path of the log, relative to the table or absolute, as the file system knows it."""
    path = unquote(path)
    if "://" in path or path.startswith("/"):
        return str(system._strip_protocol(path))
    return f"{table.rstrip('/')}/{path}"


def _refused(found: str, table: str) -> BadInput:
    return BadInput(
        f"a Delta table that cannot be read as it is: {found}",
        where=table,
        do="write it out first, such as with deltalake: DeltaTable(PATH).to_pandas().to_parquet(…)",
    )
