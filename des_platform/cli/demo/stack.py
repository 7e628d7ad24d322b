"""The servers and folders behind a demo: PostgreSQL, queue, file store and Dagster home, all in one state folder.

Everything ends with the process that started it. The addresses go into the environment, where the platform's settings,
Dagster and every child process find them, and into a private file of the state folder, where other `des` commands find
them.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from des_platform.cli.demo.postgres import EmbeddedPostgres
from des_platform.cli.demo.processes import DemoError
from des_platform.cli.demo.queue import QueueServer
from des_platform.cli.demo.state import ENVIRONMENT_FILE, hold, replace_private
from des_platform.objectstore import Buckets
from des_platform.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from des_platform.settings import Settings


class Stack:
    """A demo's servers, started in `with` and stopped at its end.

    Args:
        state: the state folder; made if it does not exist, found again if it does.

    Raises:
        DemoError: another demo uses the state folder, or a server does not start; at the end, in place of what went
            wrong: a server died on the way.
    """

    settings: Settings

    def __init__(self, state: Path) -> None:
        self.state = state.resolve()
        self._postgres = EmbeddedPostgres(self.state)
        self._queue = QueueServer(self.state)
        self._open = ExitStack()
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._start(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, Exception):
                self._postgres.check()
                self._queue.check()
        finally:
            self._open.close()

    def tell(self, environment: Mapping[str, str]) -> None:
        """Add variables to what children and other `des` commands find."""
        self._told |= environment
        os.environ.update(environment)
        replace_private(self.state / ENVIRONMENT_FILE, json.dumps(self._told))

    def _start(self, opening: ExitStack) -> None:
        for folder in ("store", "scratch", "dagster"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        opening.enter_context(hold(self.state / "lock", f"the state folder {self.state}"))
        shutil.rmtree(self.state / "scratch")  # what a killed demo left half-built
        (self.state / "scratch").mkdir()
        address = opening.enter_context(self._postgres)
        endpoint = opening.enter_context(self._queue)
        environment = address.environment() | {
            "DES_STORE_URL": f"file://{self.state / 'store'}",
            "DES_SCRATCH": str(self.state / "scratch"),
            "DES_QUEUE_URL": self._queue.create_queue("des-files"),
            "DES_QUEUE_ENDPOINT": endpoint,
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
            "DAGSTER_HOME": str(self.state / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            # Ticks that wait for files hold threads of the code server, which has only 4 more than there are cores.
            "DAGSTER_GRPC_MAX_WORKERS": "16",
            "DAGSTER_CODE_SERVER_MAX_WORKERS": "16",
            # Partition bookkeeping, measured: 40 partitions a second without these two, 2,000 with them.
            "DAGSTER_EVENT_BATCH_SIZE": "1000",
            "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
        }
        self.tell(environment)
        opening.callback((self.state / ENVIRONMENT_FILE).unlink, missing_ok=True)
        shutil.copyfile(instance_file("dagster.yaml"), self.state / "dagster" / "dagster.yaml")
        self.settings = load_settings()
        buckets = Buckets(self.settings)
        for bucket in (self.settings.landing_bucket, self.settings.bucket):
            buckets.create(bucket)


def instance_file(name: str) -> Path:
    """Where `dagster.yaml` or `workspace.yaml` is: beside the package in a checkout, inside it in a wheel.

    Raises:
        DemoError: neither place has it.
    """
    places = (Path(__file__).with_name(name), Path(__file__).parents[3] / name)
    for place in places:
        if place.is_file():
            return place
    raise DemoError(f"{name} is missing; it should be at {places[1]}: check the installation")
