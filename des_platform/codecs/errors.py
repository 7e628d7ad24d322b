"""What can be wrong with a codec or with compressed bytes; all are `ValueError`s, since all are bad input."""

from __future__ import annotations


class UnknownCodec(ValueError):  # the house's named errors say what happened, without a suffix
    """A name, or a level, that no registered codec has; or bytes that no registered codec writes."""


class InvalidCodec(ValueError):
    """A codec that cannot be registered: its name, an option or what it promises is wrong."""


class BrokenCodec(UnknownCodec):
    """A codec that an installed package promises and cannot deliver."""


class CorruptStream(ValueError):
    """Compressed bytes that are cut short, damaged, followed by something else, or of another format."""


class OutputTooLarge(CorruptStream):
    """Compressed bytes that hold more than their reader is willing to receive."""
