"""What can be wrong with a codec's name or with compressed bytes; both are `ValueError`s, since both are bad input."""

from __future__ import annotations


class UnknownCodec(ValueError):  # the house's named errors say what happened, without a suffix
    """A name, or a level, that no registered codec has."""


class CorruptStream(ValueError):
    """Compressed bytes that are cut short, damaged, followed by something else, or of another format."""


class OutputTooLarge(CorruptStream):
    """Compressed bytes that hold more than their reader is willing to receive."""
