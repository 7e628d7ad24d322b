"""A worker in a process of its own: claims rows, says so, and waits to be killed while it holds them.

`python -m des_platform_tests.sources.databases.worker INDEX OF`, with the source's entry as JSON on standard input and
the platform's settings in the environment.
"""

from __future__ import annotations

import sys
import threading

from des_platform.catalog.database import Catalog
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.databases.source import DatabaseDrain
from des_platform.sources.recording import Recorder
from des_platform_tests.platform import DATASET


class _Stuck(Recorder):
    def entry_of(self, event: object) -> str:
        sys.stdout.write("claimed\n")
        sys.stdout.flush()
        threading.Event().wait()
        raise AssertionError(event)


def main(index: int, workers: int) -> None:
    settings = load_settings()
    source = DatabaseSource.model_validate_json(sys.stdin.readline())
    recorder = _Stuck(Catalog.open(settings), Buckets(settings), [DATASET])
    DatabaseDrain(source, recorder, worker=index, workers=workers).drain(seconds=60)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
