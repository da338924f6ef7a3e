"""How long each stage takes, from the sizes of the work and the speed of this machine.

The seconds count what takes them: float32 products and the beam search, both at the speed that a
probe has measured (`tokenizers.probe`), and passes of a single thread over numbers, of which the
probe measures a plain kind; how many of these a stage comes to was measured once, and is written
down here.
"""

from __future__ import annotations

from dataclasses import replace

from semantic_ids.forecast.job import Job, Speed

# In plain passes (`Speed.passes`), from the processor time of a single thread on the machine of
# docs/measurements.md, where one is 0.65 ns.
READ = 4
"""To read a number of a vector from the map and make it float32: 3.3 ns where rows are scattered, 1
ns where they are not."""
PREPARE = 20
"""Mean, scale and variance: several sums in float64 for a number of the rows that they are taken
over."""
EVALUATE = 34
"""Reconstruction, cohesion and distortion: 10 + 5 + 7 ns a number of the catalogue, at 1,000,000 ×
768."""
KEEP = 1500
"""To sort, compare and write what there is of an item in a stage: about 1 µs an item."""
SUM = 1.5
"""To add a number of a vector to the sum of its code."""
ASSIGN = 80
"""To solve the assignment problem of a group, for each item and code: 30 to 77 ns, the more the
fuller the groups."""
CONTEST = 170
"""The same in an overfull group, where the best of many items are chosen: 110 ns."""

FIXED = {"train": 0.3, "encode": 0.1, "deduplicate": 0.2, "evaluate": 0.4}
"""Seconds of a stage for what does not depend on the data: to load libraries and artifacts, and to
write some."""
TRAINING = 1.6
"""How much longer an epoch takes than its products: activations, optimiser, gradients' norms. 1.5
and 1.6 on Beauty: rq_vae, tiger."""
EARLY = 0.5
"""Share of the principal axes that annealing and the first rounds of refinement work on: those of
95 % of the variance were 32 to 55 % of all."""
PAIRS = 12
"""Operations for each pair of codes and dimension in a round of refinement, by a single thread: the
tables in float64, which count double, and two sweeps that need each table both ways."""
WHOLE_ROUNDS = 2
"""The last rounds of refinement, on all axes: `tokenizers.rq_kmeans.WHOLE_ROUNDS`."""
LLOYD_ITERATIONS = 20
"""Lloyd iterations that the codebooks of an rq_vae start from."""
WIDE = 2048
"""Codes a level that the search for other prefixes covers, at least:
`tokenizers.residual.LEAST_BEAM_CODES`."""


def seconds(job: Job, speed: Speed) -> dict[str, float]:
    """Estimate the seconds of each stage."""
    stages = {
        "train": train(job, speed, job.fit_items),
        "encode": encode(job, speed, job.items),
        "deduplicate": deduplicate(job, speed),
        "evaluate": evaluate(job, speed),
    }
    return {name: FIXED[name] + found for name, found in stages.items()}


def train(job: Job, speed: Speed, items: int) -> float:
    """Seconds to fit on so many items."""
    measured = min(items, 1 << 18) * job.dim * (READ + PREPARE) / speed.passes
    rotation = 2.0 * min(items, 1 << 18) * job.dim**2 / speed.products if job.rotates else 0.0
    return measured + rotation + (_network if job.kind == "rq_vae" else _kmeans)(job, speed, items)


def _kmeans(job: Job, speed: Speed, items: int) -> float:
    """Seconds of an rq_kmeans: axes, start, annealing, refinement and the rounds for unique IDs."""
    options, rows, width = job.options, job.fit_rows(items), job.width
    axes = rows * job.dim * READ / speed.passes + 4.0 * rows * width**2 / speed.products
    start = (
        options["iterations"]
        * options["restarts"]
        * _lloyd(job, speed, job.start_rows(items), width)
    )
    early, drawn = EARLY * width, min(rows, options["anneal_rows"])
    annealing = options["anneal_rounds"] * _round(job, speed, drawn, early, speed.drawn_search)
    whole = min(options["refine_rounds"], WHOLE_ROUNDS)
    refinement = (options["refine_rounds"] - whole) * _round(job, speed, rows, early, speed.search)
    refined = _round(job, speed, rows, width, speed.search)
    unique = options["unique_rounds"] if job.strategy == "reassign" and rows == items else 0
    return (
        axes
        + start
        + annealing
        + refinement
        + (whole + unique) * refined
        + unique * _reassign(job, speed, rows)
    )


def _round(job: Job, speed: Speed, rows: int, width: float, search: float) -> float:
    """Seconds of a round of annealing or refinement.

    To find codes, at so many seconds an item, and to solve for the codebooks.
    """
    return rows * (2 * width * job.codes / speed.products + search) + _solve(
        job, speed, rows, width
    )


