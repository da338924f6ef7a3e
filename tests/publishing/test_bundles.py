"""Generations appear whole, one writer at a time, whatever is killed."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from semantic_ids.app.bundles import bundle
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.publishing import bundles
from semantic_ids.publishing.files import read_state
from semantic_ids.publishing.manifest import read_manifest, write_manifest
from semantic_ids.publishing.mapping import write_mapping
from semantic_ids.publishing.verify import differences, problems
from tests.publishing.killing import ITEMS, fork, kill_writers, publish, untidy
from tests.publishing.small import MADE


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "bundles"


def test_generations_follow_each_other(folder):
    one, two = publish(folder), publish(folder)
    assert bundles.newest(folder) == two.name and two.name.startswith("000002-")
    assert [m.name for m in bundles.generations(folder)] == [one.name, two.name]
    assert read_manifest(two).parent == one.name
    assert not untidy(folder)
    for which in ("2", "000002", two.name, "latest"):
        assert bundles.named(folder, which) == two
    with pytest.raises(BadInput, match="0 generations are called '7'"):
        bundles.named(folder, "7")


def test_the_loser_of_two_writers_is_told_and_nothing_is_lost(folder):
    one = publish(folder)
    two = publish(folder)
    with pytest.raises(BadInput, match=f"{two.name} was published while this run worked"):
        bundles.write_generation(folder, "000002-01234567", one.name, {}, lambda _: None)
    assert bundles.newest(folder) == two.name and not untidy(folder)
    assert not list(problems(read_manifest(two)))


def test_while_one_writes_another_is_refused(folder):
    one = publish(folder)
    begun, go_on = os.pipe(), os.pipe()

    def fill(temporary):
        os.write(begun[1], b".")
        os.read(go_on[0], 1)

    def write():
        about = {"generation": 2, "parent": one.name, "items": 0}
        bundles.write_generation(folder, "000002-01234567", one.name, about, fill)

    child = fork(write)
    os.read(begun[0], 1)
    for work in (bundles.tidy, publish):
        with pytest.raises(BadInput, match="another process publishes there"):
            work(folder)
    assert bundles.newest(folder) == one.name
    os.write(go_on[1], b".")
    assert os.waitpid(child, 0)[1] == 0
    assert bundles.newest(folder) == "000002-01234567"


@pytest.mark.parametrize("moment", ["before the rename", "before the pointer", "after it"])
def test_a_writer_killed_at_the_worst_moment(folder, moment, monkeypatch):
    one = publish(folder)

    def die(*_):
        os._exit(9)

    def killed():
        if moment == "before the rename":
            monkeypatch.setattr("semantic_ids.atomic._swap_in", die_at_generation)
        elif moment == "before the pointer":
            monkeypatch.setattr(bundles, "_point", die)
        else:
            monkeypatch.setattr(bundles, "_point", lambda *where: (point(*where), die()))
        publish(folder)

    from semantic_ids import atomic

    swap_in, point = atomic._swap_in, bundles._point

    def die_at_generation(temporary, path):
        if path.parent == folder:
            die()
        swap_in(temporary, path)

    assert os.waitstatus_to_exitcode(os.waitpid(fork(killed), 0)[1]) == 9
    before = bundles.newest(folder)
    assert not list(problems(read_manifest(folder / before)))
    assert (before == one.name) == (moment != "after it")
    bundles.tidy(folder)
    assert not untidy(folder)
    published = moment != "before the rename"  # it has its name: the pointer follows
    assert read_manifest(folder / bundles.newest(folder)).number == 1 + published


@pytest.mark.slow
def test_readers_see_whole_generations_while_writers_are_killed(folder):
    wrong, _ = kill_writers(folder, 12)
    assert not wrong


def test_a_full_disk_publishes_nothing(folder):
    one = publish(folder)

    def fill(temporary):
        raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match="no space left"):
        bundles.write_generation(folder, "000002-01234567", one.name, {}, fill)
    assert bundles.newest(folder) == one.name and not untidy(folder)


def damaged(generation, how):
    file = generation / "retired.parquet"
    manifest = generation / "manifest.json"
    if how == "missing":
        file.unlink()
    elif how == "one bit":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif how == "longer":
        file.write_bytes(file.read_bytes() + b".")
    elif how == "stray":
        (generation / "notes.txt").write_text("mine")
    else:
        values = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(values | {"items": values["items"] + 1}))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "retired.parquet is missing"),
        ("one bit", "retired.parquet has other content"),
        ("longer", "bytes where"),
        ("stray", "notes.txt is not of this generation"),
        ("count", "items where the manifest says"),
    ],
)
def test_verify_says_what_was_changed(folder, how, said):
    publish(folder)
    two = publish(folder)
    assert CliRunner().invoke(bundle, ["verify", str(folder), "--all"]).exit_code == 0
    damaged(two, how)
    found = CliRunner().invoke(bundle, ["verify", str(folder)])
    assert found.exit_code == 1 and said in found.output


def test_an_id_that_was_issued_twice_is_found(folder):
    one = publish(folder)
    values = dict(read_manifest(one).values)
    live = read_state(one).live
    live = replace(live, codes=live.codes[[0, 0, *range(2, len(live))]])
    write_mapping(one / "semantic_ids.parquet", live, MADE)
    (one / "manifest.json").unlink()
    same = {"generation": 1, "parent": None, "retired": 0, "identify": values["identify"]}
    codes = {"codes": fingerprint(live.codes)}
    write_manifest(one, {**same, "items": len(live), "fingerprints": codes})
    assert list(problems(read_manifest(one))) == [
        "1 IDs, of live or retired items, were issued more than once"
    ]


def test_bytes_are_verified_without_pyarrow(folder, monkeypatch):
    publish(folder)
    monkeypatch.setattr("semantic_ids.publishing.verify.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = CliRunner().invoke(bundle, ["verify", str(folder)])
    assert found.exit_code == 0 and "need the extra 'parquet'" in found.output


def test_list_and_diff(folder):
    one, two = publish(folder), publish(folder, items=ITEMS - 10)
    three = publish(folder, items=ITEMS + 5)
    listed = CliRunner().invoke(bundle, ["list", str(folder)]).output.splitlines()
    assert [line.split()[0] for line in listed] == [one.name, two.name, three.name]
    assert listed[1].split()[1:5] == ["390", "items", "10", "retired"]
    assert listed[2].endswith(f"from {two.name}  latest")
    manifests = [read_manifest(path) for path in (one, two, three)]
    assert differences(manifests[0], manifests[1]) == {
        "kept": 390, "new": 0, "revived": 0, "retired": 10, "gone": 0, "moved": 0,
    }  # fmt: skip
    assert differences(manifests[1], manifests[2]) == {
        "kept": 390, "new": 5, "revived": 10, "retired": 0, "gone": 0, "moved": 0,
    }  # fmt: skip
    found = CliRunner().invoke(bundle, ["diff", str(one), str(folder)])
    assert found.exit_code == 0 and "400" in found.output
    missing = CliRunner().invoke(bundle, ["list", str(folder / "nowhere")])
    assert missing.exit_code == 1 and "there is no such folder" in missing.output
