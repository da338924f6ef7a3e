"""A tokenizer's folder, or a checkpoint of its training, as an encoder that torch runs.

It checks and is asked as the graphs are: see `runtime.session`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.arrays import one_thread, usable_cores
from semantic_ids.errors import BadInput
from semantic_ids.runtime.session import BLOCK_ROWS, Encoder
from semantic_ids.tokenizers.format import CONFIG_FILE

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

logger = logging.getLogger(__name__)


def load_torch_encoder(
    place: str | Path, threads: int | None = None, beam: int | None = None
) -> Encoder:
    """Load a tokenizer, or the latest checkpoint of one that is still being trained.

    Args:
        place: Folder of a tokenizer, or what `tokenizers.unfinished.load_unfinished` takes; the
            log says then which epoch it is.
        threads: Threads that run blocks of rows side by side; as many as there are cores that this
            process may use if None. They do not change the codes.
        beam: Width of the beam that `encode` follows; that of the tokenizer if None.

    Raises:
        BadInput: There is neither a tokenizer nor a checkpoint, or it cannot be read.
    """
    tokenizer = _load(Path(place))
    content = tokenizer.content
    if beam is not None:
        _follow(tokenizer, beam)

    def encode(vectors: np.ndarray) -> np.ndarray:
        with one_thread():
            return tokenizer.encode(vectors)

    def decode(codes: np.ndarray) -> np.ndarray:
        with one_thread():
            return tokenizer.decode(codes)

    about = {
        "kind": tokenizer.kind,
        "dim": tokenizer.dim,
        "codebook_sizes": tokenizer.codebook_sizes,
        "normalizes": tokenizer.normalizes,
        "fingerprint": content,
    }
    return Encoder(
        encode,
        decode,
        about,
        threads=usable_cores() if threads is None else threads,
        run_rows=BLOCK_ROWS,
        backend="torch",
    )


def _load(place: Path) -> ResidualTokenizer:
    from semantic_ids.tokenizers.registry import load_tokenizer
    from semantic_ids.tokenizers.unfinished import is_unfinished, load_unfinished

    if (place / CONFIG_FILE).exists() or not is_unfinished(place):
        return load_tokenizer(place)
    tokenizer, epoch = load_unfinished(place)
    logger.info("%s: a training as it is after epoch %d", place, epoch)
    return tokenizer


def _follow(tokenizer: ResidualTokenizer, beam: int) -> None:
    """Set the width of the beam."""
    options = tokenizer.options
    try:
        if hasattr(options, "codebook"):
            chosen = replace(options, codebook=replace(options.codebook, beam_size=beam))
        else:
            chosen = replace(options, beam_size=beam)
    except BadInput as error:
        raise BadInput(f"a beam of {beam}", expected=error.expected or error.found) from error
    tokenizer.options = chosen
