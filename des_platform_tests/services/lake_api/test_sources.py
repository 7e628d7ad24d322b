from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

URL = "/api/v1/sources/"
ORDERS = {
    "name": "orders",
    "description": "Orders of the shop",
    "source_type": "s3",
    "connection_config": {"bucket": "landing", "prefix": "orders/"},
    "data_format": "jsonl",
}


def create(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(URL, json=ORDERS | fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_source_is_recorded_listed_changed_and_given_up(client: TestClient) -> None:
    made = create(client)
    assert made | ORDERS == made
    assert client.get(f"{URL}{made['id']}").json() == made

    changed = client.put(f"{URL}{made['id']}", json={"data_format": "csv"}).json()
    assert changed["data_format"] == "csv"
    assert changed["connection_config"] == ORDERS["connection_config"]

    assert client.delete(f"{URL}{made['id']}").json()["is_active"] is False
    assert client.get(URL).json() == []
    everything = client.get(URL, params={"active_only": False})
    assert [source["id"] for source in everything.json()] == [made["id"]]
    assert everything.headers["X-Total-Count"] == "1"


def test_a_name_is_given_once(client: TestClient) -> None:
    create(client)
    other = create(client, name="other")

    assert client.post(URL, json=ORDERS).status_code == 400
    assert client.put(f"{URL}{other['id']}", json={"name": "orders"}).status_code == 400


WRONG: list[dict[str, Any]] = [
    {"connection_config": {"path": "/etc/passwd"}},
    {"connection_config": {"bucket": "landing", "prefix": "../x"}},
    {"connection_config": {"bucket": "landing", "endpoint": "http://169.254.169.254"}},
    {"connection_config": {"bucket": "landing", "prefix": "a\0b"}},
    {"name": "a/b"},
    {"name": 5},
    {"source_type": "ftp"},
    {"data_format": "xls"},
    {"auth_config": {"token": "hunter2-the-secret"}},
    {"auth_config": {"token": {"deep": "hunter2-the-secret"}}},
    {"schema_definition": {"a": "varchar"}},
    {"surprise": 1},
]


def test_what_is_no_source_is_refused_and_no_secret_comes_back(client: TestClient) -> None:
    for wrong in WRONG:
        answer = client.post(URL, json=ORDERS | wrong)

        assert answer.status_code == 422, wrong
        assert answer.headers["content-type"] == "application/problem+json"
        assert "hunter2" not in answer.text
    assert client.get(URL).json() == []


def test_a_change_that_would_make_a_source_wrong_is_refused(client: TestClient) -> None:
    made = create(client)

    for wrong in ({"connection_config": {"bucket": "x"}}, {"name": None}, {"source_type": None}):
        assert client.put(f"{URL}{made['id']}", json=wrong).status_code == 400
    assert client.put(f"{URL}{made['id']}", json={"auth_config": {"token": "hunter2"}}).status_code == 422
    assert client.get(f"{URL}{made['id']}").json() == made


def test_references_to_credentials_are_kept_and_never_shown(client: TestClient) -> None:
    made = create(client, auth_type="api_key", auth_config={"token": "env:ORDERS_TOKEN"})

    assert "ORDERS_TOKEN" not in str(made)
    assert "ORDERS_TOKEN" not in client.get(URL).text


def test_it_takes_an_administrator_to_open_a_part_of_the_store(app: FastAPI, key: Callable[..., str]) -> None:
    with TestClient(app, headers={"Authorization": f"Bearer {key('lake:write')}"}) as writer:
        assert writer.get(URL).status_code == 200
        assert writer.post(URL, json=ORDERS).status_code == 403


def test_an_unknown_source_is_not_found(client: TestClient) -> None:
    for method in ("GET", "DELETE"):
        assert client.request(method, f"{URL}77").status_code == 404
    assert client.put(f"{URL}77", json={}).status_code == 404
    assert client.get(f"{URL}{2**70}").status_code == 422
