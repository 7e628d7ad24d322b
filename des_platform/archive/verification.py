"""Proves an archive: reads every byte of it and compares all that it says twice.

Problems are collected, not raised, so that one broken file does not hide another; only the source's own errors pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.archive.errors import CorruptArchive, UnsupportedVersion
from des_platform.archive.models import TAIL_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.archive.source import ByteSource

    Progress = Callable[[int, int], None]

MOST_PROBLEMS = 1000
_VERSION_AT = 64


@dataclass(slots=True)
class Verification:
    """What was found.

    Attributes:
        version: of the format; 0 if the end is too broken to say.
        files: that are right, external ones included.
        bytes: of the archive.
        problems: what is wrong, each with its place; of the first thousand.
    """

    version: int
    files: int
    bytes: int
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, problem: object) -> None:
        """Note a problem, unless there are too many already."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(str(problem))


def verify(source: ByteSource, *, progress: Progress | None = None) -> Verification:
    """Read an archive of either version whole and check it.

    Version 2: every checksum, that the catalogue and the pages hold exactly the live members of the blocks, and that
    every byte has its place. Version 1 has no checksums: structure, names and metadata, and that payloads are there.

    Args:
        source: the archive.
        progress: called with the bytes that are done, and all.
    """
    tail, size = source.read_tail(TAIL_BYTES)
    found = Verification(0, 0, size)
    found.version = tail[-_VERSION_AT] if len(tail) >= _VERSION_AT else 0
    try:
        if found.version == 1:
            from des_platform.archive.v1.verify import verify_v1

            verify_v1(source, found, progress)
        else:
            from des_platform.archive.v2.verify import verify_v2

            verify_v2(source, tail, found, progress)
    except (CorruptArchive, UnsupportedVersion) as error:
        found.add(error)
    return found
