"""What the stages that come will hold in memory, and how much there is to be had.

Vectors are never held as a whole: they are mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semantic_ids.arrays import CHUNK_ROWS
from semantic_ids.forecast.job import Job

LIBRARIES = 120e6
"""Bytes of libraries that are loaded only later: scipy, scikit-learn, matplotlib, and what their
first use takes."""
COPIES = 2
"""Of the vectors fitted on: themselves, and their squares or what they leave over."""
START_COPIES = 3
"""Of those that codebooks start from: what they leave over, before and after, and what they
have."""
HIDDEN_COPIES = 2
"""Of what a chunk is on its way through a network: values, activations, and what is kept for the
gradients."""
TRAINING = 80e6
"""Bytes of what torch loads to train."""
IN_MEMORY = 512 << 20
"""Prepared rows that an rq_vae is trained on are held up to this size:
`tokenizers.batches.HELD_BYTES`."""
BUFFER_ROWS = 1 << 15
"""Larger ones are read in buffers of so many rows, of which three are there at a time:
`tokenizers.batches.BUFFER_ROWS`."""
WEIGHT_COPIES = 7
"""Of the weights: themselves, gradients, two moments, two epochs that may be kept, and what is
being written."""
ITEM = {"encode": 60, "deduplicate": 100, "evaluate": 200}
"""Bytes an item beside its codes: keys, their order, errors. Measured on 1,000,000 items, from the
peak of each stage."""
CODES = {"encode": 3, "deduplicate": 5, "evaluate": 5}
"""Copies of the codes, int32."""
WORKER = 2048
"""Rows of a thread at a time: `tokenizers.threads.WORKER_ROWS`."""
SEARCH = 4 * 4 * (3 << 17)
"""Bytes of a thread's scores in the beam search, with what is made of them:
`tokenizers.residual.BEAM_CELLS`."""
COSTS_AT_A_TIME = 2**23
"""`identifiers.placement.COSTS_AT_A_TIME`."""
OFFER = 2 * 16
"""Bytes of an offer to an item that leaves its prefix, in its copies."""


def held(job: Job, threads: int) -> dict[str, float]:
    """Estimate the most bytes that each stage holds beside what is in memory already."""
    return {
        "train": train(job, job.fit_items, threads),
        "encode": LIBRARIES / 4 + at_work(job, threads) + _items(job, "encode", job.items),
        "deduplicate": LIBRARIES / 2 + at_work(job, threads) + deduplicate(job, job.items),
        "evaluate": LIBRARIES + at_work(job, threads) + evaluate(job, threads),
    }


def at_work(job: Job, threads: int) -> float:
    """Bytes of what is being worked on.

    A chunk that is read, each thread's rows and scores, and the codebooks with their tables.
    """
    chunk = 2 * CHUNK_ROWS * job.dim * 4
    layers = HIDDEN_COPIES * sum(job.encoder_widths + job.decoder_widths)
    rows = threads * (WORKER * (job.dim + job.width + job.codes + layers) * 4 + SEARCH)
    return chunk + rows + (0 if job.on_gpu else codebooks(job))


def codebooks(job: Job) -> float:
    """Bytes of the codebooks and of the tables of their products, which are float64 at first."""
    return 4 * job.codes * job.latent * 4 + job.pairs * (4 + 8)


def train(job: Job, items: int, threads: int) -> float:
    """Bytes of a fit on so many items."""
    work = (
        LIBRARIES / 4 + at_work(job, threads) + 3 * CHUNK_ROWS * job.dim * 4 + 3 * 8 * job.width**2
    )
    if job.kind == "rq_vae":
        vectors = sum(
            part
            for part in (items * job.width * 4, job.watched_items * job.width * 4)
            if part <= IN_MEMORY
        )
        buffered = 3 * BUFFER_ROWS * job.dim * 4 if items * job.width * 4 > IN_MEMORY else 0
        network = WEIGHT_COPIES * 4 * (job.encoder + job.decoder) / 2
        unique = items * job.latent * 4 + deduplicate(job, items) if job.unique_epochs(items) else 0
        return (
            work
            + TRAINING
            + network
            + (0 if job.on_gpu else vectors)
            + max(buffered, _started(job, items, threads), unique)
        )
    rows = job.fit_rows(items)
    unique = job.strategy == "reassign" and rows == items and job.options["unique_rounds"] > 0
    fitted = rows * job.width * 4
    start, repaired = (
        START_COPIES * job.start_rows(items) * job.width * 4,
        (deduplicate(job, rows) if unique else 0),
    )
    if job.on_gpu:
        return work + (fitted + repaired if unique else 0)
    return work + fitted + max((COPIES - 1) * fitted, start, repaired)


def _started(job: Job, items: int, threads: int) -> float:
    """Bytes of what an rq_vae's codebooks are made of.

    Latent vectors, and what is made of these.
    """
    start = job.start
    if start is None:
        return START_COPIES * job.start_rows(items) * job.latent * 4
    return start.fit_rows(items) * job.latent * 4 + train(start, items, threads)


def deduplicate(job: Job, items: int) -> float:
    """Bytes of making so many IDs unique.

    What there is of an item, a batch of costs, and offers to those who leave.
    """
    if job.strategy != "reassign":
        return _items(job, "deduplicate", items) / 2
    last = job.codebook_sizes[-1]
    batch = min(CHUNK_ROWS, max(128, COSTS_AT_A_TIME // last)) * last * (4 + 3 * 8)
    contest = min(last**2, items * job.overfull_rate) * last * 8
    return (
        _items(job, "deduplicate", items)
        + batch
        + contest
        + items * job.spilled_rate * job.candidates * OFFER
    )


def evaluate(job: Job, threads: int) -> float:
    """Bytes of the metrics, or of the twin where that takes more."""
    queries = min(job.queries, job.items)
    scores = 2 * queries * min(CHUNK_ROWS, job.items) * 4 + 4 * queries * job.dim * 4
    metrics = _items(job, "evaluate", job.items) + scores + 3 * CHUNK_ROWS * job.dim * 4
    return max(metrics, train(job, job.twin_items, threads) if job.twin_items else 0)


def _items(job: Job, stage: str, items: int) -> float:
    return items * (ITEM[stage] + CODES[stage] * 4 * len(job.codebook_sizes))


def resident() -> int:
    """Return the bytes that this process has in memory; 0 where the system does not tell."""
    return _kilobytes(Path("/proc/self/status")).get("VmRSS", 0) * 1024


def room() -> float:
    """Return the bytes that this process may grow to without pushing anything out.

    Infinite where the system does not tell.
    """
    available = _kilobytes(Path("/proc/meminfo")).get("MemAvailable")
    return min(
        resident() + available * 1024 if available else float("inf"),
        _limit(Path("/sys/fs/cgroup/memory.max")),
    )


def _limit(file: Path) -> float:
    """Return the limit of a container (cgroup v2)."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return float("inf")
    return float(text) if text.isdigit() else float("inf")


def _kilobytes(file: Path) -> Mapping[str, int]:
    """Read the lines `name: number kB` of a file of /proc."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    words = [line.split() for line in lines]
    return {
        found[0].rstrip(":"): int(found[1])
        for found in words
        if len(found) == 3 and found[2] == "kB"
    }
