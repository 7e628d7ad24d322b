"""Is a local file whole: its size, its format as the format's own reader sees it, its SHA-256.

The readers run in a process of their own (`format_check`), because contradictory metadata end the process that reads
them: in Arrow as a C++ exception that nobody catches. A missing file, and each thing that is wrong, is a line in
`problems` and no exception.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from des_platform.objectstore.objects import digest_of
from des_platform.objectstore.transfers.format_check import MEMORY_BYTES

if TYPE_CHECKING:
    from pathlib import Path

Format = Literal["parquet", "dbn"]
_BLOCK_BYTES = 1024 * 1024
_SHA256_DIGITS = 64
_SAID_CHARS = 300


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a check found; each `..._valid` is None where it was not asked for, or could not be looked at.

    Attributes:
        valid: nothing is wrong.
        exists: it is there, a regular file.
        size: bytes; 0 if it is not there.
        size_valid: it has as many bytes as were asked for, or more.
        format: the format that was asked for.
        format_valid: its reader read it to the end.
        sha256: SHA-256, 64 lower-case hexadecimal digits; '' if it is not there.
        sha256_valid: it is the expected one.
        problems: what is wrong, a sentence each.
        details: what the reader found, such as rows and columns.
    """

    valid: bool
    exists: bool
    size: int
    size_valid: bool | None
    format: Format | None
    format_valid: bool | None
    sha256: str
    sha256_valid: bool | None
    problems: tuple[str, ...]
    details: dict[str, Any] = field(default_factory=dict)


def check_file(
    path: Path,
    *,
    expected_sha256: str | None = None,
    format: Format | None = None,  # noqa: A002 - what it is called everywhere
    min_bytes: int = 0,
) -> FileCheck:
    """Check a local file.

    Args:
        path: the file.
        expected_sha256: 64 hexadecimal digits.
        format: `parquet` (any schema; every page of every row group is read) or `dbn` (plain or zstd; needs the extra
            `dbn`); None for any.
        min_bytes: least size.

    Raises:
        ValueError: `expected_sha256` is no SHA-256.
    """
    if expected_sha256 is not None and not _is_sha256(expected_sha256):
        raise ValueError(f"{expected_sha256!r} is no SHA-256: expected {_SHA256_DIGITS} hexadecimal digits")
    if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
        return _missing(format, "it is no regular file")
    try:
        with path.open("rb") as file:
            digest = digest_of(iter(partial(file.read, _BLOCK_BYTES), b""))
    except OSError as error:
        return _missing(format, f"it cannot be read: {error.strerror}")
    problems: list[str] = []
    if digest.size < min_bytes:
        problems.append(f"it has {digest.size} bytes, expected at least {min_bytes}")
    if expected_sha256 and digest.sha256 != expected_sha256.lower():
        problems.append(f"its SHA-256 is {digest.sha256}, expected {expected_sha256.lower()}")
    sound = len(problems)
    details, problem = _read(path, format) if format else ({}, "")
    if problem:
        problems.append(problem)
    return FileCheck(
        valid=not problems,
        exists=True,
        size=digest.size,
        size_valid=digest.size >= min_bytes,
        format=format,
        format_valid=len(problems) == sound if format else None,
        sha256=digest.sha256,
        sha256_valid=digest.sha256 == expected_sha256.lower() if expected_sha256 else None,
        problems=tuple(problems),
        details=details,
    )


def _missing(format: Format | None, problem: str) -> FileCheck:  # noqa: A002
    return FileCheck(
        valid=False, exists=False, size=0, size_valid=None, format=format, format_valid=None, sha256="",
        sha256_valid=None, problems=(problem,),
    )  # fmt: skip


def _read(path: Path, format: Format) -> tuple[dict[str, Any], str]:  # noqa: A002
    """What the format's reader found, and what is wrong, '' for nothing."""
    command = [sys.executable, "-m", "des_platform.objectstore.transfers.format_check", format, str(path.absolute())]
    # No argument is read by a shell, and the path comes behind the format, so none is taken for an option.
    ended = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)  # noqa: S603
    try:
        found = json.loads(ended.stdout)
        return found["details"], found["problem"]
    except (ValueError, TypeError, KeyError):
        return {}, f"its {format} reader gave up: {_end_of(ended)}"


def _end_of(ended: subprocess.CompletedProcess[bytes]) -> str:
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        return f"it ended with {name}: its metadata contradict themselves, or need over {MEMORY_BYTES >> 30} GiB"
    said = ended.stderr.decode(errors="replace").strip().splitlines()
    return (said[-1] if said else f"exit code {ended.returncode}")[:_SAID_CHARS]


def _is_sha256(text: str) -> bool:
    return len(text) == _SHA256_DIGITS and not set(text.lower()) - set("0123456789abcdef")
