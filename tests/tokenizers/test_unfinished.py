"""A checkpoint of a training encodes as the network did when it was written."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.rq_vae.model import RQVAE
from semantic_ids.tokenizers.unfinished import is_unfinished, load_unfinished
from tests.conftest import clustered

SIZES = (8, 6, 4)


class Watched(Checkpoints):
    """Remembers how the network encodes when its state is written."""

    tokenizer: RQVAE
    codes: dict[int, np.ndarray]

    def save(self, checkpoint):
        """Encode with the network that is there."""
        super().save(checkpoint)
        books = [c.detach().clone() for c in self.tokenizer.network.quantizer.codebooks]
        self.tokenizer.quantizer = ResidualQuantizer(books)
        self.tokenizer.network.eval()
        self.codes[checkpoint.epoch] = self.tokenizer.encode(X)
        self.tokenizer.network.train()


X = clustered(400, 12)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a training's checkpoints, and the codes of each."""
    folder = tmp_path_factory.mktemp("training")
    kept = Watched(folder, {"a": 1}, every=2, keep=9)
    kept.tokenizer = RQVAE(
        SIZES,
        device="cpu",
        preprocess={"normalize": True, "dimensions": 8},
        options={
            "schedule": {"epochs": 7},
            "optimizer": {"batch_rows": 100},
            "network": {"hidden": (16,)},
        },
    )
    kept.codes = {}
    kept.tokenizer.fit(X, checkpoints=kept)
    return kept.folder, kept.codes


@pytest.mark.parametrize("level", ["all", "training", "checkpoint", "file"])
def test_its_codes_are_those_of_the_network_at_that_time(trained, level):
    folder, codes = trained
    last = folder / f"epoch-{max(codes):05d}"
    place = {
        "all": folder.parent,
        "training": folder,
        "checkpoint": folder / "epoch-00002",
        "file": last / "state.safetensors",
    }[level]
    tokenizer, epoch = load_unfinished(place)
    assert epoch == (2 if level == "checkpoint" else max(codes))
    assert np.array_equal(tokenizer.encode(X), codes[epoch])
    assert is_unfinished(place) and not is_unfinished(folder / "nothing")
    assert (tokenizer.dim, tokenizer.fitted_rows) == (12, 400)


def test_of_several_trainings_the_one_that_was_written_to_last_is_taken(trained, tmp_path):
    folder, _ = trained
    for name, epoch in (("0" * 16, 4), ("f" * 16, 2)):
        shutil.copytree(folder / f"epoch-{epoch:05d}", tmp_path / name / f"epoch-{epoch:05d}")
    assert load_unfinished(tmp_path)[1] == 2


def test_what_cannot_be_used_is_refused(trained, tmp_path):
    place = shutil.copytree(trained[0] / "epoch-00002", tmp_path / "epoch-00002")
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps(manifest | {"config": {}}))
    with pytest.raises(BadInput, match="does not say what its network is of"):
        load_unfinished(place)
    (place / "manifest.json").write_text(json.dumps(manifest))
    (place / "state.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="it cannot be read"):
        load_unfinished(place)
    (place / "state.safetensors").unlink()
    with pytest.raises(BadInput, match="there is no checkpoint"):
        load_unfinished(place)


def test_a_checkpoint_that_goes_away_while_it_is_read_is_looked_for_anew(
    trained, tmp_path, monkeypatch
):
    from semantic_ids.tokenizers import unfinished

    folder = shutil.copytree(trained[0], tmp_path / "f")
    read = unfinished.read_checkpoint

    def going(place):
        if place.name == "epoch-00006":
            shutil.rmtree(place)
        return read(place)

    monkeypatch.setattr(unfinished, "read_checkpoint", going)
    assert load_unfinished(folder)[1] == 4
