"""Asking a trained recommender; its folder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.recommenders.catalogue import Catalogue
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.recommender import Recommender
from semantic_ids.recommenders.training import build_network

SIZES = (4, 5, 3)
SMALL = {"dim": 8, "heads": 2, "feed_forward": 8, "head_hidden": 8, "layers": 1} | {
    "seen": False,
    "node_embeddings": False,  # what the codes say is all, so that they can be asked one by one
}
OPTIONS = RecommenderOptions.of({"item_level": SMALL, "decoding": {"batch_users": 3, "beam": 40}})
LENGTH = 4
HISTORIES = [[100, 103], [], [7, 999, 105], [101, 102, 103, 104, 105, 106], [888], ["104", 104]]


def a_catalogue(n: int = 30, *, collide: bool = False, text: bool = False) -> Catalogue:
    rng = np.random.default_rng(5)
    every = np.stack(np.unravel_index(rng.permutation(60)[:n], SIZES), axis=1).astype(np.int32)
    codes = every[rng.integers(0, 9, n)] if collide else every
    ids = np.arange(100, 100 + n)
    if text:
        ids = np.array([f"item {i}" for i in ids], dtype=object)
    return Catalogue(ids, codes, SIZES, rng.integers(0, 50, n), "the IDs")


def made(catalogue: Catalogue | None = None, seed: int = 0) -> Recommender:
    catalogue = catalogue or a_catalogue()
    torch.manual_seed(seed)
    network = build_network(OPTIONS, catalogue.codes, SIZES, LENGTH)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))  # decided enough to be told apart
    inputs = {"semantic_ids": "the IDs", "histories": "the histories"}
    return Recommender(network, catalogue, OPTIONS, Provenance("recommender", inputs))


@torch.no_grad()
def probabilities(recommender: Recommender, rows: list[int]) -> np.ndarray:
    """Every item's probability after a history, from the logits of its codes one by one: (n,)."""
    known = recommender.catalogue
    padded = torch.full((1, LENGTH), -1)
    last = rows[-LENGTH:]
    padded[0, : len(last)] = torch.tensor(last)
    states = recommender.network.states(padded)
    found = np.zeros(len(known))
    codes = known.codes.tolist()
    for row, code in enumerate(codes):
        log = 0.0
        for level in range(len(SIZES)):
            prefix = torch.tensor([code[:level]], dtype=torch.int64).reshape(1, level)
            logits = recommender.network.next_logits(states, torch.tensor([0]), prefix)[0].double()
            after = sorted({other[level] for other in codes if other[:level] == code[:level]})
            log += float(torch.log_softmax(logits[after], 0)[after.index(code[level])])
        found[row] = np.exp(log) / codes.count(code)
    return found


@pytest.mark.parametrize("collide", [False, True], ids=["unique", "colliding"])
def test_lists_are_the_likeliest_of_all_items(collide):
    recommender = made(a_catalogue(collide=collide))
    known = recommender.catalogue
    found = recommender.recommend(HISTORIES, k=5)
    assert found.unknown == 3
    for history, ids, scores in zip(
        HISTORIES, found.item_ids, found.log_probabilities, strict=True
    ):
        rows = [row for row in known.rows_of(history).tolist() if row >= 0]
        if not rows:
            assert len(ids) == len(scores) == 0
            continue
        every = probabilities(recommender, rows)
        assert abs(every.sum() - 1) < 1e-5
        of_id = every * [known.codes.tolist().count(code) for code in known.codes.tolist()]
        right = np.lexsort((np.arange(len(known)), -known.events, -of_id.round(9)))[:5]
        assert ids.tolist() == known.item_ids[right].tolist()
        np.testing.assert_allclose(np.exp(scores), every[right], rtol=1e-4)


