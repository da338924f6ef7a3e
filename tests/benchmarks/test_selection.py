"""The rules that pick an epoch, on a small training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import selection
from semantic_ids.tokenizers.rq_vae import model
from semantic_ids.tokenizers.rq_vae.task import RQVAETask
from tests.conftest import clustered


def test_only_epochs_with_few_collisions_may_have_the_lowest_error():
    epochs = [
        {"epoch": 1, "watched": 0.2, "collisions": 0.30},
        {"epoch": 2, "watched": 0.3, "collisions": 0.105},
        {"epoch": 3, "watched": 0.4, "collisions": 0.10},
    ]
    assert selection.RULES["lowest watched"](epochs)["epoch"] == 2
    assert selection.RULES["last"](epochs)["epoch"] == 3


def test_fewer_epochs_keep_the_shape_of_the_schedule():
    options = selection.options_of("rq_vae_mlp", unique=True, epochs=30)
    whole = selection.options_of("rq_vae_mlp", unique=False, epochs=None)
    assert whole["schedule"]["epochs"] == 60 and whole["unique"]["epochs"] == 0
    assert options["schedule"]["epochs"] == 30 and options["unique"]["epochs"] == 10
    assert options["selection"]["burn_in"] == 20 and whole["selection"]["burn_in"] == 40
    assert options["network"] == whole["network"] and options["network"]["latent"] == 256


def test_each_rule_picks_an_epoch_and_judged_items_are_not_trained_on(tmp_path, capsys):
    x = clustered(600, 8, seed=3, clusters=40)
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 8)
    pq.write_table(pa.table({"embedding": column}), tmp_path / "x.parquet")
    words = [tmp_path / "x.parquet", "--epochs=3", "--seeds=1", "--sizes=8x8x16", "--twin"]
    selection.main([*map(str, words), f"--out={tmp_path / 'out'}"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows] == [*selection.RULES, "the twin's best"]
    assert all(0 < float(cell.strip(" |")) < 1 for row in rows for cell in row[3:])
    epochs = pq.read_table(tmp_path / "out/rq_vae-plain-1.parquet").to_pylist()
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    assert all(epoch["judged"] > epoch["watched"] for epoch in epochs)  # learnt from the latter
    best = min(epochs, key=lambda epoch: epoch["judged"])
    assert f"{best['judged']:.4f}" == rows[3][3]
    assert model.RQVAETask is RQVAETask
    assert np.isfinite([epoch["unique"] for epoch in epochs]).all()
