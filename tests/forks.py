"""The program in a process of its own: a fork of one that has imported it, which takes a moment."""

from __future__ import annotations

import os

# Many small products: threads would only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
LIMIT = 300
"""Seconds that a process may take."""


def import_program() -> None:
    """Import what every run would import, once; nothing here starts a thread."""
    from kedro.framework.project import configure_project

    configure_project("semantic_ids")
    import kedro_mlflow  # noqa: F401
    import mlflow  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    import semantic_ids.cli

    for module in pkgutil.walk_packages(semantic_ids.__path__, "semantic_ids."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def program(words: list[str]) -> int:
    """Be the program, called from the project's folder."""
    from semantic_ids.__main__ import main

    os.chdir(ROOT)
    main(words)
    return 0


def fork(work: Callable[[], int], output: Path) -> int:
    """Call in a process of its own, what it writes into a file: return its number.

    It ends with what the call returns, or as Python ends where it raises.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.alarm(LIMIT)
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        status = work()
    except SystemExit as leaving:
        code = leaving.code
        status = code if isinstance(code, int) else int(code is not None)
    except BaseException:  # what a user would see as a traceback
        os.write(2, traceback.format_exc().encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def in_a_fork(work: Callable[[], int], output: Path) -> int:
    """Call in a process of its own and wait for it: exit code or − signal."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(work, output), 0)[1])
