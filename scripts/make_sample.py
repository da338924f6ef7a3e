"""Cut the embedded sample from WordNet's nouns: whole sub-trees of the hypernym hierarchy.

    python scripts/make_sample.py ../shared/data/wordnet_nouns data/01_raw

The source folder holds `items.parquet` (one noun synset a row) and `item_emb_f16.parquet` (its
all-MiniLM-L6-v2 vector, unit length). The same source gives the same bytes again, with the same
version of pyarrow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BRANCHES = {
    7658: "bird",
    13335: "fish",
    10765: "carnivore",
    11278: "insect",
    70025: "tree",
    63130: "flower",
    40925: "food",
    40931: "dish",
    43113: "beverage",
    25250: "vehicle",
    16512: "clothing",
    15676: "building",
    18566: "furniture",
    20913: "musical instrument",
    25493: "weapon",
    34: "feeling",
    75329: "disease",
    54899: "health professional",
    52803: "athlete",
    2595: "sport",
    78329: "chemical element",
    62625: "weather",
    27480: "color",
    46343: "country",
}
"""ItemID of each sub-tree's root → its word. No root is below another."""

LIMIT_BYTES = 8_000_000


def below(path: list[int]) -> list[int]:
    """Return the part of a hypernym path from its branch's root down, or an empty list where it
    meets no branch.
    """
    starts = [i for i, item in enumerate(path) if item in BRANCHES]
    return path[starts[0] :] if starts else []


def cut_items(source: pa.Table) -> pa.Table:
    """Return the items of all branches, in the order of their ids.

    Args:
        source: One synset a row, with `ItemID`, `lemma`, `gloss`, `text`, `lexfile` and `path_ids`
            (from `entity` down to itself).

    Returns:
        ItemID int64, lemma, gloss, text, lexfile, branch, family, path (strings) and parent_id
        int64, null for the root of a branch.
    """
    lemmas = dict(zip(source["ItemID"].to_pylist(), source["lemma"].to_pylist(), strict=True))
    if wrong := [word for item, word in BRANCHES.items() if lemmas.get(item) != word]:
        raise SystemExit(
            "the source is not the one this script was written for: not the root of a sub-tree:"
            f" {', '.join(wrong)}"
        )
    paths = [below(path) for path in source["path_ids"].to_pylist()]
    source = source.append_column("below", pa.array(paths, pa.list_(pa.int64()))).filter(
        pa.array([bool(path) for path in paths])
    )
    source = source.sort_by("ItemID")
    paths = source["below"].to_pylist()
    words = [[lemmas[item] for item in path] for path in paths]
    columns = {
        name: source[name].combine_chunks()
        for name in ("ItemID", "lemma", "gloss", "text", "lexfile")
    }
    columns["branch"] = pa.array([path[0] for path in words])
    columns["family"] = pa.array([" > ".join(path[:2]) for path in words])
    columns["path"] = pa.array([" > ".join(path) for path in words])
    columns["parent_id"] = pa.array(
        [path[-2] if len(path) > 1 else None for path in paths], pa.int64()
    )
    return pa.table(columns)


def cut_vectors(source: pa.Table, item_ids: pa.ChunkedArray) -> pa.Table:
    """Return `ItemID` int64 and `embedding` fixed-size list<float16> of the items named, in their
    order.
    """
    rows = pc.index_in(item_ids, value_set=source["ItemID"])
    return source.take(rows).select(["ItemID", "embedding"]).combine_chunks()


def write(table: pa.Table, path: Path) -> int:
    """Write a table in one row group, as small as zstd makes it, and return its size in bytes."""
    pq.write_table(
        table.replace_schema_metadata(None),
        path,
        compression="zstd",
        compression_level=22,
        row_group_size=len(table),
    )
    return path.stat().st_size


def main() -> None:
    """Cut, write and say what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", type=Path, help="folder with items.parquet and item_emb_f16.parquet"
    )
    parser.add_argument(
        "out", type=Path, help="folder that gets item_emb.parquet and items.parquet"
    )
    args = parser.parse_args()

    items = cut_items(pq.read_table(args.source / "items.parquet"))
    vectors = cut_vectors(pq.read_table(args.source / "item_emb_f16.parquet"), items["ItemID"])
    args.out.mkdir(parents=True, exist_ok=True)
    size = write(vectors, args.out / "item_emb.parquet") + write(items, args.out / "items.parquet")
    for value in pc.value_counts(items["branch"]).to_pylist():
        print(f"{value['counts']:6,}  {value['values']}")
    families = len(set(items["family"].to_pylist()))
    print(
        f"{len(items):6,}  items in {len(BRANCHES)} branches and {families} families, {size:,}"
        f" bytes in {args.out}"
    )
    if size > LIMIT_BYTES:
        raise SystemExit(f"more than {LIMIT_BYTES:,} bytes: leave a branch out")


if __name__ == "__main__":
    main()
