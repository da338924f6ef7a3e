from __future__ import annotations

from collections import Counter, defaultdict
from math import log

import numpy as np
import pytest

from semantic_ids.metrics import hierarchy
from semantic_ids.metrics.hierarchy import agreement, cohesion


def brute_cohesion(x, codes, p):
    """Mean over all pairs, in a double loop; None without pairs."""
    found = []
    for i in range(len(x)):
        for j in range(i):
            if (codes[i, :p] == codes[j, :p]).all():
                norms = np.sqrt((x[i] * x[i]).sum()) * np.sqrt((x[j] * x[j]).sum())
                found.append((x[i] * x[j]).sum() / norms if norms else 0.0)
    return np.mean(found) if found else None


@pytest.mark.parametrize("rows", [1024, 1, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_cohesion_against_all_pairs(make_catalogue, monkeypatch, rows, seed):
    monkeypatch.setattr(hierarchy, "ROWS", rows)
    embeddings, _, codes, ids = make_catalogue(seed=seed)
    for some in (codes, ids):
        expected = {
            p: brute_cohesion(embeddings.vectors.astype(float), some.codes, p) for p in range(4)
        }
        assert cohesion(embeddings.vectors, some.codes, some.sizes) == pytest.approx(
            {p: c for p, c in expected.items() if c is not None}
        )


def test_cohesion_is_absent_where_no_pair_shares_a_prefix(make_catalogue):
    embeddings, *_ = make_catalogue(n=6)
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]])
    assert set(cohesion(embeddings.vectors, codes, (3, 2))) == {0, 1}
    assert cohesion(embeddings.vectors[:1], codes[:1], (3, 2)) == {}


def entropy(counts):
    total = sum(counts)
    return -sum(c / total * log(c / total) for c in counts)


def brute_agreement(labels, prefixes):
    """Purity and NMI from their definitions, on lists."""
    under = defaultdict(list)
    for label, prefix in zip(labels, prefixes, strict=True):
        under[prefix].append(label)
    purity = sum(max(Counter(of).values()) for of in under.values()) / len(labels)
    own, others = entropy(Counter(labels).values()), entropy(Counter(prefixes).values())
    mutual = own + others - entropy(Counter(zip(labels, prefixes, strict=True)).values())
    return purity, mutual / ((own + others) / 2) if own + others else 1.0


def test_agreement_against_the_definitions():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, (80, 3))
    labels = {
        "kind": np.where(rng.random(80) < 0.2, -1, (codes[:, 0] + (rng.random(80) < 0.3)) % 3),
        "other": rng.integers(-1, 5, 80),
    }
    metrics = agreement(codes, (3, 3, 3), labels)
    for name, label in labels.items():
        known = label >= 0
        for p in (1, 2, 3):
            purity, nmi = brute_agreement(
                label[known].tolist(), list(map(tuple, codes[known, :p].tolist()))
            )
            assert metrics[f"hierarchy.purity.{name}.{p}"] == pytest.approx(purity)
            assert metrics[f"hierarchy.nmi.{name}.{p}"] == pytest.approx(nmi)
    assert len(metrics) == 12


def test_labels_that_nobody_has_say_nothing():
    assert agreement(np.zeros((4, 2), int), (2, 2), {"empty": np.full(4, -1)}) == {}
