from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest
from botocore.config import Config

from des_platform.cli.demo.processes import DemoError, command_line, wait_until
from des_platform.cli.demo.queue import QueueServer
from des_platform_tests.cli.killing import first_line, killed_at_the_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def client(service: str, endpoint: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}),
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def server(state: Path) -> Iterator[QueueServer]:
    server = QueueServer(state)
    server.start()
    yield server
    server.stop()


def test_queue_delivers_what_was_sent(server: QueueServer) -> None:
    url = server.create_queue("arrivals")
    sqs = client("sqs", server._endpoint)
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert [message["Body"] for message in sqs.receive_message(QueueUrl=url)["Messages"]] == ["hello"]


def test_creating_a_queue_again_finds_it(server: QueueServer) -> None:
    assert server.create_queue("twice") == server.create_queue("twice")


def test_name_that_the_server_refuses_is_a_demo_error(server: QueueServer) -> None:
    with pytest.raises(DemoError, match="'no such name!'"):
        server.create_queue("no such name!")


def test_objects_are_served_at_the_same_address(server: QueueServer) -> None:
    s3 = client("s3", server._endpoint)
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="key", Body=b"body")
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == b"body"


def test_requests_do_not_grow_the_log(server: QueueServer, state: Path) -> None:
    client("sqs", server._endpoint).list_queues()
    assert "POST" not in (state / "queue" / "log").read_text()


@pytest.mark.usefixtures("server")
def test_it_listens_on_the_loopback_alone(state: Path) -> None:
    pid = int((state / "queue" / "pid").read_text())
    listening = [c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


@pytest.mark.usefixtures("server")
def test_second_server_of_a_state_folder_is_refused(state: Path) -> None:
    with pytest.raises(DemoError, match=f"Process {os.getpid()} is using the state folder"):
        QueueServer(state).start()


def test_stopped_server_can_be_started_again_and_twice_stopped(tmp_path: Path) -> None:
    server = QueueServer(tmp_path)
    server.start()
    server.stop()
    server.stop()
    with server as endpoint:
        assert client("sqs", endpoint).list_queues().get("QueueUrls") is None


def test_queue_of_a_server_that_does_not_run_is_a_demo_error(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="not running"):
        QueueServer(tmp_path).create_queue("arrivals")


def test_file_in_the_place_of_the_state_folder_is_a_demo_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="cannot use"):
        QueueServer(tmp_path / "file").start()


def test_file_of_the_state_folder_does_not_pass_for_a_module(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "moto.py").write_text("raise SystemExit('wrong module')")
    with QueueServer(tmp_path) as endpoint:
        assert endpoint.startswith("http://127.0.0.1:")


STARTER = """
import signal, sys
from pathlib import Path
from des_platform.cli.demo.queue import QueueServer
server = QueueServer(Path(sys.argv[1]))
print(server.start(), flush=True)
signal.pause()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_server_dies_with_its_killed_starter(tmp_path: Path) -> None:
    with killed_at_the_end([sys.executable, "-c", STARTER, tmp_path]) as starter:
        assert first_line(starter).startswith("http://127.0.0.1:")
        pid = int((tmp_path / "queue" / "pid").read_text())
        starter.kill()
    wait_until(lambda: not command_line(pid), 20, "the server ended")


def test_server_left_over_from_a_killed_starter_is_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "queue"
    folder.mkdir()
    argv = [sys.executable, "-P", "-m", "des_platform.cli.demo.queue", str(folder / "port")]
    with killed_at_the_end(argv) as leftover:
        wait_until((folder / "port").exists, 60, "the left-over server told its port")
        (folder / "pid").write_text(str(leftover.pid))
        with QueueServer(tmp_path):
            assert leftover.wait(20) == -signal.SIGTERM


def test_process_that_got_the_number_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    with killed_at_the_end(["sleep", "600"]) as stranger:
        (tmp_path / "queue" / "pid").write_text(str(stranger.pid))
        with QueueServer(tmp_path):
            assert stranger.poll() is None
