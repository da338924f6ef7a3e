"""The labels of the items, as the stages read them.

`check` to refuse a wrong file before any work, `evaluate` to use it.
"""

from __future__ import annotations

from typing import Any

from semantic_ids.errors import BadInput
from semantic_ids.parameters import EvaluateParameters
from semantic_ids.publishing.options import PublishOptions


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


def weights_of(
    item_ids: Any,
    items: Any,
    id_column: str,
    evaluate: EvaluateParameters,
    publish: PublishOptions,
) -> Any:
    """Find what the items weigh: see `metrics.labels.weights`.

    Raises:
        BadInput: There is no items file, or see there.
    """
    from semantic_ids.metrics import labels

    if items is None:
        raise BadInput(
            f"there is no items file for the weights in its column '{publish.weight_column}'",
            where="publish.weight_column",
            do="give one with items=PATH, or take publish.weight_column=null",
        )
    return labels.weights(
        item_ids,
        items,
        id_column=id_column,
        column=publish.weight_column,
        min_share=evaluate.min_label_share,
        option="publish.weight_column",
    )
