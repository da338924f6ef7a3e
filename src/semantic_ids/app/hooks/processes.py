"""Which process made a tracked run, and whether it is still alive."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def started(pid: int) -> str:
    """Return a token of the moment that a process began, so that a process id used again is not
    mistaken for the one before.

    Boot id and clock ticks since the boot, as Linux gives them; empty where there is no such
    process, or no `/proc`.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name of the program is in parentheses and may hold anything; the 20th field after it
        # is the start (man 5 proc).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{boot}:{fields[19]}"


def is_alive(pid: int, start: str) -> bool:
    """Return whether the process that had this id and this `started` token still runs on this
    machine.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return started(pid) == start
