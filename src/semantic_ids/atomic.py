"""Whole or not at all: files and folders appear under their name only when they are complete.

A file is written beside its target under a temporary name and renamed over it. A folder cannot be
renamed over a folder that is not empty, so the old generation is set aside, the new one takes its
name, and the old one is removed. A process that is killed leaves temporary names behind, never a
half-written artifact; the next write of the same artifact removes them, and `recover` brings back a
generation that was set aside when the process died between the two renames. A link is followed:
what it leads to is replaced.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from semantic_ids.errors import BadInput

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_TEXT = re.compile(r"No space left|os error 28|\d+ requested and \d+ written")
CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Error numbers of a full disk, and of what may not be written."""
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


@contextmanager
def atomic_file(path: str | Path, elsewhere: str = "data_root=DIR") -> Iterator[Path]:
    """Yield a temporary path to write.

    It takes the name `path` when the block ends well, and is removed when it does not.

    Args:
        path: The file that is made or replaced.
        elsewhere: What errors call the option that says where else to write.

    Raises:
        BadInput: No space left, or the folder may not be written.
    """
    path = _followed(path)
    with _clear_errors(path, None, elsewhere):
        temporary = _prepare(path)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            _remove(temporary)
            raise
        _sync(path.parent)


def require_replaceable(folder: Path, is_ours: Callable[[str], bool], ours: str) -> None:
    """Refuse to replace a folder that holds files of somebody else.

    Args:
        folder: What is to be replaced; it need not exist.
        is_ours: Whether a file of this name is written there by us.
        ours: What errors call such a folder.

    Raises:
        BadInput: There is another file.
    """
    other = (
        sorted(p.name for p in folder.iterdir() if not is_ours(p.name)) if folder.is_dir() else []
    )
    if other:
        raise BadInput(
            f"the folder holds other files, such as '{other[0]}'",
            where=str(folder),
            expected=f"a new or empty folder, or {ours}",
            do="give another folder",
        )


@contextmanager
def atomic_folder(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a new, empty folder to fill.

    It takes the place of the folder `path` when the block ends well, and is removed when it does
    not.

    The caller writes the manifest last.

    Args:
        path: The folder that is made or replaced.
        needed: Bytes that will be written, where they are known: too little space is then said
            before anything is written.

    Raises:
        BadInput: No space left, or the folder may not be written.
    """
    path = _followed(path)
    with _clear_errors(path, needed):
        temporary = _prepare(path)
        if needed is not None and needed > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        temporary.mkdir()
        try:
            yield temporary
            for child in sorted(temporary.rglob("*")):
                _sync(child)
            _sync(temporary)
            _swap_in(temporary, path)
        except BaseException:
            _remove(temporary)
            raise
        _sync(path.parent)


def recover(path: str | Path) -> None:
    """Bring back the generation that was set aside when a process died between the two renames of
    `atomic_folder`.
    """
    path = _followed(path)
    if path.exists() or not path.parent.is_dir():
        return
    aside = [left for left in left_behind(path) if left.suffix == ".old"]
    if aside:
        os.rename(max(aside, key=lambda folder: folder.stat().st_mtime_ns), path)


def _followed(path: str | Path) -> Path:
    """Return the target of a link, so that the target is replaced and not the link."""
    path = Path(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _prepare(path: Path) -> Path:
    """Make the parent folder, remove what dead processes left, and return the temporary name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    for left in left_behind(path):
        _remove(left)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _swap_in(temporary: Path, path: Path) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        os.rename(path, aside)
    try:
        os.rename(temporary, path)
    except BaseException:
        recover(path)
        raise
    _remove(aside)


def left_behind(path: Path) -> list[Path]:
    """Return the temporary and set-aside names of `path` whose process is dead, or is this one."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d+)\.(tmp|old)")
    found = ((child, pattern.fullmatch(child.name)) for child in path.parent.iterdir())
    return [child for child, match in found if match and not _another_runs(int(match[1]))]


def _another_runs(pid: int) -> bool:
    if pid == os.getpid():  # in a container the dead process often had the same number
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(handle)


@contextmanager
def _clear_errors(path: Path, needed: int | None, option: str = "data_root=DIR") -> Iterator[None]:
    """Turn a full disk and a closed folder into one clear line."""
    elsewhere = f"or write elsewhere with {option}"
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in FULL or _FULL_TEXT.search(str(error)):
            raise BadInput(
                _space(path, needed),
                where=str(path),
                expected="room for the whole artifact",
                do=f"make room, {elsewhere}",
            ) from error
        if number in CLOSED:
            raise BadInput(
                f"may not be written ({error})",
                where=str(path),
                expected="a folder that can be written",
                do=f"change its rights, {elsewhere}",
            ) from error
        if number in _IN_THE_WAY:
            raise BadInput(
                f"something is in the way ({error})",
                where=str(path),
                expected="no other file or folder of that name",
                do=f"move it, {elsewhere}",
            ) from error
        raise


def _space(path: Path, needed: int | None) -> str:
    parent = next(p for p in path.parents if p.exists())
    free = f"{shutil.disk_usage(parent).free / 1e6:,.1f} MB are free"
    return (
        f"no space left: {needed / 1e6:,.1f} MB are needed, {free}"
        if needed
        else f"no space left: {free}"
    )
