"""The tokenizer folder, and tokens in somebody else's tokenizer, read by transformers offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import tokenizers
from semantic_ids.errors import BadInput
from semantic_ids.publishing.hugging_face import (
    add_to,
    load_tokenizer,
    require_same_ids,
    write_tokenizer,
)
from semantic_ids.publishing.vocabulary import Vocabulary
from tokenizers import decoders, models, pre_tokenizers

VOCABULARY = Vocabulary.of((30, 13, 5), 2, suffix_room=2)
TEXT = "user bought <a_1><b_12><c_0> then <a_12><b_1><c_6>"
CODES = [[1, 12, 0], [12, 1, 6]]


@pytest.fixture
def folder(tmp_path):
    write_tokenizer(tmp_path / "hf", VOCABULARY)
    return tmp_path / "hf"


def words():
    """A tokenizer of bytes, as those of GPT are, without a merge; special tokens of its own."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>")


def test_ids_are_those_of_the_vocabulary_also_when_saved_and_loaded_again(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path / "again")
    for loaded in (tokenizer, AutoTokenizer.from_pretrained(tmp_path / "again")):
        require_same_ids(loaded, VOCABULARY)
        assert len(loaded) == VOCABULARY.ids[-1] + 1
        assert (loaded.pad_token_id, loaded.unk_token_id) == (0, 1)
        assert (loaded.bos_token_id, loaded.eos_token_id) == (2, 3)
        assert loaded.padding_side == "left"


def test_texts_become_the_ids_and_back(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = VOCABULARY.ids_of(CODES).ravel().tolist()
    together, apart = "".join(VOCABULARY.write(CODES)), " ".join(VOCABULARY.tokens())
    assert tokenizer(together).input_ids == expected
    assert tokenizer(f"<s>{together}</s>").input_ids == [2, *expected, 3]
    assert tokenizer(apart).input_ids == list(VOCABULARY.ids)
    assert tokenizer.decode([2, *expected, 3], skip_special_tokens=True) == together
    assert tokenizer.decode([2, *expected, 3]) == f"<s>{together}</s>"


@pytest.mark.parametrize("text", ["<a_30>", "<d_0>", "<a_01>", "shoe", "<b_13>"])
def test_what_is_no_token_is_unknown(folder, text):
    assert AutoTokenizer.from_pretrained(folder)(text).input_ids == [1]


def test_padding_is_on_the_left(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(["<a_0>", "<a_1><b_1><c_1>"], padding=True)
    assert batch.input_ids[0] == [0, 0, 4] and batch.attention_mask[0] == [0, 0, 1]


def test_the_files_are_what_the_library_would_write(folder):
    """Its reader keeps every setting, so none is misspelt."""
    ours = json.loads((folder / "tokenizer.json").read_text())
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert json.loads(theirs.to_str()) == ours


def test_the_folder_holds_its_vocabulary_and_is_the_same_twice(folder, tmp_path):
    assert Vocabulary.load(folder) == VOCABULARY
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_tokenizer(folder, VOCABULARY)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match=r"other files, such as 'mine.txt'"):
        write_tokenizer(folder, VOCABULARY)


def test_it_is_written_without_tokenizers_and_loaded_offline(tmp_path):
    code = (
        "import sys\n"
        "for name in ('torch', 'pyarrow', 'transformers', 'tokenizers'):\n"
        "    sys.modules[name] = None\n"
        "from semantic_ids.publishing.hugging_face import write_tokenizer\n"
        "from semantic_ids.publishing.vocabulary import Vocabulary\n"
        "write_tokenizer(sys.argv[1], Vocabulary.of((4, 4), 2))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "hf")], check=True)
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise OSError('no network')\n"
        "socket.socket.connect = socket.create_connection = refuse\n"
        "from transformers import AutoTokenizer\n"
        "print(AutoTokenizer.from_pretrained(sys.argv[1])('<a_3><b_0>').input_ids)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "hf")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert ran.stdout == "[7, 8]\n", ran.stderr


def test_tokens_in_another_tokenizer_are_one_range_also_when_loaded_again(tmp_path):
    tokenizer = words()
    before = len(tokenizer)
    added = add_to(tokenizer, VOCABULARY)
    assert added.ids == range(before, before + 50) and len(tokenizer) == before + 50
    assert added.end == ("<|end|>", tokenizer.eos_token_id) and added.begin is None
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    require_same_ids(again, added)
    assert add_to(again, VOCABULARY) == added and len(again) == len(tokenizer)


def test_items_stay_whole_in_a_text_and_are_not_deleted_with_special_tokens():
    tokenizer = words()
    added = add_to(tokenizer, VOCABULARY)
    ids = tokenizer(TEXT).input_ids
    inside = [number for number in ids if number in added.ids]
    assert inside == added.ids_of(CODES).ravel().tolist()
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == TEXT
    assert added.read(tokenizer.decode(ids, skip_special_tokens=True)).tolist() == CODES


def test_special_tokens_would_have_been_deleted():
    """Why they are none."""
    tokenizer = words()
    tokenizer.add_special_tokens({"additional_special_tokens": list(VOCABULARY.tokens())})
    ids = tokenizer(TEXT).input_ids
    assert "<a_1>" not in tokenizer.decode(ids, skip_special_tokens=True)


def test_more_suffixes_of_a_later_generation_are_added():
    tokenizer = words()
    first = add_to(tokenizer, VOCABULARY)
    more = add_to(tokenizer, Vocabulary.of((30, 13, 9), 2))
    assert (
        more.ids == range(first.first_id, first.first_id + 52)
        and len(tokenizer) == more.ids[-1] + 1
    )


def test_tokens_that_would_lie_apart_are_refused_and_nothing_is_added():
    tokenizer = words()
    add_to(tokenizer, VOCABULARY)
    tokenizer.add_tokens(["mine"])
    size = len(tokenizer)
    with pytest.raises(BadInput, match="take the tokenizer as it was before"):
        add_to(tokenizer, Vocabulary.of((30, 13, 9), 2))
    assert len(tokenizer) == size
    other = words()
    other.add_tokens(["<a_1>", "<a_0>"])
    with pytest.raises(BadInput, match="2 of the 50 tokens"):
        add_to(other, VOCABULARY)


def test_without_transformers_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInput, match=r"pip install 'semantic-ids\[hf\]'"):
        load_tokenizer(folder)


def test_a_folder_with_another_vocabulary_is_refused(folder):
    assert load_tokenizer(folder)("<a_0>").input_ids == [4]
    Vocabulary.of((13, 30, 7), 3).save(folder)
    with pytest.raises(BadInput, match=r"id 17 for <a_13>, the vocabulary|for <b_0>"):
        load_tokenizer(folder)


def test_ids_of_another_tokenizer_are_refused(folder):
    with pytest.raises(BadInput, match=r"id 4 for <a_0>, the vocabulary 10"):
        require_same_ids(AutoTokenizer.from_pretrained(folder), Vocabulary((30, 13, 7), 10))
    tokenizer = words()
    with pytest.raises(BadInput, match="save the tokenizer that it was added to"):
        write_tokenizer(folder, add_to(tokenizer, VOCABULARY))