def test_seen_denied_and_other_items_than_the_allowed_are_left_out():
    recommender = made()
    history = [[100, 103, 100, 101, 102, 104, 110]]
    whole = recommender.recommend(history, k=30).item_ids[0].tolist()
    assert sorted(whole) == list(range(100, 130))
    unseen = recommender.recommend(history, k=30, exclude_seen=True).item_ids[0].tolist()
    assert unseen == [item for item in whole if item not in history[0]]
    narrow = recommender.recommend(history, k=2, exclude_seen=True, beam=2)
    assert len(narrow.item_ids[0]) == 2 and not {*narrow.item_ids[0]} & {*history[0]}
    few = recommender.recommend(history, k=4, allow=[100, 129, "111", 5], exclude=[129, 6])
    assert sorted(few.item_ids[0].tolist()) == [100, 111]
    assert abs(np.exp(few.log_probabilities[0]).sum() - 1) < 1e-5
    with pytest.raises(BadInput, match="no item is allowed"):
        recommender.recommend(history, allow=[100], exclude=[100])
    with pytest.raises(BadInput, match="allow: none of the 2 items is in the catalogue"):
        recommender.recommend(history, allow=[1, 2])


def test_users_are_asked_for_alone_or_together():
    recommender = made()
    together = recommender.recommend(HISTORIES, k=6)
    for number, history in enumerate(HISTORIES):
        alone = recommender.recommend([history], k=6)
        assert alone.item_ids[0].tolist() == together.item_ids[number].tolist()
        assert np.array_equal(alone.log_probabilities[0], together.log_probabilities[number])
    assert recommender.recommend([]).item_ids == []


@pytest.mark.parametrize(
    ("histories", "given", "said"),
    [
        ([[100, 9]], {"unknown": "raise"}, "item 9 is not in the catalogue.*unknown='skip'"),
        ([[100]], {"k": 5, "beam": 4}, "a beam of 4 for lists of 5 items; expected at least 5"),
        ([[100]], {"k": 0}, "k is 0"),
        ([100, 101], {}, r"histories\[0\]: 100; expected the ids of the items that one user had"),
        (["100"], {}, r"histories\[0\]: '100'"),
        ([[100]], {"unknown": "drop"}, "unknown: 'drop'; expected skip or raise"),
    ],
)
def test_what_cannot_be_asked_is_one_line(histories, given, said):
    with pytest.raises(BadInput, match=said):
        made().recommend(histories, **given)


@pytest.mark.parametrize("text", [False, True])
def test_a_folder_is_all_that_is_needed(tmp_path, text):
    recommender = made(a_catalogue(text=text))
    recommender.save(tmp_path / "recommender")
    again = Recommender.load(tmp_path / "recommender", "cpu")
    histories = [again.catalogue.item_ids[:3], again.catalogue.item_ids[4:5].tolist()]
    first, second = (one.recommend(histories) for one in (recommender, again))
    for name in ("item_ids", "log_probabilities"):
        for a, b in zip(getattr(first, name), getattr(second, name), strict=True):
            assert np.array_equal(a, b)
    assert again.provenance == recommender.provenance and again.options == OPTIONS
    assert again.catalogue.made_from == "the IDs"
    files = {path.name for path in (tmp_path / "recommender").iterdir()}
    assert files == {"config.json", "model.safetensors", "items.safetensors", "manifest.json"}
    before = {path.name: path.read_bytes() for path in (tmp_path / "recommender").iterdir()}
    again.save(tmp_path / "recommender")
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "recommender").iterdir()}


def test_a_folder_that_is_damaged_or_not_there_is_one_line(tmp_path):
    with pytest.raises(BadInput, match="there is no recommender"):
        Recommender.load(tmp_path)
    made().save(tmp_path / "a")
    made(seed=1).save(tmp_path / "b")
    (tmp_path / "b/model.safetensors").replace(tmp_path / "a/model.safetensors")
    with pytest.raises(BadInput, match="its content is not the one that its manifest names"):
        Recommender.load(tmp_path / "a")
    (tmp_path / "a/model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadInput, match="the recommender cannot be read"):
        Recommender.load(tmp_path / "a")
    config = json.loads((tmp_path / "a/config.json").read_text())
    (tmp_path / "a/config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(BadInput, match="a recommender of format 99; expected format 1"):
        Recommender.load(tmp_path / "a")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/thesis.tex").write_text("")
    with pytest.raises(BadInput, match="the folder holds other files, such as"):
        made().save(tmp_path / "c")
