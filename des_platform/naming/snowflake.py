"""Snowflake names: unique without a central counter, and checkable without a catalogue.

``<prefix>_YYYYMMDD_(FFFFFFFFFFFF_CC)``, with literal parentheses, for example ``DES_20251126_(BF785FEA0100_81)``:

* ``F``, 48 bits: ``(epoch milliseconds mod 2**32) << 16 | node id << 8 | sequence``, 12 upper-case hex digits;
* ``CC``: the sum of the six bytes of ``F`` modulo 256, 2 upper-case hex digits.

What keeps names unique: a minter uses only milliseconds that were granted to it, each grant is given once for a node,
and within a grant a minter never goes back: when its clock does, it stays at the last millisecond it used. Whoever
runs several minters on a node, one after the other or at once, hands each the same `Reserve`, which keeps its mark
where it outlives them; then neither a restart nor a clock that is set back or forward repeats a name. Without one a
minter has its node to itself and remembers nothing when it ends.

The milliseconds wrap after 49.7 days, and the date in a name is its file's day, not the day on which it was minted. So
a node may form a name again that it formed for the same day a multiple of 49.7 days ago: whoever keeps names for that
long looks, before it uses new ones, whether it has them already.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Reserve = Callable[[int], tuple[int, int]]

MAX_NODE_ID = 255
MAX_AHEAD_MS = 1_000
"""How many milliseconds past the highest clock reading a minter may borrow: 256,000 names beyond the clock's own."""
MAX_WAIT_SECONDS = 2.0
"""How long a minter that has borrowed all it may waits for the clock before it gives up."""

_SEQUENCES_PER_MS = 256
_SHOWN_CHARS = 80
_BYTE_HEX = [f"{byte:02X}" for byte in range(256)]
_PREFIX = re.compile(r"[A-Za-z0-9]+")
_NAME = re.compile(r"([A-Za-z0-9]+)_([0-9]{4})([0-9]{2})([0-9]{2})_\(([0-9A-F]{12})_([0-9A-F]{2})\)")


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000


def _grant_all(from_ms: int) -> tuple[int, int]:
    return from_ms, sys.maxsize


def _checksum(value: int) -> int:
    return sum(value.to_bytes(6, "big")) & 0xFF


@dataclass(frozen=True, slots=True)
class DesName:
    """A snowflake name in parts.

    Attributes:
        prefix: ASCII letters and digits.
        day: the day the name carries (not derived from ``value``).
        value: the 48 bits ``F``: milliseconds, node id and sequence.
    """

    prefix: str
    day: date
    value: int


