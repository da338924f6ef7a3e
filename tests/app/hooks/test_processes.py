from __future__ import annotations

import os
import subprocess
import sys

from semantic_ids.app.hooks.processes import is_alive, started


def test_this_process_is_alive() -> None:
    assert is_alive(os.getpid(), started(os.getpid()))


def test_a_process_id_used_again_is_another_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert started(other.pid) != started(os.getpid())
        assert is_alive(other.pid, started(other.pid))
        assert not is_alive(os.getpid(), started(other.pid))
        other.communicate(b"\n")


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    start = started(child.pid)
    child.wait()
    assert not is_alive(child.pid, start)
    assert started(child.pid) == ""
