"""The template of CSV: a number of cells between separators, named by the header.

Cells may stand in quotes. A record that goes over several lines fits no template and is kept as it stands.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.codecs.records.json_lines import OWN_PREFIX
from des_platform.codecs.records.templates import QUOTE, Anchors, Field, Template
from des_platform.codecs.records.times import times_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.codecs.records.lines import Block

SEPARATORS = b",;\t|"
_REGULAR = 0.95
_MAX_CELLS = 2000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written.

    Attributes:
        separator: between cells.
        template: of its lines.
        has_header: whether its first line names the columns.
    """

    separator: bytes
    template: Template
    has_header: bool


def csv_anchors(block: Block, separator: bytes) -> Anchors:
    """The separators of a block that are not in quotes."""
    import numpy as np

    places = np.flatnonzero(block.data == separator[0])
    quotes = np.flatnonzero(block.data == QUOTE)
    if len(quotes):
        counts = np.diff(np.searchsorted(places, np.append(block.starts, len(block.data))))
        before = np.repeat(np.searchsorted(quotes, block.starts), counts)
        places = places[(np.searchsorted(quotes, places) - before) % 2 == 0]
    return Anchors(block, places, separator)


def find_dialect(lines: Sequence[bytes]) -> Dialect | None:
    """How these lines of one file, the first of it among them, are written; None if they are no CSV."""
    found: tuple[int, bytes] | None = None
    for separator in (SEPARATORS[place : place + 1] for place in range(len(SEPARATORS))):
        if any(separator in time for time in times_at(lines[-1])):
            continue  # a log whose times have a comma
        counts = [_count(line, separator) for line in lines]
        usual = max(set(counts), key=lambda count: (counts.count(count), count), default=0)
        regular = counts.count(usual) >= _REGULAR * len(counts)
        if usual and usual < _MAX_CELLS and regular and (found is None or usual > found[0]):
            found = usual, separator
    if found is None:
        return None
    count, separator = found
    tail = b"\r" if sum(line.endswith(b"\r") for line in lines) > len(lines) / 2 else b""
    names = _header(lines[0].removesuffix(b"\r"), count + 1, separator)
    columns = names or [f"column{number}" for number in range(1, count + 2)]
    template = Template((b"", *[separator] * count, tail), tuple(Field(name) for name in columns))
    return Dialect(separator, template, names is not None)


def _count(line: bytes, separator: bytes) -> int:
    if b'"' not in line:
        return line.count(separator)
    return sum(part.count(separator) for part in line.split(b'"')[::2])


def _header(line: bytes, cells: int, separator: bytes) -> list[str] | None:
    """The names that a line gives to its columns, None if it is none that could."""
    try:
        text = line.decode("utf-8-sig")
        names = next(csv.reader([text], delimiter=separator.decode(), strict=True))
    except (ValueError, csv.Error, StopIteration):
        return None
    if len(names) != cells or len({name.casefold() for name in names}) < cells:
        return None
    if any(not name.isprintable() or name.startswith(OWN_PREFIX) or _is_number(name) for name in names):
        return None
    if names[0] == "":  # what pandas writes for an index
        names[0] = "column1"
    return names if all(names) and len(set(names)) == cells else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
