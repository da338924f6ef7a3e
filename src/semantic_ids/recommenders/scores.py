"""What a search asks of a network."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


class Scores(Protocol):
    """What a network offers to the search.

    It may have more: `child_logits`, see `KnowsChildren`, and an attribute `seen_bias`, a tensor
    (L, 2) or (L,): what is added to the logit of a child under which some item of the user's own
    history lies, and what besides where all items under it are in the history.
    """

    def states(self, histories: Tensor) -> Any:
        """Compute what is known of each user, once.

        Args:
            histories: Shape (b, T), int64: rows of items in order, padded on the right with −1.
        """
        ...

    def next_logits(self, states: Any, rows: Tensor, prefixes: Tensor) -> Tensor:
        """Return the logits of the next code.

        Args:
            states: What `states` returned.
            rows: Shape (m,), int64, ascending: which user each prefix is of.
            prefixes: Shape (m, p), int64: the p codes before, from 0 to L − 1 of them.

        Returns:
            Shape (m, K_{p+1}).
        """
        ...


@runtime_checkable
class KnowsChildren(Protocol):
    """A network that tells children of a prefix apart by more than their codes."""

    def child_logits(
        self,
        states: Any,
        rows: Tensor,
        prefixes: Tensor,
        owner: Tensor,
        codes: Tensor,
        items: Tensor,
    ) -> Tensor:
        """Return the logits of the children of prefixes: (E,).

        Args:
            states: What `states` returned.
            rows: Shape (m,), int64, ascending: which user each prefix is of.
            prefixes: Shape (m, p), int64, p from 1 to L − 1.
            owner: Shape (E,), int64, ascending: which prefix each child is of.
            codes: Shape (E,), int64: the code of each.
            items: Shape (E,), int64: the row of an item under each. A trie of allowed items
                numbers its nodes otherwise than that trained on; rows stay.
        """
        ...
