"""Semantic IDs: item embeddings in, short tuples of discrete codes out.

    from semantic_ids import RQKMeans, evaluate, load_tokenizer, unique_ids

    tokenizer = RQKMeans(codebook_sizes=(256, 256, 256), random_state=42).fit(x, item_ids=item_ids)
    ids = unique_ids(tokenizer, x, item_ids)
    evaluate(tokenizer, x, ids)
    tokenizer.save("my_tokenizer")
    load_tokenizer("my_tokenizer").encode(new)

Importing this package is cheap: torch is imported when one of these names is asked for. Where it
is not installed, the error names the extra that brings it; `load_encoder` needs none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semantic_ids.errors import BadInput
    from semantic_ids.publishing.trie import Trie
    from semantic_ids.publishing.vocabulary import Vocabulary
    from semantic_ids.runtime.session import Encoder, load_encoder
    from semantic_ids.workflows.asking import Recommender, load_recommender
    from semantic_ids.workflows.estimators import RQVAE, RQKMeans, load_tokenizer
    from semantic_ids.workflows.ids import SemanticIds, evaluate, unique_ids
    from semantic_ids.workflows.inputs import Items, read_items

__version__ = "0.1.0"
__all__ = [
    "RQVAE",
    "BadInput",
    "Encoder",
    "Items",
    "RQKMeans",
    "Recommender",
    "SemanticIds",
    "Trie",
    "Vocabulary",
    "evaluate",
    "load_encoder",
    "load_recommender",
    "load_tokenizer",
    "read_items",
    "unique_ids",
]

_HOMES = {
    "BadInput": "errors",
    "Encoder": "runtime.session",
    "Items": "workflows.inputs",
    "RQKMeans": "workflows.estimators",
    "RQVAE": "workflows.estimators",
    "Recommender": "workflows.asking",
    "SemanticIds": "workflows.ids",
    "Trie": "publishing.trie",
    "Vocabulary": "publishing.vocabulary",
    "evaluate": "workflows.ids",
    "load_encoder": "runtime.session",
    "load_recommender": "workflows.asking",
    "load_tokenizer": "workflows.estimators",
    "read_items": "workflows.inputs",
    "unique_ids": "workflows.ids",
}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives when it is asked for."""
    if name in _HOMES:
        from semantic_ids.extras import naming

        with naming(where=f"semantic_ids.{name}"):
            return getattr(import_module(f"semantic_ids.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public."""
    return sorted([*globals(), *__all__])
