"""The configuration of a run.

Checked as soon as Kedro has read it, and kept for the other hooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import MissingConfigException
from kedro.framework.hooks import hook_impl

from semantic_ids.app.hooks.entries import check_catalog, refuse_only_missing, refuse_versions
from semantic_ids.app.hooks.libraries import (
    require_faiss_if_wanted,
    require_onnx_if_wanted,
    require_rest,
)
from semantic_ids.app.hooks.parameters import check_parameters
from semantic_ids.app.hooks.unread import leave_unread
from semantic_ids.errors import BadInput, nearest
from semantic_ids.masking import remember
from semantic_ids.parameters import RUNTIME_PATHS, Parameters, flatten

if TYPE_CHECKING:
    from kedro.config import AbstractConfigLoader
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline


class ConfigurationHooks:
    """Refuse unknown environments, parameters and paths before anything else happens.

    Attributes:
        context: Kedro's context, the latest that was made.
        parameters: Every parameter, checked and typed.
        paths: `embeddings`, `items` and `data_root` as they were given, runtime parameters before
            globals.
    """

    context: KedroContext
    parameters: Parameters
    paths: dict[str, str]

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the environment, then the paths, then the parameters.

        Raises:
            BadInput: With the first thing found wrong.
        """
        loader = context.config_loader
        require_environment(loader)
        self.paths = _read_paths(loader)
        self.parameters = check_parameters(
            _read(loader, "parameters"), loader.runtime_params or {}, _folders(loader)
        )
        check_catalog(_read(loader, "catalog"))
        self.context = context

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Give nodes that take a single parameter the value that was checked.

        Kedro hands them the one that was written, and of the text `false` Python says true.
        """
        for name, value in flatten(self.parameters.model_dump()):
            dataset = catalog.get(f"params:{name}")
            if dataset is not None and dataset.load() != value:
                dataset.save(value)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Refuse runners that run nodes side by side, and what cannot end well.

        `kedro run` has refused such runners before; this is for Python and notebooks. What no node
        will read is not loaded.
        """
        refuse_parallel(run_params["runner"])
        refuse_versions(run_params.get("load_versions"))
        refuse_only_missing(bool(run_params.get("only_missing_outputs")))
        nodes = {node.name for node in pipeline.nodes}
        require_rest()
        require_faiss_if_wanted(self.parameters, nodes)
        require_onnx_if_wanted(self.parameters, nodes)
        leave_unread(self.parameters, pipeline, catalog)

    @hook_impl
    def before_node_run(self, is_async: bool) -> None:
        """Refuse threads that load and save: here is the first place that Kedro tells of them."""
        refuse_parallel("None", is_async)

    @property
    def environment(self) -> str:
        """Name of the environment that is overlaid on `base`."""
        loader = self.context.config_loader
        return loader.env or loader.default_run_env


def refuse_parallel(runner: str, is_async: bool = False) -> None:
    """Raise `BadInput` unless nodes run one after the other, loading and saving in between.

    Args:
        runner: Name, class path or representation of the runner; `"None"` for Kedro's default.
        is_async: Whether inputs and outputs would be loaded and saved by threads.
    """
    reason = (
        "the stages read each other's files, share the device and the threads of the machine, and"
        " are tracked as one MLflow run"
    )
    if runner != "None" and "SequentialRunner" not in runner:
        raise BadInput(
            f"the runner '{runner}' is refused: {reason}",
            expected="SequentialRunner",
            do="leave --runner out",
        )
    if is_async:
        raise BadInput(
            f"asynchronous loading and saving is refused: {reason}",
            expected="a synchronous run",
            do="leave --async and is_async out",
        )


def require_environment(loader: AbstractConfigLoader) -> None:
    """Raise `BadInput` where `conf/<environment>` does not exist.

    Remote configuration is left to Kedro.
    """
    source = Path(loader.conf_source)
    if "://" in loader.conf_source:
        return
    if source.is_file():
        _require_packed(loader)
        return
    if not source.is_dir():
        raise BadInput(
            f"there is no configuration in {source}",
            do="run inside the project, or name its folder with --conf-source",
        )
    environment = _environment(loader)
    known = sorted(_environments(source), key=lambda name: ("/" in name, name))
    if environment not in known:
        raise _unknown(environment, known, str(source))


def _require_packed(loader: AbstractConfigLoader) -> None:
    environment = _environment(loader)
    if not loader.is_environment(environment):
        raise _unknown(environment, loader.environments(), loader.conf_source)


def _environment(loader: AbstractConfigLoader) -> str:
    return loader.env or loader.default_run_env


def _unknown(environment: str, known: list[str], source: str) -> BadInput:
    written = dict.fromkeys(
        f"{name.partition('/')[0]}/…" if "/" in name else name for name in known
    )
    return BadInput(
        f"unknown environment '{environment}'{nearest(environment, known)}",
        where=source,
        expected=f"one of {', '.join(written)}",
    )


def _environments(source: Path) -> Iterator[str]:
    """Yield the environments: folders, and the folders in those that hold nothing else.

    `ablations/ema`.
    """
    for folder in (
        folder for folder in source.iterdir() if folder.is_dir() and not folder.name.startswith(".")
    ):
        inside = [child for child in folder.iterdir() if not child.name.startswith(".")]
        if inside and all(child.is_dir() for child in inside):
            yield from (f"{folder.name}/{child.name}" for child in inside)
        else:
            yield folder.name


def _folders(loader: AbstractConfigLoader) -> list[Path]:
    """Return the configuration folders of the run, those that win first."""
    source = Path(loader.conf_source)
    return [
        source / name
        for name in dict.fromkeys((loader.env or loader.default_run_env, loader.base_env))
        if (source / name).is_dir()
    ]


def _read(loader: AbstractConfigLoader, key: str) -> dict[str, Any]:
    try:
        return dict(loader[key])
    except MissingConfigException:
        return {}


def _read_paths(loader: AbstractConfigLoader) -> dict[str, str]:
    given = _read(loader, "globals")
    for name in given:
        if name not in RUNTIME_PATHS:
            raise BadInput(
                f"unknown path '{name}'{nearest(name, RUNTIME_PATHS)}",
                where="globals.yml",
                expected=_one_of(RUNTIME_PATHS),
            )
    paths = given | {
        name: value
        for name, value in (loader.runtime_params or {}).items()
        if name in RUNTIME_PATHS
    }
    for name, value in paths.items():
        if not isinstance(value, str) or not value:
            raise BadInput(
                f"'{name}' is {value!r}",
                expected="a path",
                do="write it in quotes",
            )
        remember(value)
    _check_data_root(paths.get("data_root", ""))
    return paths


def _check_data_root(folder: str) -> None:
    """Refuse what would be taken for a name of a folder here.

    A URL, a home folder that no shell has filled in, a pattern.
    """
    for sign, meaning in (
        ("://", "a URL"),
        ("~", "a home folder that the shell has not filled in"),
        ("{", "a pattern"),
        ("}", "a pattern"),
    ):
        if folder.startswith(sign) if sign == "~" else sign in folder:
            raise BadInput(
                f"'data_root' is {folder!r}, which looks like {meaning}",
                expected="a folder on this machine, spelled out",
                do="give an absolute path, or one that starts at the project root",
            )


def _one_of(names: Mapping[str, str]) -> str:
    return f"one of {', '.join(names)}"