def _lloyd(job: Job, speed: Speed, rows: int, width: float) -> float:
    """Seconds of a Lloyd iteration at every level."""
    return (
        2.0 * rows * job.codes * width / speed.products
        + len(job.codebook_sizes) * rows * width * SUM / speed.passes
    )


def _solve(job: Job, speed: Speed, rows: int, width: float) -> float:
    """Seconds to solve for all codebooks, and to make their tables."""
    sums = len(job.codebook_sizes) * rows * width * SUM / speed.passes
    return (
        sums
        + 2 * rows * width / speed.passes
        + PAIRS * job.pairs * width * speed.threads / speed.products
    )


def _network(job: Job, speed: Speed, items: int) -> float:
    """Seconds of all epochs of an rq_vae.

    A step goes forward, and backward at twice the price; its batch is searched by one thread.
    """
    options, network = job.options, job.encoder + job.decoder
    looked_up = 2.0 * job.latent * job.codes / speed.products
    trained = items * (3 * network / speed.products + looked_up + speed.search * speed.threads)
    tables = items / options["batch_rows"] * PAIRS * job.pairs * job.latent / speed.products
    watched = job.watched_items * (network / speed.products + looked_up + speed.search)
    seen = min(job.items, options["catalogue_rows"]) / options["catalogue_every"]
    catalogue = seen * (
        job.encoder / speed.products + looked_up + speed.search + job.dim * READ / speed.passes
    )
    epoch = TRAINING * (trained + tables) + watched + catalogue
    read = (items + job.watched_items) * job.dim * READ / speed.passes
    unique = job.unique_epochs(items) * (
        items * (job.encoder / speed.products + looked_up + speed.search)
        + _reassign(job, speed, items)
    )
    return _started(job, speed, items) + options["epochs"] * (epoch + read) + unique


def _started(job: Job, speed: Speed, items: int) -> float:
    """Seconds until an rq_vae has codebooks."""
    start = job.start
    if start is None:
        return LLOYD_ITERATIONS * _lloyd(job, speed, job.start_rows(items), job.latent)
    rows = start.fit_rows(items)
    return train(replace(start, fit_items=rows), speed, rows)


def encode(job: Job, speed: Speed, items: int) -> float:
    """Seconds to encode so many items."""
    keep = items * KEEP / speed.passes
    return (
        items * (_latent(job, speed) + 2.0 * job.latent * job.codes / speed.products + speed.search)
        + keep
    )


def _latent(job: Job, speed: Speed) -> float:
    """Seconds to read a vector and to lead it to the space that is quantised."""
    rotation = 2.0 * job.dim * job.width if job.rotates else 0.0
    threads = 1 if job.on_gpu else speed.threads
    return (job.encoder + rotation) / speed.products + job.dim * READ / speed.passes / threads


def deduplicate(job: Job, speed: Speed) -> float:
    """Seconds to make IDs unique."""
    sort = 2 * job.items * KEEP / speed.passes if job.strategy != "none" else 0.0
    return sort + (_reassign(job, speed, job.items) if job.strategy == "reassign" else 0.0)


def _reassign(job: Job, speed: Speed, items: int) -> float:
    """Seconds of the strategy `reassign`.

    Overfull prefixes, who has to leave them, and the groups with a collision.
    """
    last, latent = job.codebook_sizes[-1], _latent(job, speed)
    costs = latent + 2.0 * job.latent * last / speed.products
    width = max(job.candidates, WIDE // max(job.codebook_sizes)) / job.options.get("beam_size", 1)
    offers = latent + 2.0 * job.latent * job.codes / speed.products + width * speed.search
    settled = items * job.contested_rate * (costs + last * ASSIGN / speed.passes / speed.threads)
    overfull = items * job.overfull_rate * (costs + offers + last * CONTEST / speed.passes)
    return (
        settled
        + overfull
        + items
        * (job.spilled_rate * offers + (1 - job.contested_rate) * latent + KEEP / speed.passes)
    )


def evaluate(job: Job, speed: Speed) -> float:
    """Seconds of the metrics, and of the twin."""
    passes = job.items * (job.dim * EVALUATE + 2 * KEEP) / speed.passes
    scores = (
        2.0
        * min(job.queries, job.items)
        * job.dim
        * (job.items + job.distinct)
        / speed.cpu_products
    )
    decoded = 4 * job.items * job.decoder / speed.products
    if not job.twin_items:
        return passes + scores + decoded
    held_out = job.items - job.twin_items
    twin = (
        train(job, speed, job.twin_items)
        + encode(job, speed, held_out)
        + held_out * job.dim * EVALUATE / speed.passes
    )
    return passes + scores + decoded + twin
