"""Sets of IDs of one catalogue that are to be compared: fitted, saved, published, or without
meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids import identifiers
from semantic_ids.artifacts import Codes, Embeddings, Provenance
from semantic_ids.errors import BadInput, nearest
from semantic_ids.hashing import fingerprint
from semantic_ids.progress import reported_as
from semantic_ids.recommenders.catalogue import Catalogue
from semantic_ids.recommenders.judge_options import CONTROLS
from semantic_ids.workflows.fitting import FitOptions, fit
from semantic_ids.workflows.recommending import as_array, without_meaning

FITTED = ("rq_kmeans", "rq_vae", "suffix", "none")
"""Names of IDs that are made of the embeddings."""


def require_known(names: Iterable[str], root: Path) -> None:
    """Raise `BadInput` for a name that is neither known nor that of a file, before any work."""
    for name in names:
        if name not in (*FITTED, *CONTROLS) and not (root / Path(name).expanduser()).exists():
            raise BadInput(
                f"'{name}'{nearest(name, (*FITTED, *CONTROLS))}",
                where="compare.ids",
                expected=f"one of {', '.join((*FITTED, *CONTROLS))}, the folder of a tokenizer, or"
                " a parquet file with item_id and codes",
            )


class Candidates:
    """Makes the IDs that are named; a tokenizer that several need is fitted once.

    Args:
        embeddings: The catalogue.
        validation: Shape (n,), bool: the items that a training in epochs watches.
        fits: Name → the tokenizer that is fitted for it, and the strategy of its IDs.
        root: Folder that relative paths start at.
        seed: Seed of IDs that are drawn.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        validation: np.ndarray,
        fits: Mapping[str, FitOptions],
        root: Path,
        seed: int,
    ) -> None:
        self.embeddings, self.validation, self.fits = embeddings, validation, fits
        self.root, self.seed = root, seed
        self._tokenizers: dict[str, Any] = {}

    def of(self, name: str, first: Codes | None) -> Codes:
        """Return the IDs of a name.

        Args:
            name: Of a fit, `shuffled` or `random`, or the path of a tokenizer or a parquet file.
            first: The IDs that those without meaning are made like; None for those of the first
                fit.
        """
        if name in self.fits:
            return self._fitted(name)
        if name in CONTROLS:
            like = first if first is not None else self._fitted(next(iter(self.fits)))
            return without_meaning(name, like, self.seed)
        path = self.root / Path(name).expanduser()
        if path.is_dir():
            from semantic_ids.workflows.estimators import load_tokenizer

            options = replace(next(iter(self.fits.values())), strategy="reassign")
            return self._identified(name, load_tokenizer(path, options.device), options)
        codes = published_codes(path, self.embeddings.item_ids)
        sizes = tuple(int(k) + 1 for k in codes.max(axis=0))
        return self._codes(name, codes, sizes, len(sizes))

    def _fitted(self, name: str) -> Codes:
        options = self.fits[name]
        alike = "unique" if options.assign is not None else "plain"  # refined for unique IDs or not
        key = fingerprint(replace(options, strategy="reassign").to_dict(), alike)
        if key not in self._tokenizers:
            with reported_as("compare_ids.tokenizer"):
                self._tokenizers[key] = fit(
                    self.embeddings.vectors, options, validation=self.validation
                )
        return self._identified(name, self._tokenizers[key], options)

    def _identified(self, name: str, tokenizer: Any, options: FitOptions) -> Codes:
        known = self.embeddings
        made = identifiers.deduplicate(
            tokenizer.encode(known.vectors),
            identifiers.TokenizerCosts(tokenizer, known.vectors, known.vector_hashes),
            strategy=options.strategy,
            candidates=options.candidates,
        )
        return self._codes(name, made.codes, made.sizes, made.levels)

    def _codes(self, name: str, codes: np.ndarray, sizes: tuple[int, ...], levels: int) -> Codes:
        inputs = {"embeddings": self.embeddings.provenance.fingerprint}
        made = Provenance("semantic_ids", inputs, {"name": name}, fingerprint(codes))
        return Codes(self.embeddings.item_ids, codes.astype(np.int32), tuple(sizes), levels, made)


def published_codes(file: Path, item_ids: Any) -> np.ndarray:
    """Read IDs of any system for the items of a catalogue: (n, L) int32, in its order.

    Args:
        file: Parquet with the columns `item_id` and `codes`, lists of whole numbers of one length.
        item_ids: n ids of the catalogue. Others in the file are passed over.

    Raises:
        BadInput: It cannot be read, a column is missing, codes are ragged, negative or missing, or
            an item of the catalogue has none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    expected = "parquet with item_id and codes, lists of whole numbers of one length from 0 on"
    try:
        table = pq.read_table(file, columns=["item_id", "codes"], memory_map=False)
        codes = np.array(table["codes"].to_pylist(), dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        said = " ".join(str(error).split())
        raise BadInput(f"no IDs can be read: {said}", where=str(file), expected=expected) from error
    if codes.ndim != 2 or not codes.size or codes.min() < 0:
        raise BadInput(f"codes of shape {codes.shape}", where=str(file), expected=expected)
    ids = as_array(table["item_id"])
    nothing = np.zeros((len(ids), 0), np.int32)
    rows = Catalogue(ids, nothing, (), np.zeros(len(ids), np.int64)).rows_of(as_array(item_ids))
    if (rows < 0).any():
        lost = as_array(item_ids)[rows < 0]
        raise BadInput(
            f"{len(lost):,} items of the catalogue have no ID there, such as {lost[0]!r}",
            where=str(file),
            expected="an ID for each item",
        )
    return codes[rows].astype(np.int32)
