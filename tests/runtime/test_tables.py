"""Parquet of vectors → parquet of codes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids import load_encoder
from semantic_ids.app.serving import commands
from semantic_ids.errors import BadInput
from semantic_ids.export.tokens import token_strings
from semantic_ids.runtime.tables import encode_parquet

COLUMNS = {"id_column": "ItemID", "vector_column": "embedding"}


def write(file, ids, x, kind=None):
    kind = kind or pa.list_(pa.float32())
    pq.write_table(pa.table({"ItemID": ids, "embedding": pa.array(list(x), kind)}), file)


def test_a_file_a_folder_and_a_pattern_give_the_codes_of_torch(fitted, tmp_path):
    folder, x, codes, _ = fitted
    source = tmp_path / "in"
    source.mkdir()
    write(source / "a.parquet", np.arange(3000), x[:3000])
    write(source / "b.parquet", np.arange(3000, 5000), x[3000:], pa.list_(pa.float32(), 16))
    out = tmp_path / "out.parquet"
    for given in (source, source / "*.parquet"):
        assert encode_parquet(load_encoder(folder), str(given), str(out), **COLUMNS) == 5000
        table = pq.read_table(out)
        assert table.column_names == ["item_id", "codes", "semantic_id"]
        assert np.array_equal(table["item_id"].to_numpy(), np.arange(5000))
        assert np.array_equal(np.array(table["codes"].to_pylist()), codes)
        assert table["semantic_id"].combine_chunks().equals(token_strings(codes))
    words = ["encode", "-i", str(source / "a.parquet"), "-c", str(folder)]
    commands.main(words, standalone_mode=False)
    assert len(pq.read_table(source / "a_codes.parquet")) == 3000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[2500].__setitem__(3, np.nan), "row 2500: it holds NaN"),
        (lambda rows: rows[2500].pop(), "row 2500: a vector of 15 numbers"),
        (lambda rows: rows[2500].__setitem__(3, None), "row 2500: it holds NaN"),
        (lambda rows: rows.__setitem__(2500, None), "row 2500: it has no vector"),
    ],
)
def test_bad_rows_are_named_and_nothing_is_written(fitted, tmp_path, change, said):
    folder, x, _, _ = fitted
    rows = x[:3000].tolist()
    change(rows)
    write(tmp_path / "x.parquet", np.arange(3000), rows)
    with pytest.raises(BadInput, match=said):
        encode_parquet(
            load_encoder(folder),
            str(tmp_path / "x.parquet"),
            str(tmp_path / "o.parquet"),
            **COLUMNS,
        )
    assert [file.name for file in tmp_path.iterdir()] == ["x.parquet"]


def test_a_missing_column_is_named(fitted, tmp_path):
    write(tmp_path / "x.parquet", ["a", "b"], fitted[1][:2])
    with pytest.raises(BadInput, match="column 'id' is missing; expected one of ItemID, embedding"):
        encode_parquet(
            load_encoder(fitted[0]),
            str(tmp_path / "x.parquet"),
            str(tmp_path / "o.parquet"),
            id_column="id",
            vector_column="embedding",
        )
