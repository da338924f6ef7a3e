"""Types of columns: which can hold ids and vectors, and how they are read as such."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text: strings, bytes that are to be UTF-8, UUIDs, dictionaries of
    them.
    """
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or is_bytes(kind)
        or is_uuid(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type holds bytes of any length."""
    return (
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def is_uuid(kind: pa.DataType) -> bool:
    """Whether a type holds UUIDs."""
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.uuid"


def is_id(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold item ids."""
    return (
        pa.types.is_integer(kind) or is_text(kind) or (pa.types.is_decimal(kind) and not kind.scale)
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's lists."""
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold vectors."""
    return is_list(kind) and (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )


def may_be_null(kind: pa.DataType) -> bool:
    """Whether a column of this type may be one whose writer knew no type, as all is null in it."""
    return pa.types.is_null(kind) or (is_list(kind) and pa.types.is_null(kind.value_type))


def declared_size(kind: pa.DataType | None) -> int | None:
    """Return the dimensions that a fixed-size list or a tensor of one axis declares, or None."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return kind.shape[0] if len(kind.shape) == 1 else None
    return kind.list_size if kind is not None and pa.types.is_fixed_size_list(kind) else None


def is_tensor_of_axes(kind: pa.DataType | None) -> bool:
    """Whether a type is a tensor of more than one axis, of which only (1, D) is certain."""
    if not isinstance(kind, pa.FixedShapeTensorType):
        return False
    return len(kind.shape) > 1 and max(kind.shape) != int(np.prod(kind.shape))


def leaves(
    fields: pa.Schema | pa.StructType, prefix: str = ""
) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the names and types of columns, fields of structs as `item.embedding`."""
    for number in range(len(fields) if isinstance(fields, pa.Schema) else fields.num_fields):
        field = fields.field(number)
        yield f"{prefix}{field.name}", field.type
        if pa.types.is_struct(field.type):
            yield from leaves(field.type, f"{prefix}{field.name}.")


def named(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column of a batch, or a field of a struct in it, by its name with dots."""
    if (index := batch.schema.get_field_index(name)) >= 0:
        return batch.column(index)
    for dot in (i for i, letter in enumerate(name) if letter == "."):
        index = batch.schema.get_field_index(name[:dot])
        if index >= 0 and pa.types.is_struct(batch.schema.field(index).type):
            inner = pa.RecordBatch.from_struct_array(_flat(batch.column(index)))
            return named(inner, name[dot + 1 :])
    raise KeyError(name)


def _flat(column: pa.StructArray) -> pa.StructArray:
    """Return a struct whose fields are null where it is."""
    if not column.null_count:
        return column
    fields = [column.type.field(number) for number in range(column.type.num_fields)]
    return pa.StructArray.from_arrays(
        column.flatten(), fields=[field.with_nullable(True) for field in fields]
    )


def as_vectors(column: pa.Array) -> pa.Array:
    """Return a column of vectors as lists of numbers; one that is null all through has none."""
    if not is_list(column.type):
        return pa.nulls(len(column), pa.list_(pa.float32()))
    if pa.types.is_null(column.type.value_type):
        return column.cast(pa.list_(pa.float32()))
    return column


def as_text(column: pa.Array) -> pa.Array:
    """Return text, bytes of UTF-8 or UUIDs as large_string.

    Raises:
        pa.ArrowInvalid: Bytes are no UTF-8.
    """
    if is_uuid(column.type):
        return _uuid_text(column.storage)
    text = column.cast(pa.large_binary()) if is_bytes(column.type) else column
    text = text.cast(pa.large_string())
    text.validate(full=True)
    return text


def _uuid_text(storage: pa.Array) -> pa.Array:
    import uuid

    texts = [None if b is None else str(uuid.UUID(bytes=b)) for b in storage.to_pylist()]
    return pa.array(texts, pa.large_string())


def as_integers(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return whole numbers as int64, and which do not fit: bool, whose value is 0."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_integers(column.dictionary_decode())
    if not (pa.types.is_decimal(kind) or pa.types.is_uint64(kind)):
        return column.cast(pa.int64()), np.zeros(len(column), bool)
    wide = column.cast(pa.decimal256(76, 0)) if pa.types.is_decimal(kind) else column
    lowest, highest = (pa.scalar(v, pa.decimal256(76, 0)) for v in _limits())
    if pa.types.is_uint64(kind):
        over = pc.greater(wide, pa.scalar(2**63 - 1, pa.uint64()))
    else:
        over = pc.or_(pc.greater(wide, highest), pc.less(wide, lowest))
    over = over.fill_null(False)
    kept = pc.if_else(over, pa.scalar(None, wide.type), wide)
    numbers = pc.if_else(over, pa.scalar(0, pa.int64()), kept.cast(pa.int64()))
    return numbers, over.to_numpy(zero_copy_only=False)


def _limits() -> tuple[object, object]:
    from decimal import Decimal

    return Decimal(-(2**63)), Decimal(2**63 - 1)
