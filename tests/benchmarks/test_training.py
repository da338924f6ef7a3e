"""The benchmark of the training, run on the CPU where nothing is installed but numpy, torch and
safetensors.
"""

from __future__ import annotations

import torch
from benchmarks.training import DECAY, PlainQuantizer

from semantic_ids.tokenizers.rq_vae.groups import CodebookOptions
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from semantic_ids.tokenizers.rq_vae.quantizer import TrainableResidualQuantizer
from tests.benchmarks.test_encoding import ran_bare
from tests.conftest import clustered


def test_it_measures_and_writes_with_numpy_torch_and_safetensors_alone(tmp_path, root):
    words = [
        "--items=700",
        "--dim=12",
        "--sizes=6x4",
        "--hidden",
        "16",
        "--latent=5",
        "--batch=100",
        "--epochs=2",
        "--device=cpu",
    ]
    ran, found = ran_bare("training.py", words, root, tmp_path)
    rows = {row["what"]: row for row in found["rows"]}
    assert (
        next(iter(rows)) == "plain loop with a DataLoader"
        and len(rows) == 6
        and found["about"]["batch"] == 100
    )
    for name, row in rows.items():
        assert name in ran.stdout and len(row["all_items_per_second"]) == 2
        assert row["items_per_second"] == row["all_items_per_second"][1] > 0
        assert (row["encoded_per_second"] is None) == (name == "plain loop with a DataLoader")


def test_the_plain_quantizer_does_what_ours_does():
    """Codes, values and commitment of a batch, and the codebooks after it."""
    z = torch.from_numpy(clustered(300, 5, seed=2))
    ours = TrainableResidualQuantizer(
        (6, 4),
        5,
        RQVAEOptions(
            codebook=CodebookOptions(
                quantizer="ema",
                joint=False,
                beam_size=1,
                ema_decay=DECAY,
                reset_below=0.0,
                smoothing=0.0,
            )
        ),
    )
    ours.start(z, 300, lambda z: [z[:6].clone(), 0.3 * z[6:10]])
    plain = PlainQuantizer((6, 4), 5)
    for level in range(2):
        for mine, theirs in (
            (plain.codebooks, ours.codebooks[level]),
            (plain.counts, ours._uses(level)),
            (plain.sums, ours._sums(level)),
        ):
            mine[level].data.copy_(theirs.data)
    quantized = ours.train()(z)
    value, commitment = plain(z)
    torch.testing.assert_close(value, quantized.value)
    torch.testing.assert_close(commitment, quantized.commitment.mean())
    for level in range(2):
        torch.testing.assert_close(plain.codebooks[level].data, ours.codebooks[level].data)
