from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from des_platform.catalog import ingestion_attempts, ingestion_batches
from des_platform.catalog.ingestion_attempts import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from des_platform_tests.platform import Platform

URL = "/api/v1/ingestion/jobs"
FIELDS = {
    "id",
    "job_name",
    "data_source_id",
    "table_id",
    "status",
    "priority",
    "batch_size",
    "is_scheduled",
    "schedule_cron",
    "records_processed",
    "records_failed",
    "created_at",
    "started_at",
    "completed_at",
    "error_message",
}
BATCH_FIELDS = {
    "id",
    "job_id",
    "batch_number",
    "status",
    "record_count",
    "records_processed",
    "records_failed",
    "processing_time_seconds",
    "created_at",
    "started_at",
    "completed_at",
    "error_message",
}


@pytest.fixture
def targets(client: TestClient) -> dict[str, int]:
    """A data source and a table."""
    source = {"name": "orders", "source_type": "s3", "connection_config": {"bucket": "landing", "prefix": "orders/"}}
    return {
        "data_source_id": client.post("/api/v1/sources/", json=source).json()["id"],
        "table_id": client.post("/api/v1/tables/", json={"name": "orders"}).json()["id"],
    }


@pytest.fixture
def create(client: TestClient, targets: dict[str, int]) -> Callable[..., dict[str, Any]]:
    def made(**fields: Any) -> dict[str, Any]:
        answer = client.post(URL, json={"job_name": "load orders", **targets, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    return made


def begun(platform: Platform) -> Attempt:
    """What Dagster does with the one job that was started."""
    with platform.catalog.begin() as connection:
        (job,) = ingestion_attempts.claim(connection, 5)
        attempt = Attempt.of(job)
        assert ingestion_attempts.begin(connection, attempt, "run-1")
    return attempt


def test_a_job_is_recorded_with_the_known_fields_and_defaults(
    client: TestClient, create: Callable[..., dict[str, Any]]
) -> None:
    made = create()

    assert made.keys() >= FIELDS
    assert (made["status"], made["priority"], made["batch_size"]) == ("pending", 5, 10_000)
    assert (made["is_scheduled"], made["schedule_cron"], made["started_at"]) == (False, None, None)
    assert client.get(f"{URL}/{made['id']}").json() == made
    scheduled = create(schedule_cron="30 4 * * *")
    assert scheduled["is_scheduled"] is True
    assert scheduled["next_run_at"].endswith("04:30:00Z")


def test_jobs_are_listed_newest_first_and_filtered(
    client: TestClient, create: Callable[..., dict[str, Any]], targets: dict[str, int]
) -> None:
    jobs = [create()["id"] for _ in range(3)]
    client.post(f"{URL}/{jobs[0]}/cancel")

    def listed(**query: Any) -> tuple[list[int], str]:
        answer = client.get(URL, params=query)
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()], answer.headers["X-Total-Count"]

    assert listed() == (jobs[::-1], "3")
    assert listed(limit=1, offset=1) == ([jobs[1]], "3")
    assert listed(status="cancelled") == ([jobs[0]], "1")
    assert listed(table_id=targets["table_id"], status="pending") == ([jobs[2], jobs[1]], "2")
    assert listed(table_id=77) == ([], "0")


def test_a_job_is_started_run_and_told_of_with_its_batches(
    client: TestClient, platform: Platform, create: Callable[..., dict[str, Any]]
) -> None:
    job = f"{URL}/{create()['id']}"
    assert client.post(f"{job}/start").json()["status"] == "pending"
    assert client.post(f"{job}/start").status_code == 400
    attempt = begun(platform)
    assert client.get(job).json()["status"] == "running"
    assert client.post(f"{job}/start").status_code == 400
    assert client.post(f"{job}/retry").status_code == 400
    with platform.catalog.begin() as connection:
        batch = ingestion_batches.open_batch(connection, attempt.job_id, attempt.number)
        found = {"record_count": 5, "records_processed": 4, "records_failed": 1, "output_files": ["a.parquet"]}
        ingestion_batches.close_batch(connection, batch.batch_id, "completed", **found)
        ingestion_attempts.end(connection, attempt, None)

    done = client.get(job).json()
    answer = client.get(f"{job}/batches")
    (batched,) = answer.json()
    assert (done["status"], done["records_processed"], done["records_failed"]) == ("completed", 4, 1)
    assert done["run_id"] == "run-1"
    assert batched.keys() >= BATCH_FIELDS
    assert batched | found | {"batch_number": 1, "status": "completed"} == batched
    assert answer.headers["X-Total-Count"] == "1"
    assert client.post(f"{job}/cancel").status_code == 400
    assert client.post(f"{job}/start").status_code == 400


def test_a_running_job_stops_when_it_can_and_a_cancelled_one_can_be_retried(
    client: TestClient, platform: Platform, create: Callable[..., dict[str, Any]]
) -> None:
    job = f"{URL}/{create()['id']}"
    client.post(f"{job}/start")
    attempt = begun(platform)

    asked = client.post(f"{job}/cancel").json()
    assert (asked["status"], asked["cancel_requested"]) == ("running", True)
    with platform.catalog.begin() as connection:
        ingestion_attempts.end(connection, attempt, None)
    assert client.get(job).json()["status"] == "cancelled"
    again = client.post(f"{job}/retry").json()
    assert (again["status"], again["cancel_requested"]) == ("pending", False)


WRONG: list[tuple[dict[str, Any], int]] = [
    ({"data_source_id": 77}, 404),
    ({"table_id": 77}, 404),
    ({"priority": 0}, 422),
    ({"priority": 11}, 422),
    ({"batch_size": 0}, 422),
    ({"batch_size": 10_000_001}, 422),
    ({"schedule_cron": "every day"}, 422),
    ({"schedule_cron": "0 0 31 2 *"}, 422),
    ({"job_name": ""}, 422),
    ({"job_name": "a\0b"}, 422),
    ({"table_id": 2**64}, 422),
    ({"max_retries": -1}, 422),
    ({"status": "completed"}, 422),
]


def test_what_is_no_job_is_refused(client: TestClient, targets: dict[str, int]) -> None:
    for wrong, status in WRONG:
        answer = client.post(URL, json={"job_name": "load", **targets, **wrong})

        assert answer.status_code == status, wrong
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get(URL).json() == []


def test_a_job_of_a_source_that_is_taken_in_otherwise_says_how(client: TestClient, targets: dict[str, int]) -> None:
    queue = {"name": "queue", "source_type": "kafka", "connection_config": {"topic": "orders"}}
    source_id = client.post("/api/v1/sources/", json=queue).json()["id"]

    answer = client.post(URL, json={"job_name": "load", **targets, "data_source_id": source_id})

    assert answer.status_code == 400
    assert "DES_SOURCES" in answer.json()["detail"]


def test_a_job_whose_source_was_given_up_does_not_start(
    client: TestClient, create: Callable[..., dict[str, Any]], targets: dict[str, int]
) -> None:
    job = f"{URL}/{create()['id']}"
    client.delete(f"/api/v1/sources/{targets['data_source_id']}")

    assert client.post(f"{job}/start").status_code == 400
    assert client.get(job).json()["status"] == "pending"


def test_an_unknown_job_is_not_found(client: TestClient) -> None:
    for verb in ("start", "cancel", "retry"):
        assert client.post(f"{URL}/77/{verb}").status_code == 404
    assert client.get(f"{URL}/77").status_code == 404
    assert client.get(f"{URL}/77/batches").status_code == 404


def test_whoever_may_only_read_starts_nothing(
    app: FastAPI, key: Callable[..., str], create: Callable[..., dict[str, Any]]
) -> None:
    job = f"{URL}/{create()['id']}"
    with TestClient(app, headers={"Authorization": f"Bearer {key('lake:read')}"}) as reader:
        assert reader.get(job).status_code == 200
        assert reader.post(f"{job}/start").status_code == 403
        assert reader.post(URL, json={}).status_code == 403
