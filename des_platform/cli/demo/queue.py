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

from des_platform.cli.demo.processes import DemoError, command_line, end_orphan, spawn, wait_until
from des_platform.cli.demo.server import Server
from des_platform.cli.demo.state import LOOPBACK, hold, replace_private

_log = logging.getLogger(__name__)

_REGION = "us-east-1"
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_REPLY_SECONDS = 2.0


class QueueServer(Server[str]):
    """An SQS server in a child process; its address is its URL, for SQS and S3 alike.

    Args:
        state: the state folder; `STATE/queue` keeps the log.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state.resolve() / "queue"
        super().__init__("The queue server", self._folder, _STOP_SECONDS)
        self._endpoint = ""

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
