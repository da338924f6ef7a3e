from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

from semantic_ids.history import History
from semantic_ids.reporting import figures
from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import clustered


@pytest.fixture(scope="module")
def k_means() -> History:
    """As the kind makes it."""
    options = {"anneal_rounds": 6, "refine_rounds": 3}
    return fit_tokenizer(
        clustered(400, 8), codebook_sizes=(8, 8), device="cpu", options=options
    ).history


@pytest.fixture(scope="module")
def rq_vae() -> History:
    options = {"schedule": {"epochs": 4}, "unique": {"epochs": 0}, "network": {"hidden": [8]}}
    return fit_tokenizer(
        clustered(400, 8), kind="rq_vae", codebook_sizes=(8, 8), device="cpu", options=options
    ).history


def png(figure):
    """Draw it for real: (height, width) in pixels."""
    from matplotlib.image import imread

    written = io.BytesIO()
    figure.savefig(written, format="png")
    written.seek(0)
    return imread(written).shape[:2]


def lines(panel):
    return {line.get_label(): line.get_xydata().tolist() for line in panel.lines}


@pytest.mark.parametrize(
    "figure",
    [
        figures.training_curves(History()),
        figures.codebook_usage([[3, 0, 5]] * 8),
        figures.codebook_usage([[1]]),
        figures.collision_groups({"1": 12}),
        figures.reconstruction_cosine([0] * 20, 0.0),
        figures.prefix_cohesion({}),
        figures.churn({"churn.items.kept": 0}),
    ],
)
def test_each_figure_is_drawn_900_pixels_wide(figure):
    height, width = png(figure)
    assert width == 900 and height >= 400
    assert figure.get_suptitle()
    assert len({axes.get_title() for axes in figure.axes}) >= 1


def test_each_training_is_drawn_900_pixels_wide(k_means, rq_vae):
    for history in (k_means, rq_vae):
        height, width = png(figures.training_curves(history))
        assert width == 900 and height >= 400


def test_k_means_draws_its_numbers_against_its_steps(k_means):
    drawn = {panel.get_title(): panel for panel in figures.training_curves(k_means).axes}
    assert "step" not in drawn and list(drawn)[:2] == ["relative mse", "reseeded"]
    error = drawn["relative mse"]
    assert (error.get_xlabel(), error.get_yscale()) == ("step", "linear")
    steps, values = k_means.series("relative_mse")
    assert lines(error)["training"] == [list(point) for point in zip(steps, values, strict=True)]
    assert steps == list(range(1, 12))
    assert [text.get_text() for text in error.texts] == ["anneal", "refine"]
    assert [line.get_xdata()[0] for line in error.lines[1:]] == [2.5, 8.5]


def test_rq_vae_draws_training_and_the_rows_watched_together(rq_vae):
    drawn = {panel.get_title(): panel for panel in figures.training_curves(rq_vae).axes}
    assert {"loss", "reconstruction", "usage", "perplexity"} <= set(drawn)
    both = lines(drawn["reconstruction"])
    watched = next(name for name in rq_vae.names if name.endswith("_reconstruction"))
    split = watched.removesuffix("_reconstruction")
    assert {"training", split} <= set(both)
    assert [y for _, y in both[split]] == rq_vae.series(watched)[1]
    assert [x for x, _ in both["training"]] == [1, 2, 3, 4]
    assert {"level 1", "level 2"} <= set(lines(drawn["usage"]))
    assert "seconds" not in drawn


def test_usage_is_sorted_and_names_the_dead():
    first, second = figures.codebook_usage([[4, 0, 9, 0], [1, 1]]).axes
    assert (first.get_title(), second.get_title()) == (
        "level 1: 2 of 4 dead",
        "level 2: 0 of 2 dead",
    )
    assert first.patches[0].get_data().values.tolist() == [9, 4, 0, 0]
    assert (first.get_ylabel(), first.get_yscale()) == ("items", "linear")


def test_uneven_usage_is_on_a_logarithmic_axis():
    (panel,) = figures.codebook_usage([[1000] + [1] * 99]).axes
    assert panel.get_yscale() == "log"


def test_collision_groups_are_binned_by_doubling():
    (panel,) = figures.collision_groups({"1": 100, "2": 7, "3": 5, "4": 1, "9": 2}).axes
    assert [bar.get_height() for bar in panel.patches] == [100, 7, 6, 0, 2]
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        "1",
        "2",
        "3–4",
        "5–8",
        "9–16",
    ]
    assert (panel.get_yscale(), panel.get_ylabel()) == ("log", "groups")


def test_cosines_show_the_bins_that_hold_something():
    counts = np.histogram([0.55, 0.95, 0.97], bins=20, range=(-1, 1))[0]
    (panel,) = figures.reconstruction_cosine(counts.tolist(), 0.82).axes
    drawn = panel.patches[0].get_data()
    assert drawn.values.tolist() == [1, 0, 0, 0, 2]
    assert drawn.edges.tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert "mean: 0.8200" in lines(panel)


def test_cohesion_has_a_point_a_prefix_and_the_random_baseline():
    (panel,) = figures.prefix_cohesion({"0": 0.1, "1": 0.5, "2": 0.75}).axes
    drawn = lines(panel)
    assert drawn["pairs that share the prefix"] == [[1, 0.5], [2, 0.75]]
    assert drawn["random pairs: 0.100"][0][1] == 0.1


def test_importing_the_room_imports_no_matplotlib():
    code = "import sys, semantic_ids.reporting.figures; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_churn_shows_each_share_once():
    found = {
        "churn.items.kept": 1234,
        "churn.moved_rate": 0.25,
        "churn.level.1": 0.9,
        "churn.level.2": 0.8,
        "churn.prefix.1": 0.9,
        "churn.prefix.2": 0.75,
        "churn.aligned.level.1": 0.95,
        "churn.aligned.level.2": 0.85,
        "churn.aligned.prefix.1": 0.95,
        "churn.aligned.prefix.2": 0.78,
        "churn.ari.1": 0.6,
        "churn.ari.2": 0.5,
        "churn.weighted.level.1": 0.1,
    }
    figure = figures.churn(found)
    levels, prefixes = figure.axes
    heights = [sorted(bar.get_height() for bar in panel.patches) for panel in (levels, prefixes)]
    assert heights == [[0.5, 0.6, 0.8, 0.85, 0.9, 0.95], [0.75, 0.78, 0.9, 0.95]]
    assert "1,234 items" in figure.get_suptitle() and "25.00%" in figure.get_suptitle()
    assert png(figure)[1] == 900
