"""Which commits the rows of a rewritten file came with: what the footers of the old files say, put together.

Of rows that came with several commits, a property has all their values, such as `run-1, run-2`: a row leads to the few
runs that it may have come with, and `_file` to the one file.
"""

from __future__ import annotations

import json

_MOST_VALUES = 100


class Origins:
    """The properties of commits, put together."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, None]] = {}

    def add(self, footer: bytes | None) -> None:
        """Add what a file's footer says; None, and what is no JSON object, say nothing."""
        try:
            found = json.loads(footer or b"{}")
        except ValueError:
            return
        for name, value in found.items() if isinstance(found, dict) else ():
            # A file that was rewritten before has several values already.
            self._values.setdefault(name, {}).update(dict.fromkeys(str(value).split(", ")))

    def properties(self) -> dict[str, str]:
        """What the new files' footers say."""
        told = {}
        for name, values in self._values.items():
            left = len(values) - _MOST_VALUES
            told[name] = ", ".join(list(values)[:_MOST_VALUES]) + (f", and {left} more" if left > 0 else "")
        return told
