"""What can be wrong with an archive; whatever is wrong with reaching it stays the source's own error."""

from __future__ import annotations


class CorruptArchive(ValueError):
    """The bytes are not a DES archive, or not any more."""


class UnsupportedVersion(ValueError):
    """The file is a DES archive of a version that this reader does not know."""


class ExternalFile(LookupError):
    """The archive knows the file, but its payload is an object of its own, and the reader has no store to ask for it.

    Attributes:
        name: the file's name in the archive.
        external_key: key of the object that holds the payload.
        size: length of the payload.
    """

    def __init__(self, name: str, external_key: str, size: int) -> None:
        super().__init__(name, external_key, size)
        self.name = name
        self.external_key = external_key
        self.size = size

    def __str__(self) -> str:
        return f"{self.name!r} ({self.size} bytes) is not in the archive: read the object {self.external_key!r} instead"
