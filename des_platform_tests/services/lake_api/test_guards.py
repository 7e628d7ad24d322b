from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from des_platform.catalog import api_keys
from des_platform.services.lake_api.app import create_app
from des_platform.services.lake_api.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from des_platform_tests.platform import Platform

TABLE = {"name": "events"}
MEBIBYTE = 1 << 20


@pytest.fixture
def stranger(app: FastAPI) -> TestClient:
    """A client without a key."""
    return TestClient(app)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_a_valid_key_nothing_is_told(stranger: TestClient) -> None:
    for authorization in ("", "Bearer", "Bearer wrong", "Basic d3Jvbmc6d3Jvbmc=", "Bearer \u00e9", "Bearer \x00"):
        headers = {"Authorization": authorization.encode()} if authorization else {}
        answer = stranger.get("/api/v1/tables/", headers=headers)

        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "wrong" not in answer.text


def test_a_key_is_asked_for_before_the_body_is_looked_at(stranger: TestClient) -> None:
    assert stranger.post("/api/v1/tables/", json={"nonsense": 1}).status_code == 401
    assert stranger.get("/nowhere").status_code == 401


@pytest.mark.parametrize(
    ("scope", "reading", "writing", "deleting"),
    [("lake:read", 200, 403, 403), ("lake:write", 200, 200, 403), ("lake:admin", 200, 200, 200)],
)
def test_a_scope_allows_what_it_says(
    stranger: TestClient,
    client: TestClient,
    key: Callable[..., str],
    *,
    scope: str,
    reading: int,
    writing: int,
    deleting: int,
) -> None:
    made = client.post("/api/v1/tables/", json={"name": "before"}).json()
    headers = bearer(key(scope, "lake:read"))

    assert stranger.get("/api/v1/tables/", headers=headers).status_code == reading
    assert stranger.post("/api/v1/tables/", headers=headers, json=TABLE).status_code == writing
    refused = stranger.delete(f"/api/v1/tables/{made['id']}", headers=headers)
    assert refused.status_code == deleting
    if deleting == 403:
        assert "lake:admin" in refused.json()["detail"]
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


def test_a_revoked_key_is_refused_at_once(stranger: TestClient, platform: Platform, key: Callable[..., str]) -> None:
    headers = bearer(key("lake:read"))
    assert stranger.get("/api/v1/tables/", headers=headers).status_code == 200

    with platform.catalog.begin() as connection:
        api_keys.revoke(connection, "lake_read")

    assert stranger.get("/api/v1/tables/", headers=headers).status_code == 401


def test_what_says_nothing_of_the_data_needs_no_key(stranger: TestClient) -> None:
    for path in ("/", "/health", "/health/live", "/health/ready", "/info", "/docs", "/openapi.json"):
        assert stranger.get(path).status_code == 200, path


class TestWithoutKeys:
    @pytest.fixture
    def unlocked(self, platform: Platform) -> Iterator[TestClient]:
        from des_platform.lake.tables import Lake

        app = create_app(Context(platform.catalog, lambda: Lake(platform.settings), unlocked=True))
        with TestClient(app, base_url="http://127.0.0.1:9103") as opened:
            yield opened

    def test_programs_may_do_anything(self, unlocked: TestClient) -> None:
        made = unlocked.post("/api/v1/tables/", json=TABLE).json()

        assert unlocked.delete(f"/api/v1/tables/{made['id']}").status_code == 200

    def test_a_page_of_another_site_may_do_nothing(self, unlocked: TestClient) -> None:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:9000"},
            {"Host": "rebound.example:9103"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": ""},
        ):
            assert unlocked.get("/api/v1/tables/", headers=headers).status_code == 403, headers

    def test_a_page_of_its_own_may(self, unlocked: TestClient) -> None:
        assert unlocked.get("/api/v1/tables/", headers={"Origin": "http://127.0.0.1:9103"}).status_code == 200


