"""Where readers keep indexes between archives and processes: the protocol, memory, Redis, and none.

A key names one version of one file (`ByteSource.identity`), so that an archive that is replaced never meets the index
of the old one; a source that cannot name its version is not cached. A cache may forget whatever it likes, and one that
fails is one that has forgotten: no cache can make a read fail.
"""

from __future__ import annotations

import logging
import re
import struct
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol

from crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.archive.source import ByteSource

_log = logging.getLogger(__name__)

_CRC = struct.Struct("<I")
_SIZE = struct.Struct("<Q")
_SCAN_COUNT = 1000
_ENTRY_OVERHEAD = 250
"""Bytes of an entry beside those of key and value: 226 as tracemalloc counts them, and 24 for a time."""


class IndexCache(Protocol):
    """Keeps parts of archives by name. Used by several threads at once."""

    def get(self, key: str) -> bytes | None:
        """Return what is kept under a key; None if nothing is, for whatever reason."""

    def set(self, key: str, value: bytes) -> None:
        """Keep something, or not."""


class NullCache:
    """Keeps nothing."""

    def get(self, key: str) -> bytes | None:  # noqa: ARG002 - the protocol's signature
        """Return None."""
        return None

    def set(self, key: str, value: bytes) -> None:
        """Forget at once."""


