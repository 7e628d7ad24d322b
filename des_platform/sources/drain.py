"""From the queue into the inbox: receive, record, commit, and only then delete.

Why nothing is lost or doubled: a crash before the commit leaves the messages in the queue, which hands them out again;
a crash after it leaves messages whose files the inbox knows already, so recording them again changes nothing. What
cannot be understood goes to the dead letters in the same transaction, with its body and the reason. Draining starts no
runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from des_platform.sources.recording import Recorder
from des_platform.sources.source import DrainReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.objectstore import Buckets
    from des_platform.sources.queue import Queue


def drain(
    queue: Queue,
    catalog: Catalog,
    buckets: Buckets,
    datasets: Sequence[Dataset],
    *,
    seconds: float,
    default_bucket: str | None = None,
) -> DrainReport:
    """Empty the queue into the inbox until it is empty or the time is up.

    Args:
        queue: where the messages are.
        catalog: where the inbox is.
        buckets: asked about files whose message tells too little.
        datasets: what the files may belong to.
        seconds: time budget; a batch that has begun is finished.
        default_bucket: the bucket of messages that name a file only.
    """
    recorder = Recorder(catalog, buckets, datasets)
    report = DrainReport()
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        messages = queue.receive()
        if not messages:
            break
        bodies = [(message.body, None) for message in messages]
        prepared = recorder.prepare(bodies, stage="queue", origin="files", default_bucket=default_bucket)
        with catalog.begin() as connection:
            report += prepared.write(connection)
        queue.delete(messages)
    report.seconds = elapsed
    return report
