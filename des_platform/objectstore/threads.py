"""Calls in threads, a few ahead of whoever takes the results."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, *, ahead: int | None = None
) -> Iterator[_Result]:
    """Yield a function's results in the order of the items.

    An error of the function is raised at its item's turn; nothing that has not begun by then is begun.

    Args:
        function: called in threads.
        items: taken in the caller's thread, no more than are needed.
        threads: how many calls at once.
        ahead: most calls begun or waiting whose result is not taken yet; as many as threads, if not given.
    """
    waiting: deque[Future[_Result]] = deque()
    items = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="des-transfer")
    try:
        waiting.extend(pool.submit(function, item) for item in islice(items, ahead or threads))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def bounded_map(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> list[_Result]:
    """All results, in the order of the items, of which a few for each thread are in memory."""
    return list(in_order(function, items, threads, ahead=4 * threads))
