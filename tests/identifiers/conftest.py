"""A tokenizer in plain numpy, written independently of `semantic_ids.tokenizers`, that does
everything by exhaustive search.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest


class ExhaustiveTokenizer:
    """Residual quantiser with given codebooks that looks at every code there is.

    Its squared errors are computed one by one, in float64.
    """

    kind, config, history, report, provenance, normalizes = "exhaustive", {}, [], {}, None, False

    def __init__(self, codebooks):
        self.codebooks = [np.asarray(c, dtype=np.float64) for c in codebooks]
        self.codebook_sizes = tuple(len(c) for c in self.codebooks)
        self.dim = self.codebooks[0].shape[1]
        self.all_codes = np.array(
            list(product(*map(range, self.codebook_sizes))), dtype=np.int32
        ).reshape(-1, len(codebooks))
        self.known = {}
        self.all_vectors = self.decode(self.all_codes)
        radix = np.cumprod([1, *self.codebook_sizes[-2:0:-1]])[::-1]
        self.all_prefix_keys = (
            self.all_codes[:, :-1].astype(np.int64) @ radix
            if len(codebooks) > 1
            else np.zeros(len(self.all_codes), np.int64)
        )

    def to(self, device):
        return self

    def decode(self, codes):
        return sum(
            (book[codes[:, level]] for level, book in enumerate(self.codebooks[: codes.shape[1]])),
            np.zeros((len(codes), self.dim)),
        )

    def distortion(self, vectors, codes):
        return np.float32(((np.asarray(vectors, np.float64) - self.decode(codes)) ** 2).sum(1))

    def encode(self, vectors):
        rest, codes = np.array(vectors, dtype=np.float64), []
        for book in self.codebooks:
            codes.append(((rest[:, None] - book[None]) ** 2).sum(2).argmin(1))
            rest = rest - book[codes[-1]]
        return np.stack(codes, 1).astype(np.int32)

    def level_costs(self, vectors, prefixes):
        assert len(vectors) == len(prefixes)
        rest = np.asarray(vectors, np.float64) - self.decode(prefixes)
        return np.float32(((rest[:, None] - self.codebooks[-1][None]) ** 2).sum(2))

    def candidates(self, vectors, t, *, distinct_prefixes=False, excluded=None):
        codes = np.full((len(vectors), t, len(self.codebooks)), -1, np.int32)
        costs = np.full((len(vectors), t), np.inf, np.float32)
        shut = set() if excluded is None else set(excluded.tolist())
        for item, vector in enumerate(vectors):
            key = (vector.tobytes(), distinct_prefixes)
            if key not in self.known:
                self.known[key] = self._ranked(vector, distinct_prefixes)
            found = [
                (cost, i)
                for cost, i in self._seen(self.known[key], t)
                if int(self.all_prefix_keys[i]) not in shut
            ][:t]
            for place, (cost, i) in enumerate(found):
                codes[item, place], costs[item, place] = self.all_codes[i], cost
        return codes, costs

    def _ranked(self, vector, distinct):
        errors = np.float32(((np.float64(vector) - self.all_vectors) ** 2).sum(1))
        taken, ranked = set(), []
        for i in np.argsort(errors, kind="stable"):
            prefix = int(self.all_prefix_keys[i])
            if not distinct or prefix not in taken:
                taken.add(prefix)
                ranked.append((errors[i], i))
        return ranked

    def _seen(self, ranked, t):
        return ranked


class ShortSightedTokenizer(ExhaustiveTokenizer):
    """Looks at the t nearest prefixes before it leaves out excluded ones, as a narrow beam."""

    def _seen(self, ranked, t):
        return ranked[:t]


class BlindTokenizer(ExhaustiveTokenizer):
    """Never finds a candidate."""

    def _seen(self, ranked, t):
        return []


TOKENIZERS = {
    "exhaustive": ExhaustiveTokenizer,
    "short-sighted": ShortSightedTokenizer,
    "blind": BlindTokenizer,
}


@pytest.fixture(scope="session")
def make_tokenizer():
    """Return a function that makes a tokenizer with random codebooks of falling spread."""

    def make(sizes, dim=3, seed=0, kind="exhaustive"):
        rng = np.random.default_rng(seed)
        return TOKENIZERS[kind](
            [rng.normal(size=(size, dim)) * 0.5**level for level, size in enumerate(sizes)]
        )

    return make
