"""What is tried: each case is made from a seed alone, so that any of them can be made again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "01_raw" / "item_emb.parquet"
ROWS = 120
"""Rows of the files that are mutated."""


@dataclass
class Case:
    """One call of the program.

    Attributes:
        kind: What was done, a few words.
        words: The words of the command line after the program's name.
        rows: Rows of the file that is read; None where nobody knows.
    """

    kind: str
    words: list[str]
    rows: int | None = ROWS


@dataclass
class Place:
    """Where a case is made and run.

    Attributes:
        folder: Its own, empty.
        base: Whole parquet files of `ROWS` rows of the sample, by name.
        random: What the case is drawn from.
    """

    folder: Path
    base: dict[str, Path]
    random: random.Random
    params: dict[str, str] = field(default_factory=dict)

    def case(
        self,
        kind: str,
        rows: int | None = ROWS,
        extra: list[str] | None = None,
        runs: tuple[str, ...] = ("--pipelines=ingest",),
    ) -> Case:
        """Return a case that ingests, or runs what else is said, with everything it writes below
        its own folder.
        """
        given = {
            "data_root": str(self.folder / "data"),
            "logs.folder": str(self.folder / "logs"),
            "tracking.enabled": "false",
            **self.params,
        }
        named = ",".join(f"{name}={value}" for name, value in given.items())
        return Case(kind, [*runs, f"--params={named}", *(extra or [])], rows)


def write_base(folder: Path) -> dict[str, Path]:
    """Write whole files as different writers would: rows of the sample, name → path."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(SAMPLE).slice(0, ROWS)
    ids = table.column("ItemID")
    vectors = np.stack(table.column("embedding").to_pylist()).astype(np.float32)[:, :24]
    flat = pa.array(vectors.ravel())
    lists = {
        "fixed": pa.FixedSizeListArray.from_arrays(flat, 24),
        "list": pa.array(vectors.tolist(), pa.list_(pa.float32())),
        "large": pa.array(vectors.astype(np.float64).tolist(), pa.large_list(pa.float64())),
        "half": pa.array(list(vectors.astype(np.float16)), pa.list_(pa.float16())),
    }
    writing = {
        "fixed": {"compression": "none", "use_dictionary": False},
        "list": {"compression": "snappy", "row_group_size": 50},
        "large": {"compression": "zstd", "write_page_checksum": True},
        "half": {"compression": "gzip", "data_page_version": "2.0"},
    }
    found = {}
    for name, column in lists.items():
        found[name] = folder / f"{name}.parquet"
        pq.write_table(pa.table({"ItemID": ids, "embedding": column}), found[name], **writing[name])
    return found


# ---- files whose bytes are damaged -----------------------------------------------------------


def _flip(data: bytearray, rng: random.Random, start: int, stop: int) -> None:
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)


def _footer(data: bytearray) -> int:
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def _flip_anywhere(data: bytearray, rng: random.Random) -> None:
    _flip(data, rng, 0, len(data))


def _flip_footer(data: bytearray, rng: random.Random) -> None:
    _flip(data, rng, _footer(data), len(data) - 8)


def _flip_pages(data: bytearray, rng: random.Random) -> None:
    _flip(data, rng, 4, _footer(data))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _lose_a_piece(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, 200)]


def _zero_a_piece(data: bytearray, rng: random.Random) -> None:
    start, size = rng.randrange(len(data)), rng.randint(1, 400)
    data[start : start + size] = bytes(len(data[start : start + size]))


def _repeat_a_piece(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.randint(1, 400)]


def _other_length(data: bytearray, rng: random.Random) -> None:
    data[-8:-4] = rng.randrange(2**32).to_bytes(4, "little")


def _rubbish(data: bytearray, rng: random.Random) -> None:
    data[:] = rng.randbytes(rng.randint(0, 3000))


DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "bits flipped anywhere": _flip_anywhere,
    "bits flipped in the footer": _flip_footer,
    "bits flipped in the pages": _flip_pages,
    "cut off": _cut,
    "a piece lost": _lose_a_piece,
    "a piece zeroed": _zero_a_piece,
    "a piece repeated": _repeat_a_piece,
    "another length of the footer": _other_length,
    "rubbish": _rubbish,
}


def damaged(place: Place) -> Case:
    """A file of a real writer whose bytes are damaged."""
    rng = place.random
    kind, name = rng.choice(sorted(DAMAGES)), rng.choice(sorted(place.base))
    data = bytearray(place.base[name].read_bytes())
    DAMAGES[kind](data, rng)
    file = place.folder / "items.parquet"
    file.write_bytes(data)
    place.params["embeddings"] = str(file)
    if rng.random() < 0.3:
        place.params["ingest.on_invalid"] = "drop"
    return place.case(kind)


# ---- files that are whole and odd ------------------------------------------------------------


