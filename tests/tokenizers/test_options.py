"""Every option of the tokenizers refuses what it cannot take, when it is made."""

from __future__ import annotations

import pytest

from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.options import PreprocessOptions, RQKMeansOptions
from semantic_ids.tokenizers.rq_kmeans import RQKMeans
from semantic_ids.tokenizers.rq_vae.model import RQVAE
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from tests.probe_options import wrong_values

WRONG = [
    (kind, name, value)
    for kind in (PreprocessOptions, RQKMeansOptions, RQVAEOptions)
    for name, value in wrong_values(kind)
]


@pytest.mark.parametrize(
    ("kind", "name", "value"), WRONG, ids=[f"{k.__name__}.{n}={v!r}" for k, n, v in WRONG]
)
def test_a_value_of_a_wrong_type_or_beyond_a_bound_is_refused(kind, name, value):
    with pytest.raises(BadInput, match=rf"{kind.group}\.{name}: '{name}' is "):
        kind.of({name: value})


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (RQKMeans, {"options": {"init": "progresive"}}),
        (RQKMeans, {"options": {"ridge": float("nan")}}),
        (RQKMeans, {"preprocess": {"whiten": 2}}),
        (RQVAE, {"options": {"optimizer": "sgd"}}),
        (RQVAE, {"options": {"activation": "gelu"}}),
        (RQVAE, {"options": {"quantizer": "EMA"}}),
        (RQVAE, {"options": {"start": {"init": "progresive"}}}),
    ],
)
def test_a_tokenizer_in_python_refuses_them_too(kind, given):
    with pytest.raises(BadInput, match="expected"):
        kind((4, 4), **given)
