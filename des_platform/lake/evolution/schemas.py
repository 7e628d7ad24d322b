"""An Iceberg schema before and after changes: columns found by field id, new ones numbered, names kept apart.

Field ids are never used twice: a new column gets the next free one, and a dropped column comes back under its old one,
with whatever files hold of it. The platform's own columns (their names begin with `_`) are as they were, and new
columns stand before those that end the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyiceberg.schema import Schema
from pyiceberg.table import TableProperties
from pyiceberg.table.name_mapping import parse_mapping_from_json, update_mapping
from pyiceberg.table.update import (
    AddSchemaUpdate,
    AssertCurrentSchemaId,
    AssertDefaultSpecId,
    AssertRefSnapshotId,
    SetCurrentSchemaUpdate,
    SetPropertiesUpdate,
    UpdateTableMetadata,
)
from pyiceberg.types import NestedField

from des_platform.lake.column_rules import canonical, check_names, is_reserved
from des_platform.lake.evolution.changes import Change, ChangeType
from des_platform.lake.evolution.fields import Field
from des_platform.lake.schema import column_type, iceberg_type
from des_platform.lake.types import JSON_DOC, SchemaConflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pyiceberg.table import Transaction
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableRequirement, TableUpdate, UpdatesAndRequirements

_ROOT: Final = -1


def declared_fields(schema: Schema) -> tuple[Field, ...]:
    """The declared columns of an Iceberg schema in order, with their field ids."""
    return tuple(_field(column) for column in schema.fields if not is_reserved(column.name))


class Evolution:
    """Changes on their way into one table's schema.

    Args:
        metadata: the table as it is.
        table: its name, for errors.
        past: whether the changes undo others: a column that is added may be a dropped one coming back, and one that
            was renamed since is the same column still.
    """

    def __init__(self, metadata: TableMetadata, table: str, *, past: bool = False) -> None:
        self.metadata = metadata
        self.table = table
        self._past = past
        self._schema = metadata.schema()
        self._columns: dict[int, NestedField] = {column.field_id: column for column in self._schema.fields}
        self._order = [column.field_id for column in self._schema.fields]
        self._next_id = metadata.last_column_id + 1

    def grounded(self, changes: Iterable[Change]) -> list[Change]:
        """The changes with what the table really has as `old`.

        Raises:
            SchemaConflict: a change speaks of a column that the table does not have, or has otherwise, or contradicts
                another one.
        """
        found = [change if change.type is ChangeType.ADD_COLUMN else self._grounded(change) for change in changes]
        kinds: dict[int, set[str]] = {}
        for change in found:
            if change.type is not ChangeType.ADD_COLUMN:
                before = kinds.setdefault(_known_id(change), set())
                if before and (ChangeType.DROP_COLUMN in {change.type, *before} or _parts(change)[0] in before):
                    advice = "say once what becomes of a column"
                    raise SchemaConflict(self.table, change.column, "another change of it", change.type, advice)
                before |= {change.type, _parts(change)[0]}
        return found

    def make(self, changes: Sequence[Change]) -> Schema:
        """The schema after the changes.

        Args:
            changes: as `grounded` gives them.

        Raises:
            SchemaConflict: no table could have it, such as two columns of one name.
            ConfigurationError: no column could have a name that a change gives.
        """
        check_names(change.column for change in changes if change.type is ChangeType.ADD_COLUMN)
        check_names((change.new or {})["name"] for change in changes if change.type is ChangeType.RENAME_COLUMN)
        for change in changes:
            field_id = self._add(change) if change.type is ChangeType.ADD_COLUMN else _known_id(change)
            if change.type is ChangeType.DROP_COLUMN:
                del self._columns[field_id]
                self._order.remove(field_id)
            elif change.type is not ChangeType.ADD_COLUMN:
                self._columns[field_id] = _altered(self._columns[field_id], change)
        self._check_names()
        known = [schema.schema_id for schema in self.metadata.schemas]
        ordered = [self._columns[field_id] for field_id in self._order]
        return Schema(*ordered, schema_id=max(known) + 1, identifier_field_ids=self._schema.identifier_field_ids)

    def _grounded(self, change: Change) -> Change:
        field = self._find(change)
        said = change.old or {}
        whole = {"name": field.name, "type": field.type, "required": field.required}
        for part in sorted(whole.keys() & said.keys()) if not self._past else _parts(change)[:1]:
            if part in said and said[part] != whole[part] and canonical(str(said[part])) != whole[part]:
                raise SchemaConflict(
                    self.table,
                    change.column,
                    f"{part} {whole[part]!r}",
                    f"{change.type} from {part} {said[part]!r}",
                    "the table has changed, or never was like that: compare again",
                )
        whole["field_id"] = field.field_id
        kept = whole if change.type is ChangeType.DROP_COLUMN else {part: whole[part] for part in _parts(change)}
        return Change(change.type, field.name, kept, change.new, change.description)

    def _find(self, change: Change) -> Field:
        wanted = (change.old or {}).get("field_id")
        for column in self._schema.fields:
            same = column.field_id == wanted if wanted is not None else column.name == change.column
            if same and not is_reserved(column.name) and (self._past or column.name == change.column):
                return _field(column)
        columns = ", ".join(field.name for field in declared_fields(self._schema))
        raise SchemaConflict(
            self.table,
            change.column,
            "no such column" + (f" with field id {wanted}" if wanted is not None else ""),
            change.type,
            f"the columns that may change are {columns or 'none'}",
        )

    def _add(self, change: Change) -> int:
        new = change.new or {}
        required = bool(new.get("required"))
        if self._past:
            former = self._former(new.get("field_id"), change.column)
            column = former.model_copy(update={"name": change.column, "required": required})
        else:
            doc = JSON_DOC if new["type"] == "json" else new.get("description") or None
            column = NestedField(self._next_id, change.column, iceberg_type(new["type"]), required, doc)
            self._next_id += 1
        last = [at for at, field_id in enumerate(self._order) if not is_reserved(self._columns[field_id].name)]
        first_of_ours = sum(1 for field_id in self._order[:1] if is_reserved(self._columns[field_id].name))
        self._columns[column.field_id] = column
        self._order.insert(last[-1] + 1 if last else first_of_ours, column.field_id)
        return column.field_id

    def _former(self, field_id: int | None, name: str) -> NestedField:
        """The dropped column as the table had it last."""
        for schema in sorted(self.metadata.schemas, key=lambda schema: schema.schema_id, reverse=True):
            for column in schema.fields:
                same = column.field_id == field_id if field_id is not None else column.name == name
                if same and column.field_id not in self._columns and not is_reserved(column.name):
                    return column
        raise SchemaConflict(
            self.table,
            name,
            "no trace of the dropped column",
            "its return",
            "the table's former schemas are gone, or the column never was dropped; add it as a new one",
        )

    def _check_names(self) -> None:
        seen: dict[str, str] = {}
        for field_id in self._order:
            name = self._columns[field_id].name
            if name.lower() in seen:
                raise SchemaConflict(
                    self.table,
                    name,
                    f"column {seen[name.lower()]!r}",
                    "another of that name",
                    "choose another name: many engines cannot tell names apart that differ in case alone",
                )
            seen[name.lower()] = name


def reordered(metadata: TableMetadata, table: str, names: Sequence[str]) -> Schema:
    """The schema with its declared columns in another order, the platform's own where they are.

    Raises:
        SchemaConflict: the names are not those of the declared columns, each once.
    """
    schema = metadata.schema()
    declared = [field.name for field in declared_fields(schema)]
    if sorted(names) != sorted(declared):
        wrong = next(iter((set(names) ^ set(declared)) or names), "")
        raise SchemaConflict(table, wrong, f"columns {', '.join(declared)}", ", ".join(names), "name each of them once")
    following = iter(names)
    columns = [column if is_reserved(column.name) else schema.find_field(next(following)) for column in schema.fields]
    schema_id = max(known.schema_id for known in metadata.schemas) + 1
    return Schema(*columns, schema_id=schema_id, identifier_field_ids=schema.identifier_field_ids)


def staged(transaction: Transaction, schema: Schema, *, on_snapshot: bool) -> None:
    """Put the schema onto a transaction as the table's current one.

    Args:
        transaction: on the metadata that the schema was made from.
        schema: as `Evolution.make` gives it.
        on_snapshot: whether it may only land while the table has the rows that it has now.
    """
    _NewSchema(transaction, schema, on_snapshot=on_snapshot).commit()


class _NewSchema(UpdateTableMetadata["_NewSchema"]):
    """Makes a whole schema the current one. pyiceberg's own update can neither bring back a field id nor swap names."""

    def __init__(self, transaction: Transaction, schema: Schema, *, on_snapshot: bool) -> None:
        super().__init__(transaction)
        self._schema = schema
        self._on_snapshot = on_snapshot

    def _commit(self) -> UpdatesAndRequirements:
        metadata = self._transaction.table_metadata
        requirements: tuple[TableRequirement, ...] = (
            AssertCurrentSchemaId(current_schema_id=metadata.current_schema_id),
            AssertDefaultSpecId(default_spec_id=metadata.default_spec_id),
        )
        if self._on_snapshot:
            requirements += (AssertRefSnapshotId(ref="main", snapshot_id=metadata.current_snapshot_id),)
        same = [schema.schema_id for schema in metadata.schemas if schema == self._schema]
        updates: tuple[TableUpdate, ...] = (
            (SetCurrentSchemaUpdate(schema_id=same[0]),)
            if same
            else (AddSchemaUpdate(schema_=self._schema), SetCurrentSchemaUpdate(schema_id=-1))
        )
        mapping = _mapping(metadata, self._schema)
        if mapping is not None:
            updates += (SetPropertiesUpdate(updates={TableProperties.DEFAULT_NAME_MAPPING: mapping}),)
        return updates, requirements


