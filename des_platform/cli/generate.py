"""`des generate`: files from a schema, put and announced as a feed's would be."""

from __future__ import annotations

import re
import secrets
import signal
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.progress import counted
from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.sources.generator.running import Delivered, Plan
    from des_platform.sources.generator.targets import Target
    from des_platform.sources.queues.queue import Queue

_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?) ?([kKM]?i?B)?")
_UNITS = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "KiB": 1024, "kiB": 1024, "MiB": 1024**2}
_DEPTH_SECONDS = 2.0  # between two questions for the queue's depth


class _Format(StrEnum):
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    TEXT = "text"


_Schema = Annotated[str, typer.Argument(help="stock_market, weather, or the path of a JSON Schema")]
_As = Annotated[_Format, typer.Option("--format", help="tables are made of csv and jsonl")]
_Size = Annotated[str, typer.Option(help="bytes of a file, such as 1MB or 64KiB; at most 64MiB")]
_Rate = Annotated[str, typer.Option(help="files a second, or max for as many as can be")]
_Files = Annotated[int | None, typer.Option(help="how many files; endless until Ctrl-C", min=1)]
_Seconds = Annotated[float | None, typer.Option("--for", help="how many seconds; endless until Ctrl-C", min=0.1)]
_Seed = Annotated[int | None, typer.Option(help="the same seed gives the same files; a new one each time", min=0)]
_Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="day of the files (UTC); today")]
_Prefix = Annotated[str | None, typer.Option(help="start of the keys; the data set's name and a slash")]
_Bucket = Annotated[str | None, typer.Option(help="bucket to put into; DES_LANDING_BUCKET, else landing")]
_Queue = Annotated[str | None, typer.Option(help="URL of the queue to announce files in; DES_QUEUE_URL")]
_Silent = Annotated[bool, typer.Option("--no-announce", help="tell no queue: the listing finds the files")]
_To = Annotated[Path | None, typer.Option("--to", help="folder to write to, instead of bucket and queue")]


def generate(  # noqa: PLR0913, PLR0917 - the command line's options
    schema: _Schema = "stock_market",
    file_format: _As = _Format.CSV,
    size: _Size = "1MB",
    rate: _Rate = "1",
    files: _Files = None,
    seconds: _Seconds = None,
    seed: _Seed = None,
    day: _Day = None,
    prefix: _Prefix = None,
    bucket: _Bucket = None,
    queue: _Queue = None,
    no_announce: _Silent = False,
    to: _To = None,
) -> None:
    """Make files from a schema, put them into the landing bucket and announce them, until Ctrl-C."""
    from des_platform.sources.generator.running import Plan, run
    from des_platform.sources.generator.schema import load_schema
    from des_platform.sources.generator.writing import Generator

    if to is not None and (bucket is not None or queue is not None or no_announce):
        raise ConfigurationError("--to writes to a folder: it goes without --bucket, --queue and --no-announce")
    if queue is not None and no_announce:
        raise ConfigurationError("--no-announce tells no queue: it goes without --queue")
    generator = Generator(load_schema(schema), file_format.value)
    dataset = generator.schema.dataset
    plan = Plan(
        day=day.date() if day is not None else datetime.now(UTC).date(),
        prefix=f"{dataset}/" if prefix is None else prefix,
        rows=generator.rows_of(_bytes(size)),
        seed=secrets.randbelow(10**9) if seed is None else seed,
        files=files,
        seconds=seconds,
        rate=_rate(rate),
    )
    plan.key(generator, 0)  # a prefix that cannot be is told before anything is asked of anybody
    target, announcing, where = _target(bucket, queue, to, announce=not no_announce)
    started = time.monotonic()
    with _until_interrupted() as stop, _status(announcing, started) as progress:
        done = run(generator, target, plan, stop, progress)
    took = time.monotonic() - started
    print(_summary(done, plan, took, where))


def _target(
    bucket: str | None, queue_url: str | None, folder: Path | None, *, announce: bool
) -> tuple[Target, Queue | None, str]:
    """Where the files go, the queue that is told, and both in words."""
    from des_platform.objectstore import Buckets, InvalidKey
    from des_platform.sources.generator.targets import BucketTarget, FolderTarget
    from des_platform.sources.queues.queue import Queue

    if folder is not None:
        return FolderTarget(folder), None, f"written to {folder}"
    demo_environment()
    settings = load_settings()
    if queue_url is not None:
        settings = settings.model_copy(update={"queue_url": queue_url})
    if announce and not settings.queue_url:
        raise ConfigurationError(
            "no queue is set: start des demo in this folder, name one with --queue or DES_QUEUE_URL, or say"
            " --no-announce"
        )
    name = bucket or settings.landing_bucket
    try:
        store = Buckets(settings).bucket(name)
    except InvalidKey as error:
        raise ConfigurationError(str(error)) from None
    queue = Queue(settings) if announce else None
    if queue is not None:
        _depth(queue)  # a queue that does not answer is told before anything is put
    told = "announced" if announce else "announced to nobody"
    return BucketTarget(store, queue, threads=settings.threads), queue, f"put into {name}, {told}"


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get((found.group(2) or "") if found else "?")
    if found is None or unit is None:
        raise ConfigurationError(f"--size is {text[:40]!a}, expected bytes such as 500000, 64KiB, 1MB or 1.5MiB")
    return int(float(found.group(1)) * unit)


def _rate(text: str) -> float | None:
    if text == "max":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.001 <= rate <= 100_000:  # noqa: PLR2004 - nan is outside too
        raise ConfigurationError(f"--rate is {text[:40]!a}, expected files a second, 0.001 to 100,000, or max")
    return rate


@contextmanager
def _until_interrupted() -> Iterator[threading.Event]:
    """Set an event on Ctrl-C and SIGTERM, so that what was begun is finished; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def interrupt(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _status(queue: Queue | None, started: float) -> Iterator[Callable[[Delivered], None]]:
    """Show how far the run is, on a terminal's standard error; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console

    waiting, asked = "", 0.0
    with Console(stderr=True).status("starting") as status:

        def show(done: Delivered) -> None:
            nonlocal waiting, asked
            if queue is not None and time.monotonic() > asked + _DEPTH_SECONDS:
                waiting, asked = f"  {_depth(queue):,} wait in the queue", time.monotonic()
            status.update(f"{_counts(done, time.monotonic() - started)}{waiting}")

        yield show


def _depth(queue: Queue) -> int:
    from botocore.exceptions import BotoCoreError, ClientError

    from des_platform.sources.source import SourceUnavailable

    try:
        return queue.waiting()
    except (BotoCoreError, ClientError) as error:
        raise SourceUnavailable(
            f"the queue {queue.url} does not answer: {error}; is the demo running? --no-announce does without"
        ) from None


def _counts(done: Delivered, seconds: float) -> str:
    each = max(seconds, 1e-9)
    size = done.bytes / 1e6
    return f"{counted(done.files, 'file')}  {size:,.1f} MB  {done.files / each:,.1f} files/s  {size / each:,.1f} MB/s"


def _summary(done: Delivered, plan: Plan, seconds: float, where: str) -> str:
    known = f", {done.known:,} of them there before" if done.known else ""
    return (
        f"{_counts(done, seconds)}  in {seconds:.1f} s, {where} under {plan.prefix}{plan.day}/{known};"
        f" --seed {plan.seed} --day {plan.day} repeats them"
    )
