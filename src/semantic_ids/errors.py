"""The one error that is meant for users.

Everything a user can mend (a missing column, a vector with NaN, a mistyped parameter) is a
`BadInput`. It reads as one line that says what was found, where, what was expected and what to do;
the command line prints that line and ends with exit code 1. Any other exception is a defect of ours
and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from semantic_ids.masking import mask


class BadInput(ValueError):
    """Input, configuration or surroundings that cannot be worked with.

    Args:
        found: What was found, as a clause: `"column 'embedding' is missing"`.
        where: The file, row group, column or item it was found in.
        expected: What would have been right.
        do: What the user can do about it. Secrets of addresses are masked in all of these.
        make: Name of an artifact that is missing. The doors say which command makes it.
        remake: Name of an artifact that is to be made again, with all that is made from it.
    """

    def __init__(
        self,
        found: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        do: str | None = None,
        make: str | None = None,
        remake: str | None = None,
    ) -> None:
        found, do = mask(found), mask(do) if do else do
        where, expected = mask(where) if where else where, mask(expected) if expected else expected
        self.found, self.where, self.expected, self.do = found, where, expected, do
        self.make, self.remake = make, remake
        if make or remake:
            do = do or (f"make '{make}' first" if make else f"make '{remake}' again")
        parts = [f"{where}: {found}" if where else found]
        if expected:
            parts.append(f"expected {expected}")
        if do:
            parts.append(do)
        super().__init__("; ".join(" ".join(part.split()).rstrip(".;") for part in parts) + ".")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; the nearest is 'x'"` for a mistyped name, or an empty string."""
    matches = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f"; the nearest is '{matches[0]}'" if matches else ""
