"""Values without what Arrow wraps around them: dictionaries, run ends, views, extensions, sizes; at any depth.

So that those who convert values have to know one string type, one list type, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
from pyarrow import compute

if TYPE_CHECKING:
    from collections.abc import Sequence

# The stubs of pyarrow's functions know fewer types than the functions.
pc: Any = compute


def plain(values: pa.Array[Any]) -> pa.Array[Any]:
    """Return the same values in their plain type."""
    kind: Any = values.type
    parts: Any = values
    if isinstance(values, pa.ExtensionArray):
        values = plain(values.storage)
    elif isinstance(values, pa.DictionaryArray):
        values = plain(values.dictionary_decode())
    elif isinstance(kind, pa.RunEndEncodedType):
        values = plain(pc.run_end_decode(values))
    elif (simple := _simple(kind)) == kind:
        pass
    elif isinstance(values, pa.StructArray):
        values = _plain_struct(parts)
    elif isinstance(values, pa.MapArray):
        values = _plain_lists(parts, pa.MapArray, [parts.keys, parts.items])
    elif pa.types.is_nested(kind):
        parts = values.cast(pa.list_(cast("Any", kind).value_type))
        values = _plain_lists(parts, pa.ListArray, [parts.values])
    else:
        values = values.cast(simple)
    return values


def _plain_struct(values: Any) -> pa.Array[Any]:  # noqa: ANN401 - the stubs' structs have no fields
    parts = [plain(part) for part in values.flatten()]
    fields: list[pa.Field[Any]] = [pa.field(f.name, part.type) for f, part in zip(values.type, parts, strict=True)]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=values.is_null())


def _plain_lists(values: Any, made: Any, parts: Sequence[pa.Array[Any]]) -> pa.Array[Any]:  # noqa: ANN401 - as above
    # Offsets of their own, as a mask needs; null offsets would lengthen the list before them.
    offsets = pc.add(values.offsets, pa.scalar(0, pa.int32()))
    array: pa.Array[Any] = made.from_arrays(offsets, *map(plain, parts), mask=values.is_null())
    return array


def _simple(kind: Any) -> pa.DataType:  # noqa: ANN401 - each type has parts of its own
    """The type that `plain` gives."""
    types = pa.types
    simple: pa.DataType = kind
    if types.is_large_string(kind) or types.is_string_view(kind):
        simple = pa.string()
    elif types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        simple = pa.binary()
    elif types.is_decimal32(kind) or types.is_decimal64(kind):
        simple = pa.decimal128(kind.precision, kind.scale)
    elif types.is_struct(kind):
        simple = pa.struct([(field.name, _simple(field.type)) for field in kind])
    elif isinstance(kind, pa.MapType):
        simple = pa.map_(_simple(kind.key_type), _simple(kind.item_type))
    elif isinstance(kind, pa.BaseExtensionType):
        simple = _simple(kind.storage_type)
    elif isinstance(kind, pa.DictionaryType | pa.RunEndEncodedType):
        simple = _simple(kind.value_type)
    elif types.is_nested(kind) and not types.is_union(kind):
        simple = pa.list_(_simple(cast("Any", kind).value_type))
    return simple
