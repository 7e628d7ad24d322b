"""A folder of small, large and oddly named files for a demo to feed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SMALL_FILES = 300  # so many that each of the 16 shards of a day has some
LARGE_FILES = {
    "large.txt": b"the quick brown fox\n" * 100_000,
    "incompressible.bin": random.Random(1).randbytes(400_000),  # noqa: S311 - no secret
}
ODD_FILES = {
    "empty": b"",
    "c++ ü.txt": b"a name that a URL would not bear",
    "100% [red] #1?.txt": b"a name that markup would not bear",
    "a/b/c/deep.txt": b"deep",
    ".hidden": b"not hidden",
}
FILES = SMALL_FILES + len(LARGE_FILES) + len(ODD_FILES)


def write_files(folder: Path) -> None:
    """Write `FILES` files."""
    contents = LARGE_FILES | ODD_FILES
    for number in range(SMALL_FILES):
        contents[f"{number % 7}/file {number}.txt"] = f"file {number}\n".encode() * number
    for name, content in contents.items():
        write_file(folder, name, content)


def write_file(folder: Path, name: str, content: bytes) -> None:
    """Write one, with its folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
