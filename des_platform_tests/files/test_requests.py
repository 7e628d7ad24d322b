"""How many requests a file costs: counted on the wire, in front of a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import sqlalchemy as sa

from des_platform.catalog import containers
from des_platform.files.reader import FileReader
from des_platform.objectstore import Buckets

if TYPE_CHECKING:
    from des_platform.catalog.files import FileRow
    from des_platform_tests.objectstore.relay import Relay
    from des_platform_tests.platform import Platform

SMALL = {f"{number}.txt": f"file {number}: {'x' * 300}".encode() for number in range(20)}
LARGE = {"large.txt": b"abc" * 5000}


def filled(platform: Platform, version: int) -> dict[str, FileRow]:
    platform.dataset = platform.dataset.model_copy(update={"archive_version": version, "shard_bits": 0})
    for name, content in (SMALL | LARGE).items():
        platform.put(name, content)
    platform.run_all()
    return platform.rows()


def through(relay: Relay, platform: Platform) -> FileReader:
    """A reader that has nothing open, behind the relay."""
    settings = platform.settings.model_copy(update={"s3_endpoint": relay.url})
    return FileReader(platform.catalog, Buckets(settings))


def archive_requests(relay: Relay) -> list[str]:
    """The method of each request for an archive since the last call."""
    made = [line.split()[0] for line in relay.lines() if line.endswith(".des")]
    relay.requests.clear()
    return made


def test_a_small_file_of_version_2_costs_a_page_and_its_bytes(s3_platform: Platform, relay: Relay) -> None:
    rows = filled(s3_platform, 2)
    reader = through(relay, s3_platform)
    assert reader.read(rows["7.txt"]) == SMALL["7.txt"]
    assert archive_requests(relay) == ["GET", "GET"]
    assert reader.read(rows["3.txt"]) == SMALL["3.txt"]
    assert archive_requests(relay) == ["GET"]


def test_a_large_file_costs_one_read_of_its_record_and_one_of_its_object(s3_platform: Platform, relay: Relay) -> None:
    rows = filled(s3_platform, 2)
    reader = through(relay, s3_platform)
    assert reader.read(rows["7.txt"]) == SMALL["7.txt"]
    relay.requests.clear()
    assert reader.read(rows["large.txt"]) == LARGE["large.txt"]
    found = [f"{request.method} {unquote(request.path.partition('?')[0])}" for request in relay.requests]
    with s3_platform.catalog.begin() as connection:
        archive = containers.by_id(connection, rows["large.txt"].container_id or 0).key
    assert found == [f"GET /des/{archive}", f"GET /des/{rows['large.txt'].object_key}"]


def test_version_1_is_opened_once_and_reads_on(s3_platform: Platform, relay: Relay) -> None:
    rows = filled(s3_platform, 1)
    reader = through(relay, s3_platform)
    for name, content in (SMALL | LARGE).items():
        assert reader.read(rows[name]) == content
    relay.requests.clear()
    assert reader.read(rows["7.txt"]) == SMALL["7.txt"]
    assert set(archive_requests(relay)) <= {"GET"}


def test_a_container_is_looked_up_once(s3_platform: Platform) -> None:
    rows = filled(s3_platform, 2)
    reader = FileReader(s3_platform.catalog, s3_platform.buckets)
    assert reader.read(rows["1.txt"]) == SMALL["1.txt"]
    statements: list[str] = []
    sa.event.listen(
        s3_platform.catalog.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    for name, content in SMALL.items():
        assert reader.read(rows[name]) == content
    assert statements == []


@pytest.mark.parametrize("hint", [None, b"x" * 64])
def test_a_container_without_a_right_hint_is_read_all_the_same(
    s3_platform: Platform, relay: Relay, hint: bytes | None
) -> None:
    rows = filled(s3_platform, 2)
    with s3_platform.catalog.begin() as connection:
        connection.execute(sa.text("UPDATE des_catalog.containers SET hint = :hint"), {"hint": hint})
    reader = through(relay, s3_platform)
    assert reader.read(rows["7.txt"]) == SMALL["7.txt"]
    assert len(archive_requests(relay)) <= 3
