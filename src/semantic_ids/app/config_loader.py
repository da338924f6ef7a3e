"""Reads the configuration of a project wherever the process was started."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from semantic_ids.app.resolvers import project_root
from semantic_ids.errors import BadInput


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

    def is_environment(self, name: str) -> bool:
        """Whether the configuration, also a packed one, has a folder for an environment."""
        return bool(self._fs.isdir(self._get_conf_env_path(name)))

    def environments(self) -> list[str]:
        """Return the environments of a packed configuration; those in folders are left out."""
        top = Path(self._get_conf_env_path(self.base_env)).parent.as_posix()
        folders = [found["name"] for found in self._fs.ls(top) if found["type"] == "directory"]
        return sorted(Path(folder).name for folder in folders)

    def _read_dir_configs(self, conf_path: str, *arguments: Any, **options: Any) -> Any:
        """Read the files of a folder, whose own name is no pattern, as UTF-8."""
        plain = self._fs
        try:
            if glob.has_magic(conf_path) and self._protocol == "file":
                self._fs = _LiteralFolder(plain, Path(conf_path).as_posix())
            return super()._read_dir_configs(conf_path, *arguments, **options)
        except UnicodeDecodeError as error:
            raise BadInput(
                f"byte {error.object[error.start]:#04x} is not UTF-8",
                where=_not_utf8(Path(conf_path)),
                expected="a configuration file in UTF-8",
                do="save it again in this encoding",
            ) from error
        finally:
            self._fs = plain


class _LiteralFolder:
    """A file system that takes `[ ]` in the name of a folder for what they are."""

    def __init__(self, system: Any, folder: str) -> None:
        self._system, self._folder = system, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def glob(self, pattern: str) -> Any:
        """Find the files that match what follows the folder."""
        return self._system.glob(glob.escape(self._folder) + pattern.removeprefix(self._folder))


def _not_utf8(folder: Path) -> str:
    """Return the first configuration file that is not UTF-8."""
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".yml", ".yaml", ".json") and file.is_file():
            try:
                file.read_bytes().decode("utf-8")
            except UnicodeDecodeError:
                return str(file)
    return str(folder)
