"""The labels of the items, as the stages read them.

`check` to refuse a wrong file before any work, `evaluate` to use it.
"""

from __future__ import annotations

from typing import Any

from semantic_ids.parameters import EvaluateParameters


def labels_of(
    item_ids: Any, items: Any, id_column: str, evaluate: EvaluateParameters
) -> dict[str, Any]:
    """Find the labels of the items: see `metrics.labels.join`.

    Nothing where there is no items file.

    Args:
        item_ids: n ids, a pyarrow array, chunked or not.
        items: The items file as a pyarrow table, or None.
        id_column: Its column of ids.
        evaluate: Which columns, and what is too few.
    """
    from semantic_ids.metrics import labels

    if items is None:
        return {}
    return labels.join(
        item_ids,
        items,
        id_column=id_column,
        columns=evaluate.labels,
        max_values=evaluate.max_label_values,
        min_share=evaluate.min_label_share,
    )
