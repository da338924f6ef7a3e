"""What is saved comes back, with its provenance; what is missing or damaged is one clear line.

The same artifact is the same bytes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids import datasets
from semantic_ids.artifacts import Codes, Provenance, Split
from semantic_ids.errors import BadInput
from semantic_ids.export.mappings import Mappings
from semantic_ids.hashing import fingerprint
from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import clustered

MADE = Provenance("codes", {"embeddings": "aa", "tokenizer": "bb"}, {"strategy": "none"})


def made(content):
    """What an artifact of this content says of itself."""
    return replace(MADE, content=content)


def cause(function, *args):
    """Return the BadInput behind Kedro's wrapping."""
    with pytest.raises((BadInput, DatasetError)) as caught:
        function(*args)
    return caught.value if isinstance(caught.value, BadInput) else caught.value.__cause__


def some_codes(n=10, string_ids=False, levels=3):
    rng = np.random.default_rng(0)
    ids = pa.array([f"item-{i}" for i in range(n)]) if string_ids else pa.array(np.arange(n) * 3)
    codes = rng.integers(0, 4, (n, 3)).astype(np.int32)
    return Codes(ids, codes, (4, 4, 4), levels, made(fingerprint(codes)))


@pytest.mark.parametrize("string_ids", [False, True])
@pytest.mark.parametrize("levels", [2, 3])
def test_codes_come_back(tmp_path, string_ids, levels):
    saved = some_codes(string_ids=string_ids, levels=levels)
    dataset = datasets.CodesDataset(filepath=str(tmp_path / "codes.parquet"))
    dataset.save(saved)
    loaded = dataset.load()
    np.testing.assert_array_equal(loaded.codes, saved.codes)
    assert loaded.item_ids.equals(saved.item_ids) and loaded.codes.dtype == np.int32
    assert (loaded.sizes, loaded.levels, loaded.provenance) == (
        saved.sizes,
        saved.levels,
        saved.provenance,
    )
    np.testing.assert_array_equal(loaded.tokenizer_codes, saved.codes[:, :levels])


def test_semantic_ids_are_what_the_plan_says_they_are(tmp_path):
    saved = some_codes()
    datasets.CodesDataset(filepath=str(tmp_path / "semantic_ids.parquet"), tokens=True).save(saved)
    table = pq.read_table(tmp_path / "semantic_ids.parquet")
    assert table.column_names == ["item_id", "codes", "semantic_id"]
    assert table.schema.field("item_id").type == pa.int64()
    assert table.schema.field("codes").type == pa.list_(pa.int32(), 3)
    a, b, c = saved.codes[4]
    assert table["semantic_id"][4].as_py() == f"<a_{a}><b_{b}><c_{c}>" and table["codes"][
        4
    ].as_py() == [a, b, c]


def test_many_row_groups_are_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr("semantic_ids.export.ids_table.ROWS_A_GROUP", 4)
    dataset = datasets.CodesDataset(filepath=str(tmp_path / "codes.parquet"))
    dataset.save(some_codes(10))
    assert pq.ParquetFile(tmp_path / "codes.parquet").num_row_groups == 3
    np.testing.assert_array_equal(dataset.load().codes, some_codes(10).codes)


def test_the_split_comes_back(tmp_path):
    saved = Split(
        np.array([True, False, False]),
        np.array([True, True, False]),
        pa.array(["a", "b", "c"]),
        made(fingerprint(np.array([True, False, False]), np.array([True, True, False]))),
    )
    dataset = datasets.SplitDataset(filepath=str(tmp_path / "split.parquet"))
    dataset.save(saved)
    loaded = dataset.load()
    assert loaded.validation.tolist() == [True, False, False] and loaded.tuning.tolist() == [
        True,
        True,
        False,
    ]
    assert loaded.item_ids.equals(saved.item_ids) and loaded.provenance == saved.provenance
    assert loaded.validation_rows.tolist() == [0]


def test_a_tokenizer_comes_back_with_its_provenance(tmp_path):
    x = clustered(300, 6)
    tokenizer = fit_tokenizer(x, codebook_sizes=(4, 4), device="cpu")
    dataset = datasets.TokenizerDataset(filepath=str(tmp_path / "tokenizer"))
    with pytest.raises(DatasetError, match="provenance"):
        dataset.save(tokenizer)
    tokenizer.provenance = made(tokenizer.content)
    dataset.save(tokenizer)
    assert sorted(p.name for p in (tmp_path / "tokenizer").iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
    ]
    loaded = dataset.load()
    np.testing.assert_array_equal(loaded.encode(x), tokenizer.encode(x))
    assert loaded.provenance == tokenizer.provenance
    (tmp_path / "tokenizer" / "manifest.json").unlink()
    assert "manifest.json" in str(cause(dataset.load))


def test_weights_that_are_not_those_of_the_manifest_are_refused(tmp_path):
    """Weights copied from another training of the same parameters, say."""
    place = tmp_path / "tokenizer"
    dataset = datasets.TokenizerDataset(filepath=str(place))
    kept = b""
    for seed in (1, 2):
        tokenizer = fit_tokenizer(clustered(300, 6, seed), codebook_sizes=(4, 4), device="cpu")
        tokenizer.provenance = replace(made(tokenizer.content), artifact="tokenizer")
        dataset.save(tokenizer)
        kept, other = (place / "model.safetensors").read_bytes(), kept
    (place / "model.safetensors").write_bytes(other)
    said = str(cause(dataset.load))
    assert "'tokenizer': its content is" in said and "make 'tokenizer' again" in said


