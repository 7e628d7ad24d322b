"""Work in threads whose results keep their order, with bounded look-ahead.

Whoever stops early, or whose input or work fails, leaves no thread behind: the generator ends its threads as it ends.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCH = 8  # a hand-over between threads costs some 20 µs, as much as zstd needs for 40 KiB


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield what the work makes of each item, in order.

    Args:
        work: called in threads; in the caller's own where there is but one.
        items: taken one by one in the caller's thread, at most two for each thread ahead of what is yielded.
        threads: how many work at once.
    """
    if threads <= 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="codec")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the same items, taken in a thread up to three batches of eight ahead of what is yielded."""
    iterator = iter(items)

    def batch() -> list[Item]:
        return list(islice(iterator, _BATCH))

    pool = ThreadPoolExecutor(1, thread_name_prefix="codec")
    try:
        waiting = deque([pool.submit(batch), pool.submit(batch)])
        while taken := waiting.popleft().result():
            waiting.append(pool.submit(batch))
            yield from taken
    finally:
        pool.shutdown(cancel_futures=True)
