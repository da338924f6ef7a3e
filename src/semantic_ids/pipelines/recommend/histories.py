"""The first nodes of `recommend`: histories of users, checked, read and split."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.artifacts import Codes
from semantic_ids.ingestion.history_options import HistoryOptions
from semantic_ids.ingestion.history_source import HistorySource
from semantic_ids.parameters import HistoryParameters
from semantic_ids.recommenders.histories import Histories
from semantic_ids.workflows import reading_histories


def check_histories(user_histories: HistorySource, history: HistoryParameters) -> None:
    """Refuse what could not be read, before any long work: every row is looked at.

    Raises:
        BadInput: A file, a column, a row or an option is not what it should be.
    """
    reading_histories.check_histories(user_histories, HistoryOptions.of(history.model_dump()))


def read_histories(
    user_histories: HistorySource, semantic_ids: Codes, history: HistoryParameters
) -> Histories:
    """Read the histories of the items that have an ID, and split them.

    Raises:
        BadInput: Something is not what it should be, or too many events are of other items.
    """
    options = HistoryOptions.of(history.model_dump())
    return reading_histories.read_histories(user_histories, semantic_ids.item_ids, options)


def create_pipeline() -> Pipeline:
    """Build the nodes.

    Kedro runs nodes that wait for nothing in the order of their names, so the check comes before
    `ingest`.
    """
    return Pipeline(
        [
            Node(
                check_histories,
                inputs=["user_histories", "params:history"],
                outputs=None,
                name="check_histories",
            ),
            Node(
                read_histories,
                inputs=["user_histories", "semantic_ids", "params:history"],
                outputs="histories",
                name="read_histories",
            ),
        ]
    )
