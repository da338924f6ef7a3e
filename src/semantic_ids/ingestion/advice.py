"""How a column of a type that is not read becomes one that is: the advice in refusals."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from semantic_ids.ingestion.columns import (
    is_bytes,
    is_id,
    is_list,
    is_tensor_of_axes,
    is_vector,
)

VECTORS = (
    (is_bytes, "write the numbers in them: numpy.frombuffer(x, 'float32').tolist() of each"),
    (
        pa.types.is_fixed_size_binary,
        "write the numbers in them: numpy.frombuffer(x, 'float32').tolist() of each",
    ),
    (pa.types.is_string, "write the numbers in them: json.loads(x) of each"),
    (is_tensor_of_axes, "write each as one list: reshape(-1)"),
    (pa.types.is_struct, "name one of its fields, such as {parameter}={name}.{field}"),
    (
        lambda kind: is_list(kind) and is_list(kind.value_type),
        "write each as one list: numpy.concatenate(x) of each",
    ),
    (is_list, "cast the values to float32"),
)
IDS = (
    (pa.types.is_floating, "cast it to int64"),
    (pa.types.is_decimal, "cast it to int64, or to strings"),
    (
        pa.types.is_fixed_size_binary,
        "cast it to int64 or to strings before it is written: its bytes may be integers of 128"
        " bits, which are not supported, or UUIDs that are not marked as such",
    ),
    (pa.types.is_struct, "name one of its fields, such as {parameter}={name}.{field}"),
    (pa.types.is_temporal, "cast it to strings"),
)
SEQUENCES = (
    (pa.types.is_string, "write the items in it as a list: x.split() of each"),
    (
        lambda kind: is_list(kind) and pa.types.is_floating(kind.value_type),
        "cast the items to int64",
    ),
)
"""Type → what to do about it; the first that fits."""


def advice(kind: pa.DataType, parameter: str, name: str) -> str:
    """Return what to do about a column whose type is not read, or an empty string."""
    of_vectors = parameter.endswith("vector_column")
    of_sequences = parameter.endswith("sequence_column")
    for fits, text in VECTORS if of_vectors else SEQUENCES if of_sequences else IDS:
        if fits(kind):
            field = _field(kind, is_vector if of_vectors else is_id)
            return text.format(parameter=parameter, name=name, field=field)
    return ""


def _field(kind: pa.DataType, fits: Callable[[pa.DataType], bool]) -> str:
    """Return the field of a struct that is probably meant: the first of a type that is read."""
    if not pa.types.is_struct(kind):
        return ""
    fields = [kind.field(number) for number in range(kind.num_fields)]
    return next((field.name for field in fields if fits(field.type)), "FIELD")
