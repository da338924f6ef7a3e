"""Which modules come with which extra of this distribution, and what to say where one is missing.

`pip install semantic-ids` brings numpy, onnxruntime and click: enough to encode and decode. What
needs more asks for it here, so that a missing module is one line with the extra that has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from semantic_ids.errors import BadInput

DISTRIBUTION = "semantic-ids"
BASE = ("numpy", "onnxruntime", "click")
"""Modules that are always there."""
EXTRAS: dict[str, tuple[str, ...]] = {
    "parquet": ("pyarrow",),
    "faiss": ("faiss",),
    "gpu": ("faiss",),
    "onnx": ("onnx", "onnxscript"),
    "hf": ("tokenizers", "transformers"),
    "tune": ("optuna", "optuna_dashboard"),
    "jupyter": ("ipykernel", "jupyterlab", "notebook"),
    "pipeline": (
        *("kedro", "kedro_datasets", "kedro_mlflow", "kedro_viz", "mlflow", "omegaconf", "yaml"),
        *("torch", "safetensors", "scipy", "sklearn", "pydantic", "pandas", "pyarrow"),
        *("matplotlib", "fsspec", "optuna", "tqdm"),
    ),
}
"""Extra → modules, those first that bring the least: a module is said to be in the first."""
RUN = tuple(name for name in EXTRAS["pipeline"] if name not in ("kedro_viz", "optuna", "tqdm"))
"""Modules that a run of a pipeline needs."""
FOR = {
    "faiss": " for the CPU",
    "gpu": " for CUDA devices",
}


class MissingExtra(BadInput, ImportError):
    """A module of an extra that is not installed.

    Args:
        module: Name of the module.
        where: What asks for it: a name, an option, a command.
        otherwise: What else the user can do.
    """

    def __init__(self, module: str, where: str | None = None, otherwise: str = "") -> None:
        extras = extras_of(module)
        super().__init__(
            f"'{module}' is not installed",
            where=where,
            expected=f"the extra {' or '.join(map(repr, extras))}" if extras else None,
            do=(install(*extras) if extras else f"pip install {module}") + otherwise,
        )
        self.name = module


def extras_of(module: str) -> tuple[str, ...]:
    """Return the extra that a module comes with; two of FAISS; none of a module that is not ours.

    A module of the base, which is missing after `pip install --no-deps`, is in none either.
    """
    found = [extra for extra, modules in EXTRAS.items() if module in modules]
    return tuple(found if module == "faiss" else found[:1])


def install(*extras: str) -> str:
    """Return the command that installs an extra, or either of two."""
    return ", or ".join(
        f"pip install '{DISTRIBUTION}[{extra}]'{FOR.get(extra, '')}" for extra in extras
    )


def is_installed(module: str) -> bool:
    """Whether a module can be imported; it is not imported."""
    try:
        return find_spec(module) is not None
    except ValueError:  # a module that is blocked, or was put there by hand
        return False


def require(*modules: str, where: str | None = None, otherwise: str = "") -> None:
    """Raise `MissingExtra` with the first of these modules that is not installed; import none."""
    for module in modules:
        if not is_installed(module):
            raise MissingExtra(module, where, otherwise)


def load(module: str, where: str | None = None, otherwise: str = "") -> Any:
    """Import a module, such as `pyarrow.parquet`.

    Args:
        module: Its name.
        where: What asks for it.
        otherwise: What else the user can do, as the end of a sentence.

    Raises:
        MissingExtra: It is not installed.
    """
    with naming(where, otherwise):
        return import_module(module)


@contextmanager
def naming(where: str | None = None, otherwise: str = "") -> Iterator[None]:
    """Name the extra where something within needs a module that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if missing := named(error, where, otherwise):
            raise missing from error
        raise


def named(
    error: BaseException, where: str | None = None, otherwise: str = ""
) -> MissingExtra | None:
    """Return the line for an error of a missing module; None where it is a defect of ours."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    if not extras_of(module) and module not in BASE:
        return None
    return MissingExtra(module, where, otherwise)
