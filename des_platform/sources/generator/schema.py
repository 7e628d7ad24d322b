"""A generator's schema: a JSON Schema (draft 2020-12) of an object, and keywords of ours that say how values go.

Understood are `type` (one, and `null` beside it), `enum`, `const`, `minimum`, `maximum`, `multipleOf`, `minLength`,
`maxLength`, `format` (date-time, date, uuid, ipv4), `properties`, `required`, `items`, `minItems`, `maxItems`, and what
only describes. Everything generated is valid under the schema as any validator reads it. Ours:

* `x-des-dataset` of the whole: name of the data set; the file's name if it is not given.
* `x-des-weights`: how often each value of `enum` is drawn, whole numbers in its order.
* `x-des-with: {of, values}`: the value that belongs to the one that property `of`, an enum of strings, has in this row.
* `x-des-walk: {start, step, vary, by, relative}`: a random walk from `start` (a number, or one for each value of
  property `by`); `step` is the standard deviation of a row's change, `vary` the most by which a day's first value
  differs from `start`; with `relative: true` both are fractions of the value. It never leaves minimum and maximum.
* `x-des-near: {of, least, most}`: the number of property `of` plus anything from `least` to `most`.
* `x-des-skew`: 2 to 8; numbers crowd at their minimum, the more the higher.
* `x-des-increasing: {from, to}`: times that increase strictly from row to row, from HH:MM:SS to HH:MM:SS (UTC).
* `x-des-nulls`, `x-des-absent`: which fraction of the values is null where `type` admits null, or is left out where
  `required` does not name the property; 0.1 unless given.

A range that is not given is 1,000,000 wide. Schemas are hostile: size, depth, properties and the width of a row are
bounded, and every mistake is a `ConfigurationError` of one line that names its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform.settings import ConfigurationError
from des_platform.sources.generator.keywords import ANNOTATIONS, column_of, type_of
from des_platform.sources.generator.reading import MAX_BYTES, read

if TYPE_CHECKING:
    from des_platform.sources.generator.drawing import Column
    from des_platform.sources.generator.reading import Node

SHIPPED = ("stock_market", "weather")
"""Schemas that come with the platform, by name."""

MAX_DEPTH = 6
MAX_PROPERTIES = 256
MAX_ROW_BYTES = 64 * 1024
"""The widest row that a schema may make possible."""

_MAX_ITEMS = 1_000
_MAX_NAME = 200
_OBJECT = {"type", "properties", "required", "additionalProperties", "x-des-absent"} | ANNOTATIONS
_ARRAY = {"type", "items", "minItems", "maxItems", "x-des-absent"} | ANNOTATIONS
_DATASET = re.compile(r"[a-z][a-z0-9_]{0,62}")
_OFTEN = 0.1


@dataclass(frozen=True, slots=True)
class Listed:
    """An array of `least` to `most` items; the item is a property without a name."""

    item: Property
    least: int
    most: int

    @property
    def widest(self) -> int:
        """Most characters of the array's text."""
        return self.most * (self.item.content.widest + 1) + 2


@dataclass(frozen=True, slots=True)
class Property:
    """A property of an object.

    Attributes:
        name: its name.
        path: JSON pointer of its schema.
        content: what its values are.
        nulls: fraction of the values that is null.
        absent: fraction of the objects that lack it.
    """

    name: str
    path: str
    content: Column | Listed | Group
    nulls: float
    absent: float


