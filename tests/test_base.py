"""The base alone (numpy, onnxruntime, click) encodes, decodes and looks up."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids import RQKMeans, load_tokenizer
from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.datasets import FaissIndexDataset
from semantic_ids.export.faiss_index import faiss_index
from semantic_ids.extras import BASE, EXTRAS
from tests.conftest import clustered

ROOT = Path(__file__).parents[1]
HOME = ROOT / "src/semantic_ids"
(CONTRACT,) = (
    contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    if contract["name"].startswith("The base")
)
BLOCKED = sorted(set().union(*EXTRAS.values()))
BLOCK = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
NEW = "import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"


def python(code: str) -> list[str]:
    """Run code in a Python of its own; return the words that it prints."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def modules_of(name: str) -> list[str]:
    """A module, or all modules of a package."""
    folder = ROOT / "src" / name.replace(".", "/")
    if not folder.is_dir():
        return [name]
    return [f"{name}.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"]


def test_every_module_of_the_base_is_imported_without_any_extra():
    names = [module for name in CONTRACT["source_modules"] for module in modules_of(name)]
    code = BLOCK.format(blocked=BLOCKED) + NEW.format(
        code="\n".join(f"import {name}" for name in names)
    )
    imported = {name.partition(".")[0] for name in python(code)} - sys.stdlib_module_names
    assert set(BASE) - {"onnxruntime"} <= imported
    assert "onnxruntime" not in imported, "it takes a third of a second, and not all need it"


def test_the_contract_forbids_what_takes_an_extra():
    optional = {"pyarrow", "tqdm"}  # inside functions that can do without, or say what they need
    whole = set().union(*EXTRAS.values()) - optional
    assert set(CONTRACT["forbidden_modules"]) == whole


def test_the_package_itself_imports_nothing_but_python():
    """Fourteen milliseconds; numpy alone takes a tenth of a second."""
    imported = python(NEW.format(code="import semantic_ids"))
    assert {name.partition(".")[0] for name in imported} <= {
        "semantic_ids",
        *sys.stdlib_module_names,
    }
    assert {name for name in imported if name.startswith("semantic_ids")} == {"semantic_ids"}
    assert len(imported) < 60


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a tokenizer with graphs and x.npy; codes and vectors as torch gives them."""
    folder = tmp_path_factory.mktemp("base")
    x = clustered(3000, 12)
    few = {"iterations": 2, "anneal_rounds": 2, "refine_rounds": 1, "unique_rounds": 0}
    tokenizer = RQKMeans((16, 20, 24), device="cpu", **few).fit(x)
    tokenizer.save(folder / "tokenizer", onnx=True)
    np.save(folder / "x.npy", x)
    codes = tokenizer.encode(x)
    return folder, codes, tokenizer.decode(codes)


def command(folder: Path, *words: object, extra: str | None = None) -> str:
    """Run `semantic-ids` where no module of an extra can be imported, or those of one alone."""
    blocked = sorted(set(BLOCKED) - set(EXTRAS.get(extra or "", ())))
    code = (
        BLOCK.format(blocked=blocked)
        + f"from semantic_ids.__main__ import main\nmain({[*map(str, words)]!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_base_gives_the_codes_of_torch(fitted):
    folder, codes, decoded = fitted
    command(folder, "encode", "-i", "x.npy", "-c", "tokenizer")
    assert np.array_equal(np.load(folder / "x_codes.npy"), codes)
    command(folder, "decode", "-i", "x_codes.npy", "-c", "tokenizer")
    np.testing.assert_allclose(np.load(folder / "x_codes_vectors.npy"), decoded, atol=1e-6)
    assert json.loads(command(folder, "info", "tokenizer"))["codebook_sizes"] == [16, 20, 24]
    lines = "".join(f"{json.dumps(row)}\n" for row in np.load(folder / "x.npy")[:5].tolist())
    (folder / "x.jsonl").write_text(lines)
    command(folder, "encode", "-i", "x.jsonl", "-c", "tokenizer")
    made = (folder / "x_codes.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in made] == codes[:5].tolist()


def test_parquet_takes_its_extra_alone(fitted):
    folder, codes, _ = fitted
    x = np.load(folder / "x.npy")
    table = pa.table({"ItemID": [f"item {i}" for i in range(len(x))], "embedding": x.tolist()})
    pq.write_table(table, folder / "items.parquet")
    command(folder, "encode", "-i", "items.parquet", "-c", "tokenizer", extra="parquet")
    made = pq.read_table(folder / "items_codes.parquet")
    assert made["codes"].to_pylist() == codes.tolist()
    assert made["item_id"].to_pylist() == table["ItemID"].to_pylist()


def test_search_takes_faiss_alone_where_ids_are_whole_numbers(fitted):
    folder, codes, _ = fitted
    tokenizer = load_tokenizer(folder / "tokenizer")
    ids = Codes(
        pa.array(range(100, 100 + len(codes))),
        codes,
        (16, 20, 24),
        3,
        Provenance("semantic_ids"),
    )
    index = faiss_index(ids, tokenizer, Provenance("faiss_index"))
    FaissIndexDataset(filepath=str(folder / "semantic_ids.faiss")).save(index)
    np.save(folder / "q.npy", tokenizer.decode(codes[:3]))
    found = command(folder, "search", "-c", ".", "-q", "q.npy", "-k", 1, extra="faiss")
    nearest = [json.loads(line)["item_ids"][0] - 100 for line in found.splitlines()]
    assert np.array_equal(codes[nearest], codes[:3])
