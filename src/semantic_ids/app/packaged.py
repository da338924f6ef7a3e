"""The configuration that a wheel carries, for a run outside every project.

An installation that is edited in place carries none: its configuration is that of its project.
"""

from __future__ import annotations

from pathlib import Path

from kedro.utils import is_kedro_project

PACKAGE = Path(__file__).parents[1]


def packaged_configuration(root: Path) -> Path | None:
    """Return the configuration of the wheel, for a folder that has none of its own.

    Args:
        root: The project's folder, or the working directory where there is no project.

    Returns:
        None in a project, in a folder with `conf/base`, and where no wheel is installed.
    """
    if is_kedro_project(root) or (root / "conf" / "base").is_dir():
        return None
    carried = PACKAGE / "conf"
    return carried if carried.is_dir() else None


def is_packaged(configuration: Path) -> bool:
    """Whether a folder of configuration is that of the wheel, which belongs to no project."""
    return configuration.resolve().is_relative_to(PACKAGE.resolve())
