from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.reporting import figures

K_MEANS = pa.table(
    {
        "level": [1, 1, 1, 2, 2, 2],
        "iteration": [1, 2, 3] * 2,
        "objective": [0.9, 0.5, 0.4, 0.3, 0.25, 0.2],
        "imbalance": [1.5, 1.2, 1.1, 2.0, 1.9, 1.8],
    }
)
RQ_VAE = pa.table(
    {
        "epoch": [1, 2, 3],
        "loss": [50.0, 2.0, 1.0],
        "reconstruction": [0.9, 0.6, 0.5],
        "validation_reconstruction": [1.0, 0.7, 0.6],
        "usage.1": [None, 0.5, 1.0],
        "usage.2": [None, 0.4, 0.9],
        "seconds": [1.0, 1.1, 0.9],
        "note": ["a", "b", "c"],
    }
)


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
        figures.training_curves(K_MEANS),
        figures.training_curves(RQ_VAE),
        figures.training_curves(pa.table({"note": ["a"]})),
        figures.codebook_usage([[3, 0, 5]] * 8),
        figures.codebook_usage([[1]]),
        figures.collision_groups({"1": 12}),
        figures.reconstruction_cosine([0] * 20, 0.0),
        figures.prefix_cohesion({}),
    ],
)
def test_each_figure_is_drawn_900_pixels_wide(figure):
    height, width = png(figure)
    assert width == 900 and height >= 400
    assert figure.get_suptitle()
    assert len({axes.get_title() for axes in figure.axes}) >= 1


def test_k_means_has_a_line_a_level():
    objective, imbalance = figures.training_curves(K_MEANS).axes
    assert (objective.get_title(), objective.get_xlabel(), imbalance.get_title()) == (
        "objective",
        "iteration",
        "imbalance",
    )
    assert lines(objective) == {
        "level 1": [[1, 0.9], [2, 0.5], [3, 0.4]],
        "level 2": [[1, 0.3], [2, 0.25], [3, 0.2]],
    }
    assert [text.get_text() for text in objective.get_legend().get_texts()] == [
        "level 1",
        "level 2",
    ]


def test_rq_vae_draws_training_and_validation_together():
    loss, reconstruction, usage = figures.training_curves(RQ_VAE).axes
    assert [a.get_title() for a in (loss, reconstruction, usage)] == [
        "loss",
        "reconstruction",
        "usage",
    ]
    assert loss.get_yscale() == "log" and loss.get_legend() is None and loss.get_xlabel() == "epoch"
    assert lines(reconstruction)["validation"] == [[1, 1.0], [2, 0.7], [3, 0.6]]
    assert list(lines(usage)) == ["level 1", "level 2"]


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
