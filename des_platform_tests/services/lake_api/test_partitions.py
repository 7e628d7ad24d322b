from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from starlette.testclient import TestClient

MEBIBYTE = 1 << 20


@pytest.fixture
def table_id(client: TestClient) -> int:
    return int(client.post("/api/v1/tables/", json={"name": "events"}).json()["id"])


def register(client: TestClient, table_id: int, values: dict[str, Any], **statistics: int) -> dict[str, Any]:
    body = {"table_id": table_id, "partition_values": values, **statistics}
    answer = client.post("/api/v1/partitions/", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_partition_is_registered_once_and_its_statistics_are_replaced(client: TestClient, table_id: int) -> None:
    values = {"year": "2024", "month": "01", "day": "15"}

    made = register(client, table_id, values, record_count=10, size_bytes=100, file_count=1)
    again = register(client, table_id, dict(reversed(values.items())), record_count=20, size_bytes=200, file_count=2)

    assert (made["partition_path"], made["partition_values"]) == ("day=15/month=01/year=2024", values)
    assert (again["id"], again["record_count"], again["size_bytes"], again["file_count"]) == (made["id"], 20, 200, 2)
    assert client.get(f"/api/v1/partitions/{made['id']}").json() == again
    assert client.get(f"/api/v1/partitions/table/{table_id}").json() == [again]


def test_hostile_values_stay_values(client: TestClient, table_id: int) -> None:
    made = register(client, table_id, {"a/b": "c/../x", "..": "'; DROP TABLE lake_tables; --", "n": None})

    assert made["partition_path"].split("/") == [
        "..=%27%3B%20DROP%20TABLE%20lake_tables%3B%20--",
        "a%2Fb=c%2F..%2Fx",
        "n=__HIVE_DEFAULT_PARTITION__",
    ]
    assert made["partition_values"]["a/b"] == "c/../x"


_REFUSED: list[dict[str, Any]] = [
    {"partition_values": {}},
    {"partition_values": {"": "x"}},
    {"partition_values": {"a": "\u0000"}},
    {"partition_values": {"a": {"b": 1}}},
    {"partition_values": {"a": 2**63}},
    {"partition_values": {"a": True}},
    {"partition_values": [1]},
    {"record_count": -1},
    {"record_count": 2**63},
    {"size_bytes": 1.5},
    {"file_count": "3"},
    {"table_id": 0},
    {"where": "1=1; DROP TABLE lake_tables"},
]


def test_what_no_partition_can_be_is_refused(client: TestClient, table_id: int) -> None:
    for fields in _REFUSED:
        body = {"table_id": table_id, "partition_values": {"a": "b"}} | fields

        assert client.post("/api/v1/partitions/", json=body).status_code == 422, fields
    assert client.get(f"/api/v1/partitions/table/{table_id}").json() == []


def test_a_partition_of_no_table_is_not_found(client: TestClient, table_id: int) -> None:
    body = {"table_id": table_id + 1, "partition_values": {"a": "b"}}

    assert client.post("/api/v1/partitions/", json=body).status_code == 404
    assert client.get(f"/api/v1/partitions/table/{table_id + 1}").status_code == 404
    assert client.get("/api/v1/partitions/9999").status_code == 404


def test_a_table_that_was_given_up_takes_no_partition(client: TestClient, table_id: int) -> None:
    client.delete(f"/api/v1/tables/{table_id}")

    answer = client.post("/api/v1/partitions/", json={"table_id": table_id, "partition_values": {"a": "b"}})

    assert answer.status_code == 400


def test_statistics_change_by_what_is_named(client: TestClient, table_id: int) -> None:
    made = register(client, table_id, {"a": "b"}, record_count=1, size_bytes=2, file_count=3)

    changed = client.put(f"/api/v1/partitions/{made['id']}/stats", json={"size_bytes": 20}).json()

    assert changed | {"size_bytes": 2, "last_updated": made["last_updated"]} == made
    assert client.put("/api/v1/partitions/9999/stats", json={"size_bytes": 20}).status_code == 404


def test_a_partition_that_was_given_up_is_in_no_list_and_comes_back_when_registered(
    client: TestClient, table_id: int
) -> None:
    made = register(client, table_id, {"date": "2024-01-15"})

    assert client.delete(f"/api/v1/partitions/{made['id']}").json()["is_active"] is False
    assert client.get(f"/api/v1/partitions/table/{table_id}").json() == []
    assert client.get(f"/api/v1/partitions/{made['id']}").json()["is_active"] is False
    assert register(client, table_id, {"date": "2024-01-15"})["is_active"] is True


def test_a_date_range_finds_partitions_of_any_spelling(client: TestClient, table_id: int) -> None:
    spellings: list[dict[str, Any]] = [
        {"year": "2024", "month": "01", "day": "15"},
        {"year": 2024, "month": 1, "day": 14},
        {"date": "2024-01-15"},
        {"dt": "20240115"},
        {"_day": "2024-01-15", "symbol": "A"},
        {"year": "2024", "month": "1"},
        {"_month_traded": "2024-01"},
        {"Year": "2024"},
        {"eventDate": "2024/01/15"},
        {"_hour_seen": "2024-01-15-07"},
    ]
    made = {register(client, table_id, values)["id"] for values in spellings}
    for other in (
        {"date": "2022-01-15"},
        {"date": "2024-01-16"},
        {"symbol": "2024-01-15"},
        {"year": "2024", "month": "2"},
    ):
        register(client, table_id, other)
    path = f"/api/v1/partitions/table/{table_id}/date-range"

    found = client.get(f"{path}?start_date=2024-01-10&end_date=2024-01-15")

    assert {partition["id"] for partition in found.json()} == made
    assert found.headers["X-Total-Count"] == "10"
    assert client.get(f"{path}?start_date=2023-01-01&end_date=2023-12-31").json() == []


def test_a_range_that_is_none_is_refused(client: TestClient, table_id: int) -> None:
    for query, status in (
        ("start_date=2024-01-15&end_date=2024-01-14", 400),
        ("start_date=2024-02-30&end_date=2024-03-01", 422),
        ("start_date=0&end_date=2024-03-01", 422),
        ("start_date=2024-01-01", 422),
        ("start_date=2024-01-01&end_date='; DROP TABLE lake_partitions", 422),
    ):
        found = client.get(f"/api/v1/partitions/table/{table_id}/date-range?{query}")

        assert found.status_code == status, query


def test_merges_join_small_partitions_of_one_date_alone(client: TestClient, table_id: int) -> None:
    def small(day: str, bucket: int, size: int = MEBIBYTE) -> int:
        values = {"date": day, "bucket": str(bucket)}
        return int(register(client, table_id, values, record_count=1500, size_bytes=size, file_count=4)["id"])

    first = [small("2024-01-01", bucket) for bucket in range(3)]
    second = [small("2024-01-02", bucket) for bucket in range(2)]
    small("2024-01-01", 9, 500 * MEBIBYTE)
    small("2024-01-03", 0)

    plans = client.post(f"/api/v1/partitions/table/{table_id}/optimize").json()

    assert [(plan["action"], plan["partitions"]) for plan in plans] == [("merge", first), ("merge", second)]
    assert [plan["estimated_savings"] for plan in plans] == [11, 7]
    assert plans[0]["summary"] == "12 files with 4.5K rows in 3 partitions become one of 3.00 MB"
    at_most_one = client.post(f"/api/v1/partitions/table/{table_id}/optimize?min_size_mb=1").json()
    assert at_most_one == []


def test_planning_merges_changes_nothing(client: TestClient, table_id: int) -> None:
    for bucket in range(2):
        register(client, table_id, {"date": "2024-01-01", "b": bucket}, size_bytes=1, file_count=1)
    before = client.get(f"/api/v1/partitions/table/{table_id}").json()

    client.post(f"/api/v1/partitions/table/{table_id}/optimize")

    assert client.get(f"/api/v1/partitions/table/{table_id}").json() == before
