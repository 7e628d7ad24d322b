from __future__ import annotations

import os

import pytest
import sqlalchemy as sa

from des_platform.settings import ConfigurationError, load_settings

PASSWORD = "p@ss/w:rd?#%"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DES_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DES_PG_PASSWORD", PASSWORD)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DES_STORE_URL", "gs://bucket", "'s3://' or 'file:///FOLDER'"),
        ("DES_STORE_URL", "file://relative/folder", "'s3://' or 'file:///FOLDER'"),
        ("DES_STORE_URL", "file:///", "'s3://' or 'file:///FOLDER'"),
        ("DES_STORE_URL", "s3://bucket", "'s3://' or 'file:///FOLDER'"),
        ("DES_BUCKET", "Not_A_Bucket", "pattern"),
        ("DES_BUCKET", "../other", "pattern"),
        ("DES_PG_HOST", "", "pattern"),
        ("DES_PG_HOST", "user@host", "pattern"),
        ("DES_PG_HOST", "/run/postgresql", "pattern"),
        ("DES_PG_PORT", "", "integer"),
        ("DES_PG_PORT", "http", "integer"),
        ("DES_PG_PORT", "0", "greater than or equal to 1"),
        ("DES_PG_PORT", "65536", "less than or equal to 65535"),
        ("DES_NAME_PREFIX", "", "pattern"),
        ("DES_NAME_PREFIX", "DES_1", "pattern"),
        ("DES_NAME_PREFIX", "DES\n", "pattern"),
        ("DES_NAME_PREFIX", "D" * 33, "pattern"),
        ("DES_DRAIN_SECONDS", "soon", "number"),
        ("DES_DRAIN_SECONDS", "0", "greater than 0"),
        ("DES_DRAIN_SECONDS", "nan", "45"),
        ("DES_DRAIN_SECONDS", "46", "less than or equal to 45"),
        ("DES_RUNS_PER_TICK", "0", "greater than or equal to 1"),
        ("DES_RUNS_PER_TICK", "501", "less than or equal to 500"),
        ("DES_CATALOG_WAIT_SECONDS", "-1", "greater than or equal to 0"),
        ("DES_CATALOG_WAIT_SECONDS", "11", "less than or equal to 10"),
        ("DES_LISTING_SECONDS", "4", "greater than or equal to 5"),
        ("DES_QUEUE_WAIT_SECONDS", "-1", "greater than or equal to 0"),
        ("DES_QUEUE_WAIT_SECONDS", "21", "less than or equal to 20"),
        ("DES_QUEUE_WAIT_SECONDS", "0.5", "integer"),
        ("DES_LEASE_SECONDS", "0", "greater than or equal to 1"),
        ("DES_LEASE_SECONDS", "3601", "less than or equal to 3600"),
        ("DES_THREADS", "2.5", "integer"),
        ("DES_THREADS", "0", "greater than or equal to 1"),
        ("DES_THREADS", "257", "less than or equal to 256"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable_with_what_was_found_and_expected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    message = str(caught.value)
    assert message.startswith(f"{variable} is wrong")
    assert expected in message
    assert f"(found {value!r})" in message
    assert PASSWORD not in message


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DES_PG_PORT", "http")
    monkeypatch.setenv("DES_THREADS", "0")

    with pytest.raises(ConfigurationError, match=r"DES_PG_PORT .*; DES_THREADS "):
        load_settings()


def test_the_password_is_not_in_what_the_settings_show() -> None:
    settings = load_settings()

    assert PASSWORD not in repr(settings)
    assert PASSWORD not in str(settings)
    assert PASSWORD not in settings.model_dump_json()


@pytest.mark.parametrize("host", ["db.example.com", "10.0.0.7", "::1"])
def test_the_catalog_url_means_what_the_variables_say(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DES_PG_HOST", host)
    monkeypatch.setenv("DES_PG_PORT", "6543")
    monkeypatch.setenv("DES_PG_USER", "me@home:1")
    monkeypatch.setenv("DES_PG_DB", "files")

    url = sa.make_url(load_settings().catalog_url)

    assert (url.host, url.port, url.username, url.password, url.database) == (
        host,
        6543,
        "me@home:1",
        PASSWORD,
        "files",
    )


@pytest.mark.parametrize("written", ["file:///data/lake", "file:///data/lake/", "file:////data/lake"])
def test_a_folder_has_one_address_however_it_is_written(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("DES_STORE_URL", written)

    assert load_settings().store_url == "file:///data/lake"


def test_without_any_variable_there_is_a_default_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DES_PG_PASSWORD")

    settings = load_settings()

    assert (settings.store_url, settings.queue_url, settings.name_prefix) == ("s3://", "", "DES")
    assert sa.make_url(settings.catalog_url).host == "127.0.0.1"
