"""What commands say and how they end: one line for each problem, an exit code for the whole.

Invariants: results go to standard output, everything else to standard error; a problem with one file never stops the
others; a control character from an archive never reaches a terminal.
"""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

DAMAGED = 1
UNUSABLE = 2
INTERRUPTED = 130
TERMINATED = 143


class Unusable(Exception):
    """The command cannot be carried out as it was given; the message says what to do."""


class Problems:
    """Says what was wrong with single files, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, text: object) -> None:
        """Say one problem."""
        self.count += 1
        complain(text)

    def end(self) -> None:
        """End the command by exit code 1 if there was any problem."""
        if self.count:
            raise SystemExit(DAMAGED)


def complain(text: object) -> None:
    """Say a line on standard error."""
    print(f"des: {printable(str(text))}", file=sys.stderr)


def printable(text: str) -> str:
    """Return a text with its control characters escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def said(error: Exception) -> str:
    """Return what an error says; one of the system without its number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn the errors of a command into a line and an exit code; SIGTERM cleans up as Ctrl-C does."""
    from des_platform.archive import CorruptArchive, ExternalFile, UnsupportedVersion
    from des_platform.files.locations import InvalidAddress
    from des_platform.objectstore import (
        IntegrityError,
        InvalidKey,
        ObjectNotFound,
        PreconditionFailed,
        StoreUnavailable,
        UnsupportedByStore,
    )
    from des_platform.settings import ConfigurationError

    damage = (CorruptArchive, ExternalFile, IntegrityError, UnsupportedVersion)
    store = (InvalidKey, ObjectNotFound, PreconditionFailed, StoreUnavailable, UnsupportedByStore)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except damage as error:
        _end(error, DAMAGED)
    except (ConfigurationError, InvalidAddress, Unusable, *store) as error:
        _end(error, UNUSABLE)
    except BrokenPipeError:
        raise  # whoever read the output has read enough
    except OSError as error:
        _end(said(error), UNUSABLE)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(text: object, code: int) -> NoReturn:
    complain(text)
    raise SystemExit(code) from None


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)
