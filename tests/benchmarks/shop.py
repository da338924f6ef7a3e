"""A small shop in the form of Amazon Beauty: people stay in one of ten categories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import clustered

ITEMS, USERS = 80, 120


def write_shop(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    vectors = clustered(ITEMS, 8, seed=1, clusters=10)
    ids = np.arange(ITEMS) + 500
    pq.write_table(
        pa.table({"ItemID": ids, "embedding": list(vectors)}), folder / "item_emb.parquet"
    )
    kinds = np.argmin(((vectors[:, None] - vectors[None, :10]) ** 2).sum(2), axis=1)
    sequences = []
    for user in range(USERS):
        among = np.flatnonzero(kinds == kinds[user % ITEMS])
        among = among if len(among) > 3 else np.arange(ITEMS)
        sequences.append(ids[rng.choice(among, 5 + user % 4)].tolist())
    for name, cut in (("train", 2), ("valid", 1), ("test", 0)):
        table = {
            "UserID": np.arange(USERS),
            "sequence": [s[: len(s) - cut] for s in sequences],
            "target": [s[len(s) - cut - 1] for s in sequences],
        }
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder
