from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from semantic_ids.atomic import atomic_file, atomic_folder, recover
from semantic_ids.errors import BadInput

SRC = Path(__file__).parents[1] / "src"


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def killed(code: str, path: Path) -> int:
    """Run code in a process that kills itself, and return its number."""
    code = (
        "import os, signal\nfrom pathlib import Path\nfrom semantic_ids import atomic\npath ="
        f" Path({str(path)!r})\n" + textwrap.dedent(code)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SRC)}
    )
    assert process.wait() == -signal.SIGKILL
    return process.pid


def fill(path: Path, text: str) -> None:
    with atomic_folder(path) as folder:
        (folder / "data").write_text(text)
        (folder / "manifest.json").write_text("{}")


def contents(path: Path) -> dict[str, str]:
    return {child.name: child.read_text() for child in path.iterdir()}


def test_file_appears_whole_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    for text in ("one", "two"):
        with atomic_file(path) as temporary:
            temporary.write_text(text)
            assert temporary.parent == path.parent
        assert contents(path.parent) == {"a.txt": text}


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_failed_file_leaves_the_old_one(tmp_path: Path, failure) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert contents(tmp_path) == {"a.txt": "old"}


def test_folder_is_swapped_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder"
    with atomic_folder(path) as folder:
        (folder / "only_in_the_first").write_text("x")
    fill(path, "two")
    assert contents(path) == {"data": "two", "manifest.json": "{}"}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_failed_folder_leaves_the_old_one(tmp_path: Path, failure) -> None:
    path = tmp_path / "folder"
    fill(path, "old")
    with pytest.raises(failure), atomic_folder(path) as folder:
        (folder / "data").write_text("half")
        raise failure
    assert contents(path)["data"] == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_swap_brings_the_old_one_back(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "folder"
    fill(path, "old")
    rename = os.rename

    def fail_to_swap_in(source, target):
        if Path(source).suffix == ".tmp":
            raise ValueError("stop")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_to_swap_in)
    with pytest.raises(ValueError, match="stop"):
        fill(path, "new")
    assert contents(path)["data"] == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_writing_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    killed(
        "with atomic.atomic_file(path) as t:\n    t.write_text('half')\n    os.kill(os.getpid(),"
        " signal.SIGKILL)",
        path,
    )
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert contents(tmp_path) == {"a.txt": "new"}


def test_killed_while_writing_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    fill(path, "old")
    killed(
        "with atomic.atomic_folder(path) as t:\n    (t / 'data').write_text('half')\n   "
        " os.kill(os.getpid(), signal.SIGKILL)",
        path,
    )
    assert contents(path)["data"] == "old"
    fill(path, "new")
    assert contents(path)["data"] == "new"
    assert list(tmp_path.iterdir()) == [path]


BETWEEN_THE_RENAMES = """
rename = os.rename
def once(source, target):
    rename(source, target)
    os.kill(os.getpid(), signal.SIGKILL)
os.rename = once
with atomic.atomic_folder(path) as t:
    (t / 'data').write_text('new')
"""


@pytest.mark.parametrize("by", ["load", "write"])
def test_killed_between_the_renames(tmp_path: Path, by: str) -> None:
    path = tmp_path / "folder"
    fill(path, "old")
    killed(BETWEEN_THE_RENAMES, path)
    assert not path.exists()
    if by == "load":
        recover(path)
        assert contents(path)["data"] == "old"
    fill(path, "newer")
    assert contents(path)["data"] == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_living_processes_and_other_artifacts_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    living = [
        tmp_path / f".a.txt.{os.getppid()}.tmp",
        tmp_path / f".a.txt.b.{dead_pid()}.tmp",
        tmp_path / f".b.{dead_pid()}.tmp",
    ]
    dead = [
        tmp_path / f".a.txt.{dead_pid()}.tmp",
        tmp_path / f".a.txt.{os.getpid()}.tmp",
        tmp_path / f".a.txt.{10**30}.tmp",
    ]
    for left in living + dead:
        left.write_text("x")
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert set(tmp_path.iterdir()) == {path, *living}


def test_recover_leaves_a_whole_generation_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    fill(path, "new")
    (tmp_path / f".folder.{dead_pid()}.old").mkdir()
    recover(path)
    assert contents(path)["data"] == "new"
    recover(tmp_path / "absent" / "folder")


def raise_full(path: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_to_full_device(path: Path) -> None:
    Path("/dev/full").write_text("x")


def raise_numpy(path: Path) -> None:
    raise OSError("1000000 requested and 4096 written")


def raise_other_library(path: Path) -> None:
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    "write", [raise_full, write_to_full_device, raise_numpy, raise_other_library]
)
@pytest.mark.parametrize("manager", [atomic_file, atomic_folder])
def test_no_space_left(tmp_path: Path, manager, write) -> None:
    path = tmp_path / "out" / "artifact"
    with (
        pytest.raises(BadInput, match=r"no space left: .* MB are free") as caught,
        manager(path) as temporary,
    ):
        write(temporary)
    assert str(path) in str(caught.value)
    assert " data_root=DIR" in str(caught.value)
    assert list(path.parent.iterdir()) == []


def test_too_little_space_is_said_before_writing(tmp_path: Path) -> None:
    began = False
    with (
        pytest.raises(BadInput, match=r"no space left: 1,000,000,000,000\.0 MB are needed"),
        atomic_folder(tmp_path / "folder", needed=10**18),
    ):
        began = True
    assert not began
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("manager", [atomic_file, atomic_folder])
def test_closed_folder(tmp_path: Path, manager, number, monkeypatch) -> None:
    def closed(*_, **__):
        raise OSError(number, os.strerror(number), "x")

    monkeypatch.setattr(Path, "mkdir", closed)
    with (
        pytest.raises(BadInput, match="may not be written") as caught,
        manager(tmp_path / "a" / "b"),
    ):
        pass
    assert " data_root=DIR" in str(caught.value)


def test_something_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(BadInput, match="something is in the way"),
        atomic_file(tmp_path / "file" / "a"),
    ):
        pass
    (tmp_path / "folder" / "x").mkdir(parents=True)
    with (
        pytest.raises(BadInput, match="something is in the way"),
        atomic_file(tmp_path / "folder") as temporary,
    ):
        temporary.write_text("x")
    assert {child.name for child in tmp_path.iterdir()} == {"file", "folder"}


def test_bad_input_and_defects_pass_through(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="row 3"), atomic_folder(tmp_path / "a"):
        raise BadInput("NaN", where="row 3")
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a"):
        (tmp_path / "absent").read_text()


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_followed(tmp_path: Path, dangling: bool) -> None:
    """What it leads to is replaced, and it stays a link."""
    away = tmp_path / "away"
    away.mkdir()
    for name in ("folder", "file"):
        (tmp_path / name).symlink_to(away / name)
    if not dangling:
        (away / "folder").mkdir()
        (away / "folder" / "old").touch()
        (away / "file").write_text("old")
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "new").touch()
    with atomic_file(tmp_path / "file") as file:
        file.write_text("new")
    assert (tmp_path / "folder").is_symlink() and (tmp_path / "file").is_symlink()
    assert [child.name for child in (away / "folder").iterdir()] == ["new"]
    assert (away / "file").read_text() == "new"
    assert sorted(child.name for child in away.iterdir()) == ["file", "folder"]


def test_a_generation_behind_a_link_is_brought_back(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "away" / "folder")
    (tmp_path / "away" / f".folder.{os.getpid()}.old").mkdir()
    recover(tmp_path / "link")
    assert (tmp_path / "away" / "folder").is_dir()
