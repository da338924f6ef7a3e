"""FAISS, where it is installed: the one place that imports it.

M. Douze et al., "The Faiss library", arXiv:2401.08281. It comes in packages of several names that
all give the module `faiss` and write over each other's files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from semantic_ids.errors import BadInput
from semantic_ids.extras import extras_of, install, require

PACKAGES = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cuvs")
"""Every package on PyPI that gives the module."""


def require_faiss(where: str) -> None:
    """Make sure that there is one FAISS, without importing it.

    Args:
        where: The option that asks for it.

    Raises:
        BadInput: No FAISS, or two packages of it, of which one has written over the other.
    """
    found = installed()
    if len(found) > 1:
        raise BadInput(
            f"{' and '.join(found)} are both installed, and both give the module 'faiss'",
            where=where,
            expected="one of them",
            do=f"pip uninstall {' '.join(found)}, then {install(*extras_of('faiss'))}",
        )
    require("faiss", where=where)


@cache
def load_faiss(where: str) -> Any:
    """Import FAISS; see `require_faiss`."""
    require_faiss(where)
    import faiss

    return faiss


def installed() -> list[str]:
    """Return the names of the packages of FAISS that are installed."""
    return [name for name in PACKAGES if _is_installed(name)]


@contextmanager
def fixed_threads(faiss: Any, threads: int) -> Iterator[None]:
    """Let FAISS compute with this many threads, whatever the machine has."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
