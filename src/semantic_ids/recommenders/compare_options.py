"""Options of how IDs are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.errors import BadInput
from semantic_ids.options import Options, option


@dataclass(frozen=True)
class CompareOptions(Options):
    """The same recommender, trained on several sets of IDs."""

    group: ClassVar[str] = "compare"

    ids: tuple[str, ...] = option(
        ("rq_kmeans", "none", "shuffled"),
        "Sets of IDs; differences are to the first. rq_kmeans and rq_vae, fitted with the options"
        " of this run; suffix and none, the other strategies with the tokenizer.kind of this run;"
        " shuffled and random, without meaning; the folder of a tokenizer; a parquet file with"
        " item_id and codes, which may be IDs of another system.",
        min_length=1,
    )
    seeds: int = option(
        3, "Trainings of each, with recommender.seed and those after it; figures are means.", ge=1
    )
    part: Literal["valid", "test"] = option(
        "test",
        "Targets that are measured. Choose IDs by valid, of which a part also chooses the epoch,"
        " and look at test once.",
    )

    def check(self) -> None:
        """Raise `BadInput` for a name that is there twice."""
        if len(set(self.ids)) < len(self.ids):
            raise BadInput(
                f"{list(self.ids)}", where=f"{self.group}.ids", expected="each name once"
            )
