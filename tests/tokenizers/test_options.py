"""Every option of the tokenizers refuses what it cannot take, when it is made."""

from __future__ import annotations

import pytest

import semantic_ids
from semantic_ids.errors import BadInput
from semantic_ids.options import flat
from semantic_ids.tokenizers.options import PreprocessOptions, RQKMeansOptions
from semantic_ids.tokenizers.rq_kmeans import RQKMeans
from semantic_ids.tokenizers.rq_vae.groups import GradientOptions
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
    *groups, last = name.split(".")
    given = {last: value}
    for group in reversed(groups):
        given = {group: given}
    with pytest.raises(BadInput, match=rf"{kind.group}\.{name}: '{last}' is "):
        kind.of(given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (RQKMeans, {"options": {"init": "progresive"}}),
        (RQKMeans, {"options": {"ridge": float("nan")}}),
        (RQKMeans, {"preprocess": {"whiten": 2}}),
        (RQVAE, {"options": {"optimizer": {"name": "sgd"}}}),
        (RQVAE, {"options": {"network": {"activation": "gelu"}}}),
        (RQVAE, {"options": {"codebook": {"quantizer": "EMA"}}}),
        (RQVAE, {"options": {"start": {"init": "progresive"}}}),
    ],
)
def test_a_tokenizer_in_python_refuses_them_too(kind, given):
    with pytest.raises(BadInput, match="expected"):
        kind((4, 4), **given)


def test_a_former_option_names_the_one_that_it_has_now():
    """Every one of them, also where a group has its name now; the group itself is taken."""
    names = {name for name, _, _ in flat(RQVAEOptions)}
    assert set(RQVAEOptions.moved.values()) == names
    for former, now in RQVAEOptions.moved.items():
        with pytest.raises(BadInput, match=rf"option '{former}' is now '{now}'"):
            RQVAEOptions.of({former: 1})
        with pytest.raises(BadInput, match=rf"option '{former}' is now '{now}'"):
            semantic_ids.RQVAE(**{former: 1})
    made = semantic_ids.RQVAE(schedule={"shape": "constant"}, gradient=GradientOptions(sampling=1))
    assert (made.options.schedule.shape, made.options.gradient.sampling) == ("constant", 1.0)


@pytest.mark.parametrize("other", [{"codebook": {"sinkhorn": 0.1}}, {"gradient": {"sampling": 1}}])
def test_codes_are_drawn_in_one_way(other):
    gradient = {"estimator": "gumbel", **other.get("gradient", {})}
    with pytest.raises(BadInput, match="Gumbel-softmax draws its codes itself"):
        RQVAEOptions.of({**other, "gradient": gradient})


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ({"balance": 2.0}, "tokenizer.rq_kmeans.balance: 2.0"),
        ({"beam_size": 2}, "tokenizer.rq_kmeans.beam_size: 2"),
        ({"unique_rounds": 5}, "tokenizer.rq_kmeans.unique_rounds: 5"),
    ],
)
def test_what_says_nothing_of_a_start_is_refused(start, name):
    with pytest.raises(BadInput, match=f"{name} would have no effect"):
        RQVAEOptions.of({"start": start})
    RQVAEOptions.of({"start": {"unique_rounds": 0, "anneal_rounds": 7}})


def test_a_start_that_is_not_used_is_refused():
    plain = {"init": "kmeans"}
    RQVAEOptions.of({"codebook": plain})
    RQVAEOptions.of({"codebook": plain, "start": RQKMeansOptions()})
    with pytest.raises(BadInput, match="codebooks start from plain k-means"):
        RQVAEOptions.of({"codebook": plain, "start": {"anneal_rounds": 7}})
