from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import Provenance
from semantic_ids.export import Mappings

N = 20_000  # more than two chunks


def mappings(item_ids, width=3):
    codes = np.random.default_rng(0).integers(0, 1000, (len(item_ids), width)).astype(np.int32)
    return Mappings(item_ids, codes, Provenance("semantic_id_mappings"))


AWKWARD = [
    "",
    'say "hi"',
    "back\\slash",
    "new\nline",
    "tab\t",
    "\x00",
    "ä ß 日本",
    "🙂",
    "\u2028",
    "null",
    "[1]",
]


@pytest.mark.parametrize(
    "item_ids",
    [
        pa.array(range(-5, N)),
        pa.array([f"item {i}" for i in range(N)], pa.large_string()),
        pa.array(AWKWARD),
        pa.chunked_array(
            [pa.array([f"a{i}" for i in range(9000)]), pa.array([f"b{i}" for i in range(9000)])]
        ),
        pa.array([7]),
        pa.array([], pa.int64()),
    ],
    ids=["integers", "strings", "awkward", "chunked", "one", "none"],
)
def test_the_joined_lines_are_the_dictionary(item_ids):
    made = mappings(item_ids)
    text = "".join(made.lines())
    assert json.loads(text) == {
        str(i): code for i, code in zip(item_ids.to_pylist(), made.codes.tolist(), strict=True)
    }
    assert text.count("\n") == len(item_ids) + 2


def test_the_spelling():
    made = Mappings(
        pa.array([1, 2]),
        np.array([[45, 123, 67], [0, 1, 2]], dtype=np.int32),
        Provenance("semantic_id_mappings"),
    )
    assert "".join(made.lines()) == '{\n"1": [45, 123, 67],\n"2": [0, 1, 2]\n}\n'


def test_one_level():
    assert json.loads("".join(mappings(pa.array([1]), width=1).lines())) == {"1": [850]}


def test_a_piece_is_a_small_part():
    made = mappings(pa.array(range(N)))
    assert max(map(len, made.lines())) < 0.5 * sum(map(len, made.lines()))
