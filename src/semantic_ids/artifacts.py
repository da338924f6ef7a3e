"""What travels between the stages.

Embeddings, the split, codes and semantic IDs, each with its provenance.

Plain data classes, free of torch and Kedro. Rows are always in the order of the item hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

Made = TypeVar("Made")


@dataclass(frozen=True)
class Provenance:
    """Where an artifact comes from: which inputs and which parameters made it.

    Attributes:
        artifact: Its name in the catalog.
        inputs: Name of each input → fingerprint of that input.
        parameters: The parameters that made it, JSON-like.
        content: Fingerprint of the content. It does not follow from inputs and parameters: the same
            ones give other weights on another device or with another version of a library.
    """

    artifact: str
    inputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    content: str = ""

    @property
    def of_python(self) -> bool:
        """Whether it was saved in Python: its content is known, and not what it was made from."""
        return self.artifact == "tokenizer" and bool(self.content) and not self.inputs

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for all of the above."""
        return fingerprint(self.artifact, self.inputs, self.parameters, self.content)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like dict, the fingerprint included."""
        return {
            "artifact": self.artifact,
            "fingerprint": self.fingerprint,
            "inputs": self.inputs,
            "parameters": self.parameters,
            "content": self.content,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Provenance:
        """Restore what `to_json` returned."""
        return cls(values["artifact"], values["inputs"], values["parameters"], values["content"])


def require_content(made: Provenance, found: str) -> None:
    """Raise `BadInput` where the content of an artifact is not the one that its provenance names.

    Args:
        made: What the artifact says of itself.
        found: Fingerprint of the content that was read.
    """
    if made.content != found:
        raise BadInput(
            f"its content is {found}, but it says that it is {made.content or 'not known'}",
            where=f"artifact '{made.artifact}'",
            expected="a file that was not changed since it was written, by this version",
            remake=made.artifact,
        )


def require_made_from(made: Provenance, **inputs: Provenance) -> None:
    """Raise `BadInput` where an artifact was made from other inputs than those at hand.

    Args:
        made: Provenance of the artifact in question.
        inputs: Catalog name → provenance of what it should have been made from.
    """
    for name, given in inputs.items():
        if made.of_python:
            raise BadInput(
                f"'{made.artifact}' was saved in Python and does not say which {name} it was made"
                " from",
                where=f"artifacts '{made.artifact}' and '{name}'",
                expected="one that says what it was made from",
                do="measure it in Python too",
                remake=made.artifact,
            )
        if made.inputs.get(name) != given.fingerprint:
            raise BadInput(
                f"'{made.artifact}' was made from {name} {made.inputs.get(name)}, but the {name} at"
                f" hand is {given.fingerprint}",
                where=f"artifacts of two runs are mixed: '{made.artifact}' and '{name}'",
                expected="artifacts that belong together",
                remake=made.artifact,
            )


def require_made_with(made: Provenance, group: str, parameters: dict[str, Any]) -> None:
    """Raise `BadInput` where an artifact was made with other parameters than those of this run.

    They would be ignored.

    The device is of no account. An artifact that does not say how it was made is taken as it is.

    Args:
        made: Provenance of the artifact.
        group: The group of parameters, such as `tokenizer`.
        parameters: What this run says.
    """
    other = [
        name
        for name in made.parameters
        if name != "device" and made.parameters[name] != parameters.get(name)
    ]
    if other:
        was, now = (
            {name: values.get(name) for name in other} for values in (made.parameters, parameters)
        )
        raise BadInput(
            f"'{made.artifact}' was made with {was}, but this run says {now}",
            where=f"parameters {group}",
            expected="the parameters that the artifact was made with",
            do="give the same environment and parameters as then",
            remake=made.artifact,
        )


@dataclass(frozen=True)
class Embeddings:
    """The primary layer: checked vectors in the order of the item hash.

    Attributes:
        vectors: Shape (n, D), float32 or float16, a read-only memory map.
        item_ids: n ids, int64 or (large) string, as they came in.
        vector_hashes: Shape (n,), uint64: `hashing.vector_hash` of the stored rows.
        zero_rows: How many vectors are all zero.
        provenance: What it was made from.
        equal_by_cast: How many different vectors became equal to another by the cast to the storage
            type.
    """

    vectors: np.ndarray
    item_ids: pa.Array
    vector_hashes: np.ndarray
    zero_rows: int
    provenance: Provenance
    equal_by_cast: int = 0

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """Number of dimensions D."""
        return self.vectors.shape[1]


@dataclass(frozen=True)
class Split:
    """Which items are held out for validation and which are the tuning subset.

    Attributes:
        validation: Shape (n,), bool. Items with equal vectors are on the same side.
        tuning: Shape (n,), bool: the first items by item hash.
        item_ids: n ids, for the reader of the file.
        provenance: What it was made from.
    """

    validation: np.ndarray
    tuning: np.ndarray
    item_ids: pa.Array
    provenance: Provenance

    @property
    def validation_rows(self) -> np.ndarray:
        """Row numbers of the held-out items, ascending."""
        return np.flatnonzero(self.validation)


@dataclass(frozen=True)
class CheckpointPlace:
    """Where trainings keep their checkpoints.

    Attributes:
        folder: The folder of all of them, which need not exist.
        root: Folder that relative paths of users start at.
    """

    folder: Path
    root: Path


@dataclass(frozen=True)
class Codes:
    """Codes of all items, or the semantic IDs made of them.

    Attributes:
        item_ids: n ids.
        codes: Shape (n, W), int32. For semantic IDs the suffix, where there is one, is the last
            column.
        sizes: W sizes; `codes[:, l]` is in `[0, sizes[l])`.
        levels: How many columns the tokenizer made: W, or W − 1 where the last is a suffix.
        provenance: What it was made from.
    """

    item_ids: pa.Array
    codes: np.ndarray
    sizes: tuple[int, ...]
    levels: int
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def tokenizer_codes(self) -> np.ndarray:
        """Codes without the suffix: what `Tokenizer.decode` takes. Shape (n, L)."""
        return self.codes[:, : self.levels]


@dataclass(frozen=True)
class OnRequest(Generic[Made]):
    """What a stage makes only if it is asked to.

    Attributes:
        made: What was made; None where nobody asked.
        request: What it was, or would have been, made from.
    """

    made: Made | None
    request: Provenance

    @property
    def provenance(self) -> Provenance | None:
        """What it was made from; None where nothing was made."""
        return None if self.made is None else self.request
