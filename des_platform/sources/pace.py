"""A token bucket: how often something may happen, across all threads."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """Lets through `rate` things a second on average, and `burst` at once after a pause. Thread-safe.

    Args:
        rate: tokens a second, more than 0.
        burst: most tokens that gather, at least 1.
        clock: monotonic seconds.
        sleep: waits so many seconds.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        rate: float,
        burst: int = 1,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"a token bucket needs a rate above 0 and a burst of at least 1, found {rate} and {burst}")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = float(burst)
        self._at = clock()

    def take(self, number: int = 1) -> float:
        """Take tokens, waiting until they are due.

        A taker reserves its tokens at once and then waits for them without the lock, so that takers are served in the
        order in which they came.

        Returns:
            Seconds waited.
        """
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - number
            self._at = now
            wait = max(0.0, -self._tokens / self._rate)
        if wait:
            self._sleep(wait)
        return wait
