"""Writing beside the caller: a sink that a thread of its own feeds, so that the next block is made meanwhile."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.archive.sink import ByteSink

_WAITING = 2


class WritingThread:
    """A sink that writes in a thread of its own; what goes wrong there is raised at the next call.

    Only the writing is done there: it needs no interpreter, so that the caller's work goes on beside it. Sealing whole
    blocks in a thread saved nothing, because two threads then wait for one interpreter, up to 5 ms each time.

    Args:
        sink: takes the bytes.
    """

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._queue: queue.Queue[Sequence[bytes | bytearray] | None] = queue.Queue(_WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="des-archive-writer", daemon=True)
        self._thread.start()

    def write(self, parts: Sequence[bytes | bytearray]) -> None:
        """Have these bytes written; returns while up to `_WAITING` calls wait."""
        self._queue.put(parts)
        self._raise()

    def drain(self) -> None:
        """Wait until everything is written."""
        self._queue.join()
        self._raise()

    def stop(self) -> None:
        """End the thread. May be called twice."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (parts := self._queue.get()) is not None:
            try:
                if self._error is None:
                    self._sink.write(parts)
            except BaseException as error:  # noqa: BLE001 - raised again where the caller is
                self._error = error
            finally:
                self._queue.task_done()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
