"""What each way to publish a catalogue that has grown costs, and what it changes.

A tokenizer is fitted on nine tenths of the items, and their IDs are published. Then the others
arrive, drawn or of a kind that there was none of, and more of them are to come. `append` keeps
tokenizer and IDs and gives the new items what is free; `warm` does so after the codebooks have
moved; `refit` fits anew, with the codes named after the old ones, and no ID goes to another item
than the one that had it first. For comparison: `again` identifies all items with the old tokenizer,
`refit, raw` leaves the new codes as they come, and `refit, free` takes IDs as if none had been
published. Errors are squared ones, as ratios to those of `append`. One table, as Markdown.

PYTHONPATH=src python benchmarks/lifecycle.py amazon_beauty/item_emb.parquet
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.engines import vectors_of  # noqa: E402
from benchmarks.selection import options_of  # noqa: E402
from benchmarks.systems import base_values  # noqa: E402
from semantic_ids.contract import CostOracle  # noqa: E402
from semantic_ids.hashing import item_hash, mix  # noqa: E402
from semantic_ids.identifiers import TokenizerCosts, deduplicate, unique_codes  # noqa: E402
from semantic_ids.publishing import refresh  # noqa: E402
from semantic_ids.publishing.churn import reused, shares  # noqa: E402
from semantic_ids.tokenizers import fit_tokenizer  # noqa: E402

CANDIDATES = base_values("identify")["candidates"]
SHARE = 0.1
"""Share of the items that are still to come, and of the others the share that is new."""


@dataclass(frozen=True)
class Catalogue:
    """The items of the second generation, and some that are still to come.

    Attributes:
        vectors: Shape (n, D), float32, in the order of the item hash.
        hashes: Shape (n,), uint64.
        old: Shape (m,): rows of the items that are published.
        new: Shape (n − m,): rows of the others.
        coming: Shape (c, D): vectors of the items to come.
    """

    vectors: np.ndarray
    hashes: np.ndarray
    old: np.ndarray
    new: np.ndarray
    coming: np.ndarray

    @classmethod
    def of(
        cls, file: Path, seed: int, late: Callable[[np.ndarray], np.ndarray] | None
    ) -> Catalogue:
        """Read a parquet file, columns `ItemID` and `embedding`.

        `late` says of item ids who is not published: every second of them is new, the others are to
        come. Without it, both are drawn.
        """
        import pyarrow.parquet as pq

        ids = pq.read_table(file, columns=["ItemID"])["ItemID"].to_numpy()
        hashes = item_hash(ids.tolist())
        order = np.argsort(hashes, kind="stable")
        vectors, hashes = vectors_of(file)[order], hashes[order]
        place = mix(hashes + np.uint64(seed)) / 2.0**64
        if late:
            new, coming = late(ids[order]) & (place < 0.5), late(ids[order]) & (place >= 0.5)
        else:
            new, coming = place < SHARE * (1 - SHARE), place >= 1 - SHARE
        rows = np.flatnonzero(~coming)
        return cls(
            vectors[rows],
            hashes[rows],
            np.flatnonzero(~new[rows]),
            np.flatnonzero(new[rows]),
            vectors[coming],
        )


@dataclass(frozen=True)
class Way:
    """One way to publish the second generation, and what it came to.

    Attributes:
        name: Its name in the table.
        tokenizer: Of the second generation.
        ids: Shape (n, L): the IDs.
        seconds: How long it took.
    """

    name: str
    tokenizer: Any
    ids: np.ndarray
    seconds: float


def ways(catalogue: Catalogue, seed: int, **wanted: Any) -> Iterator[Way]:
    """Publish the first generation and then, each way, the second; the first comes first.

    `wanted` is what `fit_tokenizer` is asked for.
    """
    vectors, old = catalogue.vectors, catalogue.old
    fit = partial(fit_tokenizer, device="cpu", assign=unique, **wanted)
    began = time.perf_counter()
    first = fit(vectors[old], seed=seed)
    published = unique(first.encode(vectors[old]), TokenizerCosts(first, vectors[old]))
    yield Way("published", first, published, time.perf_counter() - began)
    began = time.perf_counter()
    yield Way("append", first, append(catalogue, first, published), time.perf_counter() - began)
    again = unique(first.encode(vectors), TokenizerCosts(first, vectors))
    yield Way("again", first, again, time.perf_counter() - began)
    known = np.full((len(vectors), published.shape[1]), -1, dtype=np.int32)
    known[old] = published
    began = time.perf_counter()
    moved = refresh.warm(first, vectors, known)
    yield Way("warm", moved, append(catalogue, moved, published), time.perf_counter() - began)
    began = time.perf_counter()
    raw = fit(vectors, seed=seed + 1)
    ids = unique(raw.encode(vectors), TokenizerCosts(raw, vectors))
    yield Way("refit, raw", raw, ids, time.perf_counter() - began)
    refit = refresh.aligned(first, raw, vectors[old])
    codes, costs = refit.encode(vectors), TokenizerCosts(refit, vectors)
    yield Way("refit, free", refit, unique(codes, costs), time.perf_counter() - began)
    made = refresh.reissue(
        codes, costs, known, published, strategy="reassign", candidates=CANDIDATES
    )
    print(f"refit: {made.keeps.sum():,} items keep their ID, {made.spilled.sum():,} spilled")
    yield Way("refit", refit, made.ids, time.perf_counter() - began)


def unique(codes: np.ndarray, costs: CostOracle) -> np.ndarray:
    """Make codes unique as the pipeline does."""
    return unique_codes(codes, costs, candidates=CANDIDATES)


def append(catalogue: Catalogue, tokenizer: Any, published: np.ndarray) -> np.ndarray:
    """Return the IDs of all items, those that are published among them: (n, L)."""
    vectors, new = catalogue.vectors[catalogue.new], catalogue.new
    ids = np.empty((len(catalogue.vectors), published.shape[1]), dtype=np.int32)
    ids[catalogue.old] = published
    ids[new] = deduplicate(
        tokenizer.encode(vectors),
        TokenizerCosts(tokenizer, vectors),
        strategy="reassign",
        candidates=CANDIDATES,
        taken=published,
    ).codes
    return ids


def row(way: Way, catalogue: Catalogue, first: Way, append: Errors) -> dict[str, Any]:
    """Compare a way with what was published, and its errors with those of `append`."""
    before, now, hashes = first.ids, way.ids[catalogue.old], catalogue.hashes
    found, errors = shares(before, now), Errors.of(way, catalogue)
    levels = range(1, before.shape[1] + 1)
    ratios = [errors.items.sum() / append.items.sum()]
    for rows in (catalogue.old, catalogue.new):
        ratios.append(errors.items[rows].sum() / append.items[rows].sum())
    titles = ("error, all", "published", "new", "to come")
    return {
        "": way.name,
        **{
            title: " / ".join(_share(found[f"{name}.{level}"]) for level in levels)
            for title, name in (
                ("same code", "level"),
                ("same prefix", "prefix"),
                ("adjusted Rand", "ari"),
            )
        },
        "moved": f"{found['moved_rate']:.1%}",
        "reissued": reused([(hashes[catalogue.old], before), (hashes, way.ids)]),
        **{
            title: f"{ratio:.4f}"
            for title, ratio in zip(titles, [*ratios, errors.coming / append.coming], strict=True)
        },
        "seconds": f"{way.seconds:.0f}",
    }


@dataclass(frozen=True)
class Errors:
    """Squared errors of items with their IDs, and of those to come with their codes.

    Attributes:
        items: Shape (n,).
        coming: Mean over the items to come.
    """

    items: np.ndarray
    coming: float

    @classmethod
    def of(cls, way: Way, catalogue: Catalogue) -> Errors:
        """Measure a way."""
        each, vectors = np.arange(len(catalogue.vectors)), catalogue.coming
        codes = way.tokenizer.encode(vectors)
        coming = refresh.errors(way.tokenizer, vectors, np.arange(len(vectors)), codes)
        return cls(
            refresh.errors(way.tokenizer, catalogue.vectors, each, way.ids), float(coming.mean())
        )


def _share(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if value < 1 else "1"


def late_ones(items: Path, named: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return who, of item ids, has a value in a column of an items file: `COLUMN=VALUE`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    column, _, value = named.partition("=")
    table = pq.read_table(items, columns=["ItemID", column])
    found = table.filter(pc.equal(table[column], value))["ItemID"].to_numpy()
    return lambda ids: np.isin(ids, found)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="parquet file, columns `ItemID` and `embedding`")
    parser.add_argument("--items", type=Path, help="parquet file of the items, for --late")
    parser.add_argument("--late", help="COLUMN=VALUE: the items that are not published")
    parser.add_argument("--kind", default="rq_kmeans", choices=("rq_kmeans", "rq_vae"))
    parser.add_argument("--epochs", type=int, help="of rq_vae, fewer than conf/base has")
    parser.add_argument("--sizes", default="256x256x256")
    parser.add_argument("--seed", type=int, default=42, help="of the fits, and of who is late")
    given = parser.parse_args(words)
    late = late_ones(given.items, given.late) if given.late else None
    catalogue = Catalogue.of(given.file, given.seed, late)
    options = (
        options_of("rq_vae", unique=True, epochs=given.epochs) if given.kind == "rq_vae" else {}
    )
    sizes = [len(rows) for rows in (catalogue.old, catalogue.new, catalogue.coming)]
    print("{:,} items published, {:,} new, {:,} to come".format(*sizes))
    codebook_sizes = [int(size) for size in given.sizes.split("x")]
    first, *others = ways(
        catalogue, given.seed, kind=given.kind, options=options, codebook_sizes=codebook_sizes
    )
    append = Errors.of(others[0], catalogue)
    rows = [row(way, catalogue, first, append) for way in others]
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for found in rows:
        print("| " + " | ".join(str(value) for value in found.values()) + " |")


if __name__ == "__main__":
    main()
