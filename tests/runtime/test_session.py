"""`load_encoder` gives torch's codes, and refuses what onnxruntime answers in silence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from semantic_ids import load_encoder
from semantic_ids.errors import BadInput
from semantic_ids.runtime import session
from semantic_ids.tokenizers.format import GRAPH_FILES


def test_codes_and_vectors_are_those_of_torch(fitted):
    folder, x, codes, decoded = fitted
    for threads in (1, 2):
        encoder = load_encoder(folder, threads)
        assert np.array_equal(encoder.encode(x), codes)
        np.testing.assert_allclose(encoder.decode(codes), decoded, atol=1e-6)
    assert (encoder.kind, encoder.dim, encoder.codebook_sizes) == ("rq_kmeans", 16, (16, 20, 24))
    assert encoder.encode(x[:0]).shape == (0, 3) and encoder.decode(codes[:0]).shape == (0, 16)


def test_names_of_files_are_those_that_a_tokenizer_is_saved_with():
    assert {"encoder": session.ENCODER_FILE, "decoder": session.DECODER_FILE} == GRAPH_FILES


def changed(x, row, value):
    x = x.copy()
    x[row] = value
    return x


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "NaN"), (0, "zeros")])
def test_a_row_without_codes_is_named(fitted, value, said):
    folder, x, _, _ = fitted
    with pytest.raises(BadInput, match=f"row 4321: .*{said}"):
        load_encoder(folder).encode(changed(x, 4321, value))


@pytest.mark.parametrize("code", [-1, 20])
def test_a_code_that_is_not_there_is_named(fitted, code):
    folder, _, codes, _ = fitted
    with pytest.raises(BadInput, match=f"row 2050: code {code} of level 2 .*0 to 19"):
        load_encoder(folder).decode(changed(codes, (2050, 1), code))


def test_shapes_and_kinds_of_numbers_are_checked(fitted):
    folder, x, codes, _ = fitted
    encoder = load_encoder(folder)
    for bad in (x[:, :15], x[0], x.astype(object), x > 0):
        with pytest.raises(BadInput):
            encoder.encode(bad)
    for bad in (codes[:, :2], codes.astype(float)):
        with pytest.raises(BadInput):
            encoder.decode(bad)


def test_graphs_of_another_tokenizer_are_refused(fitted, tmp_path):
    folder = shutil.copytree(fitted[0], tmp_path / "copy")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"content": "0" * 16}))
    with pytest.raises(BadInput, match=r"fingerprint is .*manifest.json is 0000"):
        load_encoder(folder)
    (folder / "manifest.json").unlink()
    load_encoder(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"codebook_sizes": [16, 20, 25]}))
    with pytest.raises(BadInput, match="codebook_sizes"):
        load_encoder(folder)


def test_missing_and_damaged_graphs_say_what_makes_them(fitted, tmp_path):
    folder = shutil.copytree(fitted[0], tmp_path / "copy")
    (folder / "decoder.onnx").write_bytes(b"no graph")
    with pytest.raises(BadInput, match=r"decoder.onnx: it cannot be read"):
        load_encoder(folder)
    (folder / "encoder.onnx").unlink()
    with pytest.raises(BadInput, match=r"encoder.onnx: there is no such graph; .*export.onnx=true"):
        load_encoder(folder)


def test_it_needs_numpy_and_onnxruntime_alone(fitted, tmp_path):
    folder, x, codes, _ = fitted
    np.save(tmp_path / "x.npy", x)
    program = f"""
import sys
for name in "torch kedro mlflow pandas pydantic pyarrow scipy sklearn safetensors".split():
    sys.modules[name] = None
import numpy as np
from semantic_ids import load_encoder
encoder = load_encoder({str(folder)!r})
codes = encoder.encode(np.load({str(tmp_path / "x.npy")!r}))
encoder.decode(codes)
sys.argv = ["semantic-ids", "encode", "-i", {str(tmp_path / "x.npy")!r}, "-c", {str(folder)!r}]
from semantic_ids.__main__ import main
main()
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert np.array_equal(np.load(tmp_path / "x_codes.npy"), codes)