class NameMinter:
    """Mints unique names for one node. Thread-safe.

    256 names fit a millisecond. When a millisecond is used up the next one is borrowed without waiting, so bursts run
    at full speed; at `MAX_AHEAD_MS` past the highest clock reading the minter sleeps until the clock has caught up
    (256,000 names a second sustained). Where a grant starts later than was asked for, since a predecessor's clock was
    ahead, its start counts as a clock reading.

    Args:
        prefix: ASCII letters and digits, not empty.
        node_id: 0 to 255.
        clock_ms: milliseconds since the epoch.
        reserve: grants milliseconds: given the first one wanted, it returns the first one granted, at least that, and
            the one behind the last; it has made sure before it returns that nobody is ever granted them again for this
            node. Whatever it raises comes out of `mint`. None: the node belongs to this minter alone.

    Raises:
        ValueError: the prefix or the node id is not as above.
    """

    def __init__(
        self, prefix: str, node_id: int, *, clock_ms: Callable[[], int] = _epoch_ms, reserve: Reserve | None = None
    ) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"name prefix {prefix!r} must be one or more ASCII letters and digits")
        if not 0 <= node_id <= MAX_NODE_ID:
            raise ValueError(f"node id {node_id} is out of range: use 0 to {MAX_NODE_ID}, one per running minter")
        self._prefix = prefix
        self._node_id = node_id
        self._clock_ms = clock_ms
        self._reserve = reserve or _grant_all
        self._lock = threading.Lock()
        self._highest_ms = self._last_ms = -1
        self._granted_until_ms = 0
        self._next_sequence = 0

    def mint(self, day: date) -> str:
        """Return a name that this minter has not returned before.

        Args:
            day: the day to carry in the name.

        Raises:
            RuntimeError: the clock has stood still for `MAX_WAIT_SECONDS` with every borrowed millisecond used up.
        """
        return self.mint_many(day, 1)[0]

    def mint_many(self, day: date, count: int) -> list[str]:
        """Return names that this minter has not returned before, in the order of their milliseconds.

        Args:
            day: the day to carry in the names.
            count: how many, at least 0.

        Raises:
            RuntimeError: as for `mint`; the names of this call are lost then, which costs nothing but themselves.
        """
        head = f"{self._prefix}_{day.year:04d}{day.month:02d}{day.day:02d}_("
        names: list[str] = []
        while len(names) < count:
            ms, first, number = self._take(count - len(names))
            high = (ms & 0xFFFFFFFF) << 8 | self._node_id
            start, total = f"{head}{high:010X}", _checksum(high)
            names += [
                f"{start}{_BYTE_HEX[sequence]}_{_BYTE_HEX[(total + sequence) & 0xFF]})"
                for sequence in range(first, first + number)
            ]
        return names

    def _take(self, most: int) -> tuple[int, int, int]:
        """Take sequence numbers of one millisecond: the millisecond, the first number, and how many."""
        with self._lock:
            now = self._clock_ms()
            self._highest_ms = max(self._highest_ms, now)
            if now > self._last_ms:
                self._move_to(now)
            elif self._next_sequence == _SEQUENCES_PER_MS:
                self._wait_to_borrow()
                self._move_to(self._last_ms + 1)
            first = self._next_sequence
            number = min(most, _SEQUENCES_PER_MS - first)
            self._next_sequence += number
            return self._last_ms, first, number

    def _move_to(self, ms: int) -> None:
        if ms >= self._granted_until_ms:
            granted_ms, until_ms = self._reserve(ms)
            self._granted_until_ms = until_ms
            if granted_ms > ms:
                self._highest_ms = max(self._highest_ms, granted_ms)
                ms = granted_ms
        self._last_ms = ms
        self._next_sequence = 0

    def _wait_to_borrow(self) -> None:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while self._last_ms - self._highest_ms >= MAX_AHEAD_MS:
            if time.monotonic() >= deadline:
                raise RuntimeError(
                    f"cannot mint a name: the clock has stood {MAX_AHEAD_MS} ms behind the last name for "
                    f"{MAX_WAIT_SECONDS} s; check the system clock of this node"
                )
            time.sleep(0.001)
            self._highest_ms = max(self._highest_ms, self._clock_ms())


def parse_name(name: str) -> DesName:
    """Take a snowflake name apart and check it.

    Args:
        name: the whole name.

    Raises:
        ValueError: the name is malformed, its date does not exist, or its checksum does not fit.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        shown = repr(name[:_SHOWN_CHARS]) + ("..." if len(name) > _SHOWN_CHARS else "")
        raise ValueError(
            f"{shown} is not a snowflake name: expected <prefix>_YYYYMMDD_(FFFFFFFFFFFF_CC) in upper-case hex"
        )
    prefix, year, month, day_of_month, value_hex, checksum_hex = match.groups()
    try:
        day = date(int(year), int(month), int(day_of_month))
    except ValueError as error:
        raise ValueError(
            f"{name!r} carries the date {year}-{month}-{day_of_month}, which does not exist: {error}"
        ) from error
    value = int(value_hex, 16)
    if _checksum(value) != int(checksum_hex, 16):
        raise ValueError(
            f"{name!r} has checksum {checksum_hex}, but {value_hex} sums to {_checksum(value):02X}: a mistyped name?"
        )
    return DesName(prefix, day, value)
