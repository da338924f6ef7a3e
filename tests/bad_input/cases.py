"""What is wrong, by section of the page, and what makes it so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.forks import ROOT

ITEMS, DIM = 300, 8
Params = dict[str, Any]
Maker = Callable[[Path], Params]
"""Writes what it needs into a folder and returns parameters; `words` among them are more words of
the command line, `stage` is the pipeline (`check` if absent)."""


def _vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32)


def write(file: Path, ids: Any = None, vectors: Any = None, **names: str) -> Params:
    """Write a parquet file of items and return the parameter that names it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = list(_vectors()) if vectors is None else vectors
    made = vectors if isinstance(vectors, pa.Array) else pa.array(vectors, pa.list_(pa.float32()))
    ids = pa.array(range(len(made)) if ids is None else ids)
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = {names.get("id", "ItemID"): ids, names.get("vector", "embedding"): made}
    pq.write_table(pa.table(columns), file)
    return {"embeddings": file}


def _cut(folder: Path) -> Params:
    given = write(folder / "items.parquet")
    data = given["embeddings"].read_bytes()
    given["embeddings"].write_bytes(data[: len(data) // 2])
    return given


def _no_parquet(folder: Path) -> Params:
    (folder / "items.parquet").write_text("ItemID,embedding\n")
    return {"embeddings": folder / "items.parquet"}


def _no_rows(folder: Path) -> Params:
    return write(folder / "items.parquet", vectors=[])


def _empty_folder(folder: Path) -> Params:
    (folder / "items").mkdir()
    return {"embeddings": folder / "items"}


def _misnamed(folder: Path) -> Params:
    return write(folder / "items.parquet", vector="embeding")


def _text(folder: Path) -> Params:
    import pyarrow as pa

    return write(folder / "items.parquet", vectors=pa.array([str(v) for v in _vectors()]))


def _widths(folder: Path) -> Params:
    write(folder / "items" / "a.parquet")
    write(folder / "items" / "b.parquet", vectors=list(_vectors()[:, :5]))
    return {"embeddings": folder / "items"}


def _encrypted(folder: Path) -> Params:
    """Written by a key that nobody here has: what matters is the magic of such a footer."""
    given = write(folder / "items.parquet")
    data = given["embeddings"].read_bytes()
    given["embeddings"].write_bytes(b"PARE" + data[4:-4] + b"PARE")
    return given


def _iceberg(folder: Path) -> Params:
    write(folder / "items" / "data" / "00000-0.parquet")
    (folder / "items" / "metadata").mkdir()
    (folder / "items" / "metadata" / "v1.metadata.json").write_text("{}")
    return {"embeddings": folder / "items"}


def _deletion_vectors(folder: Path) -> Params:
    write(folder / "items" / "part-0.parquet")
    log = folder / "items" / "_delta_log"
    log.mkdir()
    actions = [
        {"protocol": {"minReaderVersion": 3, "readerFeatures": ["deletionVectors"]}},
        {"metaData": {"id": "1", "configuration": {}, "partitionColumns": []}},
        {"add": {"path": "part-0.parquet", "deletionVector": {"storageType": "u"}}},
    ]
    (log / f"{0:020}.json").write_text("\n".join(json.dumps(action) for action in actions))
    return {"embeddings": folder / "items"}


def _deeper(folder: Path) -> Params:
    write(folder / "items" / "2024" / "06" / "part-0.parquet")
    return {"embeddings": folder / "items"}


def _nested(folder: Path) -> Params:
    import pyarrow as pa

    return write(folder / "items.parquet", vectors=pa.array([[v] for v in _vectors().tolist()]))


def _ids(values: list[Any]) -> Maker:
    return lambda folder: write(folder / "items.parquet", ids=values)


def _catalog(text: str) -> Maker:
    def make(folder: Path) -> Params:
        shutil.copytree(ROOT / "conf", folder / "conf")
        (folder / "conf" / "local").mkdir(exist_ok=True)
        (folder / "conf" / "local" / "catalog.yml").write_text(text, encoding="utf-8")
        return write(folder / "items.parquet") | {"words": [f"--conf-source={folder / 'conf'}"]}

    return make


def _latin_1(folder: Path) -> Params:
    given = _configuration("parameters_sample.yml", "")(folder)
    (folder / "conf/base/parameters_sample.yml").write_bytes("# é\n".encode("latin-1"))
    return given


def _row(value: Any) -> Maker:
    def make(folder: Path) -> Params:
        vectors = _vectors().tolist()
        vectors[7] = value
        return write(folder / "items.parquet", vectors=vectors) | {"stage": "ingest"}

    return make


def _null_id(folder: Path) -> Params:
    ids = [None if i == 7 else i for i in range(ITEMS)]
    return write(folder / "items.parquet", ids=ids) | {"stage": "ingest"}


def _twice(folder: Path) -> Params:
    ids = [3 if i == 7 else i for i in range(ITEMS)]
    return write(folder / "items.parquet", ids=ids) | {"stage": "ingest"}


def _half(folder: Path) -> Params:
    given = _row([1e30] * DIM)(folder)
    return given | {"ingest.dtype": "float16"}


def _given(**params: Any) -> Maker:
    def make(folder: Path) -> Params:
        named = {name.replace("__", "."): value for name, value in params.items()}
        return write(folder / "items.parquet") | named

    return make


def _words(*words: str) -> Maker:
    def make(folder: Path) -> Params:
        return write(folder / "items.parquet") | {"words": list(words)}

    return make


def _configuration(name: str, text: str) -> Maker:
    def make(folder: Path) -> Params:
        shutil.copytree(ROOT / "conf", folder / "conf")
        (folder / "conf" / "base" / name).write_text(text, encoding="utf-8")
        return write(folder / "items.parquet") | {"words": [f"--conf-source={folder / 'conf'}"]}

    return make


def _no_label(folder: Path) -> Params:
    texts = write(folder / "texts.parquet", vector="text")["embeddings"]
    return write(folder / "items.parquet") | {"items": texts, "evaluate.labels": "colour"}


def _list_labels(folder: Path) -> Params:
    given = _no_label(folder)
    return given | {"evaluate.labels": "text"}


def _binary_ids(folder: Path) -> Params:
    """What writers make of integers of 128 bits."""
    import pyarrow as pa

    ids = pa.array([i.to_bytes(16, "big") for i in range(ITEMS)], pa.binary(16))
    return write(folder / "items.parquet", ids=ids)


def _histories(**columns: Any) -> Maker:
    """Write histories of users, and run the node that checks them."""

    def make(folder: Path) -> Params:
        import pyarrow as pa
        import pyarrow.parquet as pq

        params = {n.replace("__", "."): columns[n] for n in columns if n.startswith("history__")}
        made = {name: values for name, values in columns.items() if name.partition("__")[0] == name}
        pq.write_table(pa.table(made), folder / "histories.parquet")
        return _of_histories(folder, "histories.parquet") | params

    return make


def _of_histories(folder: Path, name: str) -> Params:
    words = ["--pipelines=recommend", "--nodes=check_histories"]
    return {"histories": folder / name, "words": words}


def _recommending(node: str = "check_recommend", **values: Any) -> Maker:
    """Run a node of `recommend` or `compare_ids`, on the sample's histories, with these values."""
    pipeline = "compare_ids" if node == "check_compare" else "recommend"
    given = {name.replace("__", "."): value for name, value in values.items()}
    return lambda folder: given | {"words": [f"--pipelines={pipeline}", f"--nodes={node}"]}


def _not_continued(folder: Path) -> Params:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "split").mkdir()
    for part, items in (("train", [1, 2]), ("valid", [1, 3, 4]), ("test", [1, 2, 4, 5])):
        table = pa.table({"UserID": [7], "sequence": [items]})
        pq.write_table(table, folder / "split" / f"{part}.parquet")
    return _of_histories(folder, "split")


def _two_of_three(folder: Path) -> Params:
    given = _not_continued(folder)
    (folder / "split" / "valid.parquet").unlink()
    return given


def _missing(folder: Path) -> Params:
    return write(folder / "items.parquet") | {"stage": "identify"}


def _bundles(name: str, text: str) -> Maker:
    """Put a file into the folder of bundles."""

    def make(folder: Path) -> Params:
        file = folder / "data/07_model_output/bundles" / name
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
        return write(folder / "items.parquet") | {"stage": "publish"}

    return make


CASES: dict[str, dict[str, Maker]] = {
    "The files": {
        "the file is not there": lambda folder: {"embeddings": folder / "item.parquet"},
        "nothing matches a glob": lambda folder: {"embeddings": folder / "part-*.parquet"},
        "a folder without files": _empty_folder,
        "a file that is cut off": _cut,
        "a file that is no parquet file": _no_parquet,
        "no rows": _no_rows,
        "a column that is not there": _misnamed,
        "vectors written as text": _text,
        "vectors of vectors": _nested,
        "ids that are lists": _ids([[i] for i in range(ITEMS)]),
        "ids that are fractions": _ids([i / 2 for i in range(ITEMS)]),
        "ids of 16 bytes, which may be integers of 128 bits": _binary_ids,
        "vectors of different lengths in two files": _widths,
        "an encrypted file": _encrypted,
        "an Iceberg table": _iceberg,
        "a Delta table with deletion vectors": _deletion_vectors,
        "files in deeper folders": _deeper,
    },
    "The rows": {
        "null id": _null_id,
        "the same id twice, with different vectors": _twice,
        "null vector": _row(None),
        "empty vector": _row([]),
        "ragged vectors": _row([1.0] * (DIM - 1)),
        "NaN": _row([float("nan")] * DIM),
        "infinite value": _row([float("inf")] * DIM),
        "a value that float16 cannot hold": _half,
        "a zero vector, to be brought to unit length": lambda folder: (
            _row([0.0] * DIM)(folder)
            | {"tokenizer.preprocess.normalize": "true", "stage": "tokenize"}
        ),
    },
    "Sizes": {
        "more codes in a codebook than items": _given(tokenizer__codebook_sizes="4x512"),
        "fewer codes in all than items": _given(tokenizer__codebook_sizes="4x4"),
        "a product of 2⁶³ or more": _given(tokenizer__codebook_sizes="x".join(["256"] * 8)),
        "more dimensions to keep than there are": _given(
            tokenizer__preprocess__dimensions=9, stage="tokenize"
        ),
    },
    "Configuration and command line": {
        "unknown parameter": _given(tokenizer__sed=1),
        "wrong type": _given(tokenizer__seed="x"),
        "out of bounds": _given(sample__validation_share=2),
        "unknown choice": _given(tokenizer__kind="rq_vea"),
        "unknown environment": _words("--env=rq_vea"),
        "unknown pipeline": _words("--pipelines=tokenise"),
        "unknown node": _words("--pipelines=tokenize", "--nodes=trian"),
        "a node of another pipeline": _words("--pipelines=ingest", "--nodes=train"),
        "a tag that no node has": _words("--pipelines=tokenize", "--tags=trian"),
        "unknown dataset": _words("--pipelines=tokenize", "--from-inputs=embedings"),
        "malformed option": _words("--nodez=train"),
        "an MLflow model without graphs": _given(export__mlflow_model="true"),
        "an unknown device": _given(tokenizer__device="cuda:99"),
        "unknown runner": _words("--runner=None"),
        "a parallel run": _words("--runner=ParallelRunner"),
        "data_root that is a URL": _given(data_root="s3://bucket/data"),
        "data_root with a name that is too long": lambda folder: _given(
            data_root=folder / ("x" * 300), stage="ingest"
        )(folder),
        "data_root below a file": lambda folder: _given(
            data_root=folder / "items.parquet" / "data", stage="ingest"
        )(folder),
        "a file that is no YAML": _configuration("parameters_sample.yml", "sample: [1\n"),
        "a file that is not UTF-8": _latin_1,
        "a comma in a value, before a name": _given(embeddings="a,b=c.parquet"),
        "a parameter without a value": _words("--params=tokenizer.seed"),
        "an artifact with versions": _catalog(
            "tokenizer:\n  type: semantic_ids.datasets.TokenizerDataset\n"
            "  filepath: data/06_models/tokenizer\n  versioned: true\n"
        ),
        "an artifact at a URL": _catalog(
            "embeddings:\n  type: semantic_ids.datasets.EmbeddingsDataset\n"
            "  filepath: s3://bucket/embeddings\n"
        ),
        "an artifact of another type": _catalog(
            "codes:\n  type: pandas.ParquetDataset\n  filepath: data/codes.parquet\n"
        ),
        "another version of an artifact": _words("--load-versions=embeddings:2024"),
        "a version that is none": _words("--load-versions=x"),
        "missing outputs only": _words("--only-missing-outputs"),
        "a file with an unknown key": _configuration("parameters_sample.yml", "sample: {x: 1}\n"),
    },
    "Artifacts and labels": {
        "an artifact of a stage before is not there": _missing,
        "an items file of other items": lambda folder: (
            write(folder / "items.parquet") | {"items": ROOT / "data/01_raw/items.parquet"}
        ),
        "a label column that is not there": _no_label,
        "labels that are lists": _list_labels,
        "weights without an items file": _given(publish__weight_column="sold", stage="publish"),
    },
    "Recommending": {
        "a beam narrower than the lists": _recommending(recommender__decoding__beam=20),
        "a width that the heads cannot share": _recommending(recommender__item_level__dim=130),
        "an unknown baseline": _recommending(judge__baselines="popular"),
        "lengths of lists that do not ascend": _recommending(judge__ks="5,1"),
        "IDs to compare that nobody knows": _recommending("check_compare", compare__ids="rq_kmean"),
        "nothing to learn from yet": _recommending("fit_recommender"),
        "nobody to ask yet": _recommending("recommend"),
    },
    "User histories": {
        "the file of histories is not there": lambda folder: _of_histories(folder, "log.parquet"),
        "none for a catalogue of your own": lambda folder: (
            write(folder / "items.parquet")
            | {"words": ["--pipelines=recommend", "--nodes=check_histories"]}
        ),
        "no column of users": _histories(name=["a"], sequence=[[1, 2, 3]]),
        "neither sequences nor events": _histories(user=["a"], bought=[3]),
        "sequences written as text": _histories(user=["a"], sequence=["1 2 3"]),
        "times that are no times": _histories(user=["a"], item=[1], timestamp=[True]),
        "a user that is null": _histories(user=["a", None], sequence=[[1, 2, 3], [4, 5, 6]]),
        "an empty sequence": _histories(user=["a", "b"], sequence=[[1, 2, 3], []]),
        "a user twice": _histories(user=["a", "a"], sequence=[[1, 2, 3], [4, 5, 6]]),
        "a time that is null": _histories(user=["a", "a"], item=[1, 2], timestamp=[5, None]),
        "nobody has enough events": _histories(user=["a"], sequence=[[1, 2]]),
        "sequences split by time": _histories(
            user=["a"], sequence=[[1, 2, 3]], history__split="time"
        ),
        "an instant that is none": _histories(
            user=["a"],
            item=["x"],
            timestamp=["2014-06-01"],
            history__split="time",
            history__time__valid_from="May",
            history__time__test_from="June",
        ),
        "a split that leaves nothing to learn from": _histories(
            user=["a"] * 3,
            item=[1, 2, 3],
            timestamp=[5, 6, 7],
            history__split="time",
            history__time__valid_from="1",
            history__time__test_from="6",
        ),
        "options of a split that is not asked for": _histories(
            user=["a"], sequence=[[1, 2, 3]], history__time__test_share="0.2"
        ),
        "one of three files is missing": _two_of_three,
        "a file that does not go on from the one before": _not_continued,
    },
    "Published generations": {
        "the pointer names no generation": _bundles("latest", "the newest one\n"),
        "the generation of the pointer is not there": _bundles("latest", "000007-0123abcd\n"),
        "a generation that is not there is gone on from": lambda folder: (
            write(folder / "items.parquet") | {"publish.parent": "3", "stage": "publish"}
        ),
    },
}
