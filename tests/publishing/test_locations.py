"""From any folder that a user may name to a generation and its tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from semantic_ids.errors import BadInput
from semantic_ids.publishing.locations import generation, tokenizer_of

NAMES = ("000001-0123abcd", "000002-89abcdef")


@pytest.fixture
def bundles(tmp_path):
    for name in NAMES:
        (tmp_path / name / "tokenizer").mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text(json.dumps({"generation": 1}))
    (tmp_path / "latest").write_text(f"{NAMES[0]}\n")
    return tmp_path


def test_the_pointer_decides_and_not_the_number(bundles):
    assert generation(bundles) == bundles / NAMES[0]
    (bundles / "latest").write_text(NAMES[1])
    assert generation(bundles) == bundles / NAMES[1]
    assert tokenizer_of(bundles) == bundles / NAMES[1] / "tokenizer"


def test_a_generation_is_itself(bundles):
    assert generation(bundles / NAMES[1]) == bundles / NAMES[1]
    assert tokenizer_of(str(bundles / NAMES[0])) == bundles / NAMES[0] / "tokenizer"


def test_a_tokenizer_and_what_is_nothing_are_left_to_their_reader(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"artifact": "tokenizer"}))
    assert tokenizer_of(tmp_path) == tmp_path
    assert tokenizer_of(tmp_path / "missing") == tmp_path / "missing"


@pytest.mark.parametrize("text", ["", "../000001-0123abcd", "000009-0123abcd", "\udcff"])
def test_a_pointer_to_nothing_is_refused(bundles, text):
    (bundles / "latest").write_bytes(text.encode("utf-8", "surrogateescape"))
    for read in (generation, tokenizer_of):
        with pytest.raises(BadInput, match="latest"):
            read(bundles)


def test_a_generation_without_a_manifest_is_none(bundles):
    (bundles / NAMES[0] / "manifest.json").unlink()
    with pytest.raises(BadInput, match="not there, or has no"):
        generation(bundles)


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_that_is_neither_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="there is no"):
        generation(tmp_path / name)


def test_importing_it_needs_the_standard_library_and_numpy_alone():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import semantic_ids.publishing.locations, semantic_ids.publishing.mapping\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*tops - sys.stdlib_module_names - {'numpy', 'semantic_ids'})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
