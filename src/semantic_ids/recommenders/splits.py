"""Which events are learned from, and which are predicted."""

from __future__ import annotations

import numpy as np


def leave_one_out(starts: np.ndarray) -> np.ndarray:
    """Cut each history so that its last event is for the test, the one before for validation.

    All before these are learned from (W.-C. Kang and J. McAuley, "Self-Attentive Sequential
    Recommendation", arXiv 1808.09781). A history of two events has no target of validation that
    something precedes, and one of one has none at all.

    Args:
        starts: Shape (u + 1,), int64.

    Returns:
        Cuts, as `Histories` has them: shape (u, 3), int64.
    """
    begin, end = starts[:-1], starts[1:]
    test_from = np.where(end - begin > 1, end - 1, end)
    valid_from = np.where(end - begin > 2, end - 2, test_from)
    return np.column_stack([valid_from, valid_from, test_from])


def by_time(
    starts: np.ndarray, times: np.ndarray, valid_from: float, test_from: float
) -> np.ndarray:
    """Cut all histories at the same two instants.

    Args:
        starts: Shape (u + 1,), int64.
        times: Shape (m,), of each event, ascending for each user.
        valid_from: Events from this instant on are for validation.
        test_from: Events from this instant on are for the test.

    Returns:
        Cuts, as `Histories` has them: shape (u, 3), int64.
    """
    before = [np.concatenate([[0], np.cumsum(times < at)]) for at in (valid_from, test_from)]
    cuts = [starts[:-1] + earlier[starts[1:]] - earlier[starts[:-1]] for earlier in before]
    return given(starts, np.column_stack(cuts))


def instants(times: np.ndarray, valid_share: float, test_share: float) -> tuple[float, float]:
    """Return the instants that the last events begin at: of validation, and of the test.

    Args:
        times: Shape (m,), in any order.
        valid_share: Share of the events that validation begins with, before those of the test.
        test_share: Share of the events that the test begins with.
    """
    n = len(times)
    test_rank = min(n - 1, max(0, round(n * (1 - test_share))))
    valid_rank = min(test_rank, max(0, round(n * (1 - test_share - valid_share))))
    ranked = np.partition(times, [valid_rank, test_rank])
    return ranked[valid_rank].item(), ranked[test_rank].item()


def given(starts: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return cuts of histories that are split already.

    An event that none precedes cannot be predicted: it is context alone.

    Args:
        starts: Shape (u + 1,), int64.
        cuts: Shape (u, 2), int64: where the targets of validation begin, and those of the test.

    Returns:
        Cuts, as `Histories` has them: shape (u, 3), int64.
    """
    first = np.minimum(starts[:-1] + 1, starts[1:])
    valid_from, test_from = cuts.T
    return np.column_stack(
        [valid_from, np.maximum(valid_from, first), np.maximum(test_from, first)]
    )
