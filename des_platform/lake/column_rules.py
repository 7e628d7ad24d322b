"""What names and types columns may have: whoever declares them, and whoever changes them, goes by these rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_NAME: Final = 128
"""Characters of a column's name, at most."""

_WIDER: Final = {("int", "long"), ("float", "double"), ("json", "string")}
_DECIMAL: Final = re.compile(r"decimal\((\d+),(\d+)\)")


def canonical(kind: str) -> str:
    """Write a type in the one way in which types are compared: `decimal(9,2)`, without a space."""
    return kind.replace(" ", "")


def widens(old: str, new: str) -> bool:
    """Whether every value of the one type is one of the other, and Iceberg reads it as such."""
    old, new = canonical(old), canonical(new)
    found, wanted = _DECIMAL.fullmatch(old), _DECIMAL.fullmatch(new)
    if found and wanted:
        return found[2] == wanted[2] and int(found[1]) <= int(wanted[1])
    return old == new or (old, new) in _WIDER


def is_reserved(name: str) -> bool:
    """Whether a column is the lake's own."""
    return name.startswith("_")


def check_names(names: Iterable[str], what: str = "field") -> None:
    """Refuse names that no table could have, or not together.

    Args:
        names: of columns.
        what: what to call one of them, in errors.

    Raises:
        ConfigurationError: naming the column.
    """
    seen: dict[str, str] = {}
    for name in names:
        where = f"{what} {name[:LONGEST_NAME]!r}"
        if not name.isprintable() or name != name.strip() or "." in name or not 0 < len(name) <= LONGEST_NAME:
            raise ConfigurationError(
                f"{where}: a name is 1 to {LONGEST_NAME} printable characters, no dot, no space around it"
            )
        if is_reserved(name):
            raise ConfigurationError(f"{where}: names that begin with _ are reserved for the lake; rename it")
        other = seen.get(name.lower())
        if other == name:
            raise ConfigurationError(f"{where} is there twice")
        if other is not None:
            raise ConfigurationError(
                f"{where} differs from {other!r} in case alone, which many engines ignore; rename one"
            )
        seen[name.lower()] = name
