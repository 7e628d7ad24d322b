from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from starlette.testclient import TestClient


def test_health_says_who_answers(client: TestClient) -> None:
    expected = {"status": "ok", "service": "data-lake-ingestion", "version": "1.0.0"}

    assert client.get("/health").json() == expected
    assert client.get("/health/live").json() == expected


def test_a_server_that_has_everything_is_ready(client: TestClient) -> None:
    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "missing": []})


def test_info_lists_features_and_the_prefixes_of_endpoints(client: TestClient) -> None:
    shown = client.get("/info").json()
    paths = client.get("/openapi.json").json()["paths"]

    assert shown["features"]
    assert shown["uptime"] == "0s"
    for name in ("tables", "partitions", "schema", "ingestion"):
        assert any(path.startswith(shown["endpoints"][name]) for path in paths), name
    assert client.get("/").json()["endpoints"] == shown["endpoints"]


def test_prometheus_reads_requests_by_route_and_what_the_platform_counts(client: TestClient) -> None:
    client.get("/api/v1/tables/1")
    client.get("/api/v1/tables/2")
    client.get("/nowhere/secret-path")

    text = client.get("/metrics").text

    families = {family.name: family for family in text_string_to_metric_families(text)}
    counted = {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for sample in families["des_lake_api_requests"].samples
        if sample.name.endswith("_total")
    }
    assert counted["/api/v1/tables/{table_id}", "GET", "404"] == 2
    assert "secret-path" not in text
    assert "des_lake_api_request_seconds" in families
    assert "des_ingest_files" in families


def test_the_documentation_needs_no_network_and_no_script(client: TestClient) -> None:
    page = client.get("/docs").text

    assert "/api/v1/tables/{table_id}" in page
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_every_operation_declares_its_problems_and_its_scope(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/api/"):
                continue
            where = f"{method} {path}"
            assert {"401", "403", "413", "415", "422", "503"} <= operation["responses"].keys(), where
            assert list(operation["responses"]["422"]["content"]) == ["application/problem+json"], where
            assert operation["security"], where
            assert operation["description"], where