class InMemoryIndexCache:
    """Keeps what was used last in this process; every operation takes the same time, however much is kept.

    Args:
        max_size: most entries.
        default_ttl: seconds until an entry is forgotten; None is never.
        max_bytes: most bytes of keys and values together.
        clock: seconds that only grow.

    Raises:
        ValueError: a limit is not positive.
    """

    def __init__(
        self,
        max_size: int = 16_384,
        default_ttl: float | None = None,
        *,
        max_bytes: int = 256 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_size < 1 or max_bytes < 1 or (default_ttl is not None and default_ttl <= 0):
            raise ValueError(f"limits must be positive: {max_size} entries, {max_bytes} bytes, {default_ttl} seconds")
        self._max_size = max_size
        self._max_bytes = max_bytes
        self._ttl = default_ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> bytes | None:
        """Return what is kept under a key; None if nothing is, or if it is too old."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry[1] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def set(self, key: str, value: bytes) -> None:
        """Keep something, in the place of what was used longest ago; never what is larger than the whole cache."""
        expires = float("inf") if self._ttl is None else self._clock() + self._ttl
        with self._lock:
            if key in self._entries:
                self._drop(key)
            if _weight(key, value) > self._max_bytes:
                return
            self._entries[key] = (value, expires)
            self._bytes += _weight(key, value)
            while len(self._entries) > self._max_size or self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def get_stats(self) -> dict[str, int]:
        """Return the number of ``entries``, those ``expired`` and ``active`` of them, ``max_size``, and ``bytes``."""
        with self._lock:
            now = self._clock()
            expired = sum(expires <= now for _, expires in self._entries.values())
            return {
                "entries": len(self._entries),
                "expired": expired,
                "active": len(self._entries) - expired,
                "max_size": self._max_size,
                "bytes": self._bytes,
            }

    def _drop(self, key: str) -> None:
        value, _ = self._entries.pop(key)
        self._bytes -= _weight(key, value)


class RedisIndexCache:
    """Keeps indexes in a Redis or Valkey that many processes share.

    A server that does not answer is a cache that has forgotten: it is left alone for a while, because clients try again
    for seconds before they give up. The first failure is logged as a warning, those that follow are not, until it has
    answered again. Give the client a short ``socket_timeout``. Each value carries the checksum of its key and itself:
    what was cut or mixed up on the way is deleted, and counts as forgotten.

    Args:
        client: a client of ``redis`` or ``valkey`` that gives bytes, not strings (``decode_responses=False``).
        key_prefix: stands before every key.
        default_ttl: seconds until an entry is forgotten; None leaves that to the server's own limits.
        retry_after: seconds for which a server that failed is not asked.
        clock: seconds that only grow.

    Raises:
        ValueError: the time is not positive.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - of two libraries
        key_prefix: str = "des:index:",
        default_ttl: int | None = None,
        *,
        retry_after: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if default_ttl is not None and default_ttl <= 0:
            raise ValueError(f"entries must live for more than {default_ttl} seconds")
        self._client = client
        self._prefix = key_prefix
        self._ttl = default_ttl
        self._retry_after = retry_after
        self._clock = clock
        self._failing = False
        self._asked_again_at = float("-inf")

    def get(self, key: str) -> bytes | None:
        """Return what is kept under a key; None if nothing whole is, or if the server does not answer."""
        full_key = self._prefix + key
        sealed = self._ask(lambda: self._client.get(full_key))
        if sealed is None:
            return None
        value = _unseal(full_key, sealed)
        if value is None:
            _log.warning("the cached %r is damaged: deleted", full_key)
            self._ask(lambda: self._client.delete(full_key))
        return value

    def set(self, key: str, value: bytes) -> None:
        """Keep something, if the server answers."""
        full_key = self._prefix + key
        sealed = _CRC.pack(crc32c(value, crc32c(full_key.encode()))) + value
        self._ask(lambda: self._client.set(full_key, sealed, ex=self._ttl))

    def clear(self) -> None:
        """Forget everything under the prefix, without stopping the server for others."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", self._prefix) + "*"
        self._ask(lambda: self._delete_all(pattern))

    def _delete_all(self, pattern: str) -> None:
        batch: list[bytes] = []
        for key in self._client.scan_iter(match=pattern, count=_SCAN_COUNT):
            batch.append(key)
            if len(batch) == _SCAN_COUNT:
                self._client.delete(*batch)
                batch.clear()
        if batch:
            self._client.delete(*batch)

    def _ask(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the client answers
        if self._clock() < self._asked_again_at:
            return None
        try:
            answer = request()
        except Exception as error:  # noqa: BLE001 - each client library has its own errors, and none may stop a read
            self._asked_again_at = self._clock() + self._retry_after
            if not self._failing:
                self._failing = True
                _log.warning("the index cache does not answer, archives are read without it: %s", error)
            return None
        self._failing = False
        return answer


class SourceCache:
    """One source's part of a cache: names its keys, and does nothing while the source has no identity.

    Args:
        cache: where to keep; None is nowhere.
        source: whose bytes are kept.
    """

    def __init__(self, cache: IndexCache | None, source: ByteSource) -> None:
        self._cache = cache
        self._source = source

    @property
    def active(self) -> bool:
        """Whether there is a cache at all."""
        return self._cache is not None

    def get(self, part: str) -> bytes | None:
        """Return what is kept of a part of this version of the source."""
        identity = self._source.identity if self._cache is not None else None
        return None if self._cache is None or identity is None else self._cache.get(f"{identity}#{part}")

    def set(self, part: str, value: bytes) -> None:
        """Keep a part of this version of the source."""
        identity = self._source.identity if self._cache is not None else None
        if self._cache is not None and identity is not None:
            self._cache.set(f"{identity}#{part}", value)

    def read_tail(self, length: int) -> tuple[bytes, int]:
        """Return the source's last bytes and its size as `ByteSource.read_tail` does, from the cache if they are there.

        They come as they were kept: the caller's own checks must find them right, or call `refresh_tail`.
        """
        kept = self.get(f"tail{length}")
        if kept is not None and len(kept) >= _SIZE.size:
            size = _SIZE.unpack_from(kept)[0]
            if len(kept) - _SIZE.size == min(length, size):
                return kept[_SIZE.size :], size
        return self.refresh_tail(length)

    def refresh_tail(self, length: int) -> tuple[bytes, int]:
        """Read the source's last bytes anew, and keep them."""
        tail, size = self._source.read_tail(length)
        if self._cache is not None:
            self.set(f"tail{length}", _SIZE.pack(size) + tail)
        return tail, size


def _weight(key: str, value: bytes) -> int:
    return len(key) + len(value) + _ENTRY_OVERHEAD


def _unseal(key: str, sealed: object) -> bytes | None:
    """Return the value whose checksum is right; what another program wrote here may be of any type."""
    if not isinstance(sealed, bytes) or len(sealed) < _CRC.size:
        return None
    value = sealed[_CRC.size :]
    return value if _CRC.unpack_from(sealed)[0] == crc32c(value, crc32c(key.encode())) else None
