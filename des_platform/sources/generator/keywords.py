"""One property's schema, read: from its keywords to its column; `schema` tells what they mean."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from math import gcd
from typing import TYPE_CHECKING

from des_platform.sources.generator import numbers, texts
from des_platform.sources.generator.numbers import MILLION, Scale
from des_platform.sources.generator.reading import MAX_UNITS, decimals_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from des_platform.sources.generator.drawing import Column, Scalar
    from des_platform.sources.generator.reading import Node

ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "examples", "default", "deprecated"}
"""Keywords that only describe."""

_COMMON = {"type", "x-des-nulls", "x-des-absent"} | ANNOTATIONS
_NUMERIC = {"minimum", "maximum", "multipleOf", "x-des-skew", "x-des-walk", "x-des-near"} | _COMMON
_TYPES = ("string", "integer", "number", "boolean", "null", "object", "array")
_FORMATS: dict[str, Callable[[], Column]] = {
    "date-time": lambda: texts.moment(0, texts.DAY_MS, increasing=False),
    "date": texts.calendar_day,
    "uuid": texts.identifier,
    "ipv4": texts.address,
}
_MAX_CHOICES = 10_000
_MAX_SLOTS = 1 << 16
_MAX_SKEW = 8
_MAX_LENGTH = 10_000
_MAX_OFFSETS = 1 << 20
_LETTERS = 40  # a text's room above its minLength, where there is no maxLength
_WIDTH = 1_000_000
_RESOLUTION = Decimal("0.001")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)|(24):(00):(00)")


def type_of(fields: Mapping[str, Node], node: Node) -> tuple[str, bool]:
    """The type that a schema names, empty where an enum or const stands for it, and whether null is admitted too."""
    if "type" not in fields:
        if not {"enum", "const", "x-des-with"} & set(fields):
            raise node.wrong(f"expected a type, one of {', '.join(_TYPES)}")
        return "", False
    found = fields["type"]
    names = [found.text()] if isinstance(found.value, str) else [entry.text() for entry in found.items(2)]
    for name in names:
        if name not in _TYPES:
            raise found.wrong(f"{name[:80]!r} is no type, expected one of {', '.join(_TYPES)}")
    kinds = [name for name in names if name != "null"]
    if len(kinds) > 1:
        raise found.wrong("expected one type, or one and null")
    return (kinds[0] if kinds else "null"), bool(kinds) and "null" in names


def column_of(node: Node, kind: str, *, nullable: bool, siblings: Mapping[str, Column]) -> Column:
    """Read the schema of a value that is neither object nor array.

    Args:
        node: the schema.
        kind: its type; empty for any.
        nullable: whether null is admitted beside.
        siblings: the columns of the same object that are drawn before, by name.
    """
    fields = node.mapping()
    if "x-des-with" in fields:
        return _attached(node.fields({"x-des-with"} | _COMMON), kind, siblings)
    if "enum" in fields:
        known = node.fields({"enum", "x-des-weights"} | _COMMON)
        entries = known["enum"].items(_MAX_CHOICES)
        values = tuple(_scalar(entry, kind, nullable=nullable) for entry in entries)
        return texts.choice(values, _weights(known, len(values)))
    if "const" in fields:
        value = _scalar(node.fields({"const"} | _COMMON)["const"], kind, nullable=nullable)
        return texts.choice((value,), (1,))
    if kind in {"integer", "number"}:
        return _number(node.fields(_NUMERIC), kind, siblings)
    if kind == "string":
        return _string(node)
    node.fields(_COMMON)
    return texts.choice((True, False), (1, 1)) if kind == "boolean" else texts.choice((None,), (1,))


def _scalar(node: Node, kind: str, *, nullable: bool) -> Scalar:
    value = node.value
    if value is None and (nullable or kind in {"", "null"}):
        return None
    if isinstance(value, str) and kind in {"", "string"}:
        return value
    if isinstance(value, bool) and kind in {"", "boolean"}:
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool) and kind in {"", "integer", "number"}:
        number = node.number()
        if kind != "integer" or number == int(number):
            return value
    wanted = f"a value of type {kind}" if kind else "a string, number, boolean or null"
    raise node.wrong(f"expected {wanted}, found {shown(value)}")


def _weights(fields: Mapping[str, Node], count: int) -> tuple[int, ...]:
    if "x-des-weights" not in fields:
        return (1,) * count
    node = fields["x-des-weights"]
    weights = [entry.integer(0, MILLION) for entry in node.items(_MAX_CHOICES)]
    if len(weights) != count:
        raise node.wrong(f"has {len(weights):,} items, and enum has {count:,}")
    common = gcd(*weights)
    if common == 0:
        raise node.wrong("at least one weight must be above 0")
    if sum(weights) // common > _MAX_SLOTS:
        raise node.wrong(f"the weights add up to {sum(weights) // common:,}, expected at most {_MAX_SLOTS:,}")
    return tuple(weight // common for weight in weights)


def _attached(fields: Mapping[str, Node], kind: str, siblings: Mapping[str, Column]) -> Column:
    known = fields["x-des-with"].fields({"of", "values"})
    of, keys = _choice_of(fields["x-des-with"], known, "of", siblings)
    by_key = _field(fields["x-des-with"], known, "values").mapping()
    values = [_scalar(_entry(known["values"], by_key, key), kind, nullable=False) for key in keys]
    return texts.attached(of, tuple(values))


def _choice_of(
    node: Node, fields: Mapping[str, Node], keyword: str, siblings: Mapping[str, Column]
) -> tuple[str, tuple[str, ...]]:
    """The property that a keyword names, and its values: it must be an enum of strings."""
    name = _field(node, fields, keyword).text()
    values = siblings[name].values if name in siblings else ()
    keys = tuple(value for value in values if isinstance(value, str))
    if not keys or len(keys) != len(values):
        raise fields[keyword].wrong(f"{name[:80]!r} is no property beside this one that is an enum of strings")
    return name, keys


def _field(node: Node, fields: Mapping[str, Node], name: str) -> Node:
    if name not in fields:
        raise node.wrong(f"expected the field {name!r}")
    return fields[name]


def _entry(node: Node, entries: Mapping[str, Node], key: str) -> Node:
    if key not in entries:
        raise node.wrong(f"has nothing for {key[:80]!a}, expected an entry for every value of the enum")
    return entries[key]


def _number(fields: Mapping[str, Node], kind: str, siblings: Mapping[str, Column]) -> Column:
    special = [name for name in ("x-des-walk", "x-des-near", "x-des-skew") if name in fields]
    if len(special) > 1:
        raise fields[special[1]].wrong(f"cannot stand beside {special[0]}")
    scale = _scale(fields, kind)
    if "x-des-walk" in fields:
        return _walk(fields["x-des-walk"], scale, siblings)
    if "x-des-near" in fields:
        return _near(fields, scale, siblings)
    skew = fields["x-des-skew"].integer(2, _MAX_SKEW) if "x-des-skew" in fields else 1
    return numbers.independent(scale, skew)


def _scale(fields: Mapping[str, Node], kind: str) -> Scale:
    """The multiples of `multipleOf` between minimum and maximum; of 1 or 0.001 where it is not given."""
    unit = Decimal(1) if kind == "integer" else _RESOLUTION
    if "multipleOf" in fields:
        unit = fields["multipleOf"].number()
        if unit <= 0 or (kind == "integer" and unit != int(unit)):
            what = "a whole number" if kind == "integer" else "a number"
            raise fields["multipleOf"].wrong(f"expected {what} above 0, found {unit}")
    least = fields["minimum"].number() if "minimum" in fields else None
    most = fields["maximum"].number() if "maximum" in fields else None
    if least is None:
        least = Decimal(0) if most is None or most >= 0 else most - _WIDTH
    if most is None:
        most = least + _WIDTH
    decimals = decimals_of(unit)
    step = int(unit.scaleb(decimals))
    low = int((least / unit).to_integral_value(ROUND_CEILING)) * step
    high = int((most / unit).to_integral_value(ROUND_FLOOR)) * step
    limit = next((fields[name] for name in ("maximum", "minimum", "multipleOf") if name in fields), None)
    if limit is not None and low > high:
        raise limit.wrong(f"there is no multiple of {unit} from {least} to {most}")
    if limit is not None and max(-low, high) > MAX_UNITS:
        raise limit.wrong(f"numbers up to {max(-least, most)} in units of {unit} have more than 15 digits")
    return Scale(decimals, step, low, high)


def _walk(node: Node, scale: Scale, siblings: Mapping[str, Column]) -> Column:
    fields = node.fields({"start", "step", "vary", "by", "relative"})
    start = _field(node, fields, "start")
    by, starts = None, [start]
    if "by" in fields:
        by, keys = _choice_of(node, fields, "by", siblings)
        if isinstance(start.value, dict):
            entries = start.mapping()
            starts = [_entry(start, entries, key) for key in keys]
        else:
            starts = [start] * len(keys)
    relative = fields["relative"].flag() if "relative" in fields else False
    unit = Fraction(1, MILLION) if relative else Fraction(scale.step, 10**scale.decimals)
    moves = numbers.bell(_size(_field(node, fields, "step"), unit, scale))
    if not any(moves):
        raise fields["step"].wrong("is so small, compared with multipleOf, that the walk would stand still")
    vary = int(_size(fields["vary"], unit, scale)) if "vary" in fields else 0
    return numbers.walk(
        scale, by, tuple(_start(entry, scale) for entry in starts), vary=vary, moves=moves, relative=relative
    )


def _size(node: Node, unit: Fraction, scale: Scale) -> Fraction:
    size = Fraction(node.number()) / unit
    if not 0 <= size <= max(MILLION, scale.high - scale.low):
        raise node.wrong(f"expected a number from 0 to the width of the property's range, found {shown(node.value)}")
    return size


def _start(node: Node, scale: Scale) -> int:
    units = node.units(scale.decimals)
    if units % scale.step or not scale.low <= units <= scale.high:
        raise node.wrong(f"{node.number()} is none of the property's numbers: see its minimum, maximum and multipleOf")
    return units // scale.step


def _near(numeric: Mapping[str, Node], scale: Scale, siblings: Mapping[str, Column]) -> Column:
    node = numeric["x-des-near"]
    fields = node.fields({"of", "least", "most"})
    name = _field(node, fields, "of").text()
    other = siblings[name].scale if name in siblings and siblings[name].rank < 2 else None  # noqa: PLR2004
    if other is None:
        raise fields["of"].wrong(f"{name[:80]!r} is no property beside this one that has numbers of its own")
    least, most = (_field(node, fields, bound).units(scale.decimals) for bound in ("least", "most"))
    if not 0 <= most - least < _MAX_OFFSETS * scale.step:
        raise fields["most"].wrong("expected a number from least on, and not further than 1,000,000 steps")
    if other.decimals > scale.decimals:
        raise node.wrong(f"the property has {scale.decimals} places after the point, and {name!r} has {other.decimals}")
    factor = 10 ** (scale.decimals - other.decimals)
    if least % scale.step or other.step * factor % scale.step:
        raise node.wrong("would give numbers that are not a multiple of the property's multipleOf")
    low, high = other.low * factor + least, other.high * factor + most
    if ("minimum" in numeric and low < scale.low) or ("maximum" in numeric and high > scale.high):
        raise node.wrong(f"would give numbers outside minimum and maximum: {name!r} with what is added goes beyond")
    if max(-low, high) > MAX_UNITS:
        raise node.wrong("would give numbers of more than 15 digits")
    return numbers.near(Scale(scale.decimals, scale.step, low, high), name, factor, range(least, most + 1, scale.step))


def _string(node: Node) -> Column:
    fields = node.mapping()
    if "format" in fields:
        name = node.fields({"format", "x-des-increasing"} | _COMMON)["format"].text()
        if name not in _FORMATS:
            raise fields["format"].wrong(f"{name[:80]!r} is not generated, expected one of {', '.join(_FORMATS)}")
        if "x-des-increasing" not in fields:
            return _FORMATS[name]()
        if name != "date-time":
            raise fields["x-des-increasing"].wrong("goes with the format date-time alone")
        return _increasing(fields["x-des-increasing"])
    node.fields({"minLength", "maxLength"} | _COMMON)
    shortest = fields["minLength"].integer(0, _MAX_LENGTH) if "minLength" in fields else 1
    longest = fields["maxLength"].integer(0, _MAX_LENGTH) if "maxLength" in fields else shortest + _LETTERS
    if "minLength" not in fields:
        shortest = min(shortest, longest)
    if longest < shortest:
        raise fields["maxLength"].wrong(f"is below minLength, which is {shortest}")
    return texts.words(shortest, longest)


def _increasing(node: Node) -> Column:
    fields = node.fields({"from", "to"})
    start, end = (_clock(_field(node, fields, name)) for name in ("from", "to"))
    if end <= start:
        raise fields["to"].wrong("must be later than from")
    return texts.moment(start, end, increasing=True)


def _clock(node: Node) -> int:
    """Milliseconds from midnight."""
    found = _CLOCK.fullmatch(node.text())
    if found is None:
        raise node.wrong(f"expected HH:MM:SS up to 24:00:00, found {shown(node.value)}")
    hours, minutes, seconds = (int(part) for part in found.groups() if part is not None)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000
