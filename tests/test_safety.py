"""Nothing that is read may run code: no pickle, no eval, no shell, anywhere."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
NAMES = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "os.system", "os.popen", "torch.load", "torch.save", "yaml.load", "yaml.unsafe_load",
    "yaml.full_load", "subprocess.getoutput", "subprocess.getstatusoutput", "pd.read_pickle",
    "pandas.read_pickle", "numpy.ndarray.dump",
}  # fmt: skip
TRUE = {"allow_pickle", "shell"}
"""Arguments that may not be true."""

FILES = sorted(
    file.relative_to(ROOT).as_posix()
    for folder in ("src", "benchmarks", "scripts")
    for file in (ROOT / folder).rglob("*.py")
)
NOTEBOOKS = sorted(
    file.relative_to(ROOT).as_posix() for file in (ROOT / "notebooks").rglob("*.ipynb")
)


def unsafe(source: str) -> list[str]:
    """Name what could run code that was read: the line and the words."""
    return [f"line {line}: {what}" for line, what in _found(ast.parse(source))]


def _found(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if _top(a.name) in MODULES)
        elif isinstance(node, ast.ImportFrom) and _top(node.module or "") in MODULES:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _of_call(node))


def _of_call(call: ast.Call) -> Iterator[str]:
    called = ast.unparse(call.func)
    if called in NAMES | CALLS:
        yield called
    for given in call.keywords:
        if given.arg in TRUE and not (
            isinstance(given.value, ast.Constant) and not given.value.value
        ):
            yield f"{called}({given.arg}=…)"


def _top(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("file", FILES)
def test_no_file_runs_what_it_reads(file):
    assert unsafe((ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", NOTEBOOKS)
def test_no_notebook_does(file):
    cells = json.loads((ROOT / file).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [line for text in code for line in text.splitlines() if line.lstrip()[:1] not in "%!"]
    assert unsafe("\n".join(lines)) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import pickle", "pickle"),
        ("from joblib import load", "joblib"),
        ("import cloudpickle.fast as c", "cloudpickle.fast"),
        ("x = eval('1')", "eval"),
        ("torch.load(file, weights_only=True)", "torch.load"),
        ("np.load(file, allow_pickle=flag)", "np.load(allow_pickle=…)"),
        ("subprocess.run(words, shell=True)", "subprocess.run(shell=…)"),
    ],
)
def test_the_search_finds_each_of_them(source, what):
    assert unsafe(source) == [f"line 1: {what}"]


def test_what_only_looks_like_it_is_let_through():
    text = "model.eval()\nnp.save(file, x, allow_pickle=False)\nre.compile('x')\n"
    assert unsafe(text) == []
    assert len(FILES) > 100 and NOTEBOOKS
