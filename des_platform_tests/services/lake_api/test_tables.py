from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from des_platform.catalog import lake_tables, partitions

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from des_platform_tests.platform import Platform

EVENTS = {
    "name": "user_events",
    "description": "User interaction events",
    "partition_strategy": "date",
    "partition_columns": ["year", "month", "day"],
    "storage_format": "parquet",
    "compression": "snappy",
}


def create(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/tables/", json=EVENTS | fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_table_is_registered_and_found_again(client: TestClient) -> None:
    made = create(client)

    assert made == client.get(f"/api/v1/tables/{made['id']}").json()
    assert made | EVENTS == made
    assert (made["schema_version"], made["is_active"], made["partition_by"]) == (0, True, [])
    assert client.get("/api/v1/tables/").json() == [made]


def test_what_is_left_out_has_the_known_defaults(client: TestClient) -> None:
    made = client.post("/api/v1/tables/", json={"name": "plain"}).json()

    assert (made["partition_strategy"], made["partition_columns"]) == ("date", [])
    assert (made["storage_format"], made["compression"], made["description"]) == ("parquet", "snappy", None)


def test_a_strategy_and_its_columns_become_rules(client: TestClient) -> None:
    known = [
        ("date", ["year", "month", "day"], []),
        ("date", ["traded"], ["day(traded)"]),
        ("hash", ["account"], ["hash(account, 16)"]),
        ("hash", ["account:32", "venue"], ["hash(account, 32)", "hash(venue, 16)"]),
        ("list", ["symbol"], ["list(symbol)"]),
        ("range", ["price:0,100,1000"], ["range(price, 0, 100, 1000)"]),
    ]
    for number, (strategy, columns, rules) in enumerate(known):
        fields = {"name": f"table_{number}", "partition_strategy": strategy, "partition_columns": columns}
        made = create(client, **fields, partition_by=["month(seen)"])

        assert made["partition_by"] == [*rules, "month(seen)"]


def test_a_name_is_given_once_even_after_its_table_was_given_up(client: TestClient) -> None:
    made = create(client)
    client.delete(f"/api/v1/tables/{made['id']}")

    again = client.post("/api/v1/tables/", json=EVENTS)

    assert again.status_code == 400
    assert "choose another name" in again.json()["detail"]


def test_the_name_of_a_dataset_that_has_no_table_yet_is_taken(client: TestClient, platform: Platform) -> None:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])

    assert client.post("/api/v1/tables/", json={"name": platform.dataset.name}).status_code == 400


_REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"name": "1st"}, 422, "expected a letter, then letters"),
    ({"name": "a/b"}, 422, "expected a letter, then letters"),
    ({"name": "../x"}, 422, "expected a letter, then letters"),
    ({"name": "x; DROP TABLE y"}, 422, "expected a letter, then letters"),
    ({"name": "User-Events"}, 422, "a-z, 0-9 and _, at most 63"),
    ({"name": "a" * 64}, 422, "at most 63"),
    ({"name": "a\u0000b"}, 422, "NUL"),
    ({"name": "events_rejected"}, 422, "_rejected"),
    ({"partition_strategy": "weekly"}, 422, "expected one of date, hash, range, list"),
    ({"storage_format": "xml"}, 422, "expected one of parquet, avro"),
    ({"storage_format": "orc"}, 400, "parquet alone"),
    ({"compression": "rar"}, 422, "lz4, zstd"),
    ({"partition_strategy": "range", "partition_columns": ["price"]}, 400, "needs bounds"),
    ({"partition_strategy": "hash", "partition_columns": ["a:0"]}, 400, "number of buckets"),
    ({"partition_by": ["month(a) OR 1=1"]}, 400, "no partition rule"),
    ({"partition_columns": ["a"], "partition_by": ["day(a)"]}, 400, "twice"),
    ({"partition_columns": "day"}, 422, "list"),
    ({"owner": "me"}, 422, "Extra inputs"),
    ({"description": 5}, 422, "string"),
    ({"description": "\ud800"}, 422, "surrogate"),
]


