"""Tokens for transformers: a tokenizer folder of our own, or the same tokens in a user's tokenizer.

The folder is two JSON files in the format of the library `tokenizers`, which are written without
it; `AutoTokenizer.from_pretrained(FOLDER)` reads them offline, and the ids are those of the
vocabulary, which is in the folder as well.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from semantic_ids.atomic import atomic_folder, require_replaceable
from semantic_ids.codes import TOKEN
from semantic_ids.errors import BadInput
from semantic_ids.extras import load
from semantic_ids.publishing import vocabulary as vocabulary_file
from semantic_ids.publishing.vocabulary import MARKERS, Marker, Vocabulary

FOLDER = "hf_tokenizer"
FILES = {"tokenizer.json", "tokenizer_config.json", vocabulary_file.FILE}
NAMES = {"pad": "pad_token", "unknown": "unk_token", "begin": "bos_token", "end": "eos_token"}
"""What transformers calls the markers."""


def write_tokenizer(folder: str | Path, vocabulary: Vocabulary) -> None:
    """Write the folder, whole or not at all; an older one there is replaced.

    A text of tokens, with blanks between them or without, becomes their ids, and every other word
    the unknown one. Sequences are padded on the left, as `generate` wants them.

    Raises:
        BadInput: The vocabulary has no markers of its own, or there is a folder with other files.
    """
    numbers = [marker.id for marker in vocabulary.markers]
    if vocabulary.unknown is None or numbers != list(range(vocabulary.first_id)):
        raise BadInput(
            f"the vocabulary begins at id {vocabulary.first_id}, with markers"
            f" {[marker.token for marker in vocabulary.markers]}",
            expected="one that has ids of its own, from 0 on",
            do="save the tokenizer that it was added to",
        )
    folder = Path(folder)
    require_replaceable(folder, FILES.__contains__, "one with a tokenizer of these tokens")
    with atomic_folder(folder) as temporary:
        _write_json(temporary / "tokenizer_config.json", _config(vocabulary))
        _write_json(temporary / "tokenizer.json", _tokenizer(vocabulary))
        vocabulary.save(temporary)


def add_to(tokenizer: Any, vocabulary: Vocabulary) -> Vocabulary:
    """Add the tokens of all levels to a tokenizer of transformers.

    They are whole tokens wherever they stand, but no special ones: decoding with
    `skip_special_tokens=True` would delete those. A tokenizer that has them already, such as one
    that was saved and loaded again, stays as it is; where a suffix has more of them now, these are
    added. Afterwards `model.resize_token_embeddings(len(tokenizer))` makes room in the model.

    Returns:
        The vocabulary in the ids, and with the markers, of that tokenizer.

    Raises:
        BadInput: It has some of the tokens, in other places. Nothing is added then.
    """
    from tokenizers import AddedToken

    texts, known = list(vocabulary.tokens()), tokenizer.get_vocab()
    there = [known[text] for text in texts if text in known]
    first = there[0] if there else len(tokenizer)
    missing = texts[len(there) :]
    in_place = [known.get(text) for text in texts[: len(there)]]
    fits = not missing or len(tokenizer) == first + len(there)
    if in_place != list(range(first, first + len(there))) or not fits:
        raise BadInput(
            f"the tokenizer has {len(there)} of the {len(texts)} tokens, and others between them or"
            " after them",
            expected="a tokenizer without them, or with all of them in their order",
            do="take the tokenizer as it was before tokens were added",
        )
    tokenizer.add_tokens(
        [
            AddedToken(t, special=False, normalized=False, lstrip=False, rstrip=False)
            for t in missing
        ]
    )
    pad, unknown, begin, end = (_marker(tokenizer, name) for name in MARKERS)
    made = replace(vocabulary, first_id=first, pad=pad, unknown=unknown, begin=begin, end=end)
    require_same_ids(tokenizer, made)
    return made


def load_tokenizer(folder: str | Path) -> Any:
    """Read a tokenizer folder with transformers, offline.

    Raises:
        MissingExtra: transformers is not installed.
        BadInput: The ids are not those of the vocabulary there.
    """
    transformers = load("transformers", str(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    require_same_ids(tokenizer, Vocabulary.load(folder))
    return tokenizer


def require_same_ids(tokenizer: Any, vocabulary: Vocabulary) -> None:
    """Raise `BadInput` unless every token has the id that the vocabulary says.

    Args:
        tokenizer: One of transformers, or of tokenizers.
        vocabulary: Its tokens.
    """
    known = tokenizer.get_vocab()
    for number, text in enumerate(vocabulary.tokens(), start=vocabulary.first_id):
        if known.get(text) != number:
            raise BadInput(
                f"the tokenizer has id {known.get(text)} for {text}, the vocabulary {number}",
                expected="the tokenizer that the vocabulary was made for",
            )


def _marker(tokenizer: Any, name: str) -> Marker | None:
    """Return a marker of a tokenizer by our name; None where it has none."""
    text = getattr(tokenizer, NAMES[name], None)
    number = getattr(tokenizer, f"{NAMES[name]}_id", None)
    return None if text is None or number is None else Marker(str(text), int(number))


def _config(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return tokenizer_config.json. Version 4 of transformers knows this class, 5 takes it too."""
    markers = {NAMES[name]: getattr(vocabulary, name) for name in MARKERS}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "padding_side": "left",
        **{name: marker.token for name, marker in markers.items() if marker},
    }


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return tokenizer.json: words are tokens, tokens are cut apart, and joined without blanks."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    words = {marker.token: marker.id for marker in vocabulary.markers}
    words |= {text: n for n, text in enumerate(vocabulary.tokens(), start=vocabulary.first_id)}
    apart = {"type": "Split", "pattern": {"Regex": TOKEN.pattern}, "behavior": "Isolated"}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": marker.id, "content": marker.token, **special, "special": True}
            for marker in vocabulary.markers
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {**apart, "invert": False}],
        },
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": words,
            "unk_token": vocabulary.unknown and vocabulary.unknown.token,
        },
    }


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
