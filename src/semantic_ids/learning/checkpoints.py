"""A training that was killed resumes where it was.

Its state, every few epochs, in a folder of its own.

A checkpoint holds the weights, averages and flags of the network, the state of the optimiser, the
epochs that may be kept, and the history. Random states need not be in it: every epoch begins with a
seed of its own, made of the seed and its number. The schedule follows from the number of the step.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from semantic_ids.atomic import atomic_folder
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.learning import distributed

logger = logging.getLogger(__name__)

GROUP = "tokenizer.checkpoints"
"""What errors name where nothing else is said."""
FORMAT = 1
"""Rises when a checkpoint can no longer be resumed from; others are not taken."""
TENSORS, STATE, MANIFEST = "state.safetensors", "state.json", "manifest.json"
TRAINING = re.compile(r"[0-9a-f]{16}")
"""Names of the folders of trainings: nothing else is ever removed."""
NAME = re.compile(r"epoch-(\d+)")
NETWORK, FIXED = "network/", "fixed/"
"""What the names of tensors begin with: those of the network, and those beside it that stay."""
NAMED_DIFFERENCES = 4
UNREADABLE = (OSError, ValueError, KeyError, TypeError, SafetensorError)


@dataclass
class Checkpoint:
    """The state after an epoch.

    Attributes:
        epoch: Its number.
        tensors: Every tensor by name.
        state: Everything else, JSON-like.
    """

    epoch: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training: those of the same data and the same parameters.

    Args:
        folder: Where the checkpoints of all trainings lie; this one's are in a folder named by its
            fingerprint.
        made_from: Name → value of all that the weights depend on, JSON-like.
        every: Epochs between two checkpoints.
        keep: How many of the last ones are kept.
        trainings: How many trainings have checkpoints in `folder` at a time.
        resume: `auto` resumes from the latest that can be read, `never` begins anew; or a
            checkpoint, or a folder of them, to resume from.
        group: Dotted name of these options, for errors.
    """

    def __init__(
        self,
        folder: str | Path,
        made_from: Mapping[str, Any],
        *,
        every: int = 10,
        keep: int = 2,
        trainings: int = 8,
        resume: str = "auto",
        group: str = GROUP,
    ) -> None:
        self.group = group
        self.made_from = json.loads(json.dumps(made_from, default=str))
        self.folder = Path(folder) / fingerprint(self.made_from)
        self.every, self.keep, self.resume = every, keep, resume
        self.trainings = trainings
        self._config: dict[str, Any] = {}
        self._fixed: dict[str, Tensor] = {}

    def describe(self, config: Mapping[str, Any], fixed: Mapping[str, Tensor]) -> None:
        """Write into every checkpoint what makes its network a model that can be used.

        Args:
            config: What the model is, JSON-like.
            fixed: Tensors that the training does not change, by name.
        """
        self._config, self._fixed = dict(config), dict(fixed)

    def latest(self) -> Checkpoint | None:
        """Return the checkpoint to resume from, if there is one.

        Raises:
            BadInput: `resume` names a checkpoint that is not there, cannot be read, is of another
                format, or belongs to another training.
        """
        if self.resume == "never":
            return None
        if self.resume != "auto":
            place = self.check()
            try:
                return read_checkpoint(place, self.group)
            except UNREADABLE as error:
                raise self._unreadable(place, error) from error
        for place in reversed(checkpoints_in(self.folder)):
            try:
                return read_checkpoint(place, self.group)
            except UNREADABLE as error:
                logger.warning(
                    "the checkpoint %s cannot be read (%s): going on from an earlier one",
                    place,
                    error,
                )
        return None

    def is_due(self, epoch: int) -> bool:
        """Whether a checkpoint is to be written after an epoch, if others follow."""
        return distributed.rank() == 0 and epoch % self.every == 0

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all, and remove those that are too old.

        Where there is no room, the training continues.
        """
        place = self.folder / f"epoch-{checkpoint.epoch:05d}"
        try:
            with atomic_folder(place) as temporary:
                fixed = {f"{FIXED}{name}": tensor.cpu() for name, tensor in self._fixed.items()}
                tensors = checkpoint.tensors | fixed
                save_file(
                    {name: tensor.contiguous() for name, tensor in tensors.items()},
                    temporary / TENSORS,
                )
                (temporary / STATE).write_text(json.dumps(checkpoint.state), encoding="utf-8")
                manifest = {
                    "format": FORMAT,
                    "epoch": checkpoint.epoch,
                    "made_from": self.made_from,
                    "config": self._config,
                }
                (temporary / MANIFEST).write_text(
                    json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8"
                )
        except BadInput as error:
            logger.warning(
                "no checkpoint of epoch %d: %s The training goes on.", checkpoint.epoch, error
            )
            return
        found = checkpoints_in(self.folder)
        made = found.index(place) + 1
        later = found[made:]  # of a training that was begun anew
        for old in found[: max(0, made - self.keep)] + later:
            shutil.rmtree(old, ignore_errors=True)
        self._bound()

    def _bound(self) -> None:
        """Remove the checkpoints of the trainings that were written to longest ago."""
        others = [
            place
            for place in self.folder.parent.iterdir()
            if place != self.folder and TRAINING.fullmatch(place.name) and checkpoints_in(place)
        ]
        latest = sorted(others, key=lambda place: place.stat().st_mtime_ns, reverse=True)
        for old in latest[self.trainings - 1 :]:
            logger.info("the checkpoints of an older training are removed: %s", old)
            shutil.rmtree(old, ignore_errors=True)

    def check(self) -> Path:
        """Return where the checkpoint lies that `resume` names, having read no more than whose it
        is; for what it raises see `latest`.
        """
        place = self._named()
        try:
            made_from = read_manifest(place, self.group)["made_from"]
            different = _differences(made_from, self.made_from)
        except BadInput:
            raise
        except UNREADABLE as error:
            raise self._unreadable(place, error) from error
        if different:
            raise self._of_another_training(place, different)
        return place

    def _named(self) -> Path:
        """Return the checkpoint that `resume` names, or the last of a folder of them."""
        place = Path(self.resume)
        if (place / MANIFEST).exists():
            return place
        if found := checkpoints_in(place):
            return found[-1]
        raise BadInput(
            "there is no checkpoint",
            where=f"{self.group}.resume={place}",
            expected=(
                f"a folder with {MANIFEST}, {STATE} and {TENSORS}, or a folder of such folders"
            ),
            do="take auto to go on from the latest of this training, or never to begin anew",
        )

    def _of_another_training(self, place: Path, different: Sequence[str]) -> BadInput:
        more = len(different) - NAMED_DIFFERENCES
        named = ", ".join(different[:NAMED_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
        return BadInput(
            f"this checkpoint is of another training: {named}",
            where=f"{self.group}.resume={place}",
            expected="a checkpoint of the same data and parameters",
            do=(
                "give the same data, environment and parameters as then, or begin anew with"
                f" {self.group}.resume=never"
            ),
        )

    def _unreadable(self, place: Path, error: Exception) -> BadInput:
        return BadInput(
            f"this checkpoint cannot be read: {error}",
            where=f"{self.group}.resume={place}",
            do="take an earlier one, or auto",
        )


def read_checkpoint(place: Path, group: str = GROUP) -> Checkpoint:
    """Read a checkpoint from its folder.

    Raises:
        BadInput: It is of another format. For what is damaged or gone, one of `UNREADABLE`.
    """
    manifest = read_manifest(place, group)
    return Checkpoint(
        manifest["epoch"],
        load_file(place / TENSORS),
        json.loads((place / STATE).read_text(encoding="utf-8")),
    )


def read_manifest(place: Path, group: str = GROUP) -> dict[str, Any]:
    """Read what a checkpoint says of itself.

    Raises:
        BadInput: It is of another format.
    """
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    manifest["made_from"]  # a manifest without it is broken
    found = manifest.get("format")
    if found != FORMAT:
        raise BadInput(
            f"a checkpoint of format {found or 0}",
            where=f"{group}.resume={place}",
            expected=f"format {FORMAT}",
            do=(
                f"begin anew with {group}.resume=never, or go on with the version of"
                " semantic-ids that wrote it"
            ),
        )
    return manifest


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, the earliest first."""
    found = (
        [
            place
            for place in folder.iterdir()
            if NAME.fullmatch(place.name) and (place / MANIFEST).exists()
        ]
        if folder.is_dir()
        else []
    )
    return sorted(found)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which values differ."""
    return [
        f"{name} was {was.get(name)}, is {now.get(name)}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]
