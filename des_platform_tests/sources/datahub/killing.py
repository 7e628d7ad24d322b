"""Compressing in a DataHub that is killed: one month after the other, SIGKILLed behind each step there is.

Run as a program, with a JSON object on standard input: `config` (the DataHub) and `months` with one file each, as
`[year, month]`. Of the first month the process is killed behind its first step, of the next one behind its second, and
so on until a run gets through; each month is then killed behind the same step of its second run, and gone on with to
its end. A step is a commit of something written, or a request to the DataHub that was answered, or read to its end. The
result is one JSON object: how many runs were killed, and how many months were used.

The program loads what a run needs once and forks, so nothing here may start a thread before.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import requests
import sqlalchemy as sa

from des_platform.catalog.database import Catalog
from des_platform.settings import load_settings
from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.compressing.month import MonthCompressor
from des_platform.sources.datahub.config import DataHubAccess

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_SECONDS = 30


class Steps:
    """Counts what the DataHub and its neighbours can see, and kills this process behind a given step."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._seen = 0
        self._wrote = False
        engine: Any = sa.engine.Engine
        sa.event.listen(engine, "after_cursor_execute", self._note)
        dialect: Any = sa.engine.default.DefaultDialect
        self._wrap(dialect, "do_commit", lambda: self._wrote)
        self._wrap(requests.Session, "send")
        for name in ("download", "upload", "delete"):
            self._wrap(DataHubClient, name)

    def _note(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        self._wrote |= statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE"))

    def _wrap(self, owner: Any, name: str, counts: Callable[[], bool] = lambda: True) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            self._seen += counts()
            self._wrote = False
            if self._seen == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, counted)


def _forked(work: Callable[[], None]) -> bool:
    """Run in a fork; returns whether it was killed."""
    child = os.fork()
    if not child:
        try:
            signal.alarm(_PATIENCE_SECONDS)
            work()
        except BaseException:  # noqa: BLE001 - whatever it was, the parent must not go on in the child
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        raise RuntimeError("a run failed by itself; its traceback stands above")
    return os.WIFSIGNALED(status)


def main() -> None:
    """Do what standard input asks for."""
    asked = json.load(sys.stdin)
    settings = load_settings()
    config = DataHubAccess.model_validate(asked["config"])
    killed = used = 0
    for step, (year, month) in enumerate(asked["months"], start=1):
        used += 1

        def run(last: int | None, year: int = year, month: int = month) -> None:
            # As if its life had passed: whoever was killed renews nothing.
            with psycopg.connect(settings.catalog_url.replace("+psycopg", "")) as connection:
                connection.execute("UPDATE des_catalog.leases SET expires_at = now()")
            if last is not None:
                Steps(last)
            with Catalog.open(settings) as catalog:
                MonthCompressor(config, catalog, settings.scratch, lease_seconds=20).run(year, month)

        died = [_forked(partial(run, last)) for last in (step, step, None)]
        killed += sum(died)
        if not died[0]:
            break
    sys.stdout.write(json.dumps({"killed": killed, "used": used}) + "\n")


if __name__ == "__main__":
    main()
