"""One FAISS, none, or too many."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import faiss
import pytest

from semantic_ids import extras
from semantic_ids.compute import faiss_library
from semantic_ids.compute.faiss_library import fixed_threads, installed, load_faiss, require_faiss
from semantic_ids.errors import BadInput


def pretend(monkeypatch, *names: str, module: bool = True) -> None:
    """Pretend that these packages are installed."""

    def version(name: str) -> str:
        if name not in names:
            raise PackageNotFoundError(name)
        return "1.15.1"

    monkeypatch.setattr(faiss_library, "version", version)
    monkeypatch.setattr(extras, "find_spec", lambda name: object() if module else None)


def test_the_package_of_this_machine_is_found():
    assert len(installed()) == 1 and load_faiss("export.faiss") is faiss


@pytest.mark.parametrize("names", [["faiss-cpu"], ["faiss-gpu"], []])
def test_one_package_or_a_module_from_elsewhere_will_do(monkeypatch, names):
    pretend(monkeypatch, *names)
    require_faiss("export.faiss")


def test_none_is_said_with_how_to_install_it(monkeypatch):
    pretend(monkeypatch, module=False)
    with pytest.raises(BadInput) as raised:
        require_faiss("tokenizer.rq_kmeans.engine")
    text = str(raised.value)
    assert text.startswith("tokenizer.rq_kmeans.engine: 'faiss' is not installed")
    assert "semantic-ids[faiss]" in text and "semantic-ids[gpu]" in text and "\n" not in text


def test_two_are_said(monkeypatch):
    pretend(monkeypatch, "faiss-cpu", "faiss-gpu")
    with pytest.raises(BadInput, match="faiss-cpu and faiss-gpu are both installed"):
        require_faiss("export.faiss")


def test_a_blocked_module_counts_as_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(BadInput, match="not installed"):
        require_faiss("export.faiss")


def test_threads_are_fixed_and_put_back():
    before = faiss.omp_get_max_threads()
    with pytest.raises(KeyError), fixed_threads(faiss, before + 3):
        assert faiss.omp_get_max_threads() == before + 3
        raise KeyError
    assert faiss.omp_get_max_threads() == before
