"""Changes of a schema: what differs between two, as JSON and back, and each one's opposite.

The changes of one list happen at once: each names its column as the schema had it before all of them (an added one
as it is added), so two columns may even swap their names. `old` and `new` are JSON objects:

    add_column                        new: the field
    drop_column                       old: the field
    rename_column                     old: {"name"}      new: {"name"}
    change_type                       old: {"type"}      new: {"type"}
    add_constraint, drop_constraint   old: {"required"}  new: {"required"}

Where the former schema knows field ids, `old` carries `field_id` too, which finds the column whatever became of its
name. The order of columns and their descriptions are no changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from des_platform.catalog.text import storable
from des_platform.lake.column_rules import canonical
from des_platform.lake.evolution.fields import Field, field_from_json, field_json
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ChangeType(StrEnum):
    """What a change does."""

    ADD_COLUMN = "add_column"
    DROP_COLUMN = "drop_column"
    RENAME_COLUMN = "rename_column"
    CHANGE_TYPE = "change_type"
    ADD_CONSTRAINT = "add_constraint"
    DROP_CONSTRAINT = "drop_constraint"


_PART = {
    ChangeType.RENAME_COLUMN: "name",
    ChangeType.CHANGE_TYPE: "type",
    ChangeType.ADD_CONSTRAINT: "required",
    ChangeType.DROP_CONSTRAINT: "required",
}
_ENTRIES = {"name": str, "type": str, "required": bool, "field_id": int, "description": str, "renamed_from": str}
_OPPOSITES = {
    ChangeType.ADD_COLUMN: ChangeType.DROP_COLUMN,
    ChangeType.DROP_COLUMN: ChangeType.ADD_COLUMN,
    ChangeType.ADD_CONSTRAINT: ChangeType.DROP_CONSTRAINT,
    ChangeType.DROP_CONSTRAINT: ChangeType.ADD_CONSTRAINT,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one column.

    Attributes:
        type: what it does.
        column: the column's name before the change; that of an added one.
        old: what was there before, None for an added column.
        new: what is there then, None for a dropped column.
        description: the change in words.
    """

    type: ChangeType
    column: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write the change as JSON, which `from_json` reads back."""
        return {
            "type": self.type.value,
            "column": self.column,
            "old": dict(self.old) if self.old is not None else None,
            "new": dict(self.new) if self.new is not None else None,
            "description": self.description,
        }

    @classmethod
    def from_json(cls, document: object) -> Change:
        """Read a change; what a change must know of itself but is not said is filled in.

        Raises:
            ConfigurationError: it is none; the message names the column.
        """
        if not isinstance(document, dict):
            raise ConfigurationError(f"a change is an object, found {type(document).__name__}")
        column, kind, description = (document.get(key) or "" for key in ("column", "type", "description"))
        if not isinstance(column, str) or not column or storable(column) != column:
            raise ConfigurationError("a change names its column: an entry 'column' is missing or no text")
        if not isinstance(kind, str) or kind not in list(ChangeType):
            found = repr(kind) if isinstance(kind, str) else type(kind).__name__
            raise ConfigurationError(f"column {column!r}: unknown change {found}, expected {', '.join(ChangeType)}")
        if not isinstance(description, str):
            raise ConfigurationError(f"column {column!r}: a description is text")
        change = cls(
            ChangeType(kind),
            column,
            _side(column, "old", document.get("old")),
            _side(column, "new", document.get("new")),
            storable(description),
        )
        return _complete(change)


def diff(old: Iterable[Field], new: Iterable[Field], renames: Mapping[str, str] | None = None) -> list[Change]:
    """Compare two schemas.

    Columns are the same where their field ids are, or else their names, or else where a rename is declared. A rename
    of a name that the old schema does not know, or to one that it knows already, has happened before and says nothing.

    Args:
        old: the columns before.
        new: the columns after.
        renames: new name to old name, beside `Field.renamed_from`.

    Returns:
        The changes that lead from one to the other; empty where they are the same.

    Raises:
        ConfigurationError: two columns come from the same one.
    """
    before = tuple(old)
    pairs = _pairs(before, tuple(new), renames or {})
    kept = {source.name for _, source in pairs if source is not None}
    changes = [change for field, source in pairs if source is not None for change in _altered(source, field)]
    changes += [added(field) for field, source in pairs if source is None]
    return changes + [dropped(field) for field in before if field.name not in kept]


def inverse(change: Change, renamed: Mapping[str, str] | None = None) -> Change:
    """The change that undoes another one.

    Args:
        change: the change.
        renamed: old name to new name of the columns that were renamed together with it.
    """
    column = (renamed or {}).get(change.column, change.column)
    kind = _OPPOSITES.get(change.type, change.type)
    old, new = change.new, change.old
    if change.type in _PART and change.old is not None and "field_id" in change.old:
        old = {**(old or {}), "field_id": change.old["field_id"]}
        new = {key: value for key, value in change.old.items() if key != "field_id"}
    if change.type is ChangeType.RENAME_COLUMN and old is not None:
        column = old["name"]
    return Change(kind, column, old, new, f"undo: {change.description}" if change.description else "")


def inverses(changes: Sequence[Change]) -> list[Change]:
    """The changes that undo a list of changes, all at once."""
    renamed = {
        change.column: change.new["name"]
        for change in changes
        if change.type is ChangeType.RENAME_COLUMN and change.new is not None
    }
    return [inverse(change, renamed) for change in reversed(changes)]


def added(field: Field) -> Change:
    """The addition of a column; the table gives it its field id, whatever a document says."""
    field = replace(field, field_id=None, renamed_from=None)
    return Change(ChangeType.ADD_COLUMN, field.name, None, field_json(field), f"add {field.name} ({_words(field)})")


def dropped(field: Field) -> Change:
    """The drop of a column."""
    return Change(ChangeType.DROP_COLUMN, field.name, field_json(field), None, f"drop {field.name} ({_words(field)})")


def _words(field: Field) -> str:
    return f"{field.type}, required" if field.required else field.type


def _pairs(old: Sequence[Field], new: Sequence[Field], renames: Mapping[str, str]) -> list[tuple[Field, Field | None]]:
    """Each new column with the one that it was."""
    by_id = {field.field_id: field for field in old if field.field_id is not None}
    by_name = {field.name: field for field in old}
    sources = {field.name: by_id[field.field_id] for field in new if field.field_id in by_id}
    taken = {source.name for source in sources.values()}
    for field in new:
        if field.name not in sources and field.name in by_name and field.name not in taken:
            sources[field.name] = by_name[field.name]
            taken.add(field.name)
    for field in new:
        former = renames.get(field.name) or field.renamed_from
        if former not in by_name or field.name in by_name or field.name in sources:
            continue
        if former in taken:
            raise ConfigurationError(
                f"column {field.name!r} is declared as renamed from {former!r}, which another column is already;"
                " leave that one out, or add this one without a rename"
            )
        sources[field.name] = by_name[former]
        taken.add(former)
    return [(field, sources.get(field.name)) for field in new]


def _altered(source: Field, field: Field) -> list[Change]:
    known = {} if source.field_id is None else {"field_id": source.field_id}
    name = source.name
    found: list[Change] = []

    def note(kind: ChangeType, old: dict[str, Any], new: dict[str, Any], words: str) -> None:
        found.append(Change(kind, name, old | known, new, words))

    if field.name != name:
        note(ChangeType.RENAME_COLUMN, {"name": name}, {"name": field.name}, f"rename {name} to {field.name}")
    if canonical(source.type) != canonical(field.type):
        words = f"change {name} from {source.type} to {field.type}"
        note(ChangeType.CHANGE_TYPE, {"type": source.type}, {"type": field.type}, words)
    if source.required != field.required:
        kind = ChangeType.ADD_CONSTRAINT if field.required else ChangeType.DROP_CONSTRAINT
        words = f"require {name}" if field.required else f"let {name} be null"
        note(kind, {"required": source.required}, {"required": field.required}, words)
    return found


def _side(column: str, which: str, found: object) -> dict[str, Any] | None:
    """What was, or what comes, as JSON that the catalogue can keep."""
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ConfigurationError(f"column {column!r}: {which} is an object or null, found {type(found).__name__}")
    for key, value in found.items():
        if key not in _ENTRIES:
            raise ConfigurationError(f"column {column!r}: {which} has an unknown entry {key!r}")
        known = which == "new" and key == "type"  # in any notation; it is read as a field's
        if not known and (type(value) is not _ENTRIES[key] or (isinstance(value, str) and storable(value) != value)):
            raise ConfigurationError(f"column {column!r}: {which} has no {_ENTRIES[key].__name__} as its {key}")
    return found


def _complete(change: Change) -> Change:
    """The change with what follows from its type, checked against it."""
    column, old, new = change.column, dict(change.old or {}), dict(change.new or {})
    if change.type is ChangeType.ADD_COLUMN:
        field = field_from_json({"name": column} | new)
        if field.name != column:
            raise ConfigurationError(f"column {column!r}: add_column of a field called {field.name!r}")
        return replace(added(field), description=change.description)
    if change.type is ChangeType.DROP_COLUMN:
        return Change(change.type, column, {"name": column} | old, None, change.description)
    part = _PART[change.type]
    if part == "name":
        old = {"name": column} | old
    elif part == "required":
        adds = change.type is ChangeType.ADD_CONSTRAINT
        old, new = {"required": not adds} | old, {"required": adds} | new
        if new["required"] is not adds:
            raise ConfigurationError(f"column {column!r}: {change.type} with required {new['required']!r}")
    if part not in new:
        raise ConfigurationError(f"column {column!r}: {change.type} says what is new as {{{part!r}: ...}}")
    return Change(change.type, column, old, new | {part: _checked(part, column, new[part])}, change.description)


def _checked(part: str, column: str, value: object) -> object:
    """What becomes of a column, as a schema document may say it."""
    if part == "type":
        return field_from_json({"name": column, "type": value}).type
    return field_from_json({"name": value, "type": "string"}).name if part == "name" else value