def test_a_body_that_announces_too_much_is_refused(client: TestClient) -> None:
    answer = client.post("/api/v1/tables/", json={"name": "events", "description": "x" * MEBIBYTE})

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_in_chunks_is_refused_when_it_grows_too_large(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(20):
            yield b"x" * (1 << 16)

    answer = client.post("/api/v1/tables/", content=chunks(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413
    assert answer.json()["title"] == "Request Entity Too Large"


def test_a_body_that_is_not_json_is_refused(client: TestClient) -> None:
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml"):
        answer = client.post("/api/v1/tables/", content=json.dumps(TABLE), headers={"Content-Type": kind})

        assert answer.status_code == 415, kind


_NONSENSE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe\x00",
    b'{"name": "a", "description": NaN}',
    b'{"name": ' + b"9" * 5000 + b"}",
    b'{"name": ' + b"[" * 200 + b"]" * 200 + b"}",
    b"[" * 100_000,
    b'{"\\ud800": 1}',
    b'{"name": "\\ud800"}',
    b'{"name": "a\\u0000"}',
]


def test_a_body_that_makes_no_sense_is_the_sender_s_fault(client: TestClient) -> None:
    for body in _NONSENSE:
        answer = client.post("/api/v1/tables/", content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code in {400, 422}, body[:50]
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_invalid_request_is_told_where(client: TestClient) -> None:
    answer = client.post("/api/v1/tables/", json={"name": "events", "partition_columns": ["a", 5], "x/y~z": 1})

    problem = answer.json()
    assert {key: problem[key] for key in ("type", "title", "status", "instance")} == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "instance": "/api/v1/tables/",
    }
    assert [error["pointer"] for error in problem["errors"]] == ["#/partition_columns/1", "#/x~1y~0z"]


def test_a_method_that_is_not_for_a_path_is_told_which_are(client: TestClient) -> None:
    answer = client.patch("/api/v1/tables/1")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, PUT")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_request_s_id_comes_back_unless_it_is_hostile(client: TestClient) -> None:
    assert client.get("/health", headers={"X-Request-ID": "a-1.b"}).headers["X-Request-ID"] == "a-1.b"
    made = client.get("/health", headers={"X-Request-ID": 'a"\tb'}).headers["X-Request-ID"]
    assert made.isalnum()
    assert client.get("/health").headers["X-Request-ID"] != made


def test_each_request_is_one_structured_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "des_platform.services.lake_api"):
        client.get("/api/v1/tables/%0Afake", headers={"X-Request-ID": "r-1"})

    [line] = [json.loads(record.getMessage()) for record in caplog.records if "lake_api" in record.name]
    assert (line["request_id"], line["caller"], line["status"]) == ("r-1", "lake_admin", 422)
    assert line["path"] == "/api/v1/tables/\nfake"


def test_no_browser_guesses_or_keeps_an_answer(client: TestClient) -> None:
    for path in ("/api/v1/tables/", "/nowhere", "/docs"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "access-control-allow-origin" not in headers


def test_what_nobody_expected_is_a_problem_that_tells_no_secret(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("postgresql://user:secret@host")

    monkeypatch.setattr("des_platform.catalog.lake_tables.get", fail)
    answer = client.get("/api/v1/tables/1", headers={"X-Request-ID": "r-2"})

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "r-2" in answer.json()["detail"]
    assert "r-2" in caplog.text


def test_a_catalogue_that_is_away_is_told(client: TestClient, platform: Platform, stranger: TestClient) -> None:
    import sqlalchemy as sa

    platform.catalog.close()
    platform.catalog.engine = sa.create_engine("postgresql+psycopg://x:secret@127.0.0.1:1/x")

    for answer in (client.get("/api/v1/tables/"), stranger.get("/api/v1/tables/", headers=bearer("any"))):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "secret" not in answer.text
    ready = stranger.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert "database" in ready.json()["missing"]
    assert stranger.get("/health/live").status_code == 200
