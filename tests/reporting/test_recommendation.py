"""The figures of what recommendations are worth."""

from __future__ import annotations

import io

import pytest

from semantic_ids.reporting import recommendation

METRICS = {
    "recommend.k": 10,
    "recommend.recall_at_1": 0.02,
    "recommend.recall_at_10": 0.08,
    "recommend.recall_at_10.low": 0.07,
    "recommend.recall_at_10.high": 0.09,
    "recommend.recall_at_1.low": 0.01,
    "recommend.recall_at_1.high": 0.03,
    "recommend.ndcg_at_1": 0.02,
    "recommend.ndcg_at_10": 0.05,
    "recommend.baseline.popularity.recall_at_1": 0.001,
    "recommend.baseline.popularity.recall_at_10": 0.01,
    "recommend.baseline.popularity.ndcg_at_10": 0.006,
    "recommend.control.shuffled.recall_at_10": 0.03,
    "recommend.slice.cold.targets": 138,
    "recommend.slice.cold.recall_at_10": 0.0,
    "recommend.slice.head.targets": 9000,
    "recommend.slice.head.recall_at_10": 0.15,
    "recommend.baseline.popularity.slice.head.recall_at_10": 0.02,
    "recommend.beam.50.recall_at_10": 0.08,
    "recommend.beam.50.ndcg_at_10": 0.05,
    "recommend.beam.50.users_per_second": 1400.0,
    "recommend.beam.10.recall_at_10": 0.07,
    "recommend.beam.10.ndcg_at_10": 0.04,
    "recommend.beam.10.users_per_second": 4400.0,
}
FIGURES = (
    recommendation.recall_by_k,
    recommendation.recall_by_slice,
    recommendation.recall_by_beam,
)


def lines(panel):
    return {line.get_label(): line.get_xydata().tolist() for line in panel.lines}


@pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("metrics", [METRICS, {"recommend.k": 5}], ids=["all", "nothing"])
def test_each_figure_is_drawn_900_pixels_wide(draw, metrics):
    from matplotlib.image import imread

    written = io.BytesIO()
    draw(metrics).savefig(written, format="png")
    written.seek(0)
    assert imread(written).shape[1] == 900


def test_every_system_is_a_curve_of_its_numbers():
    recall, ndcg = recommendation.recall_by_k(METRICS).axes
    assert lines(recall) == {
        "recommender": [[1, 0.02], [10, 0.08]],
        "popularity": [[1, 0.001], [10, 0.01]],
        "on shuffled IDs": [[10, 0.03]],
    }
    assert lines(ndcg)["popularity"] == [[10, 0.006]]
    (band,) = recall.collections
    corners = {(x, y) for x, y in band.get_paths()[0].vertices.round(6).tolist()}
    assert corners == {(1, 0.01), (10, 0.07), (10, 0.09), (1, 0.03)}
    assert not ndcg.collections


def test_every_slice_has_a_bar_of_those_who_measured_it():
    (panel,) = recommendation.recall_by_slice(METRICS).axes
    ticks = [tick.get_text() for tick in panel.get_xticklabels()]
    assert ticks == ["cold\n138 targets", "head\n9,000 targets"]
    ours, theirs = panel.containers[0], panel.containers[1]
    assert [bar.get_height() for bar in ours] == [0.0, 0.15]
    assert [bar.get_height() for bar in theirs] == [0, 0.02]
    labels = [text.get_text() for text in panel.texts]
    assert labels == [".000", ".150", "", ".020"]


def test_beams_are_in_order_of_their_width():
    quality, speed = recommendation.recall_by_beam(METRICS).axes
    assert lines(quality) == {
        "Recall": [[10, 0.07], [50, 0.08]],
        "NDCG": [[10, 0.04], [50, 0.05]],
    }
    assert [y for _, y in speed.lines[0].get_xydata()] == [4400, 1400]
