"""What a generation holds for language models."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.publishing.language_files import write_language_files
from semantic_ids.publishing.trie import Trie
from semantic_ids.publishing.vocabulary import Vocabulary

CODES = np.array([[1, 2, 0], [1, 2, 1], [0, 3, 0]], dtype=np.int32)
IDS = pa.array(["x", "y", "z"])


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))


def test_all_files_are_there_and_say_what_they_were_made_from(tmp_path):
    written = write_language_files(
        tmp_path, CODES, IDS, sizes=(4, 4, 2), levels=2, made_from="abc", suffix_room=3
    )
    assert [path.name for path in written] == ["vocabulary.json", "trie", "hf_tokenizer"]
    assert sorted(written) == sorted(tmp_path.iterdir())
    assert Vocabulary.load(tmp_path) == Vocabulary.load(tmp_path / "hf_tokenizer")
    assert Vocabulary.load(tmp_path).sizes == (4, 4, 5)
    assert Vocabulary.load(tmp_path).made_from == Trie.load(tmp_path).made_from == "abc"
    assert Trie.load(tmp_path).contains(CODES).all() and len(Trie.load(tmp_path)) == 3


def test_shared_ids_lead_to_all_their_items(tmp_path):
    codes = CODES[[0, 0, 2]]
    *_, items = write_language_files(tmp_path, codes, IDS, sizes=(4, 4, 2), levels=3)
    assert pq.read_table(items)["items"].to_pylist() == [["z"], ["x", "y"]]


def test_the_next_generation_moves_no_token(tmp_path):
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    write_language_files(tmp_path / "1", CODES, IDS, sizes=(4, 4, 2), levels=2, suffix_room=1)
    first = Vocabulary.load(tmp_path / "1")
    more = CODES + np.array([0, 0, 3], dtype=np.int32)
    write_language_files(tmp_path / "2", more, IDS, sizes=(4, 4, 5), levels=2, before=first)
    second = Vocabulary.load(tmp_path / "2")
    assert (
        second.sizes == (4, 4, 5) and second.ids_of(CODES).tolist() == first.ids_of(CODES).tolist()
    )
    with pytest.raises(BadInput, match="codebook sizes of the generation before"):
        write_language_files(tmp_path / "3", CODES, IDS, sizes=(4, 9, 2), levels=2, before=first)
    assert list((tmp_path / "3").iterdir()) == []


def test_the_same_bytes_twice(tmp_path):
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        write_language_files(tmp_path / name, CODES[[0, 0, 2]], IDS, sizes=(4, 4, 2), levels=3)
    one, two = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("1", "2")
    )
    assert one == two and len(one) > 10


def test_a_folder_of_bundles_leads_to_its_newest_generation(tmp_path):
    for name in ("000001-0123abcd", "000002-89abcdef"):
        (tmp_path / name).mkdir()
        codes = CODES[: int(name[5])]
        write_language_files(
            tmp_path / name, codes, IDS[: len(codes)], sizes=(4, 4, 2), levels=2, made_from=name
        )
        (tmp_path / name / "manifest.json").write_text('{"generation": 1}')
        (tmp_path / "latest").write_text(f"{name}\n")
        assert Trie.load(tmp_path).made_from == Vocabulary.load(tmp_path).made_from == name
        assert Trie.load(tmp_path / name).count() == len(codes)
    (tmp_path / "latest").write_text("000003-0123abcd")
    for kind in (Trie, Vocabulary):
        with pytest.raises(BadInput, match="which is not there"):
            kind.load(tmp_path)
