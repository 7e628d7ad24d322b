"""What can be wrong with a file that is to be taken apart into columns."""

from __future__ import annotations


class NotRecords(ValueError):
    """The input is no file of records, or columns would not make it smaller: take an ordinary codec."""
