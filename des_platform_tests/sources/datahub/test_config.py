from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.config import DataHubConfig
from des_platform_tests.sources.datahub.support import config_of

if TYPE_CHECKING:
    from des_platform_tests.datahub_server import DataHubServer

LEAST: dict[str, Any] = {
    "name": "hub",
    "url": "https://datahub.example.com/api/",
    "api_key": "${HUB_KEY}",
    "connection": {"type": "postgres", "host": "db", "database": "d", "username": "u", "password": "s3cret"},
    "landing": {"bucket": "landing", "prefix": "hub/"},
    "start": "2024-05-17",
}


def test_least_configuration_has_the_known_defaults() -> None:
    config = DataHubConfig.model_validate(LEAST)

    assert (config.size_threshold, config.batch_size, config.threads, config.timeout) == (1_048_576, 100, 4, 300)
    assert (config.retries.total, config.retries.base, config.retries.factor, config.retries.most) == (5, 1, 2, 60)
    assert (config.verify_ssl, config.rate_limit) == (True, None)
    assert config.start == date(2024, 5, 1)
    assert config.url == "https://datahub.example.com/api"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://host"),
        ("url", "https://"),
        ("url", "https://user:s3cret@host"),
        ("url", "https://host/?key=s3cret"),
        ("url", "https://host:port"),
        ("batch_size", 0),
        ("batch_size", 10_001),
        ("threads", 0),
        ("api_key", ""),
        ("timeout", 0),
        ("size_threshold", -1),
        ("landing", {"bucket": "landing", "prefix": ""}),
        ("landing", {"bucket": "landing", "prefix": "no/slash"}),
        ("landing", {"bucket": "landing", "prefix": "../up/"}),
        ("connection", LEAST["connection"] | {"type": "mysql"}),
        ("rate_limit", {"requests_per_second": 0}),
        ("retries", {"total": 0}),
        ("unknown", 1),
    ],
)
def test_mistake_names_its_field_and_no_secret(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field) as raised:
        DataHubConfig.model_validate(LEAST | {field: value})

    assert "s3cret" not in str(raised.value)


def test_secrets_are_printed_nowhere() -> None:
    config = DataHubConfig.model_validate(LEAST | {"api_key": "the key"})

    assert "the key" not in repr(config) + str(config) + config.model_dump_json()
    assert "s3cret" not in repr(config) + str(config) + config.model_dump_json()


def test_address_may_stand_in_the_environment(server: DataHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_URL", f"{server.url}/")
    server.files["f"] = b"its bytes"

    with DataHubClient(config_of(server, url="${HUB_URL}")) as client:
        content, _ = client.download("f", b"".join)

    assert content == b"its bytes"
