"""A table's declared columns, and the JSON document in which people write them down.

The document is `{"fields": [{"name": ..., "type": ..., "required": ..., ...}]}`: our own words for types
(`catalog.table_spec.COLUMN_TYPE`), the words that schema documents of other systems use (`integer`, `bytes`, `record`,
`array`, `map`, `union`), and Avro's notation (`["null", "long"]`, `{"type": "long", "logicalType": ...}`). What nests
becomes `json`. A document that no table could have is refused with `ConfigurationError`, which names the field;
nothing in it is ignored but Avro's `namespace` and the like at the top.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from des_platform.catalog.table_spec import COLUMN_TYPE
from des_platform.catalog.text import storable
from des_platform.lake.column_rules import LONGEST_NAME, canonical, check_names
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_FIELDS: Final = 1000
_MOST_DIGITS: Final = 38
_SYNONYMS: Final = {
    "integer": "int",
    "bytes": "binary",
    "fixed": "binary",
    "enum": "string",
    "record": "json",
    "array": "json",
    "map": "json",
    "union": "json",
}
_LOGICAL: Final = {
    "date": "date",
    "time-micros": "time",
    "timestamp-millis": "timestamp",
    "timestamp-micros": "timestamp",
    "local-timestamp-millis": "timestamp_ntz",
    "local-timestamp-micros": "timestamp_ntz",
    "uuid": "string",
}
_DECIMAL: Final = re.compile(r"decimal\((\d+),(\d+)\)")
_KEYS: Final = frozenset({"name", "type", "required", "nullable", "renamed_from", "description", "doc", "field_id"})
# What documents say of the inside of a nested column, which is one value here.
_INSIDE: Final = {"map": "values", "array": "items", "record": "fields"}


@dataclass(frozen=True, slots=True)
class Field:
    """One declared column.

    Attributes:
        name: its name.
        type: one of the types that a column may have, as `canonical` writes it.
        required: whether every row has a value.
        field_id: the number by which Iceberg knows the column, whatever its name; None before a table has it.
        description: for people.
        renamed_from: the name that the column had before; of use to `diff` alone.
    """

    name: str
    type: str
    required: bool = False
    field_id: int | None = None
    description: str = ""
    renamed_from: str | None = None


def parse_definition(document: object) -> tuple[Field, ...]:
    """Read a schema document.

    Args:
        document: the parsed JSON, from anywhere.

    Returns:
        The columns in order.

    Raises:
        ConfigurationError: no table could have these columns; the message names the field.
    """
    if not isinstance(document, dict) or not isinstance(document.get("fields"), list):
        raise ConfigurationError(
            f'a schema is an object {{"fields": [{{"name": ..., "type": ...}}]}}, found {_shown(document)}'
        )
    found = document["fields"]
    if not 0 < len(found) <= MOST_FIELDS:
        raise ConfigurationError(f"a schema has 1 to {MOST_FIELDS} fields, found {len(found)}")
    fields = tuple(_field(position, item) for position, item in enumerate(found, start=1))
    check_names(field.name for field in fields)
    ids = [field.field_id for field in fields if field.field_id is not None]
    for field in fields:
        if ids.count(field.field_id or 0) > 1:
            raise ConfigurationError(f"field {field.name!r}: another field has field_id {field.field_id} too")
    return fields


def to_definition(fields: Iterable[Field]) -> dict[str, Any]:
    """Write columns as the schema document that `parse_definition` reads back."""
    return {"fields": [field_json(field) for field in fields]}


def field_json(field: Field) -> dict[str, Any]:
    """Write one column as it stands in a schema document."""
    written: dict[str, Any] = {"name": field.name, "type": field.type, "required": field.required}
    optional = {"field_id": field.field_id, "description": field.description, "renamed_from": field.renamed_from}
    return written | {key: value for key, value in optional.items() if value}


def field_from_json(item: object) -> Field:
    """Read one column of a schema document.

    Raises:
        ConfigurationError: it is none.
    """
    field = _field(1, item)
    check_names([field.name])
    return field


def _field(position: int, item: object) -> Field:
    if not isinstance(item, dict):
        raise ConfigurationError(f"field number {position}: expected an object, found {_shown(item)}")
    name = item.get("name")
    if not isinstance(name, str):
        raise ConfigurationError(f"field number {position}: expected a name, found {_shown(name)}")
    where = f"field {name[:LONGEST_NAME]!r}"
    nested = item.get("type")
    inside = {_INSIDE[nested]} if isinstance(nested, str) and nested in _INSIDE else set()
    for key in sorted(map(str, item.keys() - _KEYS - inside)):
        raise ConfigurationError(f"{where}: unknown entry {key!r}, expected some of {', '.join(sorted(_KEYS))}")
    kind, optional = _type(where, item.get("type"))
    field = Field(
        name,
        kind,
        required=_required(where, item, optional=optional),
        field_id=item.get("field_id"),
        description=_text(where, "description", item.get("description", item.get("doc", ""))),
        renamed_from=item.get("renamed_from"),
    )
    if field.field_id is not None and (type(field.field_id) is not int or field.field_id < 1):
        raise ConfigurationError(f"{where}: field_id is a number from 1 on, found {_shown(field.field_id)}")
    if field.renamed_from is not None:
        _text(where, "renamed_from", field.renamed_from)
    return replace(field, renamed_from=None) if field.renamed_from == name else field


def _text(where: str, key: str, found: object) -> str:
    if not isinstance(found, str) or storable(found) != found:
        raise ConfigurationError(f"{where}: {key} is text, found {_shown(found)}")
    return found


def _required(where: str, item: Mapping[str, Any], *, optional: bool) -> bool:
    said = {key: item[key] for key in ("required", "nullable") if key in item}
    for key, value in said.items():
        if not isinstance(value, bool):
            raise ConfigurationError(f"{where}: {key} is true or false, found {_shown(value)}")
    required = said.get("required", not said.get("nullable", True))
    if required and (optional or said.get("nullable", False)):
        raise ConfigurationError(f"{where}: it cannot be required and nullable at once")
    return bool(required)


def _type(where: str, found: object) -> tuple[str, bool]:
    """The type of a field in our words, and whether a union makes it optional."""
    if isinstance(found, list):
        members = [member for member in found if member != "null"]
        if not members:
            raise ConfigurationError(f"{where}: a column of nulls alone has no type; leave it out or name its type")
        if any(isinstance(member, list) for member in members):
            raise ConfigurationError(f"{where}: a union within a union")
        kinds = [_type(where, member)[0] for member in members]
        return kinds[0] if len(kinds) == 1 else "json", len(members) < len(found)
    if isinstance(found, dict):
        return _avro_type(where, found), False
    if not isinstance(found, str):
        raise ConfigurationError(f"{where}: expected a type, found {_shown(found)}")
    if found == "null":
        raise ConfigurationError(f"{where}: a column of nulls alone has no type; leave it out or name its type")
    return _known(where, found), False


def _avro_type(where: str, found: Mapping[str, Any]) -> str:
    logical = found.get("logicalType")
    if logical == "decimal":
        return _known(where, f"decimal({found.get('precision')},{found.get('scale', 0)})")
    if isinstance(logical, str) and logical in _LOGICAL:
        return _LOGICAL[logical]
    if not isinstance(found.get("type"), str):
        raise ConfigurationError(f"{where}: expected a type, found {_shown(found)}")
    return _known(where, found["type"])


def _known(where: str, word: str) -> str:
    kind = _SYNONYMS.get(word, word)
    if not re.fullmatch(COLUMN_TYPE, kind):
        raise ConfigurationError(
            f"{where}: unknown type {_shown(word)}, expected string, int, long, float, double, boolean, date, time,"
            f" timestamp, timestamp_ntz, binary, json, decimal(P,S) or one of {', '.join(_SYNONYMS)}"
        )
    kind = canonical(kind)
    if (digits := _DECIMAL.fullmatch(kind)) and not int(digits[2]) <= int(digits[1]) <= _MOST_DIGITS:
        raise ConfigurationError(f"{where}: {kind} needs at most {_MOST_DIGITS} digits, the scale among them")
    return kind


def _shown(value: object) -> str:
    if isinstance(value, list | dict):  # may nest deeper than Python can print
        return f"{type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} {str(value)[:60]!r}"
