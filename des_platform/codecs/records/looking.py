"""A cheap look at a file's first bytes: could it be one of records?"""

from __future__ import annotations

import re
from typing import Final

_ENOUGH_BYTES: Final = 64 * 1024
_LEAST_LINES: Final = 8
_MOST_LINES: Final = 400
_LONG_LINE: Final = 16_384
_MAX_FORMS: Final = 0.35
_FORM_BYTES: Final = 80
_MOST: Final = 0.8
_WORDS: Final = re.compile(rb"[\w./+-]+")
_DIGIT: Final = re.compile(rb"[0-9]")


def looks_like_records(start: bytes) -> bool:
    """Whether a file may be one of records: lines of JSON, or lines with few forms.

    Args:
        start: its first bytes, 64 KiB or all of them.
    """
    start = start[:_ENOUGH_BYTES]
    if b"\0" in start:
        return False
    lines = start.split(b"\n")[:-1][:_MOST_LINES]
    if len(lines) < _LEAST_LINES:
        return bool(lines) and all(line[:1] == b"{" for line in lines if line)
    full = [line for line in lines if line.strip()]
    if len(full) < len(lines) / 2 or max(map(len, lines)) > len(start) // 2:
        return False
    if sum(line[:1] == b"{" and line.rstrip()[-1:] == b"}" for line in full) > len(full) / 2:
        return True
    for separator in (b",", b";", b"\t", b"|"):
        counts = [line.count(separator) for line in full]
        usual = max(set(counts), key=counts.count)
        if usual and counts.count(usual) > _MOST * len(full):
            return True
    forms = {_form(line) for line in full}
    return len(forms) <= max(2, _MAX_FORMS * len(full)) and sum(map(_has_digits, full)) > len(full) / 2


def _form(line: bytes) -> bytes:
    """What is left of a line's beginning without its words and numbers."""
    return _WORDS.sub(b"", line[:_FORM_BYTES])


def _has_digits(line: bytes) -> bool:
    return _DIGIT.search(line) is not None
