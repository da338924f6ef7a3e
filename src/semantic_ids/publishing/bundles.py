"""A folder of bundles: generations that appear whole, and the pointer to the newest.

A generation is filled under a temporary name, its files are flushed to the disk, and it gets its
name by one rename; then `latest` is replaced, which readers start from. Before the rename the file
`.pending` notes what is about to be published: whoever was killed between the two renames has
published, and the next writer moves the pointer. What else a killed writer left is removed by the
next one. One writer at a time holds the lock, for as long as it writes; who went on from a
generation that is no longer the newest is refused, and nothing is lost.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from semantic_ids.atomic import atomic_file, atomic_folder
from semantic_ids.errors import BadInput
from semantic_ids.publishing.locations import LATEST, NAME, is_generation, latest
from semantic_ids.publishing.manifest import Manifest, read_manifest, write_manifest

LOCK, PENDING = ".lock", ".pending"
_LEFT = re.compile(rf"\.({NAME.pattern}|{LATEST}|{re.escape(PENDING)})\.\d+\.(tmp|old)")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


def newest(folder: Path) -> str | None:
    """Return the name of the newest generation, None where there is none.

    Raises:
        BadInput: `latest` names one that is not there.
    """
    return latest(folder).name if (folder / LATEST).is_file() else None


def generations(folder: Path) -> list[Manifest]:
    """Return the manifests of all whole generations, by number and name."""
    if not folder.is_dir():
        return []
    names = [p.name for p in folder.iterdir() if NAME.fullmatch(p.name) and is_generation(p)]
    return sorted(
        (read_manifest(folder / name) for name in names), key=lambda m: (m.number, m.name)
    )


def named(folder: Path, which: str) -> Path:
    """Return the folder of a generation by `latest`, its name or its number.

    Raises:
        BadInput: There is none, or more than one of that number.
    """
    if which == LATEST:
        return latest(folder)
    there = generations(folder)
    found = [m for m in there if which in (m.name, str(m.number), m.name.partition("-")[0])]
    if len(found) != 1:
        raise BadInput(
            f"{len(found)} generations are called '{which}'",
            where=str(folder),
            expected=f"{LATEST}, or one of {', '.join(m.name for m in there) or 'none'}",
        )
    return found[0].folder


def tidy(folder: Path) -> None:
    """Finish or remove what a killed writer left.

    Raises:
        BadInput: Another process publishes there.
    """
    if folder.is_dir():
        with _held(folder):
            _recover(folder)


def write_generation(
    folder: Path,
    name: str,
    after: str | None,
    about: Mapping[str, Any],
    fill: Callable[[Path], None],
) -> Path:
    """Publish a generation: whole, or not at all.

    Args:
        folder: The folder of bundles, which need not exist.
        name: Name of the new generation.
        after: Name of the newest generation when the work began, None where there was none.
        about: What its manifest says beside format and files.
        fill: Writes all other files into the folder that it is given.

    Raises:
        BadInput: Another generation was published in the meantime, another process publishes, there
            is no space left, or the folder may not be written.
    """
    with _held(folder):
        _recover(folder)
        _require_newest(folder, after)
        try:
            with atomic_folder(folder / name) as temporary:
                fill(temporary)
                write_manifest(temporary, about)
                with atomic_file(folder / PENDING) as file:
                    file.write_text(json.dumps({"name": name, "after": after}), encoding="utf-8")
            _point(folder, name)
        finally:
            (folder / PENDING).unlink(missing_ok=True)
    return folder / name


def _require_newest(folder: Path, after: str | None) -> None:
    found = newest(folder)
    if found != after:
        raise BadInput(
            f"{found} was published while this run worked on what comes after {after or 'nothing'}",
            where=str(folder),
            expected="one writer at a time",
            do="run it again: it goes on from the newest generation, and nothing is lost",
        )


def _point(folder: Path, name: str) -> None:
    with atomic_file(folder / LATEST) as file:
        file.write_text(f"{name}\n", encoding="utf-8")


def _recover(folder: Path) -> None:
    """Finish a publication that has its name and no pointer yet, and remove what else is left."""
    try:
        pending = json.loads((folder / PENDING).read_text(encoding="utf-8"))
        whole = is_generation(folder / pending["name"])
        if whole and newest(folder) == pending["after"]:
            _point(folder, pending["name"])
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):  # BadInput is a ValueError
        pass
    (folder / PENDING).unlink(missing_ok=True)
    for left in folder.iterdir():
        if _LEFT.fullmatch(left.name):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; the system gives it back when the process dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BadInput(
            f"may not be written ({error})", where=str(folder), expected="a folder of bundles"
        ) from error
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInput(
            "another process publishes there",
            where=str(folder),
            expected="one writer at a time",
            do="run it again when that one is done: it goes on from what was published",
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:  # some network file systems have none: renames decide
            raise
