"""The two JSON forms of the earlier DataHub compression utility, and its environment variables, as our own fields.

The flat form begins with `api_base_url` and `db_params`; the sectioned one has `logging`, `performance`, `api`,
`database` and `file_processing`, and everything secret in the environment. Where a value stands in neither, the
variable's placeholder does: a secret is read when it is needed. Keys that nobody knows are errors, since one that is
misspelt would leave a default in force; keys whose meaning is gone are warnings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECTIONS = ("logging", "performance", "api", "database", "file_processing")
"""The sections that the sectioned form must have."""

_FLAT = {
    "api_base_url": "url",
    "api_key": "api_key",
    "db_params.dbname": "connection.database",
    "db_params.user": "connection.username",
    "db_params.password": "connection.password",
    "db_params.host": "connection.host",
    "db_params.port": "connection.port",
    "rate_limiting.base_delay": "retries.base",
    "rate_limiting.max_delay": "retries.most",
    "rate_limiting.factor": "retries.factor",
    "advanced_settings.api_timeout": "timeout",
    "advanced_settings.verify_ssl": "verify_ssl",
    "advanced_settings.max_retries": "retries.total",
    "logging.log_file": "logging.file",
    "logging.log_level": "logging.level",
    "logging.rotation.max_bytes": "logging.max_bytes",
    "logging.rotation.backup_count": "logging.backup_count",
}
_SECTIONED = {
    "logging.level": "logging.level",
    "logging.file": "logging.file",
    "logging.rotation.max_bytes": "logging.max_bytes",
    "logging.rotation.backup_count": "logging.backup_count",
    "performance.batch_size": "batch_size",
    "performance.max_threads": "threads",
    "performance.rate_limiting.base_delay": "retries.base",
    "performance.rate_limiting.max_delay": "retries.most",
    "performance.rate_limiting.factor": "retries.factor",
    "performance.rate_limiting.max_retries": "retries.total",
    "api.timeout": "timeout",
    "api.verify_ssl": "verify_ssl",
    "file_processing.size_threshold": "size_threshold",
}
_WITHOUT_EFFECT = {
    "performance.chunk_size": "chunks have one size",
    "api.retry_codes": "429, 500, 502, 503 and 504 are tried again",
    "database.retry.max_attempts": "the database is asked three times",
    "database.retry.delay_seconds": "the first pause is one second",
    "file_processing.verification.checksum_algorithm": "checksums are SHA-256",
    "file_processing.verification.verify_uploads": "no original is deleted before its copy was read back",
}
_VARIABLES = {
    "BATCH_SIZE": "batch_size",
    "MAX_THREADS": "threads",
    "SIZE_THRESHOLD": "size_threshold",
    "LOG_LEVEL": "logging.level",
    "LOG_FILE": "logging.file",
    "LOG_MAX_SIZE": "logging.max_bytes",
    "LOG_BACKUP_COUNT": "logging.backup_count",
}
_PLACEHOLDERS = {
    "url": "DATAHUB_API_URL",
    "api_key": "DATAHUB_API_KEY",
    "connection.database": "DB_NAME",
    "connection.username": "DB_USER",
    "connection.password": "DB_PASSWORD",
    "connection.host": "DB_HOST",
}


@dataclass(slots=True)
class Translation:
    """Our fields, and what is to be said about how they came about."""

    fields: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def is_legacy(read: Mapping[str, Any]) -> bool:
    """Whether a file has one of the earlier forms."""
    return _is_flat(read) or bool({"performance", "api", "database", "file_processing"} & set(read))


def translate(read: Mapping[str, Any], environment: Mapping[str, str]) -> Translation:
    """An earlier form as our own fields; a variable that is set goes before the file, but for what is secret.

    Args:
        read: the file.
        environment: the process's variables.
    """
    made = Translation({"connection": {"type": "postgres"}})
    known = _FLAT if _is_flat(read) else _SECTIONED
    if not _is_flat(read):
        made.errors += [f"{section}: this section is missing" for section in SECTIONS if section not in read]
    for path, value in _leaves(read, ""):
        if path in known:
            _put(made.fields, known[path], value)
        elif path in _WITHOUT_EFFECT:
            made.warnings.append(f"{path} has no effect: {_WITHOUT_EFFECT[path]}")
        else:
            made.errors.append(f"{path}: no such key is known")
    for variable, target in _VARIABLES.items():
        if environment.get(variable):
            _put(made.fields, target, environment[variable])
    for target, variable in _PLACEHOLDERS.items():
        if not _has(made.fields, target):
            _put(made.fields, target, f"${{{variable}}}")
    if "DB_PORT" in environment and not _has(made.fields, "connection.port"):
        _put(made.fields, "connection.port", "${DB_PORT}")
    return made


def _is_flat(read: Mapping[str, Any]) -> bool:
    return "api_base_url" in read or "db_params" in read


def _leaves(read: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in read.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _put(fields: dict[str, Any], path: str, value: object) -> None:
    *sections, name = path.split(".")
    for section in sections:
        fields = fields.setdefault(section, {})
    fields[name] = value


def _has(fields: dict[str, Any], path: str) -> bool:
    *sections, name = path.split(".")
    for section in sections:
        fields = fields.get(section, {})
    return name in fields
