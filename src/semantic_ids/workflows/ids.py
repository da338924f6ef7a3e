"""A fitted tokenizer and vectors → unique IDs, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint, hashes_of, item_hash
from semantic_ids.workflows.fitting import FitOptions
from semantic_ids.workflows.inputs import hash_order, in_order, items_of

if TYPE_CHECKING:
    from semantic_ids.identifiers import Deduplicated, Strategy
    from semantic_ids.tokenizers.base import ResidualTokenizer


@dataclass(frozen=True, eq=False)
class SemanticIds:
    """The semantic IDs of n items, in the order in which the items were given.

    Attributes:
        item_ids: n ids; the row numbers where none were given.
        codes: Shape (n, W), int32: the IDs. W is L, or L + 1 with strategy `suffix`.
        sizes: W sizes; `codes[:, l]` is in `[0, sizes[l])`.
        tokenizer_codes: Shape (n, L), int32: the codes before they were made unique.
        moved_rate: Share of the items with another code than the tokenizer's.
        spilled_rate: Share of the items with another prefix than the tokenizer's.
        suffixed_rate: Share of the items with a suffix other than 0.
        added_distortion: Distortion that the IDs add, as a ratio to the distortion before.
    """

    item_ids: list[Any]
    codes: np.ndarray
    sizes: tuple[int, ...]
    tokenizer_codes: np.ndarray
    moved_rate: float
    spilled_rate: float
    suffixed_rate: float
    added_distortion: float
    _made: Deduplicated = field(repr=False)
    _order: np.ndarray | None = field(repr=False)
    _made_with: str = field(repr=False)

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        """Say how many there are and what it cost to make them unique."""
        sizes = "x".join(map(str, self.sizes))
        return f"SemanticIds({len(self):,} items, {sizes}, {self.moved_rate:.2%} moved)"

    @property
    def tokens(self) -> list[str]:
        """The IDs as tokens of a sequence model, such as `<a_45><b_123><c_67>`."""
        from semantic_ids.export.tokens import token_strings

        return token_strings(self.codes).to_pylist()

    def to_dict(self) -> dict[str, list[int]]:
        """Return item id → codes, as `semantic_id_mappings.json` has them."""
        return dict(zip(map(str, self.item_ids), self.codes.tolist(), strict=True))

    def to_pandas(self) -> Any:
        """Return a data frame with the columns of `semantic_ids.parquet`.

        `item_id`, `codes` and `semantic_id`.
        """
        import pyarrow as pa

        columns = {
            "item_id": self.item_ids,
            "codes": list(self.codes),
            "semantic_id": self.tokens,
        }
        return pa.table(columns).to_pandas()


def unique_ids(
    tokenizer: ResidualTokenizer,
    x: Any,
    item_ids: Any = None,
    strategy: Strategy = "reassign",
    *,
    candidates: int = 8,
) -> SemanticIds:
    """Give every item an ID of its own.

    Args:
        tokenizer: A fitted tokenizer.
        x: n vectors, as `RQKMeans.fit` takes them.
        item_ids: n ids. Where two items have an equal claim to a code, the order of their hashes
            decides; without ids it is the order of `x`.
        strategy: `reassign`: every item its own last-level code, at the least distortion. `suffix`:
            one more level, 0 where unique. `none`: items may share an ID.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.

    Raises:
        BadInput: Vectors or ids that cannot be taken, an unknown strategy, or more items than
            codes.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import RQKMeans, unique_ids
        >>> x = np.random.default_rng(0).normal(size=(400, 8)).astype("float32")
        >>> item_ids = [f"item {i}" for i in range(400)]
        >>> tokenizer = RQKMeans(codebook_sizes=(8, 8, 16), device="cpu").fit(x, item_ids=item_ids)
        >>> ids = unique_ids(tokenizer, x, item_ids)
        >>> len(np.unique(ids.codes, axis=0))
        400
        >>> table = ids.to_pandas()
        >>> table.columns.tolist()
        ['item_id', 'codes', 'semantic_id']
        >>> ids.tokens[0].startswith("<a_"), ids.to_dict()["item 0"] == ids.codes[0].tolist()
        (True, True)
    """
    from semantic_ids.identifiers import TokenizerCosts, deduplicate

    wanted = FitOptions(strategy=strategy, candidates=candidates)
    vectors, ids = items_of(x, item_ids)
    order = None if ids is None else hash_order(ids, len(vectors))
    vectors = in_order(vectors, order)
    codes = tokenizer.encode(vectors)
    costs = TokenizerCosts(tokenizer, vectors)
    made = deduplicate(codes, costs, strategy=wanted.strategy, candidates=wanted.candidates)
    back = None if order is None else np.argsort(order)
    return SemanticIds(
        list(range(len(vectors))) if ids is None else ids,
        in_order(made.codes, back),
        made.sizes,
        in_order(codes, back),
        made.moved_rate,
        made.spilled_rate,
        made.suffixed_rate,
        made.added_distortion,
        made,
        order,
        tokenizer.content,
    )


def evaluate(
    tokenizer: ResidualTokenizer,
    x: Any,
    ids: SemanticIds,
    *,
    held_out: Any = None,
    labels: Mapping[str, Any] | None = None,
    queries: int = 1000,
) -> dict[str, Any]:
    """Measure a tokenizer and its IDs: the metrics of `metrics.json`, by the same names.

    `reconstruction.relative_mse_fitted` is among them where the tokenizer was fitted on these items
    in this order.

    Args:
        tokenizer: The tokenizer that made the IDs.
        x: The n vectors that `unique_ids` was given.
        ids: What it returned.
        held_out: n truth values: the items that the tokenizer was not fitted on; where there are
            any, `reconstruction.relative_mse_validation` is their error.
        labels: Name → n labels, None for none: how well prefixes agree with them.
        queries: Items whose neighbours are compared.

    Raises:
        BadInput: The IDs are of another tokenizer or of other items.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import RQKMeans, evaluate, unique_ids
        >>> x = np.random.default_rng(0).normal(size=(400, 8)).astype("float32")
        >>> tokenizer = RQKMeans(codebook_sizes=(8, 8, 16), device="cpu").fit(x)
        >>> metrics = evaluate(tokenizer, x, unique_ids(tokenizer, x))
        >>> metrics["ids.unique_rate"]
        1.0
        >>> 0 < metrics["reconstruction.relative_mse"] < 0.5
        True
    """
    from semantic_ids.workflows.measuring import measure

    if ids._made_with != tokenizer.content:
        raise BadInput(
            "the IDs were made with another tokenizer", where="ids", do="call `unique_ids` again"
        )
    vectors = in_order(_vectors_of(x, ids), ids._order)
    out = None if held_out is None else in_order(np.asarray(held_out, dtype=bool), ids._order)
    hashes = hashes_of(vectors)
    found = measure(
        vectors,
        tokenizer,
        FitOptions(),  # nothing is made here
        codes=in_order(ids.tokenizer_codes, ids._order),
        ids=ids._made,
        validation=out,
        fit_on="all" if out is None else "train",
        labels={
            name: in_order(_numbered(values), ids._order) for name, values in (labels or {}).items()
        },
        queries=queries,
        vector_hashes=hashes,
    ).metrics
    if not _fitted_on(tokenizer, vectors, hashes, ids, out):
        found.pop("reconstruction.relative_mse_fitted", None)
    return found


def _fitted_on(
    tokenizer: ResidualTokenizer,
    vectors: np.ndarray,
    hashes: np.ndarray,
    ids: SemanticIds,
    out: np.ndarray | None,
) -> bool:
    """Whether the first of the vectors that are not held out are those it was fitted on."""
    made = tokenizer.provenance
    if made is None:
        return False
    if made.of_python:
        seen = hashes if out is None else hashes[~out]
        return made.parameters.get("fitted_on") == fingerprint(seen[: tokenizer.fitted_rows])
    if (made.parameters.get("fit_on") == "train") != (out is not None):
        return False
    names = item_hash(ids.item_ids)
    content = fingerprint(in_order(names, ids._order), hashes, vectors.dtype.name, tokenizer.dim)
    return made.inputs.get("embeddings") == Provenance("embeddings", content=content).fingerprint


def _vectors_of(x: Any, ids: SemanticIds) -> np.ndarray:
    """Return the vectors of the items in the order of the IDs."""
    vectors, named = items_of(x)
    if len(vectors) != len(ids):
        raise BadInput(
            f"{len(vectors):,} vectors for {len(ids):,} IDs", where="vectors", expected="one an ID"
        )
    if named is None or named == ids.item_ids:
        return vectors
    row = {item: number for number, item in enumerate(named)}
    missing = [item for item in ids.item_ids if item not in row]
    if missing:
        raise BadInput(f"there is no vector of item '{missing[0]}'", where="vectors")
    return vectors[[row[item] for item in ids.item_ids]]


def _numbered(values: Any) -> np.ndarray:
    """Number labels in the order in which they first occur: (n,) int64, −1 for None and NaN."""
    import pyarrow as pa

    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    encoded = pa.array(listed, from_pandas=True).dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
