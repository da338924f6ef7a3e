"""Puts `conf` into the wheel, as `semantic_ids/conf`; all else is in `pyproject.toml`.

What is in `conf/local` is a user's own, and stays out.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONF = Path(__file__).parent / "conf"


class BuildWithConfiguration(build_py):
    """Copies the configuration beside the modules of a wheel."""

    def run(self) -> None:
        """Copy the modules, then the configuration."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "semantic_ids" / "conf"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(CONF, target, ignore=_own)


def _own(folder: str, names: list[str]) -> list[str]:
    if Path(folder) == CONF / "local":
        return [name for name in names if name != ".gitkeep"]
    return [name for name in names if name.startswith(".") and name != ".gitkeep"]


setup(cmdclass={"build_py": BuildWithConfiguration})
