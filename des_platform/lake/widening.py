"""Types as they are compared, and which of them Iceberg reads as which other without rewriting a file."""

from __future__ import annotations

import re
from typing import Final

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
