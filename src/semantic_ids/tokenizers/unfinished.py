"""A tokenizer that is still being trained, as a checkpoint of its training has it."""

from __future__ import annotations

import logging
from pathlib import Path

from semantic_ids.errors import BadInput
from semantic_ids.learning.checkpoints import (
    FIXED,
    MANIFEST,
    NETWORK,
    STATE,
    TENSORS,
    TRAINING,
    UNREADABLE,
    checkpoints_in,
    read_checkpoint,
    read_manifest,
)
from semantic_ids.learning.resume import below
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.registry import tokenizer_class

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""A training removes old checkpoints: one that goes away while it is read is looked for anew."""
STARTED, CODEBOOK = "quantizer.initialized", "quantizer.codebooks"


def is_unfinished(place: str | Path) -> bool:
    """Whether a file or folder is a checkpoint, or has checkpoints in it; none is read."""
    return _found(Path(place)) is not None


def load_unfinished(place: str | Path, device: str = "cpu") -> tuple[ResidualTokenizer, int]:
    """Make a tokenizer of the network that a checkpoint holds: that after its last epoch, not the
    one that would be kept in the end.

    Args:
        place: A checkpoint, a file of one, the folder of a training, whose latest checkpoint is
            taken, or the folder of all trainings, of which the one that was written to last is
            taken.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.

    Returns:
        The tokenizer, and the number of the epoch.

    Raises:
        BadInput: There is no checkpoint, it cannot be read, it was written before checkpoints held
            all that is needed, or its codebooks have not been started.
    """
    for attempt in range(ATTEMPTS):
        found = None
        try:
            found = _found(Path(place))
            if found is None:
                break
            return _loaded(found, device)
        except UNREADABLE as error:
            if isinstance(error, BadInput):
                raise
            if attempt == ATTEMPTS - 1 or (found and (found / MANIFEST).exists()):
                raise _refused(found or Path(place), f"it cannot be read: {error!r}") from error
    raise BadInput(
        "there is no checkpoint",
        where=str(place),
        expected=f"a folder with {MANIFEST}, {STATE} and {TENSORS}, or a folder of such folders",
    )


def _loaded(place: Path, device: str) -> tuple[ResidualTokenizer, int]:
    config = read_manifest(place).get("config")
    if not config:
        raise _refused(place, "it does not say what its network is of")
    found = read_checkpoint(place)
    network = below(found.tensors, NETWORK)
    if not bool(network[STARTED]):
        raise _refused(place, f"the codebooks have not been started in epoch {found.epoch}")
    weights = below(found.tensors, FIXED) | network
    for level in range(len(config["codebook_sizes"])):
        weights[f"codebook.{level + 1}"] = network[f"{CODEBOOK}.{level}"]
    tokenizer = tokenizer_class(config["kind"])._from_config(config, device)
    tokenizer.dim, tokenizer.fitted_rows = config["dim"], config["fitted_rows"]
    tokenizer._restore(weights)
    return tokenizer, found.epoch


def _found(place: Path) -> Path | None:
    """Return the folder of the checkpoint that is meant, None where there is none."""
    if place.is_file():
        place = place.parent
    if (place / MANIFEST).exists() and (place / TENSORS).exists() and (place / STATE).exists():
        return place
    if found := checkpoints_in(place):
        return found[-1]
    trainings = [
        folder
        for folder in (place.iterdir() if place.is_dir() else ())
        if TRAINING.fullmatch(folder.name) and checkpoints_in(folder)
    ]
    if not trainings:
        return None
    latest = max(trainings, key=lambda folder: (folder.stat().st_mtime_ns, folder.name))
    if len(trainings) > 1:
        logger.info("of %d trainings, %s was written to last", len(trainings), latest)
    found = checkpoints_in(latest)
    return found[-1] if found else None


def _refused(place: Path, found: str) -> BadInput:
    return BadInput(
        found,
        where=str(place),
        expected="a checkpoint of this version, after its codebooks were started",
        do="take a later one, or wait for the training to end",
    )
