"""A file, a folder, a glob or a URL → the parquet files that it means, and what it leaves out.

Nothing that may be meant is left out in silence: it is read, named in a warning, or refused.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semantic_ids.errors import BadInput, nearest
from semantic_ids.ingestion import tables

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ENDINGS = (".parquet", ".parq", ".pq")
"""What the name of a parquet file ends in, in letters of any size."""
MAGIC = (b"PAR1", b"PARE")
"""What a parquet file begins with; the second where its footer is encrypted."""
_LOOKED_INTO = 2000
"""At most so many folders are looked into for files that are left out."""


@dataclass
class Location:
    """One place that a user named, in one file system.

    Attributes:
        system: The file system.
        path: The place, as the file system writes it.
        given: The place, as the user wrote it.
        favourite: In a folder with an entry of this name, only that one counts.
        parameter: The runtime parameter that names the place; it is named in errors.
        left_out: Sentences about files that are there and not read; filled by `files`.
    """

    system: AbstractFileSystem
    path: str
    given: str
    favourite: str
    parameter: str
    left_out: list[str] = field(default_factory=list)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return "file" in tables.protocols(self.system)

    def files(self) -> list[str]:
        """Return the files that are meant, by name.

        Raises:
            BadInput: There are none, or it cannot be told which.
        """
        if self.system.isfile(self.path):
            found = [self.path]
            if self.is_local:
                self.left_out += tables.warnings(self.system, self.path)
        elif self.system.isdir(self.path):
            found = self._folder(self.path, self.favourite) or self._nothing_in_folder()
            found = tables.current(self.system, found)
        elif glob.has_magic(self.path):
            found = tables.current(self.system, self._glob() or self._nothing_matches())
        else:
            raise self._missing()
        return [self._readable(file) for file in dict.fromkeys(found)]

    def _entries(self, folder: str) -> dict[str, tuple[str, bool]]:
        """Return name → path, and whether it is a folder, of what is in a folder, by name."""
        listed = self.system.ls(folder, detail=True)
        return self._kinds({info["name"].rstrip("/"): info for info in listed}, folder)

    def _kinds(
        self, infos: dict[str, dict[str, Any]], folder: str = ""
    ) -> dict[str, tuple[str, bool]]:
        """Return name → path and whether it is a folder; links are followed."""
        return {
            _name(path) if folder else path: (
                path,
                self.system.isdir(path) if info["type"] == "other" else info["type"] != "file",
            )
            for path, info in sorted(infos.items())
            if path.rstrip("/") != folder.rstrip("/")
        }

    def _folder(self, path: str, favourite: str = "") -> list[str]:
        """Return the files of a folder, and of folders in it that are parts of one table."""
        entries = self._entries(path)
        if favourite and favourite in entries:
            chosen, is_folder = entries[favourite]
            return self._folder(chosen) if is_folder else [chosen]
        files = tables.files_of(self.system, path, {name: p for name, (p, _) in entries.items()})
        if files is not None:
            return files
        shown = {name: entry for name, entry in entries.items() if not is_hidden(name)}
        folders = {name: p for name, (p, is_folder) in shown.items() if is_folder}
        rest = {name: p for name, (p, is_folder) in shown.items() if not is_folder}
        files = [p for name, p in rest.items() if is_parquet(name) and not self._is_pipe(p)]
        parts = {} if files else {n: p for n, p in folders.items() if _is_part(n)}
        files += [file for p in parts.values() for file in self._folder(p)]
        if files:
            self._say_other_files(path, [p for n, p in rest.items() if not is_parquet(n)])
            self._say_folders(path, [p for n, p in folders.items() if n not in parts])
        if "_temporary" in entries:
            self.left_out.append(
                f"{path} has a folder _temporary: the job that writes here has not ended, or failed"
            )
        return files

    def _glob(self) -> list[str]:
        """Return the files that a glob matches, and those in the folders that it matches."""
        found = self._kinds(self.system.glob(self.path, detail=True))
        asked = {p: is_folder for p, (_, is_folder) in found.items() if self._is_asked_for(p)}
        files = [p for p, is_folder in asked.items() if not is_folder and not self._is_pipe(p)]
        folders = [p for p, is_folder in asked.items() if is_folder and "**" not in self.path]
        parts = [p for p in folders if not files or _is_part(_name(p))]
        files += [file for p in parts for file in self._folder(p)]
        if files:
            self._say_other_endings(set(files))
            self._say_folders(self.path.rpartition("/")[0], [p for p in folders if p not in parts])
        return sorted(set(files))

    def _is_pipe(self, path: str) -> bool:
        """Whether it is something that opening would wait for."""
        return self.is_local and not Path(path).is_file() and not self._is_broken_link(path)

    def _is_asked_for(self, match: str) -> bool:
        """Whether a match has no hidden name, or the glob asks for such names."""
        fixed = self.path[: min(self.path.find(c) for c in "*?[" if c in self.path)]
        begin = fixed.rfind("/") + 1
        asked = [part[:1] for part in self.path[begin:].split("/")]
        return any(first in "._" for first in asked if first) or not any(
            is_hidden(part) for part in match[begin:].split("/") if part
        )

    def _say_other_files(self, folder: str, others: Iterable[str]) -> None:
        """Name files that are parquet by what they begin with, though not by their name."""
        if found := [p for p in others if self._begins_as_parquet(p)]:
            self.left_out.append(
                f"{_count(found)} in {folder} that begin as parquet files do are not read, because"
                f" their names do not end in {' or '.join(ENDINGS)}: {_some(found)}"
            )

    def _say_folders(self, folder: str, folders: Iterable[str]) -> None:
        if found := [file for p in folders for file in self._below(p)]:
            self.left_out.append(
                f"{_count(found)} in folders of {folder} are not read: {_some(found)}; to read"
                f" those too, give {self.given.rstrip('/')}/**/*.parquet"
            )

    def _say_other_endings(self, files: set[str]) -> None:
        if found := [p for p in self._with_other_endings() if p not in files]:
            self.left_out.append(
                f"{_count(found)} beside those that {self.given} matches are not read:"
                f" {_some(found)}"
            )

    def _with_other_endings(self) -> list[str]:
        """Return the files that the glob would match if it ended in another of `ENDINGS`."""
        stem, dot, ending = self.path.rpartition(".")
        if not is_parquet(f"{dot}{ending}") or "/" in ending:
            return []
        return [
            p
            for p in sorted(self.system.glob(f"{stem}.*"))
            if is_parquet(p) and self._is_asked_for(p) and self.system.isfile(p)
        ]

    def _below(self, folder: str) -> Iterator[str]:
        """Yield the parquet files at any depth below a folder, hidden ones left out."""
        waiting, seen = [folder], {self._real(folder)}
        while waiting and len(seen) < _LOOKED_INTO:
            here = waiting.pop()
            for name, (entry, is_folder) in self._entries(here).items():
                if is_hidden(name):
                    continue
                if is_parquet(name) and not is_folder:
                    yield entry
                elif is_folder and self._real(entry) not in seen:
                    seen.add(self._real(entry))
                    waiting.append(entry)

    def _real(self, path: str) -> str:
        return os.path.realpath(path) if self.is_local else path

    def _begins_as_parquet(self, path: str) -> bool:
        if not self.is_local or not Path(path).is_file():  # opening a pipe would wait for ever
            return False
        try:
            with Path(path).open("rb") as file:
                return file.read(4) in MAGIC
        except OSError:
            return False

    def _is_broken_link(self, path: str) -> bool:
        return self.is_local and os.path.islink(path) and not os.path.exists(path)

    def _readable(self, file: str) -> str:
        """Return a file that can be opened, and named in a message."""
        if not self.is_local:
            return file
        if self._is_broken_link(file):
            raise BadInput(
                f"a link to {os.readlink(file)}, which is not there",
                where=file,
                do="mend or remove the link",
            )
        try:
            file.encode()
        except UnicodeEncodeError:
            raise BadInput(
                "the name of a file is no text",
                where=os.fsencode(file).decode(errors="backslashreplace"),
                expected="names in UTF-8",
                do="rename it",
            ) from None
        return file

    def _nothing_in_folder(self) -> list[str]:
        folder, below = self.given.rstrip("/"), list(self._below(self.path))
        entries = self.system.ls(self.path, detail=False)
        others = [p for p in sorted(entries) if not is_hidden(_name(p))]
        if below:
            tables.current(self.system, below)  # refuses tables of other formats
            found = f"there is no parquet file in this folder, but {_count(below)} in folders in it"
            do = f"give {self.parameter}={folder}/**/*{_ending_of(below)}"
        elif named := [p for p in others if self._begins_as_parquet(p)]:
            found = (
                f"no file in this folder ends in {' or '.join(ENDINGS)}, but {_count(named)} begin"
                f" as parquet files do: {_some(named)}"
            )
            do = f"rename them, or give {self.parameter}={folder}/*"
        else:
            kinds = tables.other_formats(_name(p) for p in entries)
            found = f"there is no parquet file in this folder{kinds}"
            do = self._elsewhere
        raise BadInput(found, where=self.given, expected="*.parquet", do=do)

    def _nothing_matches(self) -> list[str]:
        others = self._with_other_endings()
        raise BadInput(
            "no file matches" + (f", but there are {_some(others)}" if others else ""),
            where=self.given,
            do=self._elsewhere,
        )

    @property
    def _elsewhere(self) -> str:
        return f"give a parquet file, a folder, a glob or a URL with {self.parameter}=PATH"

    def _missing(self) -> BadInput:
        found, path = "there is no such file", Path(self.path)
        if self.is_local and self._is_broken_link(self.path):
            found = f"a link to {os.readlink(self.path)}, which is not there"
        elif self.is_local and path.exists():
            found = "a pipe or a device, which can be read only once"
        elif self.is_local and path.parent.is_dir():
            found += nearest(path.name, [child.name for child in path.parent.iterdir()])
        return BadInput(found, where=self.given, do=self._elsewhere)


def is_parquet(name: str) -> bool:
    """Whether a name ends as those of parquet files do."""
    return name.lower().endswith(ENDINGS)


def is_hidden(name: str) -> bool:
    """Whether a name is one that Spark, Hive and others pass over; a partition is none."""
    return name.startswith((".", "_")) and "=" not in name


def _is_part(name: str) -> bool:
    """Whether a folder of this name is a part of a table: a partition, or what Spark writes."""
    return "=" in name or is_parquet(name)


def _name(path: str) -> str:
    return str(path).rstrip("/").rsplit("/", 1)[-1]


def _ending_of(files: list[str]) -> str:
    """Return the ending of the first file, as it is written."""
    return "." + files[0].rpartition(".")[2]


def _count(files: list[str]) -> str:
    return f"{len(files):,} file{'s' if len(files) != 1 else ''}"


def _some(files: list[str]) -> str:
    more = f" and {len(files) - 3:,} more" if len(files) > 3 else ""
    return ", ".join(f"'{_name(file)}'" for file in files[:3]) + more
