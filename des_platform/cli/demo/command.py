"""`des demo`: the whole platform on this machine, with real files to watch."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from des_platform.cli.demo.processes import DemoError
from des_platform.cli.demo.state import state_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform.catalog.database import Catalog
    from des_platform.cli.demo.feed import Fed
    from des_platform.cli.demo.progress import Progress
    from des_platform.cli.demo.proof import Proof
    from des_platform.cli.demo.stack import Stack

_SHOWN = 20  # lost files named one by one

_Source = Annotated[
    Path | None, typer.Option("--from", help="folder whose files to feed", exists=True, file_okay=False)
]
_State = Annotated[Path | None, typer.Option(help="state folder; DES_STATE, else .des")]
_Once = Annotated[bool, typer.Option("--once", help="without the UI: end when everything is packed and proven")]
_Json = Annotated[bool, typer.Option("--json", help="with --once: print the result as one JSON object")]
_Port = Annotated[int, typer.Option(help="port of the UI; a free one if it is taken", min=1024, max=65535)]
_Days = Annotated[int, typer.Option(help="days of flights and of stock-market files", min=1, max=30)]
_Documents = Annotated[int, typer.Option(help="most documents", min=0)]


def demo(  # noqa: PLR0917 - the command line's options
    source: _Source = None,
    state: _State = None,
    once: _Once = False,
    as_json: _Json = False,
    port: _Port = 3000,
    days: _Days = 3,
    documents: _Documents = 1000,
) -> None:
    """Start everything, feed real files, and show what becomes of them."""
    from des_platform.catalog.database import Catalog
    from des_platform.cli.demo.feed import Fed, feed, plan
    from des_platform.cli.demo.instance import drop_half_made_tables
    from des_platform.cli.demo.progress import Progress
    from des_platform.cli.demo.stack import Stack

    if as_json and not once:
        raise DemoError("--json goes with --once: the demo with the UI never ends by itself")
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    files, walks = plan(source, days=days, documents=documents)
    fed = Fed()
    with Progress() as progress, Stack(state or state_folder()) as stack, Catalog.open(stack.settings) as catalog:
        drop_half_made_tables(catalog.engine)
        feeder = _Feeder(lambda: feed(stack.settings, files, fed))
        try:
            if not once:
                _with_ui(stack, catalog, feeder, fed, progress, port)
            proof = _once(catalog, stack, feeder, fed, progress)
        except KeyboardInterrupt:
            progress.say(f"Stopping; {stack.state} keeps the state.")
            raise
        for walk in walks:
            for reason, count in walk.counts.items():
                progress.say(f"not fed: {count:,} x {reason}")
        result = _result(catalog, fed, proof, time.monotonic() - started)
    print(json.dumps(result) if as_json else "  ".join(f"{name} {value:,}" for name, value in result.items()))
    raise SystemExit(1 if result["lost"] or result["duplicated"] else 0)


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    """End on SIGTERM as on Ctrl-C: every server is stopped on the way out."""
    raise KeyboardInterrupt


class _Feeder(threading.Thread):
    """Feeds in the background; `check` raises what went wrong there."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="feeder", daemon=True)
        self._work = work
        self._error: Exception | None = None

    def run(self) -> None:
        """Feed."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - raised again by check()
            self._error = error

    def check(self) -> None:
        """Raise what ended the feeding too early."""
        if self._error is not None:
            raise self._error


def _once(catalog: Catalog, stack: Stack, feeder: _Feeder, fed: Fed, progress: Progress) -> Proof:
    import dagster as dg

    from des_platform.cli.demo.once import OnceDriver, close_unfinished_runs
    from des_platform.cli.demo.progress import look
    from des_platform.cli.demo.proof import prove

    # One sensor comes after the other: while one waits, nobody works.
    os.environ.setdefault("DES_QUEUE_WAIT_SECONDS", "1")
    os.environ.setdefault("DES_CATALOG_WAIT_SECONDS", "0")
    with dg.DagsterInstance.get() as instance:
        close_unfinished_runs(instance)
        driver = OnceDriver(instance)
        feeder.start()
        driver.drive(catalog, fed, progress, feeder.check)
    stages = look(catalog, fed)
    progress.line(stages)
    proof = prove(stack.settings, catalog, fed.digests, lambda done: progress.bar("proven", done, stages.fed))
    for problem in proof.lost[:_SHOWN]:
        progress.say(f"lost: {problem}")
    return proof


def _with_ui(stack: Stack, catalog: Catalog, feeder: _Feeder, fed: Fed, progress: Progress, port: int) -> NoReturn:
    import dagster as dg

    from des_platform.cli.demo.costs import costs
    from des_platform.cli.demo.once import close_unfinished_runs
    from des_platform.cli.demo.progress import look
    from des_platform.cli.demo.reports import report_pages
    from des_platform.cli.demo.ui import dagster_ui

    with dg.DagsterInstance.get() as instance:
        close_unfinished_runs(instance)
    with ExitStack() as opened:
        reports = opened.enter_context(report_pages(stack.settings, min(port + 1, 65535)))
        stack.tell({"DES_REPORTS_URL": reports})
        url = opened.enter_context(dagster_ui(stack.state, port))
        progress.say(f"\nThe platform runs at {url}  (Ctrl-C ends all of it; {stack.state} keeps its state)")
        progress.say(f"What compression makes of each day: {reports}\n")
        feeder.start()
        told = 0
        while True:
            feeder.check()
            stages = look(catalog, fed)
            progress.show(stages)
            if fed.finished and stages.settled and stages.inbox >= stages.fed and stages.files.packed > told:
                told = stages.files.packed
                progress.say(costs(stack.state, stages))
            time.sleep(1.0)


def _result(catalog: Catalog, fed: Fed, proof: Proof, seconds: float) -> dict[str, int | float]:
    from des_platform.cli.demo.progress import look

    stages = look(catalog, fed)
    return {
        "files_fed": stages.fed,
        "raw_files": stages.files.files,
        "compressed_objects": stages.files.compressed,
        "table_rows": stages.rows,
        "des_shards": stages.archives,
        "files_verified": proof.verified,
        "lost": len(proof.lost),
        "duplicated": proof.duplicated,
        "seconds": round(seconds, 1),
    }
