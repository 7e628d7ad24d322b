"""Feeding: each file is put into the landing bucket and announced by one message, once.

A file whose bytes are there already is left alone, so feeding may be killed and repeated: what was put but not
announced is what the listing finds. The SHA-256 of every fed file is kept, to be compared with what comes back from the
archives.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from des_platform.cli.demo import corpus
from des_platform.objectstore import Buckets, digest_of
from des_platform.sources.messages.events import s3_event
from des_platform.sources.queues.queue import BATCH, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.cli.demo.corpus import FeedFile
    from des_platform.objectstore import ObjectStore
    from des_platform.settings import Settings

STOCK_FILES_A_DAY = 12
# The queue server's cost per call grows with what waits in it: 63 ms to receive ten messages of an empty queue, 574 ms
# of one with 200, on a busy machine.
MOST_WAITING = 40


@dataclass(slots=True)
class Fed:
    """What was fed: SHA-256 by key, bytes, and what could not be read, by reason."""

    digests: dict[str, bytes] = field(default_factory=dict)
    bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    finished: bool = False


def plan(source: Path | None, *, days: int, documents: int) -> tuple[Iterator[FeedFile], list[corpus.Skipped]]:
    """What to feed, and where the walk counts what it leaves out.

    Args:
        source: a folder of the user's; the built-in corpora if None.
        days: days of flights, and of stock-market files before today.
        documents: most documents.
    """
    if source is not None:
        found = corpus.folder(source)
        return found, [found.skipped]
    today = datetime.now(UTC).date()
    trading = [today - timedelta(days=back) for back in range(days, 0, -1)]
    read = corpus.documents(limit=documents)
    return chain(corpus.stock_market(trading, STOCK_FILES_A_DAY), corpus.flights(days), read), [read.skipped]


def feed(settings: Settings, files: Iterator[FeedFile], fed: Fed) -> None:
    """Put and announce files, one after the other; `fed` tells how far it has come."""
    store = Buckets(settings).bucket(settings.landing_bucket)
    queue = Queue(settings)
    pause = threading.Event()
    messages: list[str] = []
    for file in files:
        try:
            message = _put(store, file, fed)
        except OSError as error:
            reason = f"unreadable: {error.strerror}"
            fed.skipped[reason] = fed.skipped.get(reason, 0) + 1
            continue
        if message is not None:
            messages.append(message)
        if len(messages) == BATCH:
            queue.send(messages)
            messages = []
            while queue.waiting() > MOST_WAITING:
                pause.wait(0.05)
    queue.send(messages)
    fed.finished = True


def _put(store: ObjectStore, file: FeedFile, fed: Fed) -> str | None:
    """Put a file unless its bytes are there already; returns the message that announces it."""
    if store.exists(file.key):
        fresh, there = digest_of(file.open_chunks()), store.digest(file.key)
        if (fresh.size, fresh.sha256) == (there.size, there.sha256):
            fed.digests[file.key], fed.bytes = bytes.fromhex(fresh.sha256), fed.bytes + fresh.size
            return None
    put = store.put(file.key, file.open_chunks())
    fed.digests[file.key], fed.bytes = bytes.fromhex(put.sha256), fed.bytes + put.size
    return s3_event(store.bucket, file.key, put.size, put.etag, datetime.now(UTC))
