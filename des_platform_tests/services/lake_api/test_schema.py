from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.lake.tables import Lake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.testclient import TestClient

    from des_platform_tests.platform import Platform

FIRST = {
    "fields": [
        {"name": "user_id", "type": "string"},
        {"name": "event_type", "type": "string"},
        {"name": "timestamp", "type": "long"},
        {"name": "properties", "type": "map", "values": "string"},
    ]
}


@pytest.fixture
def lake(platform: Platform) -> Iterator[Lake]:
    opened = Lake(platform.settings)
    yield opened
    opened.close()


@pytest.fixture
def table_id(client: TestClient) -> int:
    return int(
        client.post("/api/v1/tables/", json={"name": "events", "partition_by": ["hash(user_id, 4)"]}).json()["id"]
    )


def post(client: TestClient, table_id: int, definition: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"table_id": table_id, "schema_definition": definition, **fields}
    answer = client.post("/api/v1/schema/versions", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def with_field(definition: dict[str, Any], **field: Any) -> dict[str, Any]:
    return {"fields": [*definition["fields"], field]}


def columns(lake: Lake) -> dict[str, str]:
    return {name: kind for name, kind in lake.schema_of("events") if not name.startswith("_")}


def test_the_first_version_makes_the_table(client: TestClient, table_id: int, lake: Lake) -> None:
    assert not lake.exists("events")

    made = post(client, table_id, FIRST, description="Initial schema")

    assert columns(lake) == {"user_id": "string", "event_type": "string", "timestamp": "long", "properties": "json"}
    assert [str(rule) for rule in lake.partitioning("events")] == ["hash(user_id, 4)"]
    assert (made["version_number"], made["is_current"], made["created_by"]) == (1, True, "api")
    assert (made["schema_definition"], made["description"]) == (FIRST, "Initial schema")
    assert client.get(f"/api/v1/schema/versions/table/{table_id}/current").json() == made
    assert client.get(f"/api/v1/tables/{table_id}").json()["schema_version"] == 1
    assert client.get(f"/api/v1/schema/changes/version/{made['id']}").json() == []


def test_what_compare_answers_is_what_apply_takes(client: TestClient, table_id: int, lake: Lake) -> None:
    post(client, table_id, FIRST)
    wanted = with_field(FIRST, name="country", type="string")
    version = post(client, table_id, wanted)
    assert "country" not in columns(lake)
    [waiting] = client.get(f"/api/v1/schema/changes/version/{version['id']}").json()

    compared = client.post("/api/v1/schema/compare", json={"old_schema": FIRST, "new_schema": wanted}).json()
    applied = client.post(f"/api/v1/schema/versions/{version['id']}/apply?applied_by=me", json=compared["changes"])

    assert (compared["change_count"], compared["changes"][0]["type"]) == (1, "add_column")
    assert waiting["status"] == "pending"
    [change] = applied.json()
    assert (change["id"], change["status"], change["column_name"]) == (waiting["id"], "applied", "country")
    assert (change["change_type"], change["applied_by"]) == ("add_column", "me")
    assert columns(lake)["country"] == "string"
    assert client.get(f"/api/v1/schema/changes/version/{version['id']}").json() == applied.json()
    current = client.get(f"/api/v1/schema/versions/table/{table_id}/current").json()
    assert (current["id"], current["version_number"]) == (version["id"], 2)
    assert current["iceberg_schema_id"] is not None


def test_no_changes_apply_all_that_the_version_waits_for(client: TestClient, table_id: int, lake: Lake) -> None:
    post(client, table_id, FIRST)
    version = post(client, table_id, with_field(with_field(FIRST, name="a", type="int"), name="b", type="date"))

    applied = client.post(f"/api/v1/schema/versions/{version['id']}/apply", json=[]).json()

    assert [change["status"] for change in applied] == ["applied", "applied"]
    assert columns(lake).keys() >= {"a", "b"}
    assert client.post(f"/api/v1/schema/versions/{version['id']}/apply", json=[]).json() == []


def test_changes_that_no_version_asked_for_become_one(client: TestClient, table_id: int, lake: Lake) -> None:
    first = post(client, table_id, FIRST)
    change = {"type": "rename_column", "column": "timestamp", "new": {"name": "seen"}}

    answer = client.post(f"/api/v1/schema/versions/{first['id']}/apply", json=[change])

    assert answer.status_code == 200, answer.text
    assert "seen" in columns(lake)
    current = client.get(f"/api/v1/schema/versions/table/{table_id}/current").json()
    assert (current["version_number"], answer.json()[0]["schema_version_id"]) == (2, current["id"])
    assert "seen" in {field["name"] for field in current["schema_definition"]["fields"]}


def test_a_change_is_rolled_back_once_and_as_a_version(client: TestClient, table_id: int, lake: Lake) -> None:
    post(client, table_id, FIRST)
    version = post(client, table_id, with_field(FIRST, name="country", type="string"))
    [change] = client.post(f"/api/v1/schema/versions/{version['id']}/apply", json=[]).json()
    path = f"/api/v1/schema/changes/{change['id']}/rollback?rolled_back_by=me"

    undone = client.post(path)

    assert (undone.json()["status"], undone.json()["rolled_back_by"]) == ("rolled_back", "me")
    assert "country" not in columns(lake)
    assert client.get(f"/api/v1/schema/versions/table/{table_id}/current").json()["version_number"] == 3
    assert client.post(path).status_code == 400
    assert client.post("/api/v1/schema/changes/9999/rollback").status_code == 404


def test_a_version_that_would_break_readers_is_refused_and_nothing_is_written(
    client: TestClient, table_id: int, lake: Lake
) -> None:
    made = post(client, table_id, FIRST)
    before = columns(lake)
    narrowed = {"fields": [{"name": "user_id", "type": "long"}, *FIRST["fields"][1:]]}
    dropped = {"fields": FIRST["fields"][1:]}
    required = with_field(FIRST, name="must", type="string", required=True)

    for definition in (narrowed, dropped, required):
        answer = client.post("/api/v1/schema/versions", json={"table_id": table_id, "schema_definition": definition})
        assert answer.status_code == 409, answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    assert columns(lake) == before
    assert client.get(f"/api/v1/schema/versions/table/{table_id}").json() == [made]
    kept = post(client, table_id, {"fields": FIRST["fields"][:3]}, allow_loss=True)
    path = f"/api/v1/schema/versions/{kept['id']}/apply"
    refused = client.post(path, json=[])
    assert refused.status_code == 409
    [failed] = client.get(f"/api/v1/schema/changes/version/{kept['id']}").json()
    assert (failed["status"], "allow_loss" in failed["error_message"]) == ("failed", True)
    assert client.post(f"{path}?allow_loss=true", json=[]).status_code == 200
    assert "properties" not in columns(lake)


def test_what_died_between_the_table_and_the_catalogue_is_taken_up(
    client: TestClient, table_id: int, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from des_platform.catalog import schema_versions

    post(client, table_id, FIRST)
    version = post(client, table_id, with_field(FIRST, name="country", type="string"))
    path = f"/api/v1/schema/versions/{version['id']}/apply"
    with monkeypatch.context() as dying:
        dying.setattr(schema_versions, "mark_applied", lambda *_: 1 / 0)
        assert client.post(path, json=[]).status_code == 500
    assert "country" in columns(lake)

    [change] = client.post(path, json=[]).json()

    assert change["status"] == "applied"


def test_a_version_that_is_no_longer_current_takes_no_changes(client: TestClient, table_id: int) -> None:
    first = post(client, table_id, FIRST)
    second = post(client, table_id, with_field(FIRST, name="a", type="int"))
    other = {"type": "add_column", "column": "b", "new": {"type": "int"}}

    assert client.post(f"/api/v1/schema/versions/{first['id']}/apply", json=[]).status_code == 400
    assert client.post(f"/api/v1/schema/versions/{second['id']}/apply", json=[other]).status_code == 400
    assert client.post("/api/v1/schema/versions/9999/apply", json=[]).status_code == 404


def test_versions_created_at_once_get_numbers_of_their_own(client: TestClient, table_id: int) -> None:
    post(client, table_id, FIRST)
    definitions = [with_field(FIRST, name=f"c{number}", type="int") for number in range(4)]

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda definition: post(client, table_id, definition), definitions))

    assert sorted(version["version_number"] for version in made) == [2, 3, 4, 5]
    listed = client.get(f"/api/v1/schema/versions/table/{table_id}?limit=2")
    assert [version["version_number"] for version in listed.json()] == [5, 4]
    assert listed.headers["X-Total-Count"] == "5"
    assert [version["is_current"] for version in listed.json()] == [True, False]


