"""Uploads and deletions through the REST client: what is sent, and what is done when the answer is lost."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.errors import DataHubAccessDenied, DataHubUnavailable, FileRefused
from des_platform.sources.datahub.multipart import Upload
from des_platform_tests.datahub_server import KEY, Fault, form_of
from des_platform_tests.sources.datahub.support import config_of

if TYPE_CHECKING:
    from des_platform_tests.datahub_server import DataHubServer
    from des_platform_tests.sources.datahub.support import DataHub

CONTENT = bytes(range(256)) * 10_000
METADATA: dict[str, Any] = {"document_id": "d", "document_type_nm": "pdf.gz", "properties": {"compression_id": "m"}}


def upload_of(content: bytes = CONTENT, name: str = "d.pdf.gz", **metadata: Any) -> Upload:
    return Upload(name, io.BytesIO(content), len(content), "application/gzip", METADATA | metadata, "the-mark")


def send(server: DataHubServer, upload: Upload, arrived: Any = lambda: None, **changes: Any) -> str:
    with DataHubClient(config_of(server, **changes)) as client:
        return client.upload(upload, arrived)


def test_body_is_a_form_of_known_length_that_can_be_read_again() -> None:
    upload = upload_of()

    bodies = [b"".join(upload) for _ in range(2)]

    assert bodies[0] == bodies[1]
    assert len(bodies[0]) == len(upload)
    assert max(map(len, upload)) <= 1 << 20
    parts = form_of(upload.content_type, bodies[0])
    assert parts["file"] == CONTENT
    assert json.loads(parts["metadata"]) == METADATA


def test_moments_become_iso_text() -> None:
    upload = upload_of(properties={"at": datetime(2026, 3, 1, 12, tzinfo=UTC)})

    parts = form_of(upload.content_type, b"".join(upload))

    assert json.loads(parts["metadata"])["properties"] == {"at": "2026-03-01T12:00:00+00:00"}


def test_name_that_could_break_a_header_does_not() -> None:
    upload = upload_of(b"x", name='a"\r\nX-Injected: 1\r\n\r\nü.gz')

    body = b"".join(upload)

    assert b"X-Injected:" not in body
    assert form_of(upload.content_type, body)["file"] == b"x"


def test_file_arrives_with_its_metadata_and_mark(hub: DataHub) -> None:
    file_id = send(hub.server, upload_of())

    assert hub.server.files == {file_id: CONTENT}
    row = hub.database.execute("SELECT document_id, document_type_nm, size_no FROM fdhdata.dh_file").fetchone()
    assert row == ("d", "pdf.gz", len(CONTENT))
    (request,) = hub.server.requests
    assert request.headers["Idempotency-Key"] == "the-mark"
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_upload_whose_answer_is_lost_is_looked_for_before_it_is_sent_again(hub: DataHub) -> None:
    hub.server.faults["POST d"] = [Fault(502, does=True)]

    found = send(hub.server, upload_of(), lambda: next(iter(hub.server.files), None))

    assert hub.server.uploads == 1
    assert hub.server.files == {found: CONTENT}


def test_upload_that_is_not_there_is_sent_again(hub: DataHub) -> None:
    hub.server.faults["POST d"] = [Fault(429, {"Retry-After": "0"}), Fault(500)]
    looked: list[int] = []

    send(hub.server, upload_of(), lambda: looked.append(1))

    assert (hub.server.uploads, len(looked)) == (1, 2)


def test_datahub_that_honours_the_mark_keeps_one_copy_even_where_none_is_found(hub: DataHub) -> None:
    hub.server.honours_keys = True
    hub.server.faults["POST d"] = [Fault(500, does=True), Fault(500, does=True)]

    file_id = send(hub.server, upload_of())

    assert hub.server.files == {file_id: CONTENT}


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Fault(401), DataHubAccessDenied, "upload of 'd.pdf.gz': the key was refused with HTTP 401"),
        (Fault(413), FileRefused, "HTTP 413, expected 200 or 201"),
        (Fault(302, {"Location": "http://127.0.0.1:9/?signature=secret"}), FileRefused, "HTTP 302"),
        (Fault(503), DataHubUnavailable, "upload of 'd.pdf.gz': HTTP 503"),
    ],
)
def test_upload_that_is_refused_says_so(hub: DataHub, fault: Fault, error: type[Exception], said: str) -> None:
    hub.server.always["POST d"] = fault

    with pytest.raises(error, match=said) as raised:
        send(hub.server, upload_of())

    assert "secret" not in str(raised.value)
    assert hub.server.uploads == 0


def test_deleted_file_is_deleted_once_and_for_all(hub: DataHub) -> None:
    hub.add("f")
    with DataHubClient(config_of(hub.server)) as client:
        client.delete("f")
        client.delete("f")

    assert hub.server.files == {}


def test_deletion_whose_answer_is_lost_is_repeated(hub: DataHub) -> None:
    hub.add("f")
    hub.server.faults["DELETE f"] = [Fault(500, does=True), Fault(200, cut_after=0, length=5)]

    with DataHubClient(config_of(hub.server)) as client:
        client.delete("f")

    assert hub.server.files == {}


@pytest.mark.parametrize(
    ("status", "error"), [(403, DataHubAccessDenied), (409, FileRefused), (503, DataHubUnavailable)]
)
def test_deletion_that_is_refused_says_so(hub: DataHub, status: int, error: type[Exception]) -> None:
    hub.add("f")
    hub.server.always["DELETE f"] = Fault(status)

    with (
        DataHubClient(config_of(hub.server)) as client,
        pytest.raises(error, match=f"deletion of file 'f'.*HTTP {status}"),
    ):
        client.delete("f")


@pytest.mark.parametrize("file_id", ["", ".", ".."])
def test_identifier_that_would_delete_something_else_is_refused(server: DataHubServer, file_id: str) -> None:
    with DataHubClient(config_of(server)) as client, pytest.raises(FileRefused):
        client.delete(file_id)
    assert server.requests == []