@dataclass(frozen=True, slots=True)
class Group:
    """An object: its properties in order; there is at least one."""

    properties: tuple[Property, ...]

    @property
    def widest(self) -> int:
        """Most characters of the object's text."""
        return 2 + sum(12 * len(found.name) + found.content.widest + 4 for found in self.properties)


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that has been checked.

    Attributes:
        dataset: name of the data set whose files it describes.
        origin: where it was read, for messages.
        text: the schema as it was read.
        root: a row.
    """

    dataset: str
    origin: str
    text: str
    root: Group


def load_schema(which: str) -> Schema:
    """Read a schema that is shipped, by its name, or a file, by its path.

    Raises:
        ConfigurationError: there is none, or it is wrong.
    """
    if which in SHIPPED:
        text = resources.files(__package__ or "").joinpath("schemas", f"{which}.json").read_text(encoding="utf-8")
        return parse_schema(text, which, which)
    path = Path(which)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{which!r} is no text in UTF-8: byte {error.start} is wrong") from None
    except (OSError, ValueError) as error:
        shipped = " or ".join(SHIPPED)
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"the schema {which!r} cannot be read ({reason}): give {shipped}, or the path of a JSON Schema"
        ) from None
    return parse_schema(text, which, path.stem)


def parse_schema(text: str, origin: str, name: str) -> Schema:
    """Read a schema.

    Args:
        text: the JSON.
        origin: what it is called in messages.
        name: name of the data set, where the schema does not say.

    Raises:
        ConfigurationError: it is wrong; the message names the place.
    """
    whole = read(text, origin)
    reader = _Reader()
    fields = whole.fields(_OBJECT | {"x-des-dataset"})
    dataset = fields["x-des-dataset"].text() if "x-des-dataset" in fields else name
    if not _DATASET.fullmatch(dataset):
        raise whole.wrong(
            f"the data set cannot be called {dataset[:80]!r}: give it a lower-case identifier in x-des-dataset"
        )
    if type_of(fields, whole) != ("object", False) or "x-des-absent" in fields:
        raise whole.wrong("expected the schema of an object: type 'object', with properties")
    root = reader.group(whole, fields, 1)
    if root.widest > MAX_ROW_BYTES:
        raise whole.wrong(f"a row could have {root.widest:,} bytes, and may have {MAX_ROW_BYTES:,}")
    return Schema(dataset, origin, text, root)


class _Reader:
    """Reads objects and arrays; counts the properties."""

    def __init__(self) -> None:
        self._properties = 0

    def group(self, node: Node, fields: dict[str, Node], depth: int) -> Group:
        """Read an object's schema."""
        if depth > MAX_DEPTH:
            raise node.wrong(f"is nested more than {MAX_DEPTH} deep")
        if "properties" not in fields or not fields["properties"].value:
            raise node.wrong("expected properties, at least one")
        nodes = fields["properties"].mapping()
        self._properties += len(nodes)
        if self._properties > MAX_PROPERTIES:
            raise node.wrong(f"the schema has more than {MAX_PROPERTIES} properties")
        required = self._required(fields, nodes)
        found: dict[str, Property] = {}
        # What follows another property is read after it: walks by a choice, and then what is near a walk.
        for name in sorted(nodes, key=lambda name: _rank(nodes[name])):
            found[name] = self._property(name, nodes[name], found, required=name in required, depth=depth)
        return Group(tuple(found[name] for name in nodes))

    def _property(
        self, name: str, node: Node, siblings: dict[str, Property], *, required: bool, depth: int
    ) -> Property:
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            raise node.wrong(f"a property's name is 1 to {_MAX_NAME} printable characters")
        fields = node.mapping()
        absent = 0.0 if required else _OFTEN
        if "x-des-absent" in fields:
            absent = fields["x-des-absent"].fraction()
            if required:
                raise fields["x-des-absent"].wrong("the property is required, so it is never absent")
        content, nullable = self._content(node, fields, siblings, depth)
        nulls = _OFTEN if nullable else 0.0
        if "x-des-nulls" in fields:
            nulls = fields["x-des-nulls"].fraction()
            if not nullable:
                raise fields["x-des-nulls"].wrong('the property is never null: its type does not have "null" in it')
        return Property(name, node.path, content, nulls, absent)

    def _content(
        self, node: Node, fields: dict[str, Node], siblings: dict[str, Property], depth: int
    ) -> tuple[Column | Listed | Group, bool]:
        kind, nullable = type_of(fields, node)
        if kind in {"object", "array"}:
            if nullable:
                raise fields["type"].wrong("an object or an array is never null here: leave it out of required instead")
            if kind == "object":
                return self.group(node, node.fields(_OBJECT), depth + 1), False
            return self._listed(node, node.fields(_ARRAY), depth + 1), False
        columns = {
            sibling.name: sibling.content
            for sibling in siblings.values()
            if not isinstance(sibling.content, Listed | Group)
        }
        return column_of(node, kind, nullable=nullable, siblings=columns), nullable

    def _listed(self, node: Node, fields: dict[str, Node], depth: int) -> Listed:
        if depth > MAX_DEPTH:
            raise node.wrong(f"is nested more than {MAX_DEPTH} deep")
        if "items" not in fields:
            raise node.wrong("expected items, the schema of what the array holds")
        least = fields["minItems"].integer(0, _MAX_ITEMS) if "minItems" in fields else 0
        most = fields["maxItems"].integer(0, _MAX_ITEMS) if "maxItems" in fields else least + 5
        if most < least:
            raise fields["maxItems"].wrong(f"is below minItems, which is {least}")
        item = fields["items"]
        content, nullable = self._content(item, item.mapping(), {}, depth)
        if nullable:
            raise item.wrong("an item of an array is never null here")
        return Listed(Property("", item.path, content, 0.0, 0.0), least, most)

    def _required(self, fields: dict[str, Node], nodes: dict[str, Node]) -> set[str]:
        if "required" not in fields or fields["required"].value == []:
            return set()
        names = set()
        for entry in fields["required"].items(MAX_PROPERTIES):
            if entry.text() not in nodes:
                raise entry.wrong(f"{entry.text()[:80]!r} is no property")
            names.add(entry.text())
        return names


def _rank(node: Node) -> int:
    keywords = node.value if isinstance(node.value, dict) else {}
    return 2 if {"x-des-with", "x-des-near"} & set(keywords) else 1 if "x-des-walk" in keywords else 0