_IMPOSSIBLE: list[dict[str, Any]] = [
    {},
    {"fields": []},
    {"fields": [{"name": "a"}]},
    {"fields": [{"name": "a", "type": "varchar(5)"}]},
    {"fields": [{"name": "_day", "type": "date"}]},
    {"fields": [{"name": "a", "type": "int"}, {"name": "A", "type": "int"}]},
    {"fields": [{"name": "a", "type": "int", "field_id": 10**30}]},
    {"fields": [{"name": "other", "type": "int"}]},
    {"fields": [{"name": "a", "type": "long", "values": "string"}]},
    {"fields": [{"name": "a", "type": "long", "logicalType": "timestamp-micros"}]},
]


def test_a_definition_that_no_table_can_have_is_refused(client: TestClient, table_id: int, lake: Lake) -> None:
    for definition in _IMPOSSIBLE:
        answer = client.post("/api/v1/schema/versions", json={"table_id": table_id, "schema_definition": definition})

        assert answer.status_code == 400, answer.text
    assert not lake.exists("events")
    assert client.get(f"/api/v1/schema/versions/table/{table_id}/current").status_code == 404


def test_another_partitioning_reaches_the_table(client: TestClient, table_id: int, lake: Lake) -> None:
    post(client, table_id, FIRST)
    path = f"/api/v1/tables/{table_id}"

    changed = client.put(path, json={"partition_strategy": "list", "partition_columns": ["event_type"]})
    refused = client.put(path, json={"partition_columns": ["nowhere"]})

    rules = {"list(event_type)", "hash(user_id, 4)"}
    assert set(changed.json()["partition_by"]) == rules
    assert (refused.status_code, "nowhere" in refused.json()["detail"]) == (400, True)
    assert {str(rule) for rule in lake.partitioning("events")} == rules
    assert client.get(path).json() == changed.json()


def test_comparing_tells_renames_and_what_each_mode_thinks(client: TestClient) -> None:
    old = {"fields": [{"name": "a", "type": "int"}]}
    new = {"fields": [{"name": "b", "type": "long", "renamed_from": "a"}]}

    compared = client.post("/api/v1/schema/compare", json={"old_schema": old, "new_schema": new}).json()

    assert [change["type"] for change in compared["changes"]] == ["rename_column", "change_type"]
    assert compared["violations"]["backward"] == []
    assert compared["violations"]["forward"]
    same = client.post("/api/v1/schema/compare", json={"old_schema": old, "new_schema": old}).json()
    assert (same["changes"], same["change_count"]) == ([], 0)