def odd(place: Place) -> Case:
    """Whole files with columns, types and values that nobody asked for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = place.random
    table = pq.read_table(place.base["list"])
    kind = rng.choice(sorted(ODDITIES))
    for name in rng.sample(table.column_names, len(table.column_names)):
        if rng.random() < 0.2:
            table = table.append_column(f"{name}_{rng.randrange(9)}", table.column(name))
    folder = place.folder / "items"
    folder.mkdir()
    made: list[pa.Table] = ODDITIES[kind](table, rng)
    for number, part in enumerate(made):
        pq.write_table(part, folder / f"part-{number}.parquet")
    place.params["embeddings"] = str(folder)
    if rng.random() < 0.5:
        place.params["ingest.on_invalid"] = "drop"
    return place.case(kind, sum(map(len, made)))


def _with(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


ENDS = ["", " ", "\u200b", "/", "\0"]


def _odd_ids(table, rng):
    import pyarrow as pa

    ids = table.column("ItemID").to_pylist()
    made = {
        "nulls": lambda: pa.array([None if rng.random() < 0.1 else i for i in ids]),
        "twice": lambda: pa.array([rng.choice(ids) for _ in ids]),
        "text": lambda: pa.array([f"{i}{rng.choice(ENDS)}" for i in ids]),
        "float": lambda: pa.array([float(hash(str(i)) % 1000) for i in ids]),
        "bool": lambda: pa.array([rng.random() < 0.5 for _ in ids]),
        "list": lambda: pa.array([[str(i)] for i in ids]),
        "struct": lambda: pa.array([{"id": str(i)} for i in ids]),
        "bytes": lambda: pa.array([rng.randbytes(4) for _ in ids]),
        "dictionary": lambda: pa.array([str(i) for i in ids]).dictionary_encode(),
        "null type": lambda: pa.nulls(len(ids)),
    }
    return [_with(table, "ItemID", made[rng.choice(sorted(made))]())]


def _odd_vectors(table, rng):
    import pyarrow as pa

    vectors = table.column("embedding").to_pylist()
    row = rng.randrange(len(vectors))
    odd_value = rng.choice([float("nan"), float("inf"), None, 1e300, -1e-300, 0.0, 1e38])
    if rng.random() < 0.5:
        vectors[row] = rng.choice([None, [], vectors[row][:-1], [0.0] * 24, [odd_value] * 24])
    else:
        vectors[row] = [odd_value, *vectors[row][1:]]
    kind = rng.choice([pa.float32(), pa.float64()])
    return [_with(table, "embedding", pa.array(vectors, pa.list_(kind)))]


def _odd_types(table, rng):
    import pyarrow as pa

    vectors = table.column("embedding").to_pylist()
    made = {
        "text": lambda: pa.array([str(v) for v in vectors]),
        "integers": lambda: pa.array([[int(9 * x) for x in v] for v in vectors]),
        "bytes": lambda: pa.array([bytes(24) for _ in vectors]),
        "nested": lambda: pa.array([[v] for v in vectors]),
        "map": lambda: pa.array([[("a", 1.0)]] * len(vectors), pa.map_(pa.string(), pa.float32())),
        "struct": lambda: pa.array([{"v": v} for v in vectors]),
        "one number": lambda: pa.array([v[0] for v in vectors]),
        "bool": lambda: pa.array([[x > 0 for x in v] for v in vectors]),
        "wide": lambda: pa.array([v * 3 for v in vectors], pa.list_(pa.float64())),
    }
    return [_with(table, "embedding", made[rng.choice(sorted(made))]())]


def _odd_parts(table, rng):
    import pyarrow as pa

    cut = rng.randrange(1, len(table))
    first, second = table.slice(0, cut), table.slice(cut)
    change = rng.randrange(5)
    if change == 0:
        second = second.rename_columns([name.upper() for name in second.column_names])
    elif change == 1:
        second = second.select(list(reversed(second.column_names)))
    elif change == 2:
        second = _with(second, "ItemID", pa.array([str(i) for i in range(len(second))]))
    elif change == 3:
        second = second.slice(0, 0)
    else:
        second = pa.concat_tables([second, first.slice(0, 3)])
    return [first, second]


ODDITIES = {
    "odd ids": _odd_ids,
    "odd values in vectors": _odd_vectors,
    "vectors of another type": _odd_types,
    "parts that differ": _odd_parts,
}


# ---- histories -------------------------------------------------------------------------------


def histories(place: Place) -> Case:
    """Histories of users, as a row a user or a row an event, whose bytes or values are odd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = place.random
    users = [f"u{rng.randrange(40)}" for _ in range(ROWS)]
    items = [rng.randrange(60) for _ in range(ROWS)]
    if rng.random() < 0.5:
        sequences = [items[: rng.randrange(9)] for _ in range(40)]
        columns = {"user": list(range(40)), "sequence": sequences}
    else:
        columns = {"user": users, "item": items, "timestamp": rng.choices(range(50), k=ROWS)}
    table = pa.table(columns)
    kind, file = rng.choice(["damaged", "values", "types"]), place.folder / "log.parquet"
    if kind != "damaged":
        name = rng.choice(table.column_names)
        odd_one = rng.choice([None, -1, 2**62, ""]) if kind == "values" else None
        values = table.column(name).to_pylist()
        values[rng.randrange(len(values))] = odd_one if not isinstance(values[0], list) else [None]
        other = rng.choice([str, float.fromhex, bool, lambda v: [v], lambda v: {"x": v}])
        try:
            changed = pa.array([other(v) for v in values] if kind == "types" else values)
        except (TypeError, ValueError, pa.ArrowException):
            changed = pa.nulls(len(values))
        table = _with(table, name, changed)
    pq.write_table(table, file, row_group_size=rng.choice([7, 1000]))
    if kind == "damaged":
        data = bytearray(file.read_bytes())
        DAMAGES[rng.choice(sorted(DAMAGES))](data, rng)
        file.write_bytes(data)
    place.params["histories"] = str(file)
    place.params["history.split"] = rng.choice(["leave_one_out", "time"])
    runs = ("--pipelines=recommend", "--nodes=check_histories")
    return place.case(f"histories: {kind}", rows=None, runs=runs)


