"""Generation that writes IDs of items and nothing else: the trie as a constraint of `generate`.

    allowed = prefix_allowed_tokens_fn(trie, vocabulary, prompt_length=inputs.input_ids.shape[1])
    model.generate(**inputs, prefix_allowed_tokens_fn=allowed, max_new_tokens=4, num_beams=20)

    processor = TrieLogitsProcessor(trie, vocabulary, prompt_length=inputs.input_ids.shape[1])
    model.generate(**inputs, logits_processor=[processor], max_new_tokens=4, num_beams=20)

Both allow the same tokens. The first is asked for each beam, in Python; the second walks the arrays
of the trie for all beams at once. Neither keeps a state, so beams may change places as they like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.publishing.trie import Trie
from semantic_ids.publishing.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class IdConstraint:
    """Which tokens may come next in a sequence of IDs.

    Attributes:
        trie: The IDs that there are.
        vocabulary: Their tokens, in the ids of the model.
        prompt_length: Where the first ID to be written begins: the width of `input_ids`, padding
            included; 1 for an encoder with a decoder. Where the prompt ends with the first codes of
            an ID that is to be completed, the place where that ID begins.
        end: Id of the token that ends a sequence; that of the vocabulary if None. Without one,
            `max_new_tokens` must end it.
        items: How many IDs are written, one after the other.
        fewer: The end may come after any whole ID; else after the last.
    """

    trie: Trie
    vocabulary: Vocabulary
    prompt_length: int
    end: int | None = None
    items: int = 1
    fewer: bool = False

    def __post_init__(self) -> None:
        if self.end is None and self.vocabulary.end is not None:
            object.__setattr__(self, "end", self.vocabulary.end.id)
        ours, theirs = self.trie.sizes, self.vocabulary.sizes
        if len(ours) != len(theirs) or any(a > b for a, b in zip(ours, theirs, strict=True)):
            raise BadInput(
                f"the trie has levels of {list(ours)} codes, the vocabulary has {list(theirs)}"
                " tokens",
                expected="the trie and the vocabulary of the same IDs",
            )
        if self.items < 1 or self.prompt_length < 0:
            raise BadInput(
                f"items is {self.items}, prompt_length is {self.prompt_length}",
                expected="at least 1 item, and the width of input_ids",
            )

    def after(self, written: list[int]) -> list[int]:
        """Return the ids that may follow those written since the prompt."""
        whole, level = divmod(len(written), self.trie.levels)
        self._require_end(whole)
        if whole >= self.items or self.end in written:
            return [self.end]  # type: ignore[list-item]
        first, offsets = self.vocabulary.first_id, self.vocabulary.offsets
        codes = [
            number - first - offset
            for number, offset in zip(written[len(written) - level :], offsets, strict=False)
        ]
        following = self.trie.children(codes)
        found = (following.astype(np.int64) + (first + offsets[level])).tolist()
        if (self.fewer and whole and not level) or (not found and self.end is not None):
            found.append(self.end)
        return found or [first + offsets[level]]  # of a beam that is dead, at least one

    def after_all(self, written: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        """Say what may follow many sequences of one length: the same as `after`, at once.

        Args:
            written: Shape (b, t): ids since the prompt.

        Returns:
            Level of the next token; shape (b, K) bool: its codes that may follow; shape (b,) bool:
            whether the sequence may end.
        """
        whole, level = divmod(written.shape[1], self.trie.levels)
        self._require_end(whole)
        offsets = np.array(self.vocabulary.offsets[:level], dtype=np.int64)
        codes = written[:, written.shape[1] - level :] - (self.vocabulary.first_id + offsets)
        nodes = self.trie.walk(codes)
        over = np.full(len(written), whole >= self.items)
        if self.end is not None:
            over |= (written == self.end).any(axis=1)
        allowed = self.trie.mask_after(np.where(over, -1, nodes), level)
        dead = np.logical_not(allowed.any(axis=1))
        if not whole and len(written) and bool(np.all(dead & ~over)):
            raise self._unknown()
        between = self.fewer and whole > 0 and level == 0
        return level, allowed, np.logical_or(dead, between)

    def _require_end(self, whole: int) -> None:
        """Refuse to go on after the last ID where nothing ends a sequence."""
        if whole >= self.items and self.end is None:
            raise BadInput(
                f"{whole} IDs are written, and there is no token that ends a sequence",
                where="generate",
                expected=f"max_new_tokens={self.items * self.trie.levels}, or an end token",
            )

    @staticmethod
    def _unknown() -> BadInput:
        """Return the error for prompts that end with what begins no ID."""
        return BadInput(
            "no ID begins with the tokens after the prompt",
            where="generate",
            expected="prompt_length to be where the first ID begins, the width of input_ids",
        )


def prefix_allowed_tokens_fn(
    trie: Trie,
    vocabulary: Vocabulary,
    prompt_length: int,
    *,
    end: int | None = None,
    items: int = 1,
    fewer: bool = False,
) -> Callable[[int, Tensor], list[int]]:
    """Return the function that `generate(prefix_allowed_tokens_fn=…)` of transformers asks.

    Args are those of `IdConstraint`.
    """
    constraint = IdConstraint(trie, vocabulary, prompt_length, end, items, fewer)

    def allowed(batch_id: int, input_ids: Tensor) -> list[int]:
        return constraint.after(input_ids[prompt_length:].tolist())

    return allowed


class TrieLogitsProcessor:
    """A logits processor of transformers: all that begins no ID gets −inf, for all beams at once.

    Args are those of `IdConstraint`.
    """

    supports_continuous_batching = False

    def __init__(
        self,
        trie: Trie,
        vocabulary: Vocabulary,
        prompt_length: int,
        *,
        end: int | None = None,
        items: int = 1,
        fewer: bool = False,
    ) -> None:
        self.constraint = IdConstraint(trie, vocabulary, prompt_length, end, items, fewer)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask the scores of the next token: (b, T) ids, (b, V) scores → (b, V).

        Raises:
            BadInput: The model has fewer outputs than the vocabulary has ids, or see
                `IdConstraint`.
        """
        import torch

        constraint, vocabulary = self.constraint, self.constraint.vocabulary
        if scores.shape[1] <= vocabulary.ids[-1]:
            raise BadInput(
                f"the model has {scores.shape[1]} outputs, the vocabulary ids up to"
                f" {vocabulary.ids[-1]}",
                where="generate",
                do="call model.resize_token_embeddings(len(tokenizer)), and train it",
            )
        written = input_ids[:, constraint.prompt_length :].cpu().numpy()
        level, allowed, may_end = constraint.after_all(written)
        first = vocabulary.first_id + vocabulary.offsets[level]
        span = slice(first, first + allowed.shape[1])
        masked = torch.full_like(scores, -torch.inf)
        forbidden = torch.from_numpy(~allowed).to(scores.device)
        masked[:, span] = scores[:, span].masked_fill(forbidden, -torch.inf)
        if constraint.end is not None:
            ending = torch.from_numpy(may_end).to(scores.device)
            masked[ending, constraint.end] = scores[ending, constraint.end]
        return masked
