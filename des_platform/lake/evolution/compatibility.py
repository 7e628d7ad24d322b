"""Which changes a table's readers survive: backward, forward, full, none.

The words are those of Avro and of schema registries, with Iceberg's reading by field id:

* backward: whoever reads by the new schema reads rows that were written by the old one. An added column may not be
  required (old rows have no value), a column may not become required (old rows may lack one). Dropped columns, renames
  (an alias in Avro, the field id here), widened types and lifted requirements are fine.
* forward: whoever reads by the old schema reads rows that are written by the new one. A required column may be neither
  dropped nor become optional, a rename takes the name that the old reader asks for, a widened type holds what it
  cannot. Added columns, required or not, and new requirements are fine.
* full: both. none: neither is asked for.

Two things hold in every mode, `none` too. A change that takes values out of sight, the drop of a column, needs an
explicit word. And a change of type is a widening, int to long, float to double, json to string or more digits of a
decimal, or it is refused: files are not rewritten, and Iceberg reads no other type from what is in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from des_platform.lake.column_rules import widens
from des_platform.lake.evolution.changes import Change, ChangeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.catalog.table_spec import Compatibility


def violations(
    changes: Iterable[Change], compatibility: Compatibility = "backward", *, allow_loss: bool = False
) -> list[str]:
    """Say which changes a mode does not permit, and what to do instead.

    Args:
        changes: changes with `old` and `new` as `diff` gives them.
        compatibility: the mode.
        allow_loss: whether columns may be dropped.

    Returns:
        A sentence for each; empty where all are permitted.
    """
    return [said(change, reason) for change, reason in refusals(changes, compatibility, allow_loss=allow_loss)]


def refusals(changes: Iterable[Change], compatibility: Compatibility, *, allow_loss: bool) -> list[tuple[Change, str]]:
    """The changes that a mode does not permit, each with a reason; see `violations`."""
    found = []
    for change in changes:
        reasons = [_impossible(change), None if allow_loss else _lossy(change)]
        if compatibility in {"backward", "full"}:
            reasons.append(_breaks_backward(change))
        if compatibility in {"forward", "full"}:
            reasons.append(_breaks_forward(change))
        found += [(change, reason) for reason in reasons if reason is not None]
    return found


def said(change: Change, reason: str) -> str:
    """A reason as a sentence that names its column."""
    return f"column {change.column!r}: {reason}"


def _impossible(change: Change) -> str | None:
    if change.type is not ChangeType.CHANGE_TYPE:
        return None
    old, new = _of(change.old, "type"), _of(change.new, "type")
    if widens(old, new):
        return None
    return (
        f"files with {old} cannot be read as {new} (int to long, float to double, json to string and more"
        " digits of a decimal can);"
        f" add a column of type {new} beside it, write the converted values there, then drop this one"
    )


def _lossy(change: Change) -> str | None:
    if change.type is not ChangeType.DROP_COLUMN:
        return None
    return "a drop hides its values; say so explicitly (allow_loss, or drops in a definition) if they may go"


def _breaks_backward(change: Change) -> str | None:
    if change.type is ChangeType.ADD_COLUMN and _of(change.new, "required"):
        return "not backward compatible: rows written before have no value; add it as optional"
    if change.type is ChangeType.ADD_CONSTRAINT:
        return "not backward compatible: rows written before may be null; it takes compatibility forward or none"
    return None


def _breaks_forward(change: Change) -> str | None:
    match change.type:
        case ChangeType.DROP_COLUMN if _of(change.old, "required"):
            return "not forward compatible: readers of the old schema require it; keep it"
        case ChangeType.RENAME_COLUMN:
            return "not forward compatible: readers of the old schema ask for the old name; it takes backward or none"
        case ChangeType.CHANGE_TYPE:
            return "not forward compatible: readers of the old schema cannot hold the new values"
        case ChangeType.DROP_CONSTRAINT:
            return "not forward compatible: readers of the old schema take every row to have a value"
        case _:
            return None


def _of(side: Any, part: str) -> Any:  # noqa: ANN401 - JSON
    return (side or {}).get(part)
