"""How seconds and memory are said, and kept."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from semantic_ids.forecast import Estimate
from semantic_ids.forecast.estimate import LESS, STAGES, duration, gigabytes
from semantic_ids.parameters import Parameters

SAID = Estimate(
    seconds={"train": 38.2, "encode": 19.0, "deduplicate": 17.4, "evaluate": 0.44},
    held={"train": 1.2e9, "encode": 0.3e9, "deduplicate": 0.4e9, "evaluate": 0.9e9},
    resident=600_000_000,
    trial_seconds=0.75,
    at_most=False,
)
UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.4, "0.4 s"),
        (0.94, "0.9 s"),
        (0.96, "1 s"),
        (9.96, "10 s"),
        (35.2, "35 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (92, "1 min 30 s"),
        (119, "2 min"),
        (594, "9 min 50 s"),
        (595, "10 min"),
        (745, "12 min"),
        (3569, "59 min"),
        (3599, "1 h"),
        (7510, "2 h 5 min"),
        (100_000, "27 h 47 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_what_is_said_is_near_the_truth_and_never_goes_back():
    """Read back, a duration is off by a tenth at most, or by half a second where it is short."""
    before = 0.0
    for step in range(1, 4000):
        seconds = 0.05 * 1.004**step
        said = sum(
            float(number) * UNITS[unit]
            for number, unit in re.findall(r"([\d.]+) (h|min|s)", duration(seconds))
        )
        assert said == pytest.approx(seconds, rel=0.1, abs=0.5) and said >= before
        before = said


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (4e7, "0.0 GB"),
        (1.84e9, "1.8 GB"),
        (9.94e9, "9.9 GB"),
        (9.96e9, "10 GB"),
        (123.4e9, "123 GB"),
    ],
)
def test_gigabytes_have_two_digits_that_count(size, words):
    assert gigabytes(size) == words


def test_stages_follow_each_other_so_seconds_add_up_and_memory_does_not():
    assert SAID.total == pytest.approx(38.2 + 19 + 17.4 + 0.44) and SAID.peak == 1.8e9


def test_it_is_said_in_a_sentence():
    assert (
        SAID.in_words()
        == "estimate: about 1 min 20 s (train 38 s, encode 19 s, de-duplicate 17 s, evaluate 0.4"
        " s), about 1.8 GB of memory at most"
    )


@pytest.mark.parametrize(
    ("kind", "more", "at_most"),
    [("rq_kmeans", {}, False), ("rq_vae", {}, False), ("rq_vae", {"patience": 5}, True)],
)
def test_training_that_may_stop_early_takes_at_most_so_long(make_run, kind, more, at_most):
    assert make_run(kind, more).fewer_epochs is at_most
    found = replace(SAID, at_most=at_most)
    assert found.in_words().startswith(
        "estimate: at most about " if at_most else "estimate: about "
    )
    assert list(SAID.seconds) == list(SAID.held) == list(STAGES) == list(LESS)


def test_no_shortage_where_there_is_room():
    assert SAID.shortage(1.8e9) == SAID.shortage(float("inf")) == ""


@pytest.mark.parametrize("largest", STAGES)
def test_a_shortage_names_the_room_the_largest_stage_and_what_to_change(largest):
    short = Estimate(SAID.seconds, {**SAID.held, largest: 5e9}, 0, 1.0, False).shortage(1.5e9)
    assert "1.5 GB can be had" in short and LESS[largest] in short
    assert [stage for stage in STAGES.values() if f"{stage.capitalize()} takes most" in short] == [
        STAGES[largest]
    ]


def test_what_to_change_is_a_parameter():
    names = re.findall(r"[a-z_]+(?:\.[a-z_]+)+", " ".join(LESS.values()))
    assert len(names) == len(LESS)
    for name in names:
        fields = Parameters.model_fields
        for part in name.split("."):
            assert part in fields, name
            fields = getattr(fields[part].annotation, "model_fields", {})


def test_it_is_kept_as_json():
    kept = SAID.to_json()
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert kept["seconds"] == SAID.seconds and kept["total_seconds"] == SAID.total
    assert kept["bytes"] == {
        "train": 1_800_000_000,
        "encode": 900_000_000,
        "deduplicate": 1_000_000_000,
        "evaluate": 1_500_000_000,
    }
    assert (kept["peak_bytes"], kept["at_most"], kept["trial_seconds"]) == (
        max(kept["bytes"].values()),
        False,
        0.75,
    )
