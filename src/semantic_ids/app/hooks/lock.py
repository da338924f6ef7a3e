"""One run at a time below a `data_root`: the next is refused at its start, with host and process.

The lock is the system's (`flock`) on a file in the folder, so it ends with the process that holds
it, however that ends. Where a file system has no such locks, what the file says is gone by.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import logging
import os
import sys
from collections.abc import Generator
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from semantic_ids.app.hooks.processes import host, is_alive, started
from semantic_ids.app.hooks.torchrun import is_helper
from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    from kedro.pipeline import Pipeline

    from semantic_ids.app.hooks.configuration import ConfigurationHooks

logger = logging.getLogger(__name__)

NAME = ".run.lock"
INHERITED = "SEMANTIC_IDS_LOCKED"
"""Environment variable that tells the processes a run starts which folder it holds."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EEXIST}


class LockHooks:
    """Hold the lock from before the first hook of a run to after the last.

    A run inside a run of this process, or of one that started it, shares its lock; of the processes
    that torchrun has started the first alone takes it.
    """

    def __init__(self, configuration: ConfigurationHooks) -> None:
        self._configuration = configuration
        self._held: list[FolderLock | None] = []

    @hook_impl(wrapper=True)
    def before_pipeline_run(self, pipeline: Pipeline) -> Generator[None, Any, Any]:
        """Take the lock; give it back where another hook refuses the run."""
        while self._held and not _inside_a_run():
            self._release()  # of a run that was interrupted: Kedro calls no hook for Ctrl-C
        lock = None
        if pipeline.all_outputs() and not is_helper():
            root = Path(self._configuration.context.project_path)
            lock = self._take((root / self._configuration.paths["data_root"]).resolve())
        self._held.append(lock)
        try:
            return (yield)
        except BaseException:
            self._release()
            raise

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Give the lock back."""
        try:
            return (yield)
        finally:
            self._release()

    @hook_impl(wrapper=True)
    def on_pipeline_error(self) -> Generator[None, Any, Any]:
        """Give the lock back."""
        try:
            return (yield)
        finally:
            self._release()

    def _take(self, folder: Path) -> FolderLock | None:
        if os.environ.get(INHERITED) == str(folder):
            return None
        lock = FolderLock(folder)
        lock.take()
        return lock

    def _release(self) -> None:
        lock = self._held.pop() if self._held else None
        if lock is not None:
            lock.release()


def _inside_a_run() -> bool:
    """Whether a node of a run of this thread is what starts this one."""
    from kedro.runner import AbstractRunner

    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not AbstractRunner.run.__code__:
        frame = frame.f_back
    return frame is not None


class FolderLock:
    """The lock of a folder, taken once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / NAME
        self._handle: int | None = None
        self._made: list[Path] = []

    def take(self) -> None:
        """Take it; where the folder cannot be written, leave it to the stages to say so.

        Raises:
            BadInput: Another run holds it.
        """
        try:
            self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            if error.errno not in _CLOSED:
                raise
            self._undo()
            return
        os.environ[INHERITED] = str(self.folder)
        atexit.register(self.release)

    def release(self) -> None:
        """Give it back, and leave nothing behind."""
        if self._handle is None:
            return
        atexit.unregister(self.release)
        os.environ.pop(INHERITED, None)
        self.file.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None
        self._undo()

    def _open(self) -> None:
        while True:
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                said = _read(handle)
                _lock(handle, self.folder, said)
                if _is_file(handle, self.file):  # not one that its holder has just removed
                    _warn_unfinished(said, self.folder)
                    os.truncate(handle, 0)
                    os.pwrite(handle, json.dumps(_this_process()).encode(), 0)
                    self._handle = handle
                    return
            finally:
                if self._handle != handle:
                    os.close(handle)

    def _undo(self) -> None:
        """Remove the folders that were made for the lock, where nothing has come into them."""
        for path in self._made:
            try:
                path.rmdir()
            except OSError:
                return


def _lock(handle: int, folder: Path, said: dict[str, Any]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _refusal(folder, said or _read(handle)) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        if said.get("host") == host() and is_alive(said.get("process", 0), said.get("token", "")):
            raise _refusal(folder, said) from None


def _refusal(folder: Path, said: dict[str, Any]) -> BadInput:
    who = f"process {said['process']} on {said['host']}, since {said['since']}," if said else ""
    return BadInput(
        f"another run ({who.rstrip(',')}) writes there" if who else "another run writes there",
        where=str(folder),
        expected="one run at a time below a data_root",
        do="wait until it ends, or write elsewhere: take data_root=DIR",
    )


def _warn_unfinished(said: dict[str, Any], folder: Path) -> None:
    """Warn of a run of another machine, whose locks may not be seen from here."""
    if said and said["host"] != host():
        logger.warning(
            "%s: a run of process %s on %s, since %s, did not end; if it still runs, stop one",
            folder,
            said["process"],
            said["host"],
            said["since"],
        )


def _this_process() -> dict[str, Any]:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"host": host(), "process": os.getpid(), "since": now, "token": started(os.getpid())}


def _read(handle: int) -> dict[str, Any]:
    """Return what the holder has written; nothing where it has not yet, or not all of it."""
    try:
        said = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    known = isinstance(said, dict) and {"host", "process", "since"} <= said.keys()
    return said if known else {}


def _is_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(file))
    except FileNotFoundError:
        return False
