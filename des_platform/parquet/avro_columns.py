"""The columns of an Avro schema: the Arrow type of each, and how what fastavro decodes becomes it.

fastavro gets the schema without logical types, so what it decodes are numbers, strings and bytes; Arrow reads them as
the dates, times and decimals that they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import pyarrow.compute as pc

from des_platform.parquet.columns import MAX_DECIMAL_DIGITS
from des_platform.parquet.json_text import json_text

if TYPE_CHECKING:
    from collections.abc import Sequence

Schema = dict[str, Any] | list[Any] | str

_PRIMITIVES: Final[dict[str, pa.DataType]] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL: Final[dict[tuple[str, str], pa.DataType]] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "timestamp-nanos"): pa.timestamp("ns", "UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
    ("long", "local-timestamp-nanos"): pa.timestamp("ns"),
}
_MAX_DEPTH: Final = 64
_DECIMAL_BYTES: Final = 16


class _NoArrowType(Exception):
    """A schema that Arrow has no type for."""


@dataclass(frozen=True, slots=True)
class AvroColumn:
    """One field of the file's records.

    Attributes:
        name: of the field.
        dtype: what its values are; None for those that become JSON text.
    """

    name: str
    dtype: pa.DataType | None

    def convert(self, values: Sequence[Any]) -> pa.Array[Any]:
        """Decoded values as a column."""
        if self.dtype is None:
            return pa.array([None if value is None else json_text(value) for value in values], pa.string())
        if isinstance(self.dtype, pa.Decimal128Type):
            return _decimals(values, self.dtype)
        storage = _storage(self.dtype)
        array = pa.array(values, storage)
        if storage == self.dtype:
            return array
        return array.cast(self.dtype) if pa.types.is_nested(self.dtype) else array.view(self.dtype)


def columns_of(schema: Schema) -> list[AvroColumn]:
    """Return the columns of a file.

    Raises:
        ValueError: its records are none, or a list in them may be endless without taking a byte.
    """
    if not isinstance(schema, dict) or schema.get("type") not in ("record", "error"):
        raise ValueError("it has no records")
    names = _Names()
    names.collect(schema, "", 0)
    namespace = names.namespace_of(schema, "")
    return [AvroColumn(str(field["name"]), names.dtype(field["type"], namespace)) for field in schema["fields"]]


def plain_schema(schema: Schema) -> Schema:
    """Return a schema without logical types."""
    if isinstance(schema, list):
        return [plain_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("logicalType", "precision", "scale", "default")}
    for key in ("type", "items", "values"):
        if isinstance(kept.get(key), dict | list):
            kept[key] = plain_schema(kept[key])
    if isinstance(kept.get("fields"), list):
        kept["fields"] = [plain_schema(field) for field in kept["fields"]]
    return kept


class _Names:
    """The named types of a schema."""

    def __init__(self) -> None:
        self._types: dict[str, tuple[dict[str, Any], str]] = {}

    def namespace_of(self, schema: dict[str, Any], around: str) -> str:
        """The namespace that the names within a named type belong to."""
        name = str(schema.get("name", ""))
        return name.rpartition(".")[0] if "." in name else str(schema.get("namespace", around))

    def collect(self, schema: Schema, namespace: str, depth: int) -> None:
        """Learn the names; refuse a list whose items take no bytes: it could claim any number of them."""
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        inner: list[Schema] = schema if isinstance(schema, list) else []
        if isinstance(schema, dict):
            kind = schema["type"]
            if kind in ("record", "error", "enum", "fixed"):
                namespace = self.namespace_of(schema, namespace)
                self._types[f"{namespace}.{str(schema['name']).rpartition('.')[2]}".lstrip(".")] = schema, namespace
                inner = [field["type"] for field in schema.get("fields", ())]
            else:
                inner = [schema.get("items") or schema.get("values") or kind]
        for part in inner:
            self.collect(part, namespace, depth + 1)
        if isinstance(schema, dict) and schema["type"] == "array" and self._is_empty(schema["items"], namespace, 0):
            raise ValueError("it has an array of items without any bytes")

    def dtype(self, schema: Schema, namespace: str) -> pa.DataType | None:
        """The Arrow type of a column; None where it has none."""
        try:
            return self._dtype(schema, namespace, 0)
        except _NoArrowType:
            return None

    def _resolve(self, schema: Schema, namespace: str) -> tuple[Schema, str]:
        if isinstance(schema, str) and schema not in _PRIMITIVES:
            found = self._types.get(schema if "." in schema else f"{namespace}.{schema}".lstrip("."))
            if found is None and schema in self._types:
                found = self._types[schema]
            if found is None:
                raise ValueError(f"it names a type {schema[:100]!r} that it has not")
            return found
        return schema, namespace

    def _dtype(self, schema: Schema, namespace: str, depth: int) -> pa.DataType:
        schema, namespace = self._resolve(schema, namespace)
        if depth > _MAX_DEPTH:  # a type within itself
            raise _NoArrowType
        if isinstance(schema, list):
            kinds = [part for part in schema if part != "null"]
            if len(kinds) > 1:
                raise _NoArrowType
            return self._dtype(kinds[0], namespace, depth + 1) if kinds else pa.null()
        if isinstance(schema, str):
            return _PRIMITIVES[schema]
        return self._complex(schema, namespace, depth)

    def _complex(self, schema: dict[str, Any], namespace: str, depth: int) -> pa.DataType:
        kind, logical = schema["type"], schema.get("logicalType")
        if logical == "decimal" and kind in ("bytes", "fixed"):
            return _decimal(schema, depth)
        if isinstance(kind, str) and (kind, logical) in _LOGICAL:
            return _LOGICAL[kind, str(logical)]
        if kind in ("enum", "fixed"):
            return pa.string() if kind == "enum" else pa.binary()
        if kind in ("array", "map"):
            part = self._dtype(schema["items" if kind == "array" else "values"], namespace, depth + 2)
            return pa.list_(part) if kind == "array" else pa.map_(pa.string(), part)
        if kind in ("record", "error"):
            namespace = self.namespace_of(schema, namespace)
            fields = [(str(f["name"]), self._dtype(f["type"], namespace, depth + 2)) for f in schema["fields"]]
            return pa.struct(fields)
        return self._dtype(kind, namespace, depth + 1)

    def _is_empty(self, schema: Schema, namespace: str, depth: int) -> bool:
        """Whether a value takes no bytes; what lies deeper than can be told counts as if it did."""
        schema, namespace = self._resolve(schema, namespace)
        if depth > _MAX_DEPTH:
            return True
        if not isinstance(schema, dict):
            return schema == "null"
        kind = schema["type"]
        if kind in ("record", "error"):
            namespace = self.namespace_of(schema, namespace)
            return all(self._is_empty(field["type"], namespace, depth + 1) for field in schema["fields"])
        if kind == "fixed":
            return not schema["size"]
        return kind not in ("array", "map", "enum") and self._is_empty(kind, namespace, depth + 1)


def _decimal(schema: dict[str, Any], depth: int) -> pa.DataType:
    precision, scale = int(schema["precision"]), int(schema.get("scale", 0))
    if not 0 <= scale <= precision <= MAX_DECIMAL_DIGITS:
        return pa.binary()
    if depth > 1:  # Arrow reads no decimals from bytes within parts; 1 is a union with null
        raise _NoArrowType
    return pa.decimal128(precision, scale)


def _storage(dtype: pa.DataType) -> pa.DataType:
    """What fastavro's values are before they are dates and times."""
    if isinstance(dtype, pa.StructType):
        return pa.struct([(field.name, _storage(field.type)) for field in dtype])
    if isinstance(dtype, pa.MapType):
        return pa.map_(pa.string(), _storage(dtype.item_type))
    if isinstance(dtype, pa.ListType):
        return pa.list_(_storage(dtype.value_type))
    if pa.types.is_date32(dtype) or pa.types.is_time32(dtype):
        return pa.int32()
    return pa.int64() if pa.types.is_time64(dtype) or pa.types.is_timestamp(dtype) else dtype


def _decimals(values: Sequence[bytes | None], dtype: pa.Decimal128Type[Any, Any]) -> pa.Array[Any]:
    """Numbers in big-endian bytes as decimals.

    Raises:
        ValueError: one has more digits than its type.
    """
    limit = 10**dtype.precision
    numbers = [None if value is None else int.from_bytes(value, "big", signed=True) for value in values]
    if any(number is not None and abs(number) >= limit for number in numbers):
        raise ValueError(f"a decimal has more than {dtype.precision} digits")
    digits = b"".join([(number or 0).to_bytes(_DECIMAL_BYTES, "little", signed=True) for number in numbers])
    made: pa.Array[Any] = pa.Array.from_buffers(dtype, len(values), [None, pa.py_buffer(digits)])
    valid = pa.array([number is not None for number in numbers])
    return cast("pa.Array[Any]", pc.if_else(valid, made, pa.scalar(None, dtype)))
