"""The tokens of semantic IDs as one range of ids: what a language model reads and writes.

Level `l` (from 0) has a token for each of its codes, `<a_45>`, and the id of a token is

    first_id + offsets[l] + code            offsets[l] = tokens of the levels before

so that all tokens of all levels are one range without gaps. `vocabulary.json` says so to readers
that have nothing but JSON; a few lines of it:

    {"format": 1, "tokens_per_level": [256, 256, 256], "offsets": [0, 256, 512], "first_id": 4,
     "begin": {"token": "<s>", "id": 2}, "end": {"token": "</s>", "id": 3}, "suffix_level": null}

On its own, a vocabulary has four markers before its tokens: padding, unknown, begin and end. In a
user's tokenizer it follows what is there (`hugging_face.add_to`), and the markers are that one's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.codes import read_tokens, sizes_of, token, written
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.publishing.locations import newest

FILE = "vocabulary.json"
FORMAT = 1
"""Rises when a file can no longer be read as before; others are refused."""
MARKERS = ("pad", "unknown", "begin", "end")


class Marker(NamedTuple):
    """A token that is no code, and its id."""

    token: str
    id: int


PAD, UNKNOWN, BEGIN, END = (
    Marker(text, number) for number, text in enumerate(("<pad>", "<unk>", "<s>", "</s>"))
)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens and their ids.

    Attributes:
        sizes: How many tokens each level has.
        first_id: Id of the first token of the first level.
        suffix_level: The level of the suffix, counted from 1, where there is one: the last.
        pad: Marker that fills sequences up.
        unknown: Marker of what is no token.
        begin: Marker before the first token of a sequence.
        end: Marker after the last one.
        made_from: Fingerprint of the semantic IDs that it was made for. It is no part of the
            vocabulary: other IDs with the same codebooks have the same one.

    Examples:
        >>> from semantic_ids import Vocabulary
        >>> vocabulary = Vocabulary.of((256, 256, 256), levels=3)
        >>> vocabulary.ids_of([[45, 123, 67]]).tolist(), vocabulary.token_of(49)
        ([[49, 383, 583]], '<a_45>')
        >>> vocabulary.read("then <a_45><b_123><c_67>").tolist()
        [[45, 123, 67]]
    """

    sizes: tuple[int, ...]
    first_id: int = 4
    suffix_level: int | None = None
    pad: Marker | None = PAD
    unknown: Marker | None = UNKNOWN
    begin: Marker | None = BEGIN
    end: Marker | None = END
    made_from: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", sizes_of(self.sizes))

    @classmethod
    def of(
        cls, sizes: Sequence[int], levels: int, *, suffix_room: int = 0, made_from: str = ""
    ) -> Vocabulary:
        """Make the vocabulary of semantic IDs, with markers of its own.

        Args:
            sizes: How many codes each level of the IDs has.
            levels: How many levels the tokenizer has. Where there is one more, it is a suffix.
            suffix_room: So many suffixes more than those in use have a token.
            made_from: Fingerprint of the IDs.
        """
        suffixed = len(sizes) > levels
        last = int(sizes[-1]) + (suffix_room if suffixed else 0)
        return cls(
            (*sizes[:-1], last),
            suffix_level=len(sizes) if suffixed else None,
            made_from=made_from,
        )

    # ---- what there is -------------------------------------------------------------------------

    @property
    def levels(self) -> int:
        """How many tokens an ID has."""
        return len(self.sizes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """How many tokens come before those of each level."""
        return (0, *accumulate(self.sizes[:-1]))

    @property
    def ids(self) -> range:
        """Ids of all tokens of all levels."""
        return range(self.first_id, self.first_id + sum(self.sizes))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for every token with its id, the markers included."""
        return fingerprint(self._table())

    @property
    def markers(self) -> list[Marker]:
        """The markers that there are, by their ids."""
        found = {marker for name in MARKERS if (marker := getattr(self, name)) is not None}
        return sorted(found, key=lambda marker: marker.id)

    def tokens(self) -> Iterator[str]:
        """Yield the tokens of all levels, in the order of their ids, without the markers."""
        for level, size in enumerate(self.sizes):
            yield from (token(level, code) for code in range(size))

    # ---- to and fro ----------------------------------------------------------------------------

    def ids_of(self, codes: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
        """Return the ids of codes: (n, p) integers, the first p levels of n IDs → (n, p) int64.

        Raises:
            BadInput: A code that has no token.
        """
        given = _rows(codes)
        width = min(given.shape[1], self.levels)
        wrong = (given[:, :width] < 0) | (given[:, :width] >= np.array(self.sizes[:width]))
        if given.shape[1] > self.levels or wrong.any():
            raise self._no_token(given, wrong)
        return given + (self.first_id + np.array(self.offsets[:width], np.int64))

    def codes_of(self, ids: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
        """Return the codes of ids: the inverse of `ids_of`, (n, p) → (n, p) int32.

        Raises:
            BadInput: An id that is no token of its level.
        """
        given = _rows(ids)
        width = min(given.shape[1], self.levels)
        codes = given[:, :width] - (self.first_id + np.array(self.offsets[:width], np.int64))
        wrong = (codes < 0) | (codes >= np.array(self.sizes[:width]))
        if given.shape[1] > self.levels or wrong.any():
            raise self._no_token(given, wrong)
        return codes.astype(np.int32)

    def token_of(self, number: int) -> str:
        """Return the token, or the marker, of an id.

        Raises:
            BadInput: There is none.
        """
        for marker in self.markers:
            if marker.id == number:
                return marker.token
        if number not in self.ids:
            raise BadInput(f"there is no token with id {number}", expected=self._range())
        rest = int(number) - self.first_id
        level = max(level for level, offset in enumerate(self.offsets) if offset <= rest)
        return token(level, rest - self.offsets[level])

    def id_of(self, text: str) -> int:
        """Return the id of a token or marker.

        Raises:
            BadInput: It is none.
        """
        for marker in self.markers:
            if marker.token == text:
                return marker.id
        found = read_tokens(text)
        if len(found) == 1 and token(*found[0]) == text:
            level, code = found[0]
            if level < self.levels and code < self.sizes[level]:
                return self.first_id + self.offsets[level] + code
        raise BadInput(f"there is no token {text!r}", expected=self._spelled())

    def write(self, codes: Iterable[Sequence[int]]) -> list[str]:
        """Write each ID as its tokens, without blanks: byte-level tokenizers would keep those."""
        return written(codes)

    def read(self, text: str) -> np.ndarray:
        """Return the codes of all whole IDs in a text, in their order: shape (m, L), int32.

        What is no whole ID is skipped.
        """
        found, row = [], list[int]()
        for level, code in read_tokens(text):
            row = row if level == len(row) else []
            known = level == len(row) and code < self.sizes[level]
            row = [*row, code] if known else []
            if len(row) == self.levels:
                found.append(row)
                row = []
        return np.array(found, dtype=np.int32).reshape(len(found), self.levels)

    # ---- generations ---------------------------------------------------------------------------

    def following(self, before: Vocabulary | None) -> Vocabulary:
        """Return this vocabulary where it follows an earlier one: no id moves, none goes.

        The suffix has as many tokens as before, or more.

        Raises:
            BadInput: Levels have other sizes than before, so that ids would move.
        """
        if before is None:
            return self
        shared = len(self.sizes) - (self.suffix_level is not None)
        same = (self.suffix_level, self.levels) == (before.suffix_level, before.levels)
        if not same or self.sizes[:shared] != before.sizes[:shared]:
            raise BadInput(
                f"the levels have {self._spelled()}, and had {before._spelled()} before",
                where=FILE,
                expected="the codebook sizes of the generation before",
                do="publish with its tokenizer, or begin a new series of generations",
            )
        last = max(self.sizes[-1], before.sizes[-1])
        return replace(before, sizes=(*self.sizes[:-1], last), made_from=self.made_from)

    # ---- on disk -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return self._table() | {"fingerprint": self.fingerprint, "semantic_ids": self.made_from}

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all; a folder gets it as `vocabulary.json`."""
        place = Path(path)
        place = place / FILE if place.is_dir() else place
        with atomic_file(place) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        return place

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a file, and check that it is what was written.

        Or the one of a folder: of an export, of a tokenizer for transformers, of a generation, or
        of bundles, whose newest generation is meant.

        Raises:
            BadInput: It is missing, of another format, or was changed.
        """
        place = newest(path)
        place = place / FILE if place.is_dir() else place
        try:
            return cls.from_json(json.loads(place.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise BadInput(
                "there is no vocabulary",
                where=str(place),
                do="write one with export.vocabulary=true",
            ) from error
        except BadInput as error:
            raise BadInput(error.found, where=str(place), expected=error.expected) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"it is no vocabulary ({error})", where=str(place)) from error

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Vocabulary:
        """Restore what `to_json` returned.

        Raises:
            BadInput: It is of another format, or its fingerprint is not that of its content.
        """
        if values.get("format") != FORMAT:
            raise BadInput(f"its format is {values.get('format')!r}", expected=f"format {FORMAT}")
        markers = {
            name: Marker(values[name]["token"], int(values[name]["id"])) if values[name] else None
            for name in MARKERS
        }
        made = cls(
            tuple(values["tokens_per_level"]),
            int(values["first_id"]),
            values["suffix_level"],
            **markers,
            made_from=str(values["semantic_ids"]),
        )
        if made.to_json() != values:
            raise BadInput(
                "what it says does not go together",
                expected="offsets, ids and fingerprint as they follow from the tokens per level",
            )
        return made

    # ---- words ---------------------------------------------------------------------------------

    def _table(self) -> dict[str, Any]:
        """Return everything that says which token has which id."""
        markers = {
            name: {"token": marker.token, "id": marker.id} if marker else None
            for name in MARKERS
            for marker in [getattr(self, name)]
        }
        return {
            "format": FORMAT,
            "tokens_per_level": list(self.sizes),
            "offsets": list(self.offsets),
            "first_id": self.first_id,
            "last_id": self.ids[-1],
            **markers,
            "suffix_level": self.suffix_level,
        }

    def _range(self) -> str:
        return f"one of {self.ids[0]} to {self.ids[-1]}, or that of a marker"

    def _spelled(self) -> str:
        return ", ".join(
            f"{token(level, 0)} to {token(level, size - 1)}"
            for level, size in enumerate(self.sizes)
        )

    def _no_token(self, given: np.ndarray, wrong: np.ndarray) -> BadInput:
        if given.shape[1] > self.levels:
            found = f"there are {given.shape[1]} of an ID"
            return BadInput(found, expected=f"at most {self.levels}, one a level")
        row, level = (int(place[0]) for place in np.nonzero(wrong))
        return BadInput(
            f"{int(given[row, level])} is no code or id of level {level + 1}",
            where=f"row {row}",
            expected=f"codes below {self.sizes[level]}, ids from"
            f" {self.first_id + self.offsets[level]} on",
        )


def _rows(values: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
    """Return (n, p) whole numbers as int64."""
    given = np.asarray(values)
    if given.ndim != 2 or (given.size and given.dtype.kind not in "iu"):
        raise BadInput(
            f"numbers of shape {given.shape} and type {given.dtype}",
            expected="whole numbers of shape (n, p), one row an ID",
        )
    return given.astype(np.int64, copy=False)
