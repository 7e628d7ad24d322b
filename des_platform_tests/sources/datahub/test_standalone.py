"""A DataHub in a file of its own: our form, and the two of the earlier utility."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.standalone import find_datahub, read_draft
from des_platform_tests.sources.datahub.support import config_of

if TYPE_CHECKING:
    from des_platform.sources.datahub.config import DataHubAccess
    from des_platform_tests.datahub_server import DataHubServer

FLAT: dict[str, Any] = {
    "api_base_url": "https://hub.example/api/",
    "api_key": "k3y",
    "db_params": {"dbname": "d", "user": "u", "password": "s3cret", "host": "h", "port": 5433},
    "rate_limiting": {"base_delay": 2, "max_delay": 30, "factor": 3},
    "advanced_settings": {"api_timeout": 120, "verify_ssl": False, "max_retries": 7},
    "logging": {"log_file": "x.log", "log_level": "DEBUG", "rotation": {"max_bytes": 5000, "backup_count": 2}},
}
SECTIONED: dict[str, Any] = {
    "logging": {"level": "WARNING", "file": "y.log", "rotation": {"max_bytes": 10485760, "backup_count": 5}},
    "performance": {
        "batch_size": 50,
        "max_threads": 8,
        "chunk_size": 8192,
        "rate_limiting": {"base_delay": 1, "max_delay": 60, "factor": 2, "max_retries": 5},
    },
    "api": {"timeout": 300, "verify_ssl": True, "retry_codes": [429, 500]},
    "database": {"retry": {"max_attempts": 3, "delay_seconds": 1}},
    "file_processing": {
        "size_threshold": 2000000,
        "verification": {"checksum_algorithm": "sha256", "verify_uploads": True},
    },
}


def written(folder: Path, content: object, name: str = "my-hub.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def found(path: Path) -> DataHubAccess:
    return find_datahub(str(path), [])


def test_own_form_needs_only_how_to_reach_the_datahub(tmp_path: Path) -> None:
    path = tmp_path / "My Hub.yaml"
    path.write_text(
        """
        url: https://hub.example/api
        api_key: ${KEY}
        connection: {type: postgres, host: h, database: d, username: u, password: "${PASSWORD}"}
        compress: {codec: zstd, level: 9, keep_originals: true}
        """
    )

    config = found(path)

    assert (config.name, config.url) == ("my_hub", "https://hub.example/api")
    assert config.compress is not None
    assert (config.compress.codec, config.compress.level, config.compress.verify) == ("zstd", 9, "both")


def test_flat_form_is_read_whole(tmp_path: Path) -> None:
    config = found(written(tmp_path, FLAT))

    assert (config.name, config.url, config.api_key.get_secret_value()) == ("my_hub", "https://hub.example/api", "k3y")
    connection = config.connection
    assert (connection.host, connection.port, connection.database, connection.username) == ("h", 5433, "d", "u")
    assert connection.password.get_secret_value() == "s3cret"
    assert (config.retries.base, config.retries.most, config.retries.factor, config.retries.total) == (2, 30, 3, 7)
    assert (config.timeout, config.verify_ssl) == (120, False)
    logging = config.logging
    assert (logging.file, logging.level, logging.max_bytes, logging.backup_count) == (Path("x.log"), "DEBUG", 5000, 2)
    assert "s3cret" not in repr(config)


def test_sectioned_form_takes_what_is_secret_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BATCH_SIZE", "LOG_LEVEL", "DB_PORT"):
        monkeypatch.delenv(name, raising=False)
    draft = read_draft(written(tmp_path, SECTIONED))

    assert draft.errors == []
    assert any("chunk_size has no effect" in warning for warning in draft.warnings)
    config = draft.config
    assert config is not None
    assert (config.url, config.api_key.get_secret_value()) == ("${DATAHUB_API_URL}", "${DATAHUB_API_KEY}")
    assert (config.connection.host, config.connection.database) == ("${DB_HOST}", "${DB_NAME}")
    assert (config.batch_size, config.threads, config.size_threshold) == (50, 8, 2_000_000)
    assert (config.logging.level, config.logging.file) == ("WARNING", Path("y.log"))


def test_variables_of_the_earlier_utility_go_before_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "BATCH_SIZE": "7",
        "MAX_THREADS": "2",
        "SIZE_THRESHOLD": "99",
        "LOG_LEVEL": "ERROR",
        "LOG_FILE": "z.log",
        "LOG_MAX_SIZE": "2048",
        "LOG_BACKUP_COUNT": "9",
        "DB_PORT": "5434",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    config = found(written(tmp_path, SECTIONED))

    assert (config.batch_size, config.threads, config.size_threshold) == (7, 2, 99)
    logging = config.logging
    assert (logging.level, logging.file, logging.max_bytes, logging.backup_count) == ("ERROR", Path("z.log"), 2048, 9)
    assert config.connection.port == "${DB_PORT}"


def test_every_mistake_is_named_and_no_secret(tmp_path: Path) -> None:
    wrong = FLAT | {"api_base_url": "ftp://s3cret@host", "advanced_settings": {"api_timeout": -1, "retires": 3}}

    with pytest.raises(ConfigurationError) as raised:
        found(written(tmp_path, wrong))

    said = str(raised.value)
    assert "advanced_settings.retires: no such key is known" in said
    assert "url:" in said
    assert "timeout:" in said
    assert "s3cret" not in said


def test_missing_section_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="api: this section is missing"):
        found(written(tmp_path, {name: value for name, value in SECTIONED.items() if name != "api"}))


@pytest.mark.parametrize(
    ("compress", "said"),
    [
        ({"codec": "rar"}, "compress.codec"),
        ({"codec": "gzip", "level": 99}, "no level 99"),
        ({"verify": "no"}, "compress.verify"),
        ({"delete": True}, "compress.delete"),
    ],
)
def test_wrong_section_compress_is_named(tmp_path: Path, compress: dict[str, Any], said: str) -> None:
    form = {"url": "https://h", "api_key": "k", "connection": {"type": "postgres", "host": "h"}, "compress": compress}

    with pytest.raises(ConfigurationError, match=said):
        found(written(tmp_path, form))


@pytest.mark.parametrize("content", ["[1, 2]", "{", "\t", "text"])
def test_file_that_holds_no_fields_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "hub.json"
    path.write_text(content)

    with pytest.raises(ConfigurationError, match=r"hub\.json"):
        found(path)


def test_name_means_a_datahub_of_the_sources_file_first(server: DataHubServer) -> None:
    known = config_of(server)

    assert find_datahub("hub", [known]) is known
    with pytest.raises(ConfigurationError, match="bub is no file, and no DataHub is called so; known are hub"):
        find_datahub("bub", [known])
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_datahub("./bub.yaml", [known])
