"""Laws that any estimate of seconds keeps, whatever its constants."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest

from semantic_ids.forecast import seconds
from semantic_ids.quantization import kmeans, residual
from semantic_ids.tokenizers import rq_kmeans
from semantic_ids.tokenizers.base import PREPROCESS_ROWS

STAGES = ("train", "encode", "deduplicate", "evaluate")


def work(job, speed):
    """Seconds of the stages less what is fixed."""
    return {
        name: found - seconds.FIXED[name] for name, found in seconds.seconds(job, speed).items()
    }


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_twice_the_items_take_twice_as_long(make_job, speed, kind):
    one, two = (work(make_job(kind, items=n, fit_items=n), speed) for n in (1_000_000, 2_000_000))
    for stage in ("encode", "deduplicate", "evaluate"):
        assert 1.95 * one[stage] <= two[stage] <= 4.05 * one[stage]


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"strategy": "suffix"}, {"twin_items": 900_000}, {"width": 128, "rotates": True}],
)
def test_a_machine_twice_as_fast_takes_half_as_long(make_job, speed, kind, changes):
    twice = replace(
        speed,
        products=2 * speed.products,
        cpu_products=2 * speed.cpu_products,
        search=speed.search / 2,
        drawn_search=speed.drawn_search / 2,
        passes=2 * speed.passes,
    )
    job = make_job(kind, **changes)
    slow, fast = work(job, speed), work(job, twice)
    assert set(slow) == set(STAGES)
    for stage in STAGES:
        assert slow[stage] > 0 and fast[stage] == pytest.approx(slow[stage] / 2)


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
@pytest.mark.parametrize(
    "more",
    [
        {"dim": 1536, "width": 1536},
        {"codebook_sizes": [512] * 3},
        {"codebook_sizes": [256] * 4},
        {"spilled_rate": 0.3},
    ],
)
def test_more_work_never_takes_less(make_job, speed, kind, more):
    less, most = work(make_job(kind), speed), work(make_job(kind, **more), speed)
    assert all(most[stage] >= less[stage] for stage in STAGES) and sum(most.values()) > sum(
        less.values()
    )


def test_strategies_that_move_nobody_are_cheaper(make_job, speed):
    reassign, suffix, none = (
        work(make_job(strategy=name), speed)["deduplicate"]
        for name in ("reassign", "suffix", "none")
    )
    assert none == 0 < suffix < reassign


def test_a_fit_takes_no_longer_beyond_the_items_that_it_sees(make_job, speed):
    """Mean and scale are taken from more items than the codebooks; then nothing of a fit grows."""
    job = make_job(more={"unique_rounds": 0})
    fewer, all_, more = (
        seconds.train(job, speed, n)
        for n in (PREPROCESS_ROWS // 2, PREPROCESS_ROWS, 8 * PREPROCESS_ROWS)
    )
    assert fewer < all_ == more


@pytest.mark.parametrize(
    ("fit_items", "strategy", "counted"),
    [
        (256 * 512, "reassign", True),
        (256 * 512 + 1, "reassign", False),
        (256 * 512, "suffix", False),
        (256 * 512, "none", False),
    ],
)
def test_rounds_for_unique_ids_count_where_the_fit_sees_all_items(
    make_job, speed, fit_items, strategy, counted
):
    with_, without = (
        seconds.train(make_job(strategy=strategy, more={"unique_rounds": rounds}), speed, fit_items)
        for rounds in (3, 0)
    )
    assert (with_ > without) == counted and with_ >= without


@pytest.mark.parametrize("name", ["iterations", "restarts", "anneal_rounds", "refine_rounds"])
def test_each_round_of_a_fit_takes_as_long(make_job, speed, name):
    one, two, three = (
        seconds.train(make_job(more={name: rounds}), speed, 100_000) for rounds in (2, 3, 4)
    )
    assert two - one == pytest.approx(three - two) and two > one


@pytest.mark.parametrize(
    ("fit_items", "strategy", "counted"),
    [(100_000, "reassign", True), (100_000, "suffix", False), (1_000_000, "reassign", False)],
)
def test_epochs_for_unique_ids_count_where_the_latent_vectors_are_held(
    make_job, speed, fit_items, strategy, counted
):
    seconds_of = [
        seconds.train(
            make_job("rq_vae", {"unique_epochs": n}, strategy=strategy, fit_items=fit_items),
            speed,
            fit_items,
        )
        for n in (0, 1, 2)
    ]
    assert (seconds_of[1] > seconds_of[0]) == counted
    assert seconds_of[2] - seconds_of[1] == pytest.approx(seconds_of[1] - seconds_of[0], abs=1e-9)


def test_each_epoch_takes_as_long(make_job, speed):
    hundred, two, three = (
        seconds.train(make_job("rq_vae", {"epochs": n}), speed, 100_000) for n in (100, 200, 300)
    )
    assert two - hundred == pytest.approx(three - two) and 1.5 * hundred < two < 2 * hundred


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_a_twin_is_another_fit_and_another_encoding(make_job, speed, kind):
    alone, with_twin = make_job(kind), make_job(kind, twin_items=900_000)
    added = seconds.evaluate(with_twin, speed) - seconds.evaluate(alone, speed)
    assert added > seconds.train(alone, speed, 900_000) + seconds.encode(alone, speed, 100_000)
    assert work(with_twin, speed)["train"] == work(alone, speed)["train"]


def test_comparing_queries_takes_the_products_that_it_takes(make_job, speed):
    """Every query with every item and with every different code.

    The rest of the stage does not depend on the queries.
    """
    one, two = (
        seconds.evaluate(make_job(queries=n, collision_rate=0.0), speed) for n in (1000, 2000)
    )
    assert two - one == pytest.approx(2 * 1000 * 768 * 2_000_000 / speed.cpu_products)
    few = make_job(items=500, fit_items=500, queries=500)
    assert seconds.evaluate(few, speed) == seconds.evaluate(replace(few, queries=10**6), speed)


def test_axes_left_out_are_not_worked_on(make_job, speed):
    """A tenth of the axes: the product with the codebooks is a tenth of the work, and leading
    vectors there is added.
    """
    all_, few = make_job(), make_job(width=76, rotates=True)
    saved = seconds.encode(all_, speed, 1000) - seconds.encode(few, speed, 1000)
    assert saved == pytest.approx(1000 * 2 * ((768 - 76) * 768 - 768 * 76) / speed.products)


def test_constants_that_mirror_others_are_still_theirs(make_job):
    assert seconds.WIDE == residual.LEAST_BEAM_CODES
    assert (
        inspect.signature(kmeans.kmeans).parameters["iterations"].default
        == seconds.LLOYD_ITERATIONS
    )
    assert seconds.WHOLE_ROUNDS == rq_kmeans.WHOLE_ROUNDS
    assert (
        make_job(more={"init_rows": 1}).start_rows(10**6) == rq_kmeans.LEAST_INIT_ROWS_A_CODE * 256
    )


def test_shares_are_shares(make_job):
    for rate in (0.0, 0.1, 0.5, 0.9, 1.0):
        job = make_job(collision_rate=rate, spilled_rate=rate)
        assert (
            rate <= job.overfull_rate <= 1
            and rate <= job.contested_rate <= 1
            and 0 < job.distinct <= job.items
        )