def test_codes_and_splits_that_were_changed_are_refused(tmp_path):
    saved = replace(some_codes(), provenance=made("0" * 16))
    dataset = datasets.CodesDataset(filepath=str(tmp_path / "codes.parquet"))
    dataset.save(saved)
    assert "its content is" in str(cause(dataset.load))
    split = Split(np.array([True]), np.array([True]), pa.array(["a"]), made(""))
    dataset = datasets.SplitDataset(filepath=str(tmp_path / "split.parquet"))
    dataset.save(split)
    assert "it says that it is not known" in str(cause(dataset.load))


def test_mappings_are_plain_json_with_a_manifest_beside_them(tmp_path):
    saved = some_codes(string_ids=True)
    dataset = datasets.MappingsDataset(filepath=str(tmp_path / "semantic_id_mappings.json"))
    dataset.save(Mappings(saved.item_ids, saved.codes, MADE))
    assert dataset.load() == {f"item-{i}": saved.codes[i].tolist() for i in range(10)}
    manifest = json.loads((tmp_path / "semantic_id_mappings.manifest.json").read_text())
    assert Provenance.from_json(manifest) == MADE and manifest["fingerprint"] == MADE.fingerprint
    assert json.loads(dataset.preview(nrows=3)) == {
        f"item-{i}": saved.codes[i].tolist() for i in range(3)
    }
    assert len(json.loads(dataset.preview(nrows=99))) == 10


def test_a_failed_export_leaves_the_old_one_whole(tmp_path):
    saved = some_codes()
    dataset = datasets.MappingsDataset(filepath=str(tmp_path / "m.json"))
    dataset.save(Mappings(saved.item_ids, saved.codes, MADE))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    class Broken(Mappings):
        def lines(self):
            yield "{"
            raise OSError(28, "No space left on device")

    assert "no space left" in str(cause(dataset.save, Broken(saved.item_ids, saved.codes, MADE)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_json_refuses_what_json_has_no_word_for(tmp_path):
    dataset = datasets.JsonDataset(filepath=str(tmp_path / "metrics.json"))
    dataset.save({"a": 0.5, "b": "ü"})
    assert dataset.load() == {"a": 0.5, "b": "ü"} == json.loads(dataset.preview())
    with pytest.raises(DatasetError, match="JSON"):
        dataset.save({"a": float("nan")})
    assert dataset.load()["a"] == 0.5


def test_a_figure_is_a_png_and_the_same_figure_the_same_bytes(tmp_path):
    from matplotlib.figure import Figure

    written = []
    for name in ("a", "b"):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([1, 3, 2])
        dataset = datasets.FigureDataset(filepath=str(tmp_path / f"{name}.png"))
        dataset.save(figure)
        written.append((tmp_path / f"{name}.png").read_bytes())
    assert written[0] == written[1] and written[0].startswith(b"\x89PNG")
    assert base64.b64decode(dataset.preview()) == written[0]
    with pytest.raises(DatasetError, match="picture"):
        dataset.load()


def test_a_table_comes_back_and_its_preview_is_short(tmp_path):
    table = pa.table({"x": list(range(50)), "v": [[0.5] * 20] * 50})
    dataset = datasets.TableDataset(filepath=str(tmp_path / "t.parquet"))
    dataset.save(table)
    assert dataset.load().equals(table)
    preview = dataset.preview(nrows=3)
    assert preview["columns"] == ["x", "v"] and [row[0] for row in preview["data"]] == [0, 1, 2]
    assert preview["data"][0][1].endswith("… 20 values]")


EVERY = [
    ("CodesDataset", "codes.parquet"),
    ("SplitDataset", "split.parquet"),
    ("TableDataset", "training_history.parquet"),
    ("JsonDataset", "metrics.json"),
    ("MappingsDataset", "semantic_id_mappings.json"),
    ("TokenizerDataset", "tokenizer"),
]


@pytest.mark.parametrize(("name", "file"), EVERY)
def test_what_is_not_there_is_to_be_made(tmp_path, name, file):
    dataset = getattr(datasets, name)(filepath=str(tmp_path / file))
    error = cause(dataset.load)
    assert not dataset.exists() and isinstance(error, BadInput)
    assert error.make == file.partition(".")[0] and str(tmp_path / file) in str(error)


@pytest.mark.parametrize(("name", "file"), EVERY[:-1])
def test_what_is_damaged_is_to_be_made_again(tmp_path, name, file):
    (tmp_path / file).write_bytes(b"rubbish")
    error = cause(getattr(datasets, name)(filepath=str(tmp_path / file)).load)
    assert isinstance(error, BadInput) and error.remake == file.partition(".")[0]


def test_a_parquet_file_of_another_program_is_refused(tmp_path):
    pq.write_table(pa.table({"item_id": [1], "codes": [[1, 2]]}), tmp_path / "codes.parquet")
    assert "made from" in str(
        cause(datasets.CodesDataset(filepath=str(tmp_path / "codes.parquet")).load)
    )


@pytest.mark.parametrize(
    "name",
    [
        "CodesDataset",
        "SplitDataset",
        "TableDataset",
        "JsonDataset",
        "FigureDataset",
        "TokenizerDataset",
    ],
)
def test_metadata_is_kept_for_kedro_viz(tmp_path, name):
    metadata = {"kedro-viz": {"layer": "reporting"}}
    assert (
        getattr(datasets, name)(filepath=str(tmp_path / "x"), metadata=metadata).metadata
        == metadata
    )


def test_every_dataset_is_found_by_name_and_nothing_else_is():
    for name in datasets.__all__:
        assert getattr(datasets, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = datasets.PickleDataset
