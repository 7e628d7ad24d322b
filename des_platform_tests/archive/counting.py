"""A store's object in memory that counts requests, and refuses what a store would refuse."""

from __future__ import annotations

import threading


class Replaced(RuntimeError):
    """The object is not the one that was opened."""


class Unsatisfiable(RuntimeError):
    """The range starts behind the object's end."""


class CountingSource:
    """One version of an object: holds on to the version that its first answer showed."""

    def __init__(self, data: bytes, *, etag: str | None = None) -> None:
        self.data = data
        self.etag = etag
        self.reads: list[tuple[int, int]] = []
        self.tails = 0
        self._lock = threading.Lock()
        self._opened: bytes | None = None

    def __repr__(self) -> str:
        return "CountingSource()"

    @property
    def identity(self) -> str | None:
        return None if self.etag is None else f"bucket/key/{self.etag}"

    @property
    def requests(self) -> int:
        return self.tails + len(self.reads)

    @property
    def bytes_read(self) -> int:
        return sum(length for _, length in self.reads)

    def forget(self) -> None:
        self.reads.clear()
        self.tails = 0

    def read_tail(self, length: int) -> tuple[bytes, int]:
        assert length > 0
        data = self._answer()
        with self._lock:
            self.tails += 1
        return data[-length:], len(data)

    def read_range(self, offset: int, length: int) -> bytes:
        assert length > 0, "a store answers a range of no bytes with the whole object"
        assert offset >= 0
        data = self._answer()
        with self._lock:
            self.reads.append((offset, length))
        if offset >= len(data):
            raise Unsatisfiable(f"{offset} of {len(data)}")
        return data[offset : offset + length]

    def _answer(self) -> bytes:
        if self._opened is None:
            self._opened = self.data
        if self.data is not self._opened:
            raise Replaced
        return self.data
