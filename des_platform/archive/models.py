"""What every archive says of its files, whichever version it is of; offsets from the archive's start, all in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

FLAG_EXTERNAL = 1
"""The payload is an object of its own."""
FLAG_COMPRESSED = 2
"""Version 2: what is stored is one zstd frame. Version 1 reserves this flag and the next two."""
FLAG_ENCRYPTED = 4
"""Reserved."""
FLAG_DELETED = 8
"""Reserved."""
FLAG_DICTIONARY = 16
"""Version 2: the zstd frame needs the archive's dictionary."""

TAIL_BYTES = 64 * 1024
"""How much of an archive's end is read at first: the footer, and of many an archive all that a lookup needs."""
MAX_META_BYTES = 10 * 1024 * 1024
MAX_NAME_BYTES = 65_535
BIG_FILE_BYTES = 100 * 1024 * 1024
"""From here on a file is stored as an object of its own, if the writer has a store for it."""


class IndexEntry(NamedTuple):
    """Where a file lies.

    Attributes:
        name: the file's name.
        offset: where its stored bytes start; of an external file, version 1 has 0 here, version 2 a record of it.
        stored_size: how many stored bytes there are in the archive.
        size: how many bytes the file has.
        flags: the `FLAG_` constants.
    """

    name: str
    offset: int
    stored_size: int
    size: int
    flags: int

    @property
    def is_external(self) -> bool:
        """Whether the payload is an object of its own."""
        return bool(self.flags & FLAG_EXTERNAL)


@dataclass(frozen=True, slots=True)
class ArchiveStats:
    """What an archive holds; sizes in bytes.

    Attributes:
        version: of the format.
        file_count: all files.
        external_count: those whose payload is an object of its own.
        data_bytes: the files in the archive, as they were added.
        stored_bytes: the same, as they are stored.
        external_bytes: payloads outside.
        archive_bytes: the whole archive.
    """

    version: int
    file_count: int
    external_count: int
    data_bytes: int
    stored_bytes: int
    external_bytes: int
    archive_bytes: int

    @property
    def compression_ratio(self) -> float:
        """Stored bytes for each byte of the files inside; 1 for an archive of nothing."""
        return self.stored_bytes / self.data_bytes if self.data_bytes else 1.0
