"""Writers that are killed while they publish, and readers beside them.

    python -m tests.publishing.killing 50

kills so many writers, each at a random moment, and counts what readers and `verify` saw.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.publishing import bundles
from semantic_ids.publishing.files import read_state, write_delta, write_state
from semantic_ids.publishing.locations import generation
from semantic_ids.publishing.manifest import read_manifest
from semantic_ids.publishing.verify import problems
from tests.publishing.small import MADE, first, following, tokenizer_of

ITEMS = 400
SIZES = (8, 8, 16)


def vectors_of(count):
    """Item → vector, the same ones for every count."""
    rows = np.random.default_rng(5).normal(size=(ITEMS + 200, 3)).astype(np.float32)
    return {item: rows[item] for item in range(count)}


def publish(folder, items=None):
    """Publish the next generation: some items more than the one before, or those given."""
    tokenizer = tokenizer_of(SIZES)
    bundles.tidy(folder)
    after = bundles.newest(folder)
    if after is None:
        before, made, number = None, None, 1
        state = first(tokenizer, vectors_of(items or ITEMS))
    else:
        manifest = read_manifest(folder / after)
        before, number = read_state(folder / after), manifest.number + 1
        made = following(tokenizer, before, vectors_of(items or len(before.live) + 1), number)
        state = made.state
    digest = fingerprint(after, state.live.codes, state.live.hashes)
    about = {
        "generation": number, "parent": after, "items": len(state.live),
        "retired": len(state.retired), "identify": {"strategy": "reassign"},
        "fingerprints": {"codes": fingerprint(state.live.codes)},
    }  # fmt: skip

    def fill(temporary):
        write_state(temporary, state, MADE)
        write_delta(temporary, before, made, state)

    return bundles.write_generation(folder, f"{number:06d}-{digest[:8]}", after, about, fill)


def fork(work):
    """Do work in a process of its own, which ends with what the work returns."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        status = work() or 0
    finally:
        os._exit(status)


def read_until(stop, folder):
    """Read the newest generation until a file is there: 0 where every one was whole."""
    reads = 0
    while not stop.exists() or not reads:
        if list(problems(read_manifest(generation(folder)))):
            return 1
        reads += 1
    return 0


def kill_writers(folder, kills, seed=0, readers=2):
    """Kill writers at random moments; return what was wrong, and how often one had published."""
    wrong, published = [], 0
    publish(folder)
    started = time.perf_counter()
    publish(folder)
    seconds = time.perf_counter() - started
    stop = folder.parent / "stop"
    watching = [fork(lambda: read_until(stop, folder)) for _ in range(readers)]
    dice = random.Random(seed)
    for kill in range(kills):
        before = bundles.newest(folder)
        child = fork(lambda: publish(folder) and None)
        time.sleep(dice.uniform(0, 1.3 * seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        newest = read_manifest(generation(folder))
        published += newest.name != before
        wrong += [f"kill {kill}: {line}" for line in problems(newest)]
    publish(folder)
    stop.touch()
    wrong += ["a reader saw a broken one" for w in watching if os.waitpid(w, 0)[1]]
    return wrong + untidy(folder) + reissued(folder), published


def untidy(folder):
    """Name what is neither a generation, nor the pointer, nor the lock."""
    names = {manifest.name for manifest in bundles.generations(folder)} | {"latest", ".lock"}
    return [f"{path.name} is left" for path in folder.iterdir() if path.name not in names]


def reissued(folder):
    """Say which IDs have had two items over all generations."""
    owner, wrong = {}, []
    for manifest in bundles.generations(folder):
        state = read_state(manifest.folder)
        for mapping in (state.live, state.retired):
            for item, code in zip(mapping.item_ids.to_pylist(), mapping.codes, strict=True):
                if owner.setdefault(code.tobytes(), item) != item:
                    wrong.append(f"{manifest.name}: an ID of {owner[code.tobytes()]} and {item}")
    return wrong


def main(kills):
    """Kill so many, and say what came of it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundles"
        wrong, published = kill_writers(folder, kills)
        there = len(bundles.generations(folder))
    done = f"{kills} writers killed, {published} after they had published; {there} generations"
    sys.stdout.write("\n".join([*wrong, f"{done}, {len(wrong)} wrong\n"]))
    return int(bool(wrong))


if __name__ == "__main__":
    try:
        raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 50))
    except BadInput as error:
        raise SystemExit(str(error)) from error