# ---- configuration ---------------------------------------------------------------------------

VALUES = [
    "", "null", "~", "true", "no", "0", "-1", "1e999", ".nan", "1.5", "[]", "{}", "[1, [2]]",
    "'text'", "{a: 1}", "2024-01-01", "!!python/object:os.system x", "*anchor", "${missing}",
    "${oc.env:HOME}", "'" + "x" * 3000 + "'", "\x00", "ünïcode", "1_000", "0x10", "@", "%", "- 1",
]  # fmt: skip


def configured(place: Place) -> Case:
    """A file of `conf` with a value replaced, a key renamed or its bytes damaged."""
    rng = place.random
    conf = place.folder / "conf"
    shutil.copytree(ROOT / "conf", conf)
    file = rng.choice(sorted((conf / "base").glob("*.yml")))
    lines = file.read_text(encoding="utf-8").splitlines()
    at = rng.choice([n for n, line in enumerate(lines) if ":" in line and not _comment(line)])
    key, _, rest = lines[at].partition(":")
    kind = rng.choice(["value replaced", "key renamed", "line lost", "indented", "bytes damaged"])
    if kind == "value replaced":
        lines[at] = f"{key}: {rng.choice(VALUES)}"
    elif kind == "key renamed":
        lines[at] = f"{key}{rng.choice('x1 _')}:{rest}"
    elif kind == "line lost":
        del lines[at]
    elif kind == "indented":
        lines[at] = " " * rng.randint(1, 5) + lines[at]
    data = bytearray("\n".join(lines).encode())
    if kind == "bytes damaged":
        _flip(data, rng, 0, len(data))
    file.write_bytes(data)
    place.params["embeddings"] = str(place.base["list"])
    return place.case(f"configuration: {kind}", extra=[f"--conf-source={conf}"])


def _comment(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


# ---- command lines ---------------------------------------------------------------------------

NAMES = [
    "seed", "embeddings", "ingest.dtype", "ingest.id_column", "tokenizer.codebook_sizes", "x",
    "tokenizer.kind", "tokenizer.device", "identify.strategy", "a.b.c", "", "items",
]  # fmt: skip
OPTIONS = [
    "--env=test", "--env=nowhere", "--nodes=ingest", "--nodes=none", "--tags=ingest", "--tags=",
    "--from-nodes=train", "--to-nodes=ingest", "--from-inputs=raw", "--to-outputs=embeddings",
    "--runner=SequentialRunner", "--runner=ThreadRunner", "--runner=None", "--async", "--verbose",
    "--namespaces=a", "--only-missing-outputs", "--load-versions=embeddings:1", "--load-versions=x",
    "--pipelines=ingest", "--pipelines=check", "--pipelines=", "--pipelines=no", "--help", "-x",
    "--conf-source=/nowhere", "--config=/nowhere", "word", "--", "--params", "--params==",
]  # fmt: skip


def command_line(place: Place) -> Case:
    """Options and parameters in any combination."""
    rng = place.random
    place.params["embeddings"] = str(place.base["list"])
    for _ in range(rng.randint(0, 2)):
        value = rng.choice([*VALUES, "16x16", "16,16", "[16,16", "float16", "cpu", "=", "a=b", "#"])
        place.params[rng.choice(NAMES)] = value.replace("\x00", "")
    if rng.random() < 0.1:
        place.params["data_root"] = f"{place.folder}/{rng.choice(VALUES)}".replace("\x00", "")
    words = rng.sample(OPTIONS, rng.randint(0, 2))
    return place.case("command line", rows=None, extra=words)


MAKERS: dict[str, Callable[[Place], Case]] = {
    "files damaged": damaged,
    "files that are odd": odd,
    "histories": histories,
    "configuration": configured,
    "command lines": command_line,
}
