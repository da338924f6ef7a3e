"""Training from top to bottom, on histories whose next item is known, or cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.learning.batches import batch_sizes
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import Loop
from semantic_ids.recommenders.beam import beam_search
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.ranking import places
from semantic_ids.recommenders.task import PART_WINDOWS
from semantic_ids.recommenders.training import build_network, train_network
from semantic_ids.recommenders.windows import WindowBatch
from tests.recommenders.cyclic import arbitrary, cyclic, histories_of, unique_codes

ITEMS, SIZES, LENGTH = 40, (5, 4, 3), 5
CODES = unique_codes(ITEMS, SIZES)
SMALL = {
    "item_level": {
        "item_level": {
            "dim": 32,
            "layers": 1,
            "heads": 2,
            "feed_forward": 48,
            "head_hidden": 32,
            "dropout": 0.1,
            "ahead": 0.0,
        }
    },
    "tiger": {
        "tiger": {
            "dim": 32,
            "layers": 1,
            "heads": 2,
            "head_dim": 16,
            "feed_forward": 48,
            "dropout": 0.0,
        }
    },
}
LEARNS = {
    "epochs": 8,
    "batch_windows": 32,
    "learning_rate": 0.01,
    "warmup_steps": 5,
    "evaluate_every": 2,
}
KINDS = list(SMALL)
FEW_STEPS = {"item_level": 32, "tiger": 200}
"""Windows a batch with which an epoch of 60 users has five steps or so."""


def options(kind="item_level", **training) -> RecommenderOptions:
    values = {"kind": kind, "device": "cpu", "training": LEARNS | training}
    return RecommenderOptions.of(values | SMALL[kind])


def train(histories, kind="item_level", checkpoints=None, codes=CODES, **training):
    return train_network(
        histories, codes, SIZES, options(kind, **training), LENGTH, checkpoints=checkpoints
    )


def recall(model, histories, k, codes=CODES):
    """Recall of the items held out for the test."""
    at, children = histories.targets("test"), Children(codes, SIZES)
    before = torch.from_numpy(histories.before(at, LENGTH))
    leaves, _ = beam_search(model, children, before, 10)
    aims = children.item_nodes[histories.items[at], -1].numpy()
    found = places(leaves.numpy(), aims, children.leaf_sizes.numpy()[leaves.numpy()])
    return found.expected([k])["recall"].mean()


def recall_of_items(model, histories, k):
    at = histories.targets("test")
    items, _ = model.rank(torch.from_numpy(histories.before(at, LENGTH)), 10)
    return places(items.numpy(), histories.items[at]).expected([k])["recall"].mean()


def weights(trained) -> bytes:
    return b"".join(t.numpy().tobytes() for t in trained.model.state_dict().values())


def timeless(history):
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "items_per_second")}
        for row in history
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cycle_is_learned(kind):
    histories = cyclic(ITEMS, 150)
    trained = train(histories, kind, epochs=6)
    assert recall(trained.model, histories, 1) > 0.9
    assert trained.report["validation_recall_at_10"] > 0.95
    assert not trained.model.training


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_can_be_known_nothing_is(kind):
    """Ten of 40 items, drawn by anybody, hold the one in 25 % of the cases: no leak."""
    histories = arbitrary(ITEMS, 800)
    trained = train(histories, kind, epochs=1, batch_windows=128)
    spread = (0.25 * 0.75 / 800) ** 0.5
    assert recall(trained.model, histories, 10) == pytest.approx(0.25, abs=4 * spread)


def test_the_report_says_what_was_trained():
    histories = cyclic(ITEMS, 60)
    trained = train(histories, epochs=4)
    report, rows = trained.report, trained.history
    assert report["targets"] == len(histories.targets("train"))
    assert report["parameters"] == sum(p.numel() for p in trained.model.parameters())
    assert report["epochs"] == len(rows) == 4 and report["best_epoch"] in (2, 4)
    evaluated = [row.step for row in rows if "validation_ndcg_at_10" in row]
    assert evaluated == [2, 4]
    best = max(rows[1]["validation_ndcg_at_10"], rows[3]["validation_ndcg_at_10"])
    assert report["validation_ndcg_at_10"] == best
    for row in rows:
        levels = [row[f"loss.{level}"] for level in (1, 2, 3)]
        assert row["loss"] == pytest.approx(sum(levels))


def test_the_first_loss_is_that_of_knowing_nothing():
    """Close to log of the number of items, before anything is learned."""
    rows = train(arbitrary(ITEMS, 200), epochs=1, learning_rate=1e-6, warmup_steps=0).history
    assert rows[0]["loss"] == pytest.approx(np.log(ITEMS), rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [7, 23])
def test_killed_anywhere_it_goes_on_to_the_same_bits(kind, steps, tmp_path, monkeypatch):
    histories, step, done = cyclic(ITEMS, 60), Loop._step, []

    def stopping(*arguments):
        done.append(1)
        if len(done) > steps:
            raise KeyboardInterrupt
        return step(*arguments)

    def kept():
        return Checkpoints(tmp_path, {"x": 1}, every=1)

    told = {"epochs": 6, "batch_windows": FEW_STEPS[kind]}
    whole = train(histories, kind, **told)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_step", stopping)
        train(histories, kind, kept(), **told)
    assert list(tmp_path.rglob("manifest.json"))
    again = train(histories, kind, kept(), **told)
    assert weights(again) == weights(whole)
    assert timeless(again.history) == timeless(whole.history)


@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_depends_on_the_number_of_threads(kind):
    histories, found = cyclic(ITEMS, 60), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(train(histories, kind, epochs=2, batch_windows=3 * FEW_STEPS[kind]))
    finally:
        torch.set_num_threads(before)
    assert weights(found[0]) == weights(found[1])
    assert timeless(found[0].history) == timeless(found[1].history)


def test_the_seed_decides_and_nothing_outside():
    histories = cyclic(ITEMS, 60)
    torch.manual_seed(1)
    one = train(histories, epochs=2)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    other = train(histories, epochs=2)
    assert weights(one) == weights(other) and torch.equal(torch.get_rng_state(), state)
    changed = RecommenderOptions.of({**options(epochs=2).to_dict(), "seed": 43})
    assert weights(train_network(histories, CODES, SIZES, changed, LENGTH)) != weights(one)


def test_it_stops_where_nothing_gets_better():
    report = train(arbitrary(ITEMS, 60), epochs=40, patience=4, learning_rate=0.05).report
    assert report["epochs"] < 40 and report["epochs"] - report["best_epoch"] == 4


def test_without_targets_of_validation_the_last_epoch_is_kept():
    full = cyclic(ITEMS, 60)
    cuts = np.column_stack([full.cuts[:, 0], full.cuts[:, 2], full.cuts[:, 2]])
    trained = train(histories_of(full.items, full.starts, cuts), epochs=3)
    assert trained.report["best_epoch"] == 3
    assert not any(name.startswith("validation") for name in trained.report)


def test_a_network_takes_the_weights_of_another():
    trained = train(cyclic(ITEMS, 40), epochs=1)
    again = build_network(options(), CODES, SIZES, LENGTH)
    again.load_state_dict(trained.model.state_dict())
    histories = torch.arange(LENGTH)[None]
    children = Children(CODES, SIZES)
    for one, other in zip(
        beam_search(again.eval(), children, histories, 5),
        beam_search(trained.model, children, histories, 5),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_items_that_share_an_id_are_learned_too():
    codes = CODES.copy()
    codes[1::2] = codes[::2]
    histories = cyclic(ITEMS, 150)
    trained = train(histories, codes=codes)
    assert recall(trained.model, histories, 2, codes) > 0.9


def test_where_nobody_has_two_events_there_is_nothing_to_learn_from():
    histories = histories_of([1, 2, 3] * 4, np.arange(0, 13, 3))
    with pytest.raises(BadInput, match="no user has two events to learn from"):
        train(histories)
    with pytest.raises(BadInput, match=r"recommender\.device"):
        train_network(cyclic(ITEMS, 5), CODES, SIZES, RecommenderOptions(device="gpu"), LENGTH)


def test_items_of_no_history_have_no_embedding_of_their_own():
    histories = cyclic(ITEMS - 5, 60)
    counts = histories.training_counts(ITEMS)
    assert (counts[-5:] == 0).all()
    model = train(histories, epochs=2).model
    assert ((model.items.weight == 0).all(1).numpy() == (counts == 0)).all()


def test_targets_ahead_change_what_is_learned():
    """After i comes i + 1; with targets ahead it is less likely, and the items after it more."""
    full, chances = cyclic(ITEMS, 150), []
    cuts = np.column_stack([full.cuts[:, 0], full.cuts[:, 2], full.cuts[:, 2]])
    histories = histories_of(full.items, full.starts, cuts)  # the last epoch is kept
    children, before = Children(CODES, SIZES), torch.tensor([[0, 1, -1, -1, -1]])
    for ahead in (0.0, 0.6):
        told = options(epochs=6).to_dict()
        told["item_level"] |= {"ahead": ahead, "ahead_until": 1.0}
        model = train_network(histories, CODES, SIZES, RecommenderOptions.of(told), LENGTH).model
        leaves, logs = beam_search(model, children, before, ITEMS)
        leaf = children.item_nodes[torch.arange(2, 6), -1]
        chances.append([logs[leaves == one].exp().item() for one in leaf])
    (near, *others), (far, *later) = chances
    assert near > 0.9 and sum(others) < 0.05
    assert far < 0.7 and sum(later) > 0.15


def test_the_last_part_of_a_training_has_the_next_items_alone(monkeypatch):
    replaced, ahead, told = [], WindowBatch.ahead, options(epochs=5).to_dict()
    told["item_level"] |= {"ahead": 0.5, "ahead_until": 0.6}

    def watched(batch, chance):
        replaced.append(chance)
        return ahead(batch, chance)

    monkeypatch.setattr(WindowBatch, "ahead", watched)
    histories = cyclic(ITEMS, 60)
    trained = train_network(histories, CODES, SIZES, RecommenderOptions.of(told), LENGTH)
    parts = []
    for size in batch_sizes(trained.report["windows"], LEARNS["batch_windows"]):
        parts.append(-(-size // PART_WINDOWS))
    assert replaced == [0.5] * (3 * sum(parts))  # three of five epochs


def test_as_on_a_gpu_a_batch_in_turn_learns_the_same(monkeypatch):
    """Whole batches and parts of them: the same but for dropout and rounding."""
    histories = cyclic(ITEMS, 150)
    found = [train(histories).history[-1]["loss"]]
    found.append(train(histories, precision="bfloat16").history[-1]["loss"])
    monkeypatch.setattr(Loop, "_side_by_side", False)
    for told in ({}, {"accumulate": 3}, {"precision": "bfloat16"}):
        trained = train(histories, **told)
        assert recall(trained.model, histories, 1) > 0.9
        found.append(trained.history[-1]["loss"])
    assert found == pytest.approx([found[0]] * 5, abs=0.15)


def test_an_option_without_effect_is_refused():
    told = {"item_embeddings": False, "item_dropout": 0.3}
    with pytest.raises(
        BadInput, match=r"recommender\.item_level\.item_dropout: 0\.3 has no effect"
    ):
        RecommenderOptions.of({"item_level": told})
    assert RecommenderOptions.of({"item_level": {"item_embeddings": False}})
