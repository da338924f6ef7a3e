"""A module that is missing is one line with the extra that brings it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from semantic_ids import extras
from semantic_ids.errors import BadInput
from semantic_ids.extras import BASE, EXTRAS, RUN, MissingExtra, extras_of, load, naming, require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def without(modules: str, code: str, *, ok: bool = False) -> subprocess.CompletedProcess:
    """Run Python where these modules cannot be imported."""
    block = f"import sys\nsys.modules.update(dict.fromkeys({modules.split()!r}))\n"
    ran = subprocess.run(
        [sys.executable, "-c", block + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) == ok, ran.stderr
    return ran


@pytest.fixture
def missing(monkeypatch):
    """Let a module be missing."""

    def _missing(module: str) -> None:
        monkeypatch.setitem(sys.modules, module, None)

    return _missing


def named_in(texts: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


def gives(module: str) -> set[str]:
    """Names of the distributions that give a module, as far as they are installed."""
    return {canonicalize_name(name) for name in packages_distributions().get(module, [])}


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_module_is_of_a_requirement_of_its_extra(extra):
    asked = named_in(PROJECT["optional-dependencies"][extra])
    for module in EXTRAS[extra]:
        names = gives(module) or {canonicalize_name(module)}
        assert extra == "gpu" or names & asked, f"{extra} does not ask for {module}"


def test_the_base_is_three_packages():
    assert named_in(PROJECT["dependencies"]) == set(BASE)
    assert set(RUN) < set(EXTRAS["pipeline"])


def imports(file: Path) -> set[str]:
    """Names of the modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_every_module_that_is_imported_has_a_home():
    """It is Python's, ours, the base's, or of an extra; pydantic has one part apart."""
    known = {"semantic_ids", "pydantic_core", *BASE}.union(*EXTRAS.values())
    imported = set().union(*map(imports, (ROOT / "src").rglob("*.py")))
    assert imported - known - sys.stdlib_module_names == set()


def test_a_missing_module_is_said_with_its_extra(missing):
    missing("scipy")
    with pytest.raises(MissingExtra) as raised:
        require("numpy", "scipy", where="here")
    line = "here: 'scipy' is not installed; expected the extra 'pipeline'; pip install"
    assert str(raised.value) == f"{line} 'semantic-ids[pipeline]'."
    assert isinstance(raised.value, BadInput) and isinstance(raised.value, ImportError)
    missing("pyarrow.parquet")
    with pytest.raises(MissingExtra, match=r"\[parquet\]', or wait"):
        load("pyarrow.parquet", otherwise=", or wait")
    assert extras_of("faiss") == ("faiss", "gpu")


def test_what_is_missing_in_the_base_is_named_alone(missing):
    missing("onnxruntime")
    with pytest.raises(MissingExtra, match=r"^'onnxruntime' is not installed; pip install onnx"):
        load("onnxruntime")


def test_another_error_is_left_as_it_is(monkeypatch):
    with pytest.raises(ModuleNotFoundError, match="no_such"), naming("here"):
        load("no_such_module")
    assert extras.named(ImportError("of a defect")) is None
    assert extras.named(ModuleNotFoundError(name="semantic_ids.no_such")) is None


def test_a_public_name_says_which_extra_it_needs():
    code = "from semantic_ids import load_encoder, BadInput\nfrom semantic_ids import RQKMeans"
    ran = without("torch", code)
    assert ran.stderr.splitlines()[-1] == (
        "semantic_ids.extras.MissingExtra: semantic_ids.RQKMeans: 'torch' is not installed;"
        " expected the extra 'pipeline'; pip install 'semantic-ids[pipeline]'."
    )
    code = """
try:
    import semantic_ids
    semantic_ids.RQVAE
except ImportError as error:
    assert error.name == "torch"
"""
    without("torch", code, ok=True)


MAIN = "from semantic_ids.__main__ import main\nmain({words!r})"
KEDRO = "from kedro.framework.cli import main\nsys.argv = ['kedro', 'run']\nmain()"


@pytest.mark.parametrize("words", [[], ["run"], ["--env=test"], ["run", "--help"]])
def test_a_run_says_which_extra_it_needs(words):
    ran = without("kedro mlflow torch", MAIN.format(words=words))
    assert ran.returncode == 1
    assert ran.stderr == (
        "Error: semantic-ids run: 'kedro' is not installed; expected the extra 'pipeline';"
        " pip install 'semantic-ids[pipeline]'.\n"
    )


@pytest.mark.slow
def test_so_does_kedro_where_it_alone_is_installed():
    ran = without("pydantic", KEDRO)
    line = "Error: kedro run: 'pydantic' is not installed; expected the extra 'pipeline'; "
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False), ran.stderr
    assert ran.stderr.splitlines()[-1].startswith(line)  # kedro-mlflow has a line of its own


def test_parquet_says_which_extra_it_needs():
    code = (
        "from semantic_ids.runtime.tables import encode_parquet\n"
        "encode_parquet(None, 'x.parquet', 'y.parquet', id_column='a', vector_column='b')"
    )
    assert without("pyarrow", code).stderr.splitlines()[-1].partition(": ")[2] == (
        "parquet: 'pyarrow' is not installed; expected the extra 'parquet';"
        " pip install 'semantic-ids[parquet]', or give a .npy file."
    )
