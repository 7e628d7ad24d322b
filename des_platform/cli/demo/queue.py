"""The queue server of the demo: moto's, which speaks SQS over HTTP (and S3 at the same address).

It forgets everything at its end: what must last is in the platform's inbox. It listens on 127.0.0.1 alone, on a port
that the system chooses while binding, so nobody can take it in between, and tells the port by a file. It ends with the
process that started it; one left over from a killed demo is stopped at the next start. One server per state folder, by
a lock. Every failure is a `DemoError`. Run as a program, this module is the server.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import logging
import os
import signal
import sys
from pathlib import Path
from typing import IO

from des_platform.cli.demo.processes import Child, DemoError, command_line, end_orphan, spawn, wait_until
from des_platform.cli.demo.state import LOOPBACK, hold, replace_private

_log = logging.getLogger(__name__)

_REGION = "us-east-1"
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_REPLY_SECONDS = 2.0


class QueueServer:
    """An SQS server in a child process.

    Args:
        state: the state folder; `STATE/queue` keeps the log.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state.resolve() / "queue"
        self._lock: IO[str] | None = None
        self._child: Child | None = None
        self._endpoint = ""

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start the server and wait until it answers.

        Returns:
            Its URL, for SQS and S3 alike.

        Raises:
            DemoError: moto is not installed, the state folder is in use or unusable, or the server does not answer.
        """
        if self._child is not None:
            raise DemoError(f"The queue server of {self._folder} was started already.")
        try:
            return self._start()
        except OSError as error:
            self.stop()
            raise DemoError(f"The queue server cannot use {self._folder}: {error}.") from error
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Make sure that the server did not end by itself.

        Raises:
            DemoError: it did.
        """
        if self._child is not None:
            self._child.check()

    def stop(self) -> None:
        """Stop the server; its queues and messages are gone. Harmless when it is not running."""
        if self._child is not None:
            self._child.stop(_STOP_SECONDS)
            self._child = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def create_queue(self, name: str) -> str:
        """Make a standard queue, or find the one of that name.

        Returns:
            The queue's URL.

        Raises:
            DemoError: the server is not running, or refuses.
        """
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        if self._child is None:
            raise DemoError("The queue server is not running: call start() first.")
        try:
            client = boto3.client(
                "sqs",
                endpoint_url=self._endpoint,
                region_name=_REGION,
                aws_access_key_id="des",
                aws_secret_access_key="des",  # noqa: S106 - the server takes any
                config=Config(proxies={}),  # a proxy of the environment cannot reach this machine's loopback
            )
            return client.create_queue(QueueName=name)["QueueUrl"]
        except (BotoCoreError, ClientError) as error:
            evidence = self._child.last_lines()
            raise DemoError(f"The queue server did not create the queue {name!r}: {error}. {evidence}") from error

    def _start(self) -> str:
        if importlib.util.find_spec("moto") is None:
            raise DemoError("No queue server found. Install moto: pip install 'des-platform[demo]'.")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = hold(self._folder / "lock", f"the state folder {self._folder.parent}")
        self._end_leftover()
        port_file = self._folder / "port"
        port_file.unlink(missing_ok=True)
        self._child = spawn(
            "the queue server",
            # -P: a file of the working folder must not pass for a module.
            [sys.executable, "-P", "-m", __name__, port_file],
            env=os.environ,
            cwd=self._folder,
            log=self._folder / "log",
        )
        replace_private(self._folder / "pid", str(self._child.pid))
        wait_until(port_file.exists, _START_SECONDS, "it told its port", self._child)
        port = int(port_file.read_text())
        wait_until(lambda: _answers(port), _START_SECONDS, "the queue server answered", self._child)
        self._endpoint = f"http://{LOOPBACK}:{port}"
        return self._endpoint

    def _end_leftover(self) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self._folder / "pid").read_text())
            if f"{__name__} {self._folder}" in command_line(pid):
                _log.info("stopping the queue server %d, left over from an earlier run", pid)
                end_orphan(pid, signal.SIGTERM, _STOP_SECONDS)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_REPLY_SECONDS)
    try:
        connection.request("GET", "/moto-api/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def serve(port_file: Path) -> None:
    """Serve until killed; write the port to `port_file` once it is bound."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for every request, for ever
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    replace_private(port_file, str(server.get_host_and_port()[1]))
    signal.pause()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
