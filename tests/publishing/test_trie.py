"""The trie against sets of tuples."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.publishing.trie import Trie


def drawn(items, sizes, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, k, items) for k in sizes]).astype(np.int32)


def children_of(codes):
    """Prefix → codes that follow it, by brute force."""
    found = defaultdict(set)
    for row in codes.tolist():
        for length in range(len(row)):
            found[tuple(row[:length])].add(row[length])
    return found


@st.composite
def catalogues(draw):
    """Codes with odd sizes, one level and many, shared IDs, none at all, and ids beyond 63 bits."""
    sizes = draw(
        st.lists(st.sampled_from([1, 2, 3, 5, 256, 257, 70_000, 2**31 - 1]), min_size=1, max_size=6)
    )
    row = st.tuples(*(st.integers(0, min(k - 1, draw(st.sampled_from([2, k])))) for k in sizes))
    rows = draw(st.lists(row, max_size=30))
    return np.array(rows, dtype=np.int32).reshape(len(rows), len(sizes)), sizes


@settings(max_examples=150, deadline=None)
@given(catalogues(), st.randoms(use_true_random=False))
def test_it_knows_what_sets_know(catalogue, random):
    codes, sizes = catalogue
    trie, following = Trie.build(codes, sizes), children_of(codes)
    rows = [tuple(row) for row in codes.tolist()]
    assert len(trie) == len(set(rows)) and trie.count() == len(rows)
    assert [tuple(row) for row in trie.ids().tolist()] == sorted(set(rows))
    counts = Counter(row[:length] for row in rows for length in range(len(sizes) + 1))
    asked = set(counts) | {
        tuple(random.randrange(k) for k in sizes[:length]) for length in range(len(sizes) + 1)
    }
    for prefix in asked:
        assert trie.count(prefix) == counts[prefix]
        assert (prefix in trie) == (prefix in counts or prefix == ())
        assert trie.children(prefix).tolist() == sorted(following[prefix])
    for length in range(len(sizes) + 1):
        prefixes = sorted(prefix for prefix in asked if len(prefix) == length)
        nodes = trie.walk(np.array(prefixes, np.int64).reshape(len(prefixes), length))
        assert nodes.tolist() == [trie.node(prefix) for prefix in prefixes]
        assert trie.count_items(nodes, length).tolist() == [counts[prefix] for prefix in prefixes]
        if length < len(sizes) and sizes[length] < 1000:
            allowed = trie.mask(np.array(prefixes, np.int64).reshape(len(prefixes), length))
            assert allowed.shape == (len(prefixes), sizes[length])
            assert [set(np.flatnonzero(row)) for row in allowed] == [following[p] for p in prefixes]


def test_the_order_of_items_is_of_no_account_and_nodes_number_the_ids():
    codes = drawn(500, (4, 5, 6), seed=1)
    trie, other = Trie.build(codes, (4, 5, 6)), Trie.build(codes[::-1], (4, 5, 6))
    for mine, theirs in zip(
        (*trie.codes, *trie.starts), (*other.codes, *other.starts), strict=True
    ):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(trie.ids()[trie.walk(codes)], codes)


def test_a_beam_search_over_arrays_finds_what_scoring_every_item_finds():
    """Nodes go along with the beams, so no prefix is walked twice."""
    sizes, beams = (5, 7, 3), 8
    codes = np.unique(drawn(60, sizes, seed=2), axis=0)
    trie, rng = Trie.build(codes, sizes), np.random.default_rng(3)
    tables = [rng.normal(size=(7, k)) for k in sizes]  # a score of each code, by the code before
    best = np.zeros((1, 0), np.int64)
    nodes, scores = np.zeros(1, np.int64), np.zeros(1)
    for level in range(3):
        before = best[:, -1] if level else np.zeros(len(best), np.int64)
        total = np.where(
            trie.mask_after(nodes, level), scores[:, None] + tables[level][before], -np.inf
        )
        order = np.argsort(-total.ravel(), kind="stable")[: len(codes)]
        order = order[np.isfinite(total.ravel()[order])]
        rows, chosen = np.divmod(order, sizes[level])
        best, scores = np.column_stack([best[rows], chosen]), total.ravel()[order]
        nodes = trie.step(nodes[rows], chosen, level)
        assert (nodes >= 0).all()
    before = np.column_stack([np.zeros(len(codes), np.int64), codes[:, :-1]])
    exact = sum(tables[level][before[:, level], codes[:, level]] for level in range(3))
    expected = codes[np.argsort(-exact, kind="stable")][:beams]
    np.testing.assert_array_equal(best[:beams], expected)


def test_it_says_in_a_line_what_it_is():
    codes = np.array([[0, 1], [2, 0], [0, 1]])
    assert repr(Trie.build(codes, (3, 2))) == "Trie(2 IDs of 3 items, 3x2)"


def test_dead_beams_stay_dead():
    trie = Trie.build(np.array([[0, 1], [2, 0]]), (3, 2))
    assert trie.step(np.array([-1, 0, 2]), np.array([1, 1, 0]), 1).tolist() == [-1, 0, -1]
    assert trie.walk([(0, 1), (0, 0), (9, 1), (-1, 1)]).tolist() == [0, -1, -1, -1]
    assert not trie.mask([(1,)]).any() and trie.count_items(np.array([-1]), 1).tolist() == [0]
    assert not trie.mask_after(np.array([-1]), 1).any()
    assert trie.contains([(0, 1), (1, 1)]).tolist() == [True, False]


@pytest.mark.parametrize("sizes", [(256, 256, 256), (300, 100, 50), (2, 70_000), (9,), (256,) * 9])
def test_it_comes_back_from_disk_as_maps(tmp_path, sizes):
    codes = drawn(400, sizes, seed=4)
    trie = Trie.build(np.concatenate([codes, codes[:50]]), sizes, made_from="abc")
    trie.save(tmp_path / "trie")
    for folder in (tmp_path / "trie", tmp_path):
        back = Trie.load(folder)
        assert back.sizes == sizes and back.made_from == "abc" and back.count() == 450
        assert not back.codes[0].flags.writeable and not back.codes[0].flags.owndata
        np.testing.assert_array_equal(back.ids(), np.unique(codes, axis=0))
        assert back.count(codes[3]) == trie.count(codes[3]) >= 2
    before = {path.name: path.read_bytes() for path in (tmp_path / "trie").iterdir()}
    back.save(tmp_path / "trie")  # what is mapped is replaced, the same bytes
    assert {path.name: path.read_bytes() for path in (tmp_path / "trie").iterdir()} == before


def test_types_are_the_smallest():
    codes = np.unique(drawn(20_000, (256, 256, 300), seed=5), axis=0)
    trie = Trie.build(codes, (256, 256, 300))
    assert [array.dtype.itemsize for array in (*trie.codes, *trie.starts)] == [1, 1, 2, 2, 2, 2]
    assert len(trie.shared) == 0 and trie.count() == len(codes)


def test_no_items(tmp_path):
    trie = Trie.build(np.zeros((0, 3), np.int32), (4, 4, 4))
    trie.save(tmp_path / "trie")
    for found in (trie, Trie.load(tmp_path)):
        assert len(found) == found.count() == 0 and not found.mask(np.zeros((2, 0))).any()
        assert (1, 2, 3) not in found and found.children(()).tolist() == []


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        (np.array([[0, 4]]), (4, 4), r"codes of 2 levels up to \[0, 4\]"),
        (np.array([[0, -1]]), (4, 4), "from 0 and below"),
        (np.array([[0, 1]]), (4, 4, 4), "codes of 3 levels"),
        (np.array([[0.5, 1]]), None, "type float64"),
        (np.array([1, 2]), None, "one row an ID"),
    ],
)
def test_codes_that_are_none_are_refused(codes, sizes, message):
    with pytest.raises(BadInput, match=message):
        Trie.build(codes, sizes)


def test_prefixes_that_are_too_long_are_refused():
    trie = Trie.build(np.array([[0, 1]]), (4, 4))
    with pytest.raises(BadInput, match="an ID ends there"):
        trie.mask([(0, 1)])
    with pytest.raises(BadInput, match="of at most 2 codes"):
        trie.walk([(0, 1, 2)])
    assert (0, 1, 2) not in trie and trie.children((0, 1)).tolist() == []


def cut(folder):
    whole = (folder / "codes_2.npy").read_bytes()
    (folder / "codes_2.npy").write_bytes(whole[: len(whole) // 2])


def exchange(folder):
    np.save(folder / "codes_2.npy", np.zeros(3, np.uint8))


def disagree(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    np.save(folder / "codes_2.npy", np.zeros(3, np.uint8))
    manifest["arrays"]["codes_2"] = ["|u1", 3]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def say(**changes):
    def change(folder):
        manifest = json.loads((folder / "manifest.json").read_text()) | changes
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"codes_2.npy: cannot be read"),
        (exchange, r"codes_2.npy: cannot be read: it holds \|u1 of shape \(3,\)"),
        (disagree, "the arrays of level 2 do not go together"),
        (lambda folder: (folder / "starts_1.npy").unlink(), "starts_1.npy: cannot be read"),
        (lambda folder: (folder / "manifest.json").unlink(), "there is no trie"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "another version"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "another version"),
        (say(format=2), "expected a trie of format 1"),
        (say(tokens_per_level=["x"]), "manifest.json: cannot be read"),
        (say(tokens_per_level=[-1, 4]), "manifest.json: cannot be read"),
        (say(tokens_per_level=[4]), "its arrays are not those of 1 levels"),
        (say(tokens_per_level=[4, 4, 4]), "its arrays are not those of 3 levels"),
        (say(arrays=None), "manifest.json: cannot be read"),
        (say(arrays={"codes_1": 1.5}), "manifest.json: cannot be read"),
        (say(arrays={"../codes_1": ["|u1", 4]}), "its arrays are not those of 2 levels"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path, damage, message):
    Trie.build(drawn(40, (4, 4)), (4, 4)).save(tmp_path / "t")
    damage(tmp_path / "t")
    with pytest.raises(BadInput, match=message):
        Trie.load(tmp_path / "t")


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match=r"other files, such as 'mine.txt'"):
        Trie.build(drawn(4, (4, 4)), (4, 4)).save(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "x"


def test_numpy_is_all_it_needs():
    """Also for the vocabulary: neither torch nor what reads parquet or tokenizers."""
    code = (
        "import sys\n"
        "for name in ('torch', 'pyarrow', 'transformers', 'tokenizers', 'kedro', 'pandas'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "import semantic_ids.publishing.vocabulary\n"
        "from semantic_ids import Trie\n"
        "print(Trie.build(np.array([[1, 2]])).children((1,)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "[2]\n", ran.stderr
