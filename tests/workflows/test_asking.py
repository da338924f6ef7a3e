"""A recommender asked by files, in Python and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from semantic_ids.__main__ import commands
from semantic_ids.errors import BadInput
from semantic_ids.export.ids_table import made_from
from semantic_ids.workflows import asking
from semantic_ids.workflows.asking import load_recommender
from tests.recommenders.test_recommender import HISTORIES, made

USERS = ["ann", "bob", "cid", "dee", "eve", "fay"]
TEXTS = [[str(item) for item in history] for history in HISTORIES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a recommender, and histories as parquet and as lines."""
    folder = tmp_path_factory.mktemp("asking")
    made().save(folder / "recommender")
    pq.write_table(pa.table({"user_id": USERS, "sequence": TEXTS}), folder / "in.parquet")
    lines = [{"user": u, "sequence": h} for u, h in zip(USERS, HISTORIES, strict=True)]
    (folder / "in.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def ask(*words, given=None):
    return CliRunner().invoke(commands, ["recommend", *map(str, words)], input=given)


def test_python_takes_lists_arrays_columns_and_files(folder):
    recommender = load_recommender(folder / "recommender", "cpu")
    right = recommender.recommend(HISTORIES, k=3)
    column = pd.Series([np.array(h, dtype=object) for h in HISTORIES])
    given = [pa.chunked_array([TEXTS]), column, folder / "in.parquet", str(folder / "in.jsonl")]
    for histories in given:
        found = recommender.recommend(histories, k=3)
        assert [ids.tolist() for ids in found.item_ids] == [i.tolist() for i in right.item_ids]
        assert found.unknown == 3
    square = np.array([[100, 103], [105, 101]])
    asked = recommender.recommend(square, k=3).item_ids
    assert asked[0].tolist() == right.item_ids[0].tolist() and len(asked) == 2


@pytest.mark.parametrize("source", ["in.parquet", "in.jsonl"])
@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_the_command_line_gives_what_python_gives(folder, source, ending, monkeypatch):
    monkeypatch.setattr(asking, "BLOCK_USERS", 4)
    target = folder / f"out.{ending}"
    ran = ask("-c", folder / "recommender", folder / source, target, "-k", 4)
    assert ran.exit_code == 0, ran.output
    assert "3 items of the histories are not in the catalogue" in ran.output
    assert f"6 rows: {target}" in ran.output
    right = load_recommender(folder / "recommender", "cpu").recommend(HISTORIES, k=4)
    if ending == "parquet":
        table = pq.read_table(target)
        found = table.to_pylist()
        assert table.schema.field("item_ids").type == pa.list_(pa.int64(), 4)
        assert made_from(table).parameters == {"k": 4, "beam": 40, "exclude_seen": False}
    else:
        found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["user"] for row in found] == USERS
    for row, ids, scores in zip(found, right.item_ids, right.log_probabilities, strict=True):
        assert [one for one in row["item_ids"] if one is not None] == ids.tolist()
        values = [one for one in row["log_probabilities"] if one is not None]
        np.testing.assert_allclose(values, scores, atol=1e-5)


def test_lists_of_lines_are_read_from_stdin_and_written_to_stdout(folder):
    ran = ask("-c", folder / "recommender", "-", "-k", 2, given="[100, 103]\n\n[101]\n")
    assert ran.exit_code == 0
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["user"] for row in rows] == [0, 2] and len(rows[0]["item_ids"]) == 2


def test_lists_of_items_are_allowed_and_denied(folder):
    (folder / "allow.txt").write_text("100\n 129\n\n111\n")
    pq.write_table(pa.table({"item_id": [129]}), folder / "deny.parquet")
    words = ["-c", folder / "recommender", folder / "in.jsonl", "-k", 3]
    lists = ["--allow", folder / "allow.txt", "--deny", folder / "deny.parquet"]
    for more, right in (([], [{100, 111}]), (["--exclude-seen"], [{111}])):
        ran = ask(*words, *lists, *more)
        first = json.loads(ran.stdout.splitlines()[0])
        assert [{*first["item_ids"]}] == right


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["in.parquet", "out.csv"], 2, "out.csv: a name that ends in .parquet or .jsonl"),
        (["none.parquet", "o.parquet"], 1, "none.parquet"),
        (["in.parquet", "in.parquet"], 1, "in.parquet"),
        (["in.parquet", "o.jsonl", "-k", "50"], 0, ""),
        (["in.parquet", "o.jsonl", "--beam", "3"], 1, "a beam of 3 for lists of 10 items"),
        (["in.parquet", "o.jsonl", "--unknown", "raise"], 1, "is not in the catalogue"),
        (["in.parquet", "o.jsonl", "--allow", "none.txt"], 1, "--allow none.txt: it cannot be"),
        (["bad.jsonl", "o.jsonl"], 1, "bad.jsonl, line 2: no list of item ids"),
        (["events.parquet", "o.jsonl"], 1, "there is a row an event here"),
    ],
)
def test_what_cannot_be_asked_is_one_line(folder, monkeypatch, words, code, said):
    monkeypatch.chdir(folder)
    (folder / "bad.jsonl").write_text('[1]\n{"user": 3}\n')
    events = {"user": [1], "item": [100], "timestamp": [5]}
    pq.write_table(pa.table(events), folder / "events.parquet")
    ran = ask("-c", "recommender", *words)
    assert ran.exit_code == code and said in ran.output
    assert len([line for line in ran.stderr.splitlines() if line.startswith("Error")]) == bool(code)
    if code:
        assert not (folder / "o.jsonl").exists() and not (folder / "o.parquet").exists()
    (folder / "o.jsonl").unlink(missing_ok=True)


def test_users_of_several_types_cannot_be_a_column(folder):
    (folder / "mixed.jsonl").write_text('{"user": 1, "sequence": [100]}\n[101]\n["102"]\n')
    recommender = load_recommender(folder / "recommender", "cpu")
    asking.recommend_file(
        recommender, str(folder / "mixed.jsonl"), str(folder / "m.jsonl"), asking.Question()
    )
    (folder / "mixed.jsonl").write_text('{"user": "a", "sequence": [100]}\n[101]\n')
    with pytest.raises(BadInput, match="users of several types"):
        asking.recommend_file(
            recommender, str(folder / "mixed.jsonl"), str(folder / "m.parquet"), asking.Question()
        )


def test_torch_is_missed_in_one_line(folder):
    code = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from semantic_ids.__main__ import main
main(["recommend", "-c", "recommender", "in.jsonl"])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1 and "the extra 'pipeline'" in ran.stderr
