"""Names of a file's columns, which are anything, and the columns of a table that they stand for.

A name that a column may have stands for itself. Any other is made one by `column_name`: `Trade Price ($)` becomes
`Trade_Price`. Where that makes two names of a file alike, or they differ in case alone, each gets a mark made from the
name (`hashed_name`), so that a column always has the same name whatever else is in its file and wherever it stands.
Nothing needs to be remembered: a declared column finds its name in every file by the same rule, or by one that differs
from it in case alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMN_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_MAX_LENGTH: Final = 63
_MARK_BYTES: Final = 3


class AmbiguousName(ValueError):
    """Two names of a file stand for the same declared column."""


def column_name(name: str) -> str:
    """Return the column that a name stands for, by itself: letters, digits and `_`, a letter first, at most 63."""
    if COLUMN_NAME.fullmatch(name):
        return name
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    made = re.sub(r"[^A-Za-z0-9]+", "_", ascii_only).strip("_")
    if not made:
        return f"c_{_mark(name)}"
    if not made[0].isalpha():
        made = f"c_{made}"
    return made if len(made) <= _MAX_LENGTH else _marked(made, name)


def hashed_name(name: str) -> str:
    """Return the column that a name stands for where another name of its file stands for `column_name` too."""
    return _marked(column_name(name), name)


def column_names(names: Iterable[str]) -> dict[str, str]:
    """Return the column of each name of a file; no two are the same, not even but for case."""
    found = {name: column_name(name) for name in names}
    count = Counter(column.lower() for column in found.values())
    return {name: column if count[column.lower()] == 1 else hashed_name(name) for name, column in found.items()}


def match_names(names: Iterable[str], declared: Mapping[str, object]) -> dict[str, str]:
    """Find a file's name for each declared column that it has.

    Args:
        names: of the file.
        declared: columns; a name that is declared as it stands comes before one that is made to fit.

    Raises:
        AmbiguousName: if there are two for one.
    """
    found: dict[str, str] = {}
    for column, fitting in candidates(names, declared).items():
        if len(fitting) > 1 and fitting[0] != column:
            raise AmbiguousName(
                f"its names {fitting[0][:100]!r} and {fitting[1][:100]!r} both stand for column {column!r}: "
                f"declare {hashed_name(fitting[0])!r} and {hashed_name(fitting[1])!r} instead"
            )
        found[column] = fitting[0]
    return found


def candidates(names: Iterable[str], declared: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the names that could stand for each declared column; first the one that is declared as it stands."""
    found: dict[str, list[str]] = {}
    by_lower = {column.lower(): column for column in declared}
    for name in dict.fromkeys(names):
        if name in declared:
            found.setdefault(name, []).insert(0, name)
            continue
        column = by_lower.get(hashed_name(name).lower()) or by_lower.get(column_name(name).lower())
        if column is not None:
            found.setdefault(column, []).append(name)
    return found


def _marked(column: str, name: str) -> str:
    mark = _mark(name)
    return f"{column[: _MAX_LENGTH - len(mark) - 1]}_{mark}"


def _mark(name: str) -> str:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_MARK_BYTES).hexdigest()
