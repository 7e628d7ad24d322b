"""Values as JSON text: for `json` columns, for what was rescued, and for the texts of rejected rows.

Nothing is lost: numbers keep their digits, bytes become base64, dates and times ISO 8601, and a float that is no JSON
number the string `"nan"`, `"inf"` or `"-inf"`. Arrow values are converted by the column, parts before the whole.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

import pyarrow as pa
from pyarrow import compute

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The stubs of pyarrow's functions know fewer types than the functions.
pc: Any = compute
_escape = json.encoder.encode_basestring
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


class JsonNumber(float):
    """A number that is not whole, with its digits as they stood."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Self:
        """Read a JSON number."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    text: str


def json_text(value: object) -> str:
    """Return a decoded JSON value as JSON; a `JsonNumber` as it stood, what JSON has no form for as a string.

    Raises:
        RecursionError: it is nested too deeply.
    """
    if isinstance(value, str):
        text = quoted(value)
    elif isinstance(value, JsonNumber):
        text = value.text
    elif isinstance(value, dict):
        text = "{" + ", ".join([f"{quoted(str(name))}: {json_text(part)}" for name, part in value.items()]) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(json_text, value)) + "]"
    elif isinstance(value, bytes):
        text = f'"{base64.b64encode(value).decode()}"'
    elif isinstance(value, float) and not math.isfinite(value):
        text = f'"{value}"'
    else:
        text = json.dumps(value, default=str)
    return text


def quoted(text: str) -> str:
    """Return text as a JSON string; a lone surrogate as its escape, which is valid Unicode."""
    return _escape(text) if text.isascii() or _is_unicode(text) else json.dumps(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def json_texts(values: pa.Array[Any]) -> pa.Array[Any]:
    """Return Arrow values as JSON texts, null where they are null.

    Args:
        values: as `arrow_plain.plain` returns them.
    """
    for is_kind, convert in _CONVERSIONS:
        if is_kind(values.type):
            return convert(values)
    try:
        return _in_quotes(values.cast(pa.string()))
    except pa.ArrowNotImplementedError:  # unions, intervals
        texts = [None if value is None else json_text(value) for value in values.to_pylist()]
        return pa.array(texts, pa.string())


def members(name: str, texts: pa.Array[Any]) -> pa.Array[Any]:
    """Return `"name": text` for each JSON text, null where it is null."""
    return _joined(pa.scalar(f"{quoted(name)}: "), texts)


def objects(parts: Sequence[pa.Array[Any]]) -> pa.Array[Any]:
    """Return the JSON objects with these members, each null where it has none; null where there is none at all."""
    # Joining with null_handling="skip" loses the rows of which all parts are null (pyarrow 26).
    ended = [pc.fill_null(_joined(part, pa.scalar(", ")), "") for part in parts]
    inside = pc.utf8_rtrim(_joined(*ended), characters=", ")
    whole = _joined(pa.scalar("{"), inside, pa.scalar("}"))
    return cast("pa.Array[Any]", pc.if_else(pc.not_equal(inside, ""), whole, pa.scalar(None, pa.string())))


def _joined(*parts: object) -> pa.Array[Any]:
    return cast("pa.Array[Any]", pc.binary_join_element_wise(*parts, ""))


def _in_quotes(texts: pa.Array[Any]) -> pa.Array[Any]:
    return _joined(pa.scalar('"'), texts, pa.scalar('"'))


def _strings(values: pa.Array[Any]) -> pa.Array[Any]:
    if pc.any(pc.match_substring_regex(values, _NEEDS_ESCAPE)).as_py():
        return pa.array([None if text is None else _escape(text) for text in values.to_pylist()], pa.string())
    return _in_quotes(values)


def _timestamps(values: pa.Array[Any]) -> pa.Array[Any]:
    kind: Any = values.type
    texts = values.cast(pa.timestamp(kind.unit, "UTC" if kind.tz else None)).cast(pa.string())
    return _in_quotes(pc.replace_substring(texts, " ", "T", max_replacements=1))


def _floats(values: pa.Array[Any]) -> pa.Array[Any]:
    numbers = values.cast(pa.float32()) if pa.types.is_float16(values.type) else values
    texts = numbers.cast(pa.string())
    finite = pc.is_finite(numbers)
    whole: pa.Array[Any] = (
        texts if pc.all(finite).as_py() is not False else pc.if_else(finite, texts, _in_quotes(texts))
    )
    return whole


def _as_they_are(values: pa.Array[Any]) -> pa.Array[Any]:
    return values.cast(pa.string())


def _encoded_bytes(values: pa.Array[Any]) -> pa.Array[Any]:
    texts = [None if value is None else f'"{base64.b64encode(value).decode()}"' for value in values.to_pylist()]
    return pa.array(texts, pa.string())


def _structs(values: pa.Array[Any]) -> pa.Array[Any]:
    struct: Any = values
    parts = [
        members(field.name, _or_null(json_texts(part)))
        for field, part in zip(struct.type, struct.flatten(), strict=True)
    ]
    inside = pc.binary_join_element_wise(*parts, ", ") if parts else pa.repeat(pa.scalar(""), len(values))
    return _where_valid(values, _joined(pa.scalar("{"), inside, pa.scalar("}")))


def _maps(values: pa.Array[Any]) -> pa.Array[Any]:
    maps: Any = values
    first, last = maps.offsets[0].as_py(), maps.offsets[-1].as_py()
    keys, items = (part.slice(first, last - first) for part in (maps.keys, maps.items))
    names = json_texts(keys)
    if not pa.types.is_string(keys.type):
        names = _strings(names)  # a JSON object has strings for keys
    pairs = _joined(names, pa.scalar(": "), _or_null(json_texts(items)))
    return _grouped(values, pc.subtract(maps.offsets, pa.scalar(first, pa.int32())), pairs, "{", "}")


def _lists(values: pa.Array[Any]) -> pa.Array[Any]:
    lists: Any = values.cast(pa.list_(cast("Any", values.type).value_type))
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths.cast(pa.int32()))])
    return _grouped(values, offsets, _or_null(json_texts(lists.flatten())), "[", "]")


def _grouped(
    values: pa.Array[Any], offsets: pa.Array[Any], parts: pa.Array[Any], opening: str, closing: str
) -> pa.Array[Any]:
    lists: Any = pa.ListArray
    inside = pc.binary_join(lists.from_arrays(offsets, parts), ", ")
    return _where_valid(values, _joined(pa.scalar(opening), inside, pa.scalar(closing)))


def _or_null(texts: pa.Array[Any]) -> pa.Array[Any]:
    return cast("pa.Array[Any]", pc.fill_null(texts, "null"))


def _where_valid(values: pa.Array[Any], texts: pa.Array[Any]) -> pa.Array[Any]:
    if not values.null_count:
        return texts
    return cast("pa.Array[Any]", pc.if_else(values.is_valid(), texts, pa.scalar(None, pa.string())))


_CONVERSIONS: Sequence[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array[Any]], pa.Array[Any]]]] = (
    (pa.types.is_string, _strings),
    (pa.types.is_floating, _floats),
    (pa.types.is_integer, _as_they_are),
    (pa.types.is_decimal, _as_they_are),
    (pa.types.is_boolean, _as_they_are),
    (pa.types.is_duration, _as_they_are),
    (pa.types.is_null, _as_they_are),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_binary, _encoded_bytes),
    (pa.types.is_struct, _structs),
    (pa.types.is_map, _maps),
    (pa.types.is_list, _lists),
)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"is not valid JSON: {name} is no JSON number")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"has an object with the key {name[:100]!r} twice")
            seen.add(name)
    return value


def strict_decoder(*, exact: bool) -> json.JSONDecoder:
    """Return a decoder that refuses what is no JSON (NaN, Infinity) and a key that stands twice in one object.

    Args:
        exact: numbers that are not whole become `JsonNumber`.
    """
    number = JsonNumber if exact else None
    return json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=number)
