"""Reads the configuration of a project wherever the process was started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from semantic_ids.app.resolvers import project_root


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader, for which `${project_root:}` is the project that its files belong to.

    Resolvers are global and keep the first function they were given, so a second session, of
    another project, would find its files in the first one: each reading sets its own.
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Read one kind of configuration, such as `parameters`."""
        root = project_root(Path(self.conf_source))
        OmegaConf.register_new_resolver("project_root", lambda: root, replace=True)
        return super().__getitem__(key)
