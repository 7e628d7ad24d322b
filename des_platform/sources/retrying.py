"""Trying again: the one place that decides how long to wait between two attempts.

Object store, queue and stream clients retry by themselves; everything else that crosses a network comes here. What an
attempt did must be harmless when it is done again, and no transaction may be open while this waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState, Retrying


def retrying(
    attempts: int,
    *,
    base: float,
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[BaseException], bool],
    factor: float = 2.0,
    most: float = 60.0,
    wait: Callable[[BaseException], float | None] | None = None,
) -> Retrying:
    """Give one attempt after the other; each is a context for the work that it tries.

    The pause before attempt n + 1 is `base * factor ** (n - 1)` seconds, at most `most`, with a jitter of up to half of
    it, so that many clients do not come back at once. The last attempt's own error is raised.

    Args:
        attempts: most attempts, the first included.
        base: seconds before the second attempt.
        on: the errors that are worth another attempt, or a function that tells.
        factor: growth of the pause.
        most: longest pause, also of one that `wait` asks for.
        wait: seconds that the error itself asks for (`Retry-After`), or None.
    """
    import random

    from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_attempt

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = wait(error) if wait and error else None
        if asked is not None:
            return min(asked, most)
        return min(base * factor ** (state.attempt_number - 1), most) * random.uniform(0.5, 1.0)  # noqa: S311 - a pause

    kinds = retry_if_exception_type(on) if isinstance(on, type | tuple) else retry_if_exception(on)
    return Retrying(stop=stop_after_attempt(attempts), wait=pause, retry=kinds, reraise=True)
