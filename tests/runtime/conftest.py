"""A small tokenizer with its graphs, and the codes that torch gives."""

from __future__ import annotations

import pytest
from tests.conftest import clustered

from semantic_ids import RQKMeans


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """Return the folder of a tokenizer that normalizes, vectors, and codes as torch gives them."""
    x = clustered(5000, 16)
    tokenizer = RQKMeans(
        codebook_sizes=(16, 20, 24),
        preprocess={"normalize": True},
        device="cpu",
        iterations=2,
        anneal_rounds=2,
        refine_rounds=1,
        unique_rounds=0,
    ).fit(x)
    folder = tmp_path_factory.mktemp("runtime") / "tokenizer"
    tokenizer.save(folder, onnx=True)
    codes = tokenizer.encode(x)
    return folder, x, codes, tokenizer.decode(codes)
