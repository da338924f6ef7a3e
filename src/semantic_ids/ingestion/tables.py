"""Folders that are tables of another format, in which not every parquet file counts.

A Delta table is read by its log. Iceberg, Hudi and Lance are refused with what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import delta

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

EXPORTS = {
    "Iceberg": "pyarrow.parquet.write_table(table.scan().to_arrow(), 'items.parquet')",
    "Hudi": "spark.read.format('hudi').load(PATH).write.parquet('items')",
    "Lance": "pyarrow.parquet.write_table(lance.dataset(PATH).to_table(), 'items.parquet')",
}
"""How the rows that count are written as plain parquet."""


def files_of(
    system: AbstractFileSystem, folder: str, entries: Mapping[str, str]
) -> list[str] | None:
    """Return the files that count in a folder that is a table; None where it is a plain folder.

    Args:
        system: The file system.
        folder: The folder.
        entries: Name → path of what is in it.

    Raises:
        BadInput: It is a table that cannot be read.
    """
    kind = _kind(system, entries)
    if kind == "Delta":
        return delta.active_files(system, folder)
    if kind:
        raise _refused(kind, folder)
    return None


def current(system: AbstractFileSystem, files: list[str]) -> list[str]:
    """Return those of some files that count, where they lie in tables.

    Raises:
        BadInput: They lie in a table that cannot be read.
    """
    tables: dict[str, set[str]] = {}
    for folder, kind in _tables_above(system, files).items():
        if kind != "Delta":
            raise _refused(kind, folder)
        tables[folder] = set(delta.active_files(system, folder))
    found = [file for file in files if _counts(file, tables)]
    if not found:
        raise BadInput(
            "these files were overwritten or deleted, as the log of their Delta table says",
            where=", ".join(tables),
            do="give the folder of the table",
        )
    return found


def _counts(file: str, tables: Mapping[str, set[str]]) -> bool:
    """Whether a file is among those that count, in every table that it lies in."""
    return all(file in active for folder, active in tables.items() if file.startswith(f"{folder}/"))


def warnings(system: AbstractFileSystem, file: str) -> list[str]:
    """Return a sentence where one named file lies in a table, of which it may not be a part."""
    return [
        f"{file} lies in the {kind} table {folder}: whether its rows still count is not checked"
        for folder, kind in _tables_above(system, [file]).items()
    ]


def other_formats(names: Iterable[str]) -> str:
    """Say what a folder without parquet files holds instead, or nothing."""
    names = list(names)
    if any(name.endswith(".arrow") for name in names):
        return (
            " but Arrow files, as datasets.save_to_disk writes them (convert them with"
            " datasets.load_from_disk(PATH).to_parquet('items.parquet'))"
        )
    for ending in (".csv", ".npy", ".jsonl", ".json", ".feather", ".avro", ".orc"):
        if any(name.lower().endswith(ending) for name in names):
            return f" but files that end in {ending}"
    return ""


def _kind(system: AbstractFileSystem, entries: Mapping[str, str]) -> str:
    """Name the format of the table that a folder is, or return an empty string."""
    if delta.LOG in entries:
        return "Delta"
    if ".hoodie" in entries:
        return "Hudi"
    if "_versions" in entries and "data" in entries:
        return "Lance"
    if "metadata" in entries:
        inside = _names(system, entries["metadata"])
        if any(name.endswith(".metadata.json") for name in inside):
            return "Iceberg"
    return ""


def _tables_above(system: AbstractFileSystem, files: list[str]) -> dict[str, str]:
    """Return folder → format of the tables that some files lie in."""
    if "http" in protocols(system):  # it has no folders to look into
        return {}
    above = {file.rpartition("/")[0] for file in files}
    found: dict[str, str] = {}
    seen: set[str] = set()
    for start in sorted(above):
        folder = start
        while folder and folder not in seen:
            seen.add(folder)
            name = folder.rpartition("/")[2]
            if "=" not in name:
                entries = {n: f"{folder}/{n}" for n in _names(system, folder, markers=True)}
                if kind := _kind(system, entries):
                    found[folder] = kind
            folder = folder.rpartition("/")[0]
    return found


def protocols(system: AbstractFileSystem) -> tuple[str, ...]:
    """Return what the addresses of a file system begin with."""
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


def _names(system: AbstractFileSystem, folder: str, *, markers: bool = False) -> list[str]:
    """Return the names in a folder, or only those that mark a table; none where it is closed."""
    try:
        if markers:
            marks = (delta.LOG, ".hoodie", "_versions", "data", "metadata")
            return [name for name in marks if system.isdir(f"{folder}/{name}")]
        listed = system.ls(folder, detail=False)
        return [str(path).rstrip("/").rsplit("/", 1)[-1] for path in listed]
    except Exception:  # file systems behind URLs raise whatever they like
        return []


def _refused(kind: str, folder: str) -> BadInput:
    return BadInput(
        f"a table of the format {kind}, whose folder also keeps rows that were overwritten or"
        " deleted",
        where=folder,
        expected="plain parquet files, or a Delta table",
        do=f"write its rows out first: {EXPORTS[kind]}",
    )
