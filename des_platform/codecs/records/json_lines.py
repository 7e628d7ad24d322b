"""Templates of JSON lines: the order of the keys, and what stands around them.

A value is a field, whatever it is; an object whose keys are always the same is taken apart into fields of its own,
named `outer.inner`. A line with a key twice, or with a key that cannot be a column's name, has no template.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from des_platform.codecs.records.templates import Anchors, Field, Template

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.codecs.records.lines import Block

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_SPACE = re.compile(rb"[ \t\r]*")
_LITERAL = re.compile(rb"[^\s,\]}\[{\":]+")
_MAX_FIELDS = 500
_MAX_DEPTH = 8
OWN_PREFIX = "des:"
"""No column of a file may be named like those that are ours."""


def json_anchors(block: Block) -> Anchors:
    """The quotes of a block that no backslash escapes."""
    return Anchors(block, block.quotes, b'"')


def uniform_objects(lines: Iterable[bytes]) -> frozenset[str]:
    """Paths of the objects that have the same keys wherever they are."""
    keys: dict[str, tuple[str, ...] | None] = {}
    for line in lines:
        try:
            _collect(json.loads(line), "", keys, 0)
        except (ValueError, RecursionError):
            continue
    return frozenset(path for path, found in keys.items() if found)


def _collect(value: Any, path: str, keys: dict[str, tuple[str, ...] | None], depth: int) -> None:  # noqa: ANN401 - JSON
    plain = not isinstance(value, dict) or depth > _MAX_DEPTH
    if path and (plain or keys.setdefault(path, tuple(value)) != tuple(value)):
        keys[path] = None
    if isinstance(value, dict) and keys.get(path, ()) is not None:
        for key, inner in value.items():
            _collect(inner, f"{path}.{key}" if path else key, keys, depth + 1)


def json_template(line: bytes, objects: frozenset[str]) -> Template | None:
    """The template of a line, or None if it is no object that has one.

    Args:
        line: without its line feed.
        objects: paths of the objects to take apart.
    """
    constants: list[bytes] = []
    fields: list[Field] = []
    try:
        end, begin = _object(line, _skip(line, 0), "", 1, objects, constants, fields, 0)
    except (ValueError, RecursionError):
        return None
    if _skip(line, end) != len(line) or not fields or len(fields) > _MAX_FIELDS:
        return None
    names = [field.column for field in fields]
    if len(set(names)) < len(names) or not all(_is_name(name) for name in names) or b"\0" in line:
        return None
    return Template((*constants, line[begin:]), tuple(fields))


def _is_name(name: str) -> bool:
    return bool(name) and not name.startswith(OWN_PREFIX) and name.isprintable()


def _object(  # noqa: PLR0917 - the state of a recursive descent
    line: bytes,
    place: int,
    path: str,
    depth: int,
    objects: frozenset[str],
    constants: list[bytes],
    fields: list[Field],
    begin: int,
) -> tuple[int, int]:
    """Take an object apart; returns where it ends, and where the constant begins that goes on behind its last field."""
    place = _expect(line, place, b"{")
    if line[place : place + 1] == b"}":
        raise ValueError("an empty object is no field")
    while True:
        key = _match(_STRING, line, place)
        name = json.loads(line[place:key])
        name = f"{path}.{name}" if path else name
        place = _expect(line, _skip(line, key), b":")
        if name in objects and line[place : place + 1] == b"{":
            place, begin = _object(line, place, name, depth + 1, objects, constants, fields, begin)
        else:
            constants.append(line[begin:place])
            fields.append(Field(name, -1, depth))
            place = begin = _value(line, place)
        place = _skip(line, place)
        if line[place : place + 1] == b"}":
            return place + 1, begin
        place = _expect(line, place, b",")


def _skip(line: bytes, place: int) -> int:
    match = _SPACE.match(line, place)
    return match.end() if match else place


def _match(pattern: re.Pattern[bytes], line: bytes, place: int) -> int:
    match = pattern.match(line, place)
    if match is None:
        raise ValueError(f"not JSON at {place}")
    return match.end()


def _expect(line: bytes, place: int, sign: bytes) -> int:
    if line[place : place + 1] != sign:
        raise ValueError(f"no {sign!r} at {place}")
    return _skip(line, place + 1)


def _value(line: bytes, place: int) -> int:
    """Where a value ends."""
    first = line[place : place + 1]
    if first == b'"':
        return _match(_STRING, line, place)
    if first not in {b"{", b"["}:
        return _match(_LITERAL, line, place)
    depth = 0
    while True:
        sign = line[place : place + 1]
        if not sign:
            raise ValueError("the line ends within a value")
        if sign == b'"':
            place = _match(_STRING, line, place)
            continue
        depth += (sign in b"{[") - (sign in b"}]")
        place += 1
        if not depth:
            return place
