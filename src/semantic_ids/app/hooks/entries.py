"""What a catalog may say of the artifacts of this project, checked before any work.

The stages write whole artifacts under their one name, on this machine, and know each other's files
by their provenance: what Kedro offers beside (versions, remote paths, other types) is refused in
one line. Entries of other names are the user's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from semantic_ids.errors import BadInput, nearest

TYPES = {
    "item_embeddings": "ParquetSourceDataset",
    "items": "LabelsDataset",
    "user_histories": "HistorySourceDataset",
    "histories": "HistoriesDataset",
    "rejected": "TableDataset",
    "embeddings": "EmbeddingsDataset",
    "split": "SplitDataset",
    "tokenizer": "TokenizerDataset",
    "onnx_graphs": "OnnxGraphsDataset",
    "checkpoints": "CheckpointsDataset",
    "codes": "CodesDataset",
    "semantic_ids": "CodesDataset",
    "semantic_id_mappings": "MappingsDataset",
    "bundles": "BundlesDataset",
    "published": "PublishedDataset",
    "earlier": "EarlierDataset",
    "faiss_index": "FaissIndexDataset",
    "vocabulary": "VocabularyDataset",
    "trie": "TrieDataset",
    "hf_tokenizer": "HfTokenizerDataset",
    "items_by_id": "ItemsByIdDataset",
    "training_history": "TableDataset",
    "training_results": "JsonDataset",
    "metrics": "JsonDataset",
    "churn": "JsonDataset",
    "recommender": "RecommenderDataset",
    "recommendations": "RecommendationsDataset",
    "recommend_training": "TableDataset",
    "recommend_metrics": "JsonDataset",
    "compared_ids": "JsonDataset",
    "compared_ids_table": "TableDataset",
    "evaluation": "JsonDataset",
    "figure_{name}": "FigureDataset",
}
"""Name of an artifact → its type in `semantic_ids.datasets`."""

PLACES = ("filepath", "folder", "location")
"""What an entry may call the place of its artifact."""

READ = ("item_embeddings", "items", "user_histories", "published", "earlier")
"""Entries that are only read: what they lead to may be another entry's."""
_KEDROS = ("type", "metadata", "validator")
"""What Kedro takes out of an entry, or every type takes."""


def check_catalog(catalog: Mapping[str, Any]) -> None:
    """Raise `BadInput` for the first entry of ours that its stage could not work with.

    Args:
        catalog: The configuration of the catalog, with its patterns.
    """
    taken: dict[str, str] = {}
    for name, entry in catalog.items():
        if name not in TYPES:
            continue
        _check_entry(name, entry)
        place = next((entry[key] for key in PLACES if key in entry), "")
        if not isinstance(place, str):
            raise _refusal(name, f"rests at {place!r}", "a path", "write it in quotes")
        if name not in READ:
            _check_place(name, place)
            if place in taken:
                raise _refusal(
                    name,
                    f"rests at {place}, as '{taken[place]}' does",
                    "a place of its own",
                    "name another",
                )
            taken[place] = name


def refuse_versions(load_versions: Mapping[str, str] | None) -> None:
    """Raise `BadInput` for `--load-versions` of an artifact of ours: there is one of each."""
    for name in load_versions or {}:
        if name in TYPES:
            raise BadInput(
                f"version {(load_versions or {})[name]} of '{name}' cannot be loaded: artifacts"
                " have no versions",
                where="--load-versions",
                do="keep runs apart with data_root=DIR, and name the one to read",
            )


def refuse_only_missing(given: bool) -> None:
    """Raise `BadInput` for `--only-missing-outputs`, which cannot tell old artifacts from new."""
    if given:
        raise BadInput(
            "Kedro asks only whether files are there, not which embeddings and parameters they"
            " were made from",
            where="--only-missing-outputs",
            expected="the stages to run, such as --pipelines=identify,export,evaluate",
            do="leave it out; a training that was interrupted goes on from its checkpoint anyway",
        )


def _check_entry(name: str, entry: Any) -> None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("type"), str):
        raise _refusal(
            name, f"is {entry!r}", "a mapping with a type", "leave it to conf/base/catalog.yml"
        )
    if entry.get("versioned"):
        raise _refusal(
            name,
            "is versioned",
            "one artifact under one name",
            "leave 'versioned' out, and keep runs apart with data_root=DIR",
        )
    if "credentials" in entry:
        raise _refusal(
            name,
            "has credentials",
            "none: artifacts are on this machine"
            if name not in ("item_embeddings", "items", "user_histories")
            else "none: the file system of a URL finds its own",
            "leave 'credentials' out, and give those of a URL as its library reads them from the"
            " environment, such as AWS_ACCESS_KEY_ID",
        )
    kind = _class_of(name, entry["type"])
    takes = inspect.signature(kind.__init__).parameters
    if any(known.kind is known.VAR_KEYWORD for known in takes.values()):
        return
    known = [parameter for parameter in takes if parameter != "self"]
    for key in entry:
        if key not in (*known, *_KEDROS, "versioned"):
            raise _refusal(
                name,
                f"has '{key}'{nearest(key, known)}",
                f"only type, {', '.join(known)}",
                "leave it out",
            )


def _class_of(name: str, kind: str) -> type:
    """Return the class of an entry, which is ours or made from it."""
    from semantic_ids import datasets

    wanted = getattr(datasets, TYPES[name])
    if kind == f"{datasets.__name__}.{TYPES[name]}":
        return wanted
    from kedro.io import DatasetError
    from kedro.io.core import parse_dataset_definition

    try:
        found = parse_dataset_definition({"type": kind})[0]
    except DatasetError as error:
        found, reason = object, f" ({' '.join(str(error).split()).partition(' Hint:')[0]})"
    else:
        reason = ""
    if not issubclass(found, wanted):
        do = {
            "item_embeddings": "name the file with --params=embeddings=PATH",
            "items": "name the file with --params=items=PATH",
            "user_histories": "name the file with --params=histories=PATH",
        }
        raise _refusal(
            name,
            f"is of type {kind}{reason}",
            f"{datasets.__name__}.{TYPES[name]}, or a class made from it",
            do.get(name, "leave 'type' out, and give a copy in another format a name of its own"),
        )
    return found


def _check_place(name: str, place: str) -> None:
    if "://" in place or "::" in place or place.startswith(("~", "s3:", "gs:")):
        raise _refusal(
            name,
            f"rests at {place}",
            "a path on this machine, spelled out",
            "copy the artifact there afterwards",
        )


def _refusal(name: str, found: str, expected: str, do: str) -> BadInput:
    return BadInput(f"'{name}' {found}", where="catalog", expected=expected, do=do)