def _mapping(metadata: TableMetadata, schema: Schema) -> str | None:
    """The names under which files without field ids have the columns: new names beside the former ones."""
    found = metadata.properties.get(TableProperties.DEFAULT_NAME_MAPPING)
    if found is None:
        return None
    mapping = parse_mapping_from_json(found)
    known = {field.field_id for field in mapping.root}
    before: Mapping[int, NestedField] = {column.field_id: column for column in metadata.schema().fields}
    renamed = {
        column.field_id: column
        for column in schema.fields
        if column.field_id in known and before.get(column.field_id, column).name != column.name
    }
    new = [column for column in schema.fields if column.field_id not in known]
    return update_mapping(mapping, renamed, {_ROOT: new}).model_dump_json()


def _field(column: NestedField) -> Field:
    kind = column_type(column)
    description = "" if kind == "json" else column.doc or ""
    return Field(column.name, kind, required=column.required, field_id=column.field_id, description=description)


def _parts(change: Change) -> tuple[str, ...]:
    part = {ChangeType.RENAME_COLUMN: "name", ChangeType.CHANGE_TYPE: "type"}.get(change.type, "required")
    return part, "field_id"


def _known_id(change: Change) -> int:
    field_id: int = (change.old or {})["field_id"]
    return field_id


def _altered(column: NestedField, change: Change) -> NestedField:
    new = change.new or {}
    match change.type:
        case ChangeType.RENAME_COLUMN:
            return column.model_copy(update={"name": new["name"]})
        case ChangeType.CHANGE_TYPE:
            doc = JSON_DOC if new["type"] == "json" else None if column.doc == JSON_DOC else column.doc
            return column.model_copy(update={"field_type": iceberg_type(new["type"]), "doc": doc})
        case _:
            return column.model_copy(update={"required": change.type is ChangeType.ADD_CONSTRAINT})
