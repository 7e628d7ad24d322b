"""Snowflake names: unique without a central counter, and checkable without a catalogue.

``<prefix>_YYYYMMDD_(FFFFFFFFFFFF_CC)``, with literal parentheses, for example ``DES_20251126_(BF785FEA0100_81)``:

* ``F``, 48 bits: ``(epoch milliseconds mod 2**32) << 16 | node id << 8 | sequence``, 12 upper-case hex digits;
* ``CC``: the sum of the six bytes of ``F`` modulo 256, 2 upper-case hex digits.

What keeps names unique: one `NameMinter` per node id at a time, for all threads. A minter never goes back: when its
clock does, it stays at the last millisecond it used. Its memory ends with it: a successor on the same node must not
start while its clock is still behind the last name (at most `MAX_AHEAD_MS` ahead of the clock, plus however far the
clock was set back). The milliseconds wrap after 49.7 days, which the date in the name tells apart.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NODE_ID = 255
MAX_AHEAD_MS = 1_000
"""How many milliseconds past the highest clock reading a minter may borrow: 256,000 names beyond the clock's own."""
MAX_WAIT_SECONDS = 2.0
"""How long a minter that has borrowed all it may waits for the clock before it gives up."""

_SEQUENCES_PER_MS = 256
_PREFIX = re.compile(r"[A-Za-z0-9]+")
_NAME = re.compile(r"([A-Za-z0-9]+)_([0-9]{4})([0-9]{2})([0-9]{2})_\(([0-9A-F]{12})_([0-9A-F]{2})\)")


def _epoch_ms() -> int:
    return time.time_ns() // 1_000_000


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
    (256,000 names a second sustained).

    Args:
        prefix: ASCII letters and digits, not empty.
        node_id: 0 to 255, unique among the minters alive.
        clock_ms: milliseconds since the epoch.

    Raises:
        ValueError: the prefix or the node id is not as above.
    """

    def __init__(self, prefix: str, node_id: int, *, clock_ms: Callable[[], int] = _epoch_ms) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"name prefix {prefix!r} must be one or more ASCII letters and digits")
        if not 0 <= node_id <= MAX_NODE_ID:
            raise ValueError(f"node id {node_id} is out of range: use 0 to {MAX_NODE_ID}, one per running minter")
        self._prefix = prefix
        self._node_bits = node_id << 8
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._highest_ms = self._last_ms = clock_ms()
        self._next_sequence = 0

    def mint(self, day: date) -> str:
        """Return a name that this minter has not returned before.

        Args:
            day: the day to carry in the name.

        Raises:
            RuntimeError: the clock has stood still for `MAX_WAIT_SECONDS` with every borrowed millisecond used up.
        """
        with self._lock:
            now = self._clock_ms()
            self._highest_ms = max(self._highest_ms, now)
            if now > self._last_ms:
                self._last_ms = now
                self._next_sequence = 0
            elif self._next_sequence == _SEQUENCES_PER_MS:
                self._borrow()
            value = (self._last_ms & 0xFFFFFFFF) << 16 | self._node_bits | self._next_sequence
            self._next_sequence += 1
        return f"{self._prefix}_{day.year:04d}{day.month:02d}{day.day:02d}_({value:012X}_{_checksum(value):02X})"

    def _borrow(self) -> None:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while self._last_ms - self._highest_ms >= MAX_AHEAD_MS:
            if time.monotonic() >= deadline:
                raise RuntimeError(
                    f"cannot mint a name: the clock has stood {MAX_AHEAD_MS} ms behind the last name for "
                    f"{MAX_WAIT_SECONDS} s; check the system clock of this node"
                )
            time.sleep(0.001)
            self._highest_ms = max(self._highest_ms, self._clock_ms())
        self._last_ms += 1
        self._next_sequence = 0


def parse_name(name: str) -> DesName:
    """Take a snowflake name apart and check it.

    Args:
        name: the whole name.

    Raises:
        ValueError: the name is malformed, its date does not exist, or its checksum does not fit.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is not a snowflake name: expected <prefix>_YYYYMMDD_(FFFFFFFFFFFF_CC) in upper-case hex"
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
