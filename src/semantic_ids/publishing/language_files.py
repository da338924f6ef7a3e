"""The files of a mapping that language models read, in one folder.

vocabulary.json        tokens and their ids
trie/                  which codes may follow which prefix
hf_tokenizer/          the tokens as a tokenizer that transformers loads
items_by_id.parquet    the items of each ID, where IDs are shared
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.publishing import hugging_face, inverse, trie_files, vocabulary
from semantic_ids.publishing.hugging_face import write_tokenizer
from semantic_ids.publishing.inverse import ItemsById
from semantic_ids.publishing.trie import Trie
from semantic_ids.publishing.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa


def write_language_files(
    folder: str | Path,
    codes: np.ndarray,
    item_ids: pa.Array | pa.ChunkedArray | Iterable[int | str],
    *,
    sizes: Sequence[int],
    levels: int,
    made_from: str = "",
    suffix_room: int = 0,
    before: Vocabulary | None = None,
) -> list[Path]:
    """Write them all into a folder that is there, and return their paths.

    Args:
        folder: For example that of a generation which is being written.
        codes: Shape (n, W), int32: the IDs of all items that are out.
        item_ids: n ids.
        sizes: W sizes; `codes[:, l]` is in `[0, sizes[l])`.
        levels: The tokenizer's number of levels: W, or W − 1 where the last is a suffix.
        made_from: Fingerprint of the semantic IDs.
        suffix_room: So many suffixes more than those in use have a token.
        before: The vocabulary of the generation before, whose ids do not move: its suffix keeps
            its tokens, and gets more where they are needed.

    Raises:
        BadInput: The levels have other sizes than in the vocabulary before.
    """
    folder = Path(folder)
    tokens = Vocabulary.of(sizes, levels, suffix_room=suffix_room, made_from=made_from)
    tokens = tokens.following(before)
    trie = Trie.build(codes, sizes, made_from=made_from)
    written = [tokens.save(folder / vocabulary.FILE), folder / trie_files.FOLDER]
    trie.save(folder / trie_files.FOLDER)
    write_tokenizer(folder / hugging_face.FOLDER, tokens)
    written.append(folder / hugging_face.FOLDER)
    if len(trie) < len(codes):
        ItemsById(item_ids, codes, trie.sizes, made_from).save(folder / inverse.FILE)
        written.append(folder / inverse.FILE)
    return written
