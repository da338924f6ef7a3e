"""What a run was made on and with: everything that its figures depend on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]


def machine() -> str:
    """Return processor, cores, memory and system."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"{processor()}, {os.cpu_count()} cores, {pages / 2**30:.0f} GiB, {platform.system()}"
        f" {platform.machine()}"
    )


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """Return the commit that was measured, and whether anything was changed since.

    Empty outside a repository.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    name = git("rev-parse", "--short", "HEAD")
    return f"{name}{changed}" if name else ""


def today() -> str:
    """Return the date, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def peak_bytes() -> float:
    """Return the peak of the memory of this process.

    Linux's `VmHWM` is that of the program that runs now; `ru_maxrss`, taken elsewhere, starts at
    what its parent had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)


@dataclass(frozen=True)
class Surroundings:
    """Of one run.

    Attributes:
        command: What was typed.
        codebook_sizes: Size of each level's codebook.
        seed: Of every fit.
        threads: Of every process.
        quick: Whether it was a trial, whose figures mean nothing.
        held_out: Whether every system was fitted a second time without the held-out items.
        time_limit: Seconds after which a system was stopped.
        missing: Data set → why it was left out.
        machine, python, commit, date: Where, with what and when.
        load: Load of the machine when the run began.
    """

    command: str
    codebook_sizes: Sequence[int]
    seed: int
    threads: int
    quick: bool
    held_out: bool
    time_limit: float
    missing: dict[str, str] = field(default_factory=dict)
    machine: str = field(default_factory=machine)
    python: str = field(default_factory=platform.python_version)
    commit: str = field(default_factory=commit)
    date: str = field(default_factory=today)
    load: float = field(default_factory=lambda: os.getloadavg()[0])
