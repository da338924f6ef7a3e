"""Whether a generation is what was published, and how two differ."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np

from semantic_ids.codes import keys
from semantic_ids.errors import BadInput
from semantic_ids.publishing.manifest import Manifest, wrong_files


def can_read_ids() -> bool:
    """Whether IDs can be read here: what reads parquet is installed."""
    return find_spec("pyarrow") is not None


def problems(manifest: Manifest) -> Iterator[str]:
    """Say what is wrong with a generation: bytes first, and then what the files hold.

    Without what reads parquet, bytes alone are compared with the manifest.
    """
    found = list(wrong_files(manifest))
    yield from found
    if not found and can_read_ids():
        yield from _wrong_ids(manifest)


def _wrong_ids(manifest: Manifest) -> Iterator[str]:
    from semantic_ids.hashing import fingerprint
    from semantic_ids.publishing.files import read_state

    values = manifest.values
    try:
        state = read_state(manifest.folder)
    except BadInput as error:
        yield str(error)
        return
    for name, count in (("items", len(state.live)), ("retired", len(state.retired))):
        if count != values[name]:
            yield f"there are {count:,} {name} where the manifest says {values[name]:,}"
    if fingerprint(state.live.codes) != values["fingerprints"]["codes"]:
        yield "the IDs are not those that the manifest names"
    if values["identify"]["strategy"] != "none":
        every = state.every_id
        sizes = [int(size) for size in every.max(axis=0, initial=0) + 1]
        shared = len(every) - len(np.unique(keys(every, sizes)))
        if shared:
            yield f"{shared:,} IDs, of live or retired items, were issued more than once"


def differences(old: Manifest, new: Manifest) -> dict[str, int]:
    """Count the items that two generations have both, or one alone, and those whose ID moved."""
    from semantic_ids.publishing.files import read_state
    from semantic_ids.publishing.state import rows_in

    before, after = read_state(old.folder), read_state(new.folder)
    rows = rows_in(after.live.item_ids, before.live.item_ids)
    both = np.flatnonzero(rows >= 0)
    was, now = before.live.codes[rows[both]], after.live.codes[both]
    moved = (was != now).any(axis=1) if was.shape == now.shape else np.ones(len(both), dtype=bool)
    back = rows_in(after.live.item_ids, before.retired.item_ids)
    gone = len(before.live) - len(both)
    retired = rows_in(before.live.item_ids, after.retired.item_ids) >= 0
    return {
        "kept": len(both),
        "new": int(((rows < 0) & (back < 0)).sum()),
        "revived": int(((rows < 0) & (back >= 0)).sum()),
        "retired": int(retired.sum()),
        "gone": gone - int(retired.sum()),
        "moved": int(moved.sum()),
    }
