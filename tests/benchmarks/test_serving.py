"""The page of the benchmark of encoding says what was measured."""

from __future__ import annotations

from benchmarks.serving import Figure, Setting, page

SETTING = Setting("Nouns", 1000, 8, "x.npy", 5, 2)


def test_ratios_are_those_within_a_round_and_figures_medians():
    rounds = {"onnx": (1.0, 2.0, 4.0), "faiss_chunks": (1.5, 2.2, 8.0)}
    figures = [
        Figure(SETTING, system, cpu, 10 * cpu, 100.0, 1.0)
        for system, seconds in rounds.items()
        for cpu in seconds
    ]
    lines = [line for line in page(figures).splitlines() if line.startswith("| ")]
    ours, theirs = lines[-2:]
    assert ours == "| `semantic-ids encode` | 2.00 | 500 | 1.00 | 20.0 | 100 | 1.00000 |"
    assert " | 2.20 | 455 | 1.50 | 22.0 |" in theirs, "1.5, 1.1 and 2: not 2.2 / 2"
