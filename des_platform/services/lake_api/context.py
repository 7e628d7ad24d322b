"""What every request has at hand: the catalogue, the lake, and whether anybody may ask."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from des_platform.services.lake_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.lake.tables import Lake


class Context:
    """What the endpoints work with; safe to share between threads.

    Args:
        catalog: where every answer to a read comes from.
        open_lake: connects to the tables' catalogue; called when the first request needs it, and again after a failure.
        unlocked: whether requests without a key are answered; only for a loopback address.

    Attributes:
        catalog: as given.
        unlocked: as given.
        started: `time.monotonic()` at the start.
    """

    def __init__(self, catalog: Catalog, open_lake: Callable[[], Lake], *, unlocked: bool = False) -> None:
        self.catalog = catalog
        self.unlocked = unlocked
        self.started = time.monotonic()
        self._open_lake = open_lake
        self._lake: Lake | None = None
        self._lock = Lock()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection whose statements stand alone: reads save two of the five trips to the server that way."""
        return self.catalog.engine.execution_options(isolation_level="AUTOCOMMIT").connect()

    def lake(self) -> Lake:
        """The tables.

        Raises:
            Problem: 503, their catalogue cannot be reached.
        """
        with self._lock:
            if self._lake is None:
                try:
                    self._lake = self._open_lake()
                except Exception as error:
                    raise Problem(503, "the tables' catalogue cannot be reached; try again later") from error
            return self._lake

    def close(self) -> None:
        """Give the lake's connections back; the catalogue is its owner's."""
        with self._lock:
            if self._lake is not None:
                self._lake.close()
                self._lake = None


async def _of_request(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


ContextOf = Annotated[Context, Depends(_of_request)]
"""An endpoint's argument of this type is the server's `Context`."""
