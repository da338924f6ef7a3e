"""Checkpoints: what is written is what is read, the newest that is whole, and only of the same
training.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from contextlib import contextmanager

import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.learning import checkpoints, distributed
from semantic_ids.learning.checkpoints import (
    FORMAT,
    MANIFEST,
    STATE,
    TENSORS,
    Checkpoint,
    Checkpoints,
)

MADE_FROM = {"data": "abc", "epochs": 5, "sizes": [8, 5]}


def made(epoch: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(epoch)
    tensors = {
        "network/weight": torch.randn((3, 4), generator=generator),
        "network/transposed": torch.randn((4, 3), generator=generator).T,
        "network/flag": torch.tensor(epoch % 2 == 0),
        "network/special": torch.tensor([-0.0, 1e-45, float("inf"), 3.0]),
        "optimizer/0/step": torch.tensor(float(epoch)),
        "double": torch.randn(2, generator=generator, dtype=torch.float64),
        "whole": torch.arange(epoch),
    }
    return Checkpoint(
        epoch,
        tensors,
        {
            "history": [{"epoch": epoch, "loss": 0.1 + epoch / 3}],
            "seconds": 1e-9,
            "resets": 3,
            "best": None,
        },
    )


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert (
        found.epoch == expected.epoch
        and found.state == expected.state
        and found.tensors.keys() == expected.tensors.keys()
    )
    for name, tensor in expected.tensors.items():
        assert (
            found.tensors[name].dtype == tensor.dtype and found.tensors[name].shape == tensor.shape
        )
        assert found.tensors[name].numpy().tobytes() == tensor.contiguous().numpy().tobytes()


def kept(folder) -> list[str]:
    return sorted(place.name for place in folder.iterdir())


@pytest.fixture
def three(tmp_path) -> Checkpoints:
    """The checkpoints of epochs 1 to 3."""
    of = Checkpoints(tmp_path, MADE_FROM, every=1, keep=3)
    for epoch in (1, 2, 3):
        of.save(made(epoch))
    return of


def test_what_is_written_is_read_bit_for_bit(tmp_path):
    Checkpoints(tmp_path, MADE_FROM).save(made(7))
    assert_same(Checkpoints(tmp_path, MADE_FROM).latest(), made(7))


def test_before_the_first_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nowhere", MADE_FROM).latest() is None
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_last_few_are_kept(tmp_path, keep):
    of = Checkpoints(tmp_path, MADE_FROM, keep=keep)
    for epoch in (2, 9, 10, 11, 100, 1000):
        of.save(made(epoch))
    assert kept(of.folder) == [f"epoch-{epoch:05d}" for epoch in (2, 9, 10, 11, 100, 1000)[-keep:]]
    assert_same(of.latest(), made(1000))


def test_an_epoch_written_again_takes_the_place_of_the_first(tmp_path):
    of = Checkpoints(tmp_path, MADE_FROM)
    of.save(made(4))
    again = made(4)
    again.state["seconds"] = 77.0
    of.save(again)
    assert_same(of.latest(), again)
    assert kept(of.folder) == ["epoch-00004"]


def test_one_is_due_every_so_many_epochs(tmp_path):
    of = Checkpoints(tmp_path, MADE_FROM, every=3)
    assert [epoch for epoch in range(1, 12) if of.is_due(epoch)] == [3, 6, 9]


def test_the_first_process_alone_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert not Checkpoints(tmp_path, MADE_FROM, every=1).is_due(1)


# ---- which one -----------------------------------------------------------------------------------


def test_never_begins_anew(three, tmp_path):
    assert Checkpoints(tmp_path, MADE_FROM, resume="never").latest() is None


def test_a_path_may_be_that_of_one_checkpoint_or_of_a_folder_of_them(three, tmp_path):
    one = Checkpoints(tmp_path / "other", MADE_FROM, resume=str(three.folder / "epoch-00002"))
    assert_same(one.latest(), made(2))
    assert_same(
        Checkpoints(tmp_path / "other", MADE_FROM, resume=str(three.folder)).latest(), made(3)
    )


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a file"])
def test_a_path_without_checkpoints_is_bad_input(tmp_path, there):
    place = tmp_path / "place"
    if there == "an empty folder":
        place.mkdir()
    elif there == "a file":
        place.write_text("hello")
    with pytest.raises(
        BadInput, match=r"there is no checkpoint.*|tokenizer\.checkpoints\.resume"
    ) as raised:
        Checkpoints(tmp_path, MADE_FROM, resume=str(place)).latest()
    assert str(place) in str(raised.value) and "auto" in str(raised.value)


def test_each_training_has_checkpoints_of_its_own(three, tmp_path):
    other = Checkpoints(tmp_path, MADE_FROM | {"epochs": 6})
    assert other.latest() is None
    other.save(made(1))
    assert len(kept(three.folder)) == 3 and kept(other.folder) == ["epoch-00001"]


@pytest.mark.parametrize("path", ["epoch-00003", "."])
def test_one_of_another_training_is_refused_and_what_differs_is_named(three, tmp_path, path):
    other = Checkpoints(
        tmp_path, MADE_FROM | {"epochs": 6, "seed": 1}, resume=str(three.folder / path)
    )
    with pytest.raises(BadInput) as raised:
        other.latest()
    message = str(raised.value)
    assert (
        "another training" in message
        and "epochs was 5, is 6" in message
        and "seed was None, is 1" in message
    )
    assert "data was" not in message and "sizes was" not in message and "more" not in message


def test_of_many_differences_a_few_are_named_and_the_others_counted(three, tmp_path):
    other = Checkpoints(tmp_path, {f"option_{i}": i for i in range(6)}, resume=str(three.folder))
    with pytest.raises(
        BadInput, match=r"data was abc, is None, epochs was 5, is None, .* and 5 more"
    ):
        other.latest()


def test_values_that_json_writes_alike_are_the_same_training(three, tmp_path):
    same = Checkpoints(tmp_path, {"sizes": (8, 5), "epochs": 5, "data": "abc"})
    assert same.folder == three.folder
    assert_same(Checkpoints(tmp_path, same.made_from, resume=str(three.folder)).latest(), made(3))


# ---- what is broken ------------------------------------------------------------------------------


def broken(place, damage: str) -> None:
    """Damage a checkpoint as a disk does."""
    if damage == "tensors cut off":
        tensors = place / TENSORS
        tensors.write_bytes(tensors.read_bytes()[:-10])
    elif damage == "tensors empty":
        (place / TENSORS).write_bytes(b"")
    elif damage == "tensors missing":
        (place / TENSORS).unlink()
    elif damage == "state cut off":
        state = place / STATE
        state.write_text(state.read_text()[:-10])
    elif damage == "state missing":
        (place / STATE).unlink()
    elif damage == "manifest cut off":
        (place / MANIFEST).write_text('{"epoch": 3, "made')
    else:
        (place / MANIFEST).write_text({"manifest empty": "{}", "manifest a list": "[]"}[damage])


DAMAGES = [
    "tensors cut off",
    "tensors empty",
    "tensors missing",
    "state cut off",
    "state missing",
    "manifest cut off",
    "manifest empty",
]
DAMAGES.append("manifest a list")


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_the_newest_is_broken_an_earlier_one_is_taken_with_a_warning(three, damage, caplog):
    broken(three.folder / "epoch-00003", damage)
    with caplog.at_level(logging.WARNING, "semantic_ids"):
        assert_same(three.latest(), made(2))
    assert (
        len(caplog.records) == 1
        and "epoch-00003" in caplog.text
        and "cannot be read" in caplog.text
    )


def test_where_all_are_broken_the_training_begins_anew(three, caplog):
    for place in three.folder.iterdir():
        broken(place, "tensors cut off")
    assert three.latest() is None
    assert len(caplog.records) == 3


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_that_was_named_and_is_broken_is_bad_input(three, damage, tmp_path):
    broken(three.folder / "epoch-00003", damage)
    with pytest.raises(BadInput, match=r"cannot be read.*earlier"):
        Checkpoints(tmp_path, MADE_FROM, resume=str(three.folder / "epoch-00003")).latest()


@pytest.mark.parametrize("number", [None, FORMAT + 1])
def test_one_of_another_format_is_not_gone_on_from(three, number, tmp_path, caplog):
    """A named one is refused; of those that are found, one that can be read is taken."""
    place = three.folder / "epoch-00003"
    manifest = json.loads((place / MANIFEST).read_text())
    assert manifest["format"] == FORMAT
    (place / MANIFEST).write_text(json.dumps({**manifest, "format": number}))
    with pytest.raises(BadInput) as caught:
        Checkpoints(tmp_path, MADE_FROM, resume=str(place)).check()
    assert str(caught.value) == (
        f"tokenizer.checkpoints.resume={place}: a checkpoint of format {number or 0};"
        f" expected format {FORMAT}; begin anew with tokenizer.checkpoints.resume=never, or go on"
        " with the version of semantic-ids that wrote it."
    )
    with caplog.at_level(logging.WARNING, "semantic_ids"):
        assert_same(three.latest(), made(2))
    assert len(caplog.records) == 1 and f"format {number or 0};" in caplog.text


def test_where_there_is_no_room_the_training_goes_on_with_a_warning(three, caplog, monkeypatch):
    @contextmanager
    def full(_):
        raise BadInput("no space left: 0.0 MB are free")
        yield

    monkeypatch.setattr(checkpoints, "atomic_folder", full)
    three.keep = 1
    with caplog.at_level(logging.WARNING, "semantic_ids"):
        three.save(made(4))
    assert len(caplog.records) == 1 and "epoch 4" in caplog.text and "no space left" in caplog.text
    assert len(kept(three.folder)) == 3  # what is there is not thrown away for what is not


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_of_it(three, caplog, monkeypatch):
    def full(tensors, path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    three.save(made(4))
    assert "no space left" in caplog.text
    assert kept(three.folder) == ["epoch-00001", "epoch-00002", "epoch-00003"]
    assert_same(three.latest(), made(3))


def test_one_that_was_being_written_when_the_process_was_killed_counts_for_nothing(three):
    shutil.copytree(three.folder / "epoch-00003", three.folder / f".epoch-00004.{os.getpid()}.tmp")
    shutil.copytree(three.folder / "epoch-00003", three.folder / ".epoch-00005.999999999.tmp")
    shutil.copytree(three.folder / "epoch-00003", three.folder / "epoch-00006")
    (three.folder / "epoch-00006" / MANIFEST).unlink()
    (three.folder / "epoch-00007").write_text("no folder")
    assert_same(three.latest(), made(3))
    three.save(made(4))
    assert not [name for name in kept(three.folder) if name.startswith(".epoch-00004")]
    assert_same(three.latest(), made(4))


def test_where_there_is_only_one_that_was_being_written_the_training_begins_anew(three, tmp_path):
    os.rename(three.folder / "epoch-00003", three.folder / ".epoch-00003.999999999.tmp")
    for epoch in (1, 2):
        shutil.rmtree(three.folder / f"epoch-0000{epoch}")
    assert three.latest() is None
    with pytest.raises(BadInput, match="there is no checkpoint"):
        Checkpoints(tmp_path, MADE_FROM, resume=str(three.folder)).latest()


def test_a_process_killed_in_writing_leaves_the_one_before(three, monkeypatch):
    def killed(tensors, path):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        three.save(made(4))
    assert_same(three.latest(), made(3))


def test_numbers_that_are_infinite_come_back(tmp_path):
    of, checkpoint = Checkpoints(tmp_path, MADE_FROM), made(1)
    checkpoint.state["history"][0]["loss"] = math.inf
    of.save(checkpoint)
    assert of.latest().state["history"][0]["loss"] == math.inf


def test_a_training_begun_anew_takes_the_place_of_the_one_before(three, tmp_path):
    """Its first checkpoint is of an earlier epoch than those that are there, and is the one to go
    on from.
    """
    again = Checkpoints(tmp_path, MADE_FROM, keep=2, resume="never")
    again.save(made(1))
    assert kept(three.folder) == ["epoch-00001"]
    assert_same(three.latest(), made(1))


def test_no_more_trainings_than_asked_for_have_checkpoints(tmp_path):
    """Those written to last stay, and what is no training's is left alone."""
    (tmp_path / "notes").mkdir()
    folders = []
    for number in range(4):
        of = Checkpoints(tmp_path, {"number": number}, trainings=2)
        of.save(made(1))
        os.utime(of.folder, ns=(number, number))
        folders.append(of.folder)
    assert [place.exists() for place in folders] == [False, False, True, True]
    Checkpoints(tmp_path, {"number": 2}, trainings=1).save(made(2))
    assert [place.exists() for place in folders] == [False, False, True, False]
    assert (tmp_path / "notes").is_dir()
