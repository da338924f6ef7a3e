"""What a run says against what is published: what would be ignored is refused."""

from __future__ import annotations

from typing import Any

from semantic_ids.errors import BadInput
from semantic_ids.parameters import (
    IdentifyParameters,
    IngestParameters,
    PublishParameters,
    TokenizerParameters,
)
from semantic_ids.publishing.locations import TOKENIZER
from semantic_ids.publishing.manifest import Manifest
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.publishing.refit import require_levels
from semantic_ids.tokenizers.format import read_provenance


def wanted(publish: PublishParameters) -> PublishOptions:
    """Return the options of a run."""
    return PublishOptions(**publish.model_dump())


def require_agreement(
    manifest: Manifest,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    ingest: IngestParameters,
    options: PublishOptions,
) -> None:
    """Raise `BadInput` where a run says other than the generation it goes on from.

    A tokenizer that is fitted anew may be another.
    """
    made = read_provenance(manifest.folder / TOKENIZER)
    values = manifest.values
    if options.refresh == "refit":
        require_levels(len(tokenizer.codebook_sizes), values["levels"])
    elif made is not None and not made.of_python:
        _require_same(manifest, "tokenizer", made.parameters, tokenizer.in_use())
    _require_same(manifest, "identify", values["identify"], identify.model_dump())
    _require_same(manifest, "ingest", {"dtype": values["vectors"]["dtype"]}, ingest.model_dump())


def _require_same(
    manifest: Manifest, group: str, published: dict[str, Any], given: dict[str, Any]
) -> None:
    other = [n for n, value in published.items() if n != "device" and value != given.get(n)]
    if other:
        was = {name: published[name] for name in other}
        now = {name: given.get(name) for name in other}
        raise BadInput(
            f"{manifest.name} was made with {was}, but this run says {now}",
            where=f"parameters {group}",
            expected="the parameters of the published generation, which its IDs depend on",
            do="give the same environment and parameters as then, or begin anew elsewhere: take"
            " data_root=DIR",
        )
