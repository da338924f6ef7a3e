"""Graphs give the codes and vectors that torch gives, and hold nothing of the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml

from semantic_ids import read_items
from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.rq_kmeans import RQKMeans
from semantic_ids.tokenizers.rq_vae.model import RQVAE
from semantic_ids.workflows.graphs import tokenizer_graphs
from tests.conftest import clustered

ROOT = Path(__file__).parents[2]
FAST = {"iterations": 2, "anneal_rounds": 2, "refine_rounds": 1, "unique_rounds": 0}
TINY = {"schedule": {"epochs": 1}, "optimizer": {"batch_rows": 128}}


def rq_kmeans(preprocess=None, sizes=(16, 20, 24), **options):
    return RQKMeans(sizes, 42, "cpu", preprocess, {**FAST, **options})


def rq_vae(preprocess=None, sizes=(16, 16, 16), codebook=None, **network):
    options = {**TINY, "network": {"hidden": [32], **network}, "codebook": codebook or {}}
    return RQVAE(sizes, 42, "cpu", preprocess, options)


def of_environment(name):
    """The rq_vae of an environment, trained for one epoch whatever comes of it."""
    file = ROOT / f"conf/{name}/parameters_tokenizer.yml"
    given = yaml.safe_load(file.read_text(encoding="utf-8"))["tokenizer"]
    options = given["rq_vae"]
    options["schedule"]["epochs"] = 1
    options["selection"] |= {"burn_in": 0, "collapse_below": 0.0}
    return RQVAE(given["codebook_sizes"], 42, "cpu", None, options)


ROTATED = {"normalize": True, "dimensions": 8, "whiten": 1.0}
TOKENIZERS = {
    "beam 1": lambda: rq_kmeans(beam_size=1),
    "beam 5": lambda: rq_kmeans(beam_size=5),
    "unit length, axes cut and whitened": lambda: rq_kmeans(ROTATED, (16, 8, 32)),
    "prices": lambda: rq_kmeans(balance=2.0),
    "one level": lambda: rq_kmeans(sizes=(40,)),
    "codebooks so large that a row is folded": lambda: rq_kmeans(sizes=(128, 96), beam_size=4),
    "rq_vae": rq_vae,
    "rq_vae mlp with layer norm": lambda: rq_vae(
        {"normalize": True}, architecture="mlp", latent=10, layer_norm=True
    ),
    "rq_vae whose last codes are shared out evenly": lambda: rq_vae(codebook={"sinkhorn": 0.003}),
    "a plain autoencoder": lambda: rq_vae(codebook={"quantizer": "none"}),
    "environment tiger": lambda: of_environment("tiger"),
}


def session(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def rows():
    """Rows with duplicates among them."""
    x = clustered(900, 12, seed=3)
    x[100:120] = x[50]
    return x


def fitted(name, rows):
    tokenizer = TOKENIZERS[name]()
    return tokenizer.fit(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_graphs_give_what_torch_gives(name, rows):
    tokenizer = fitted(name, rows)
    made = tokenizer_graphs(tokenizer)
    encoder, decoder = session(made["encoder"]), session(made["decoder"])
    for count in (0, 1, 7, len(rows)):
        expected = tokenizer.encode(rows[:count])
        (codes,) = encoder.run(["codes"], {"vectors": rows[:count]})
        assert codes.dtype == np.int32 and np.array_equal(codes, expected)
        (vectors,) = decoder.run(["vectors"], {"codes": codes})
        assert vectors.shape == (count, 12)
        np.testing.assert_allclose(vectors, tokenizer.decode(expected), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_rows_of_a_catalogue_in_float16_have_the_codes_that_torch_gives_them(rows):
    half = rows.astype(np.float16)
    tokenizer = rq_kmeans(ROTATED).fit(half)
    (codes,) = session(tokenizer_graphs(tokenizer)["encoder"]).run(
        None, {"vectors": half.astype(np.float32)}
    )
    assert np.array_equal(codes, tokenizer.encode(half))


@pytest.mark.slow
def test_every_row_of_the_sample_has_the_codes_that_torch_gives_it():
    vectors = read_items(ROOT / "data/01_raw/item_emb.parquet").vectors
    fast = {"anneal_rounds": 2, "refine_rounds": 1, "unique_rounds": 0}
    tokenizer = RQKMeans((256, 256, 256), 42, "cpu", None, fast).fit(vectors)
    made = tokenizer_graphs(tokenizer)
    (codes,) = session(made["encoder"]).run(None, {"vectors": vectors})
    assert len(codes) > 9000 and np.array_equal(codes, tokenizer.encode(vectors))
    (decoded,) = session(made["decoder"]).run(None, {"codes": codes})
    np.testing.assert_allclose(decoded, tokenizer.decode(codes), atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("beam", [1, 4])
def test_of_equally_good_codes_graphs_take_the_one_that_torch_takes(beam, rows):
    tokenizer = rq_kmeans(sizes=(64, 64), beam_size=beam).fit(rows)
    twice = [torch.cat([c[:32], c[:32]]) for c in tokenizer.quantizer.codebooks]
    tokenizer.quantizer = type(tokenizer.quantizer)(twice)
    (codes,) = session(tokenizer_graphs(tokenizer)["encoder"]).run(None, {"vectors": rows})
    assert np.array_equal(codes, tokenizer.encode(rows))


def test_a_graph_is_one_file_without_paths_and_says_what_it_is(rows):
    tokenizer = rq_kmeans({"normalize": True}, (16, 16)).fit(rows)
    made = tokenizer_graphs(tokenizer)
    for name, data in made.items():
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        assert str(Path(torch.__file__).parent).encode() not in data
        assert str(Path(__file__).parents[2]).encode() not in data
        assert all(
            tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer
        )
        found = session(data)
        about = found.get_modelmeta().custom_metadata_map
        assert {key: json.loads(text) for key, text in about.items()} == {
            "semantic_ids.format": 1,
            "semantic_ids.kind": "rq_kmeans",
            "semantic_ids.dim": 12,
            "semantic_ids.codebook_sizes": [16, 16],
            "semantic_ids.normalizes": True,
            "semantic_ids.fingerprint": tokenizer.content,
        }
        width = {"encoder": 12, "decoder": 2}[name]
        assert found.get_inputs()[0].shape == ["batch", width]
    assert [i.version for i in model.opset_import if i.domain == ""] == [20]


@pytest.mark.slow
def test_two_processes_write_the_same_bytes():
    program = (
        "import hashlib, numpy as np\n"
        "from semantic_ids.workflows.graphs import tokenizer_graphs\n"
        "from semantic_ids.tokenizers.rq_kmeans import RQKMeans\n"
        "x = np.random.default_rng(0).normal(size=(200, 6)).astype('float32')\n"
        "made = tokenizer_graphs(RQKMeans((4, 4), 0, 'cpu').fit(x))\n"
        "print(*(hashlib.sha256(data).hexdigest() for data in made.values()))\n"
    )
    words = [sys.executable, "-c", program]
    written = [subprocess.run(words, capture_output=True, check=True).stdout for _ in range(2)]
    assert written[0] == written[1] and len(written[0].split()) == 2


def test_the_extra_that_is_missing_is_named(monkeypatch, rows):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(BadInput, match=r"'onnxscript' is not installed.*semantic-ids\[onnx\]"):
        tokenizer_graphs(rq_kmeans(sizes=(8, 8)).fit(rows))