def test_what_no_table_can_be_is_refused(client: TestClient) -> None:
    for fields, status, said in _REFUSED:
        body = json.dumps(EVENTS | fields)
        answer = client.post("/api/v1/tables/", content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert said in answer.json()["detail"]
    assert client.get("/api/v1/tables/").json() == []


def test_a_change_changes_what_it_names_alone(client: TestClient) -> None:
    made = create(client, partition_by=["month(seen)"])
    path = f"/api/v1/tables/{made['id']}"

    described = client.put(path, json={"description": "other"}).json()
    hashed = client.put(path, json={"partition_strategy": "hash", "partition_columns": ["account"]}).json()

    assert described | {"description": made["description"], "updated_at": made["updated_at"]} == made
    assert described["updated_at"] > made["updated_at"]
    assert hashed["partition_by"] == ["hash(account, 16)", "month(seen)"]
    assert client.put(path, json={}).json() == hashed
    assert client.put(path, json={"storage_format": "csv"}).status_code == 400
    assert client.put(path, json={"name": "other"}).status_code == 422


def test_a_table_that_was_given_up_is_listed_on_demand_alone(client: TestClient) -> None:
    kept, gone = create(client, name="kept"), create(client, name="gone")

    answer = client.delete(f"/api/v1/tables/{gone['id']}")

    assert (answer.status_code, answer.json()["is_active"]) == (200, False)
    assert [table["name"] for table in client.get("/api/v1/tables/").json()] == ["kept"]
    assert [table["name"] for table in client.get("/api/v1/tables/?active_only=false").json()] == ["kept", "gone"]
    assert client.get(f"/api/v1/tables/{gone['id']}").json()["is_active"] is False
    assert kept["is_active"]


def test_a_table_that_there_is_not_is_not_found(client: TestClient) -> None:
    for answer in (
        client.get("/api/v1/tables/9999"),
        client.put("/api/v1/tables/9999", json={}),
        client.delete("/api/v1/tables/9999"),
    ):
        assert answer.status_code == 404
        assert answer.json()["instance"] == "/api/v1/tables/9999"


def test_what_is_no_number_of_a_table_is_refused(client: TestClient) -> None:
    for number in ("0", "-1", "x", "9223372036854775808", "1" * 400, "1;DROP TABLE x", "%00", "1.5"):
        assert client.get(f"/api/v1/tables/{number}").status_code == 422


def test_a_dataset_s_table_is_shown_and_not_changed(client: TestClient, platform: Platform) -> None:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
        made = lake_tables.register(connection, "things", dataset="things", partition_by=["month(seen)"])
    path = f"/api/v1/tables/{made.table_id}"

    shown = client.get(path).json()

    assert (shown["dataset"], shown["partition_by"]) == ("things", ["month(seen)"])
    assert client.put(path, json={"description": "mine"}).status_code == 400
    assert client.delete(path).status_code == 400
    assert client.get(path).json() == shown


def test_pages_cover_everything_once(client: TestClient) -> None:
    for number in range(5):
        create(client, name=f"table_{number}")
    seen, url, totals = [], "/api/v1/tables/?limit=2", set()
    while url:
        answer = client.get(url)
        seen += [table["name"] for table in answer.json()]
        totals.add(answer.headers["X-Total-Count"])
        url = answer.links.get("next", {}).get("url", "")

    assert seen == [f"table_{number}" for number in range(5)]
    assert totals == {"5"}
    beyond = client.get("/api/v1/tables/?offset=9")
    assert (beyond.json(), beyond.headers["X-Total-Count"], beyond.links) == ([], "5", {})


def test_a_page_that_cannot_be_is_refused(client: TestClient) -> None:
    for query in ("limit=0", "limit=1001", "limit=x", "offset=-1", "offset=9223372036854775808"):
        answer = client.get(f"/api/v1/tables/?{query}")

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]
