"""JSON lines of vectors → JSON lines of codes, and back."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from semantic_ids import load_encoder
from semantic_ids.errors import BadInput
from semantic_ids.runtime import files, lines
from semantic_ids.runtime.lines import Columns, decode_lines, encode_lines


def written(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lists_and_objects_become_what_torch_gives(fitted, tmp_path):
    folder, x, codes, decoded = fitted
    rows = [
        {"sku": f"ä{i}", "v": row, "more": None} if i % 2 else row
        for i, row in enumerate(x[:1500].tolist())
    ]
    source, out = written(tmp_path / "x.jsonl", rows), tmp_path / "c.jsonl"
    encoder = load_encoder(folder, 2)
    assert encode_lines(encoder, source, str(out), Columns("sku", "v")) == 1500
    expected = codes[:1500].tolist()
    found = read(out)
    assert found[::2] == expected[::2]
    assert found[1::2] == [
        {"item_id": f"ä{2 * i + 1}", "codes": row} for i, row in enumerate(expected[1::2])
    ]
    back = tmp_path / "v.jsonl"
    decode_lines(encoder, str(out), str(back), Columns("item_id", "codes"))
    vectors = [row["embedding"] if isinstance(row, dict) else row for row in read(back)]
    np.testing.assert_allclose(vectors, decoded[:1500], atol=1e-6)
    assert read(back)[1]["item_id"] == "ä1"


def test_tokens_come_beside_codes_and_in_the_place_of_lists(fitted, tmp_path):
    folder, x, codes, _ = fitted
    rows = [x[0].tolist(), {"item_id": 7, "embedding": x[1].tolist()}]
    source, out = written(tmp_path / "x.jsonl", rows), tmp_path / "c.jsonl"
    encode_lines(load_encoder(folder, 1), source, str(out), Columns(), tokens=True)
    first, second = ["<a_{}><b_{}><c_{}>".format(*row) for row in codes[:2]]
    assert read(out) == [
        first,
        {"item_id": 7, "codes": codes[1].tolist(), "semantic_id": second},
    ]


BAD = {
    "no JSON": "{",
    "no JSON .*maximum recursion": "[" * 100_000,
    "'item_id' is missing": '{"embedding": []}',
    "'embedding' is missing": '{"item_id": 1}',
    "its item_id is no integer and no text": '{"item_id": true, "embedding": []}',
    "str where a list belongs": '"abc"',
    "a list of 2; expected a list of 16 numbers": "[1, 2]",
    "what is no number": json.dumps([True] * 16),
    "it holds NaN": json.dumps([float("nan")] * 16),
    "it holds NaN or infinite": json.dumps([1e300] * 16),
    "a number that is too large": json.dumps([10**400] * 16),
    "item 'p': it is a vector of zeros": json.dumps({"item_id": "p", "embedding": [0] * 16}),
}


@pytest.mark.parametrize("said", BAD)
def test_a_bad_line_is_named_and_nothing_is_written(fitted, tmp_path, said):
    folder, x, _, _ = fitted
    good = json.dumps(x[0].tolist())
    source = tmp_path / "x.jsonl"
    source.write_text(f"{good}\n" * 600 + f"\n{BAD[said]}\n", encoding="utf-8")
    where = said if said.startswith("item") else f".*{said}"
    pattern = rf"x\.jsonl, line 602(:|, ){where}"
    with pytest.raises(BadInput, match=pattern):
        encode_lines(load_encoder(folder, 2), str(source), str(tmp_path / "c.jsonl"), Columns())
    assert [file.name for file in tmp_path.iterdir()] == ["x.jsonl"]


def test_codes_that_are_not_there_and_lines_without_an_end_are_refused(
    fitted, tmp_path, monkeypatch
):
    encoder = load_encoder(fitted[0], 1)
    source = written(tmp_path / "c.jsonl", [[0, 0, 0], [0, 1.0, 0]])
    with pytest.raises(BadInput, match="line 2: the list holds what is no number of that kind"):
        decode_lines(encoder, source, str(tmp_path / "v.jsonl"), Columns("item_id", "codes"))
    source = written(tmp_path / "c.jsonl", [[0, 0, 0], {"item_id": 5, "codes": [0, 20, 0]}])
    with pytest.raises(BadInput, match="line 2, item 5: code 20 of level 2"):
        decode_lines(encoder, source, str(tmp_path / "v.jsonl"), Columns("item_id", "codes"))
    monkeypatch.setattr(lines, "LONGEST", 1 << 10)
    (tmp_path / "x.jsonl").write_text("[" + " " * 2000)
    with pytest.raises(BadInput, match="a line of more than"):
        encode_lines(encoder, str(tmp_path / "x.jsonl"), str(tmp_path / "o.jsonl"), Columns())


def test_what_came_out_before_is_out_when_a_pipe_still_gives(fitted, monkeypatch):
    """A reader of a stream has the first blocks before the last are there."""
    folder, x, codes, _ = fitted
    line = f"{json.dumps(x[0].tolist())}\n".encode()
    out = io.BytesIO()

    class Pipe(io.BytesIO):
        flushed: list[int] = []  # noqa: RUF012 - one pipe

        def read(self, size=-1):
            self.flushed.append(out.getvalue().count(b"\n"))
            return super().read(min(size, 1000))

    pipe = Pipe(line * (20 * lines.BLOCK_LINES))
    monkeypatch.setattr(files.sys, "stdin", type("Std", (), {"buffer": pipe}))
    monkeypatch.setattr(files.sys, "stdout", type("Std", (), {"buffer": out}))
    assert encode_lines(load_encoder(folder, 1), "-", "-", Columns()) == 20 * lines.BLOCK_LINES
    assert pipe.flushed[-1] > 10 * lines.BLOCK_LINES
    assert json.loads(out.getvalue().splitlines()[-1]) == codes[0].tolist()


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_stdin_gives_the_same_lines_and_bytes_whatever_its_pieces_are(piece):
    text = b"a\n\nlong line\nwithout an end"

    class Pieces(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, piece))

    stdin, truth = files.Stdin(Pieces(text)), io.BytesIO(text)
    assert stdin.read(1) == truth.read(1)
    for size in (100, 100, 4, 100, 100, 100):
        assert stdin.readline(size) == truth.readline(size)
    assert files.Stdin(Pieces(text)).read(100) == text
