"""Lines of a CSV file to records (RFC 4180), so that one bad line costs one record.

* Fields are separated by commas. A field that begins with a quote ends with one, may hold commas, line ends and doubled
  quotes, and is followed by a comma or the end of the record. Inside an unquoted field a quote is like any character.
* An empty field is None; a quoted empty field is the empty string. An empty line is no record.
* A quote that does not close on its line is followed for `LOOK_AHEAD_LINES` lines or `LOOK_AHEAD_CHARACTERS`. Only if
  that gives a record with the right number of fields and no stray quote, the lines belong together; otherwise the
  first line alone is rejected, and reading resumes with the second. That is what keeps a stray quote from taking its
  neighbours along: read from inside out, their quotes almost never make sense.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.parquet.batches import RejectedRow, is_damaged, reject

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOK_AHEAD_LINES = 1000
LOOK_AHEAD_CHARACTERS = 64 * 1024

Fields = list[str | None]


@dataclass(slots=True)
class Records:
    """Well-formed records and the lines that are none.

    Attributes:
        rows: the fields of each record.
        lines: where each record starts.
        texts: each record as it stands in the file.
        rejected: lines that are no record of the right width.
    """

    rows: Sequence[Sequence[str | None]] = field(default_factory=list)
    lines: Sequence[int] = field(default_factory=list)
    texts: Sequence[str] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Taken:
    """The record at the front of some lines: its fields or what is wrong with it, and how many lines it takes."""

    text: str
    fields: Fields | None
    reason: str
    line_count: int


class _UnclosedQuote(Exception):  # a state of the text, not an error
    """A quoted field is still open at the end of the text."""


class _StrayQuote(Exception):
    """A quote stands where none may be."""


def split_plain(lines: Sequence[str], first: int, width: int) -> Records:
    """Split lines that have no quotes; empty fields are left as empty strings.

    Args:
        lines: valid text without quotes.
        first: the number of the first line.
        width: how many fields a record must have.
    """
    texts = [line.removesuffix("\r") for line in lines]
    # One field too many is enough to see: a hostile line of 16 MiB commas would become as many objects.
    rows = [text.split(",", width) for text in texts]
    if set(map(len, rows)) == {width} and "" not in texts:
        return Records(rows, range(first, first + len(rows)), texts)
    good = [index for index, row in enumerate(rows) if len(row) == width and texts[index]]
    rejected = [
        reject(first + index, texts[index], _wrong_width(texts[index].count(",") + 1, width))
        for index, row in enumerate(rows)
        if len(row) != width and texts[index]
    ]
    return Records([rows[i] for i in good], [first + i for i in good], [texts[i] for i in good], rejected)


def split_quoted(lines: Sequence[str], first: int, width: int, *, more: bool) -> tuple[Records, int]:
    """Split lines that may have quotes and surrogates for bytes that are not UTF-8.

    Args:
        lines: decoded with `surrogateescape`.
        first: the number of the first line.
        width: how many fields a record must have.
        more: whether further lines may follow these.

    Returns:
        The records, and how many lines they take: with `more`, a record that may go on is left for the next call.
    """
    rows: list[Fields] = []
    numbers: list[int] = []
    texts: list[str] = []
    rejected: list[RejectedRow] = []
    position = 0
    while position < len(lines):
        taken = take_record(lines, position, width, more=more)
        if taken is None:
            break
        if taken.fields is not None:
            rows.append(taken.fields)
            numbers.append(first + position)
            texts.append(taken.text)
        elif taken.reason:
            rejected.append(reject(first + position, taken.text, taken.reason))
        position += taken.line_count
    return Records(rows, numbers, texts, rejected), position


def take_record(lines: Sequence[str], position: int, width: int | None, *, more: bool) -> Taken | None:
    """Take the record that starts at a line.

    Args:
        lines: decoded with `surrogateescape`.
        position: the index of the line.
        width: how many fields the record must have; None for any number.
        more: whether further lines may follow these.

    Returns:
        The record; one without fields and without a reason is an empty line. None if it takes more lines to tell.
    """
    text = lines[position].removesuffix("\r")
    if not text:
        return Taken(text, None, "", 1)
    try:
        fields = _parse(text)
    except _StrayQuote:
        return _rejected(text, "the character after a closing quote is neither a comma nor the end of the line")
    except _UnclosedQuote:
        return _take_long_record(lines, position, width, more=more)
    return _checked(text, fields, width, 1)


def _take_long_record(lines: Sequence[str], position: int, width: int | None, *, more: bool) -> Taken | None:
    first_line = lines[position].removesuffix("\r")
    size = 0
    for end in range(position + 1, position + 1 + LOOK_AHEAD_LINES):
        if end == len(lines):
            if more:
                return None
            break
        size += len(lines[end]) + 1
        if size > LOOK_AHEAD_CHARACTERS:
            break
        # Only an odd number of quotes can close an open one for good: this keeps the search linear.
        if lines[end].count('"') % 2 == 0:
            continue
        text = "\n".join(lines[position : end + 1]).removesuffix("\r")
        try:
            fields = _parse(text, bare_quotes=False)
        except _UnclosedQuote:
            continue
        except _StrayQuote:
            break
        if width is None or len(fields) == width:
            return _checked(text, fields, width, end + 1 - position)
        break
    return _rejected(first_line, "a quote opens a field here, and none closes it in a way that makes a record")


def _checked(text: str, fields: Fields, width: int | None, line_count: int) -> Taken:
    if is_damaged(text):
        return _rejected(text, "the record is not valid UTF-8", line_count)
    if width is not None and len(fields) != width:
        return _rejected(text, _wrong_width(len(fields), width), line_count)
    return Taken(text, fields, "", line_count)


def _rejected(text: str, reason: str, line_count: int = 1) -> Taken:
    if is_damaged(text):
        reason = "the record is not valid UTF-8"
    return Taken(text, None, reason, line_count)


def _wrong_width(found: int, width: int) -> str:
    return f"the record has {found} fields, the header has {width}"


def _parse(text: str, *, bare_quotes: bool = True) -> Fields:
    """Split one record into its fields.

    Args:
        text: the record without its line end.
        bare_quotes: whether an unquoted field may hold quotes.

    Raises:
        _UnclosedQuote: if the text ends inside a quoted field.
        _StrayQuote: if a closing quote is followed by anything but a comma, or a bare quote is not allowed.
    """
    if '"' not in text:
        return [value or None for value in text.split(",")]
    fields: Fields = []
    start = 0
    while start <= len(text):
        if text.startswith('"', start):
            close = _closing_quote(text, start + 1)
            fields.append(text[start + 1 : close].replace('""', '"'))
            end = close + 1
            if end < len(text) and text[end] != ",":
                raise _StrayQuote
        else:
            end = text.find(",", start)
            end = len(text) if end < 0 else end
            value = text[start:end]
            if not bare_quotes and '"' in value:
                raise _StrayQuote
            fields.append(value or None)
        start = end + 1
    return fields


def _closing_quote(text: str, position: int) -> int:
    while (position := text.find('"', position)) >= 0:
        if not text.startswith('"', position + 1):
            return position
        position += 2
    raise _UnclosedQuote
