"""Whether a DataHub's configuration would work: everything that is wrong, not the first of it, and nothing changed.

Structure, environment, the DataHub's database with table and columns, its REST interface, the catalogue, and the
folders that are written to. What hangs on something that is wrong is tried as far as it goes.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.settings import ConfigurationError, load_settings
from des_platform.sources.datahub.client import DataHubClient
from des_platform.sources.datahub.compressing.table import FileTable
from des_platform.sources.datahub.config import DataHubAccess
from des_platform.sources.datahub.errors import DataHubUnavailable, FileRefused
from des_platform.sources.datahub.standalone import Draft, complete, read_drafts
from des_platform.sources.source import SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.settings import Settings

_COLUMNS = ("file_id", "document_id", "document_type_nm", "size_no", "uploaded_at_dttm", "properties")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LITTLE_SPACE = 1 << 30


@dataclass(slots=True)
class Findings:
    """What was found: errors that stand in the way, warnings that do not, and what was well."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    well: list[str] = field(default_factory=list)


def validate(path: Path) -> Findings:
    """Look at everything that a file's DataHubs need.

    Args:
        path: a DataHub's own file, or a sources file.
    """
    found = Findings()
    try:
        drafts = read_drafts(path)
    except ConfigurationError as error:
        found.errors.append(str(error))
        drafts = []
    for draft in drafts:
        found.errors += draft.errors
        found.warnings += draft.warnings
        if not draft.errors:
            found.well.append(f"structure of {draft.fields.get('name')}")
        _check_environment(draft, found)
        usable = draft.config or _as_far_as_it_goes(draft)
        if usable is not None:
            _check_database(usable, found)
            _check_api(usable, found)
            _check_log(usable, found)
    _check_platform(found)
    return found


def _as_far_as_it_goes(draft: Draft) -> DataHubAccess | None:
    """The configuration without the fields that are wrong, or None where one is needed."""
    known = DataHubAccess.model_fields.keys() - draft.wrong
    fields = {name: value for name, value in draft.fields.items() if name in known}
    return complete(Draft(fields), DataHubAccess, name="" if "name" in fields else "datahub").config


def _check_environment(draft: Draft, found: Findings) -> None:
    names = sorted(set(_variables(draft.fields)))
    for name in names:
        if name not in os.environ:
            found.errors.append(f"environment: {name} is not set")
        elif not os.environ[name].strip():
            found.warnings.append(f"environment: {name} is empty")
    if names and all(name in os.environ for name in names):
        found.well.append(f"environment: {', '.join(names)}")
    for path, value in (("api_key", draft.fields.get("api_key")), ("connection.password", _password(draft))):
        if isinstance(value, str) and value and "${" not in value:
            found.warnings.append(f"{path} stands in the file as it is: put ${{VARIABLE}} there")


def _password(draft: Draft) -> object:
    connection = draft.fields.get("connection")
    return connection.get("password") if isinstance(connection, dict) else None


def _variables(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _VARIABLE.findall(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _variables(inner)


def _check_database(config: DataHubAccess, found: Findings) -> None:
    try:
        with closing(FileTable(config)) as table:
            columns = table.columns()
    except (ConfigurationError, SourceUnavailable) as error:
        found.errors.append(f"database: {error}")
        return
    missing = [name for name in _COLUMNS if name not in columns]
    if not columns:
        found.errors.append(
            f"database: there is no table fdhdata.dh_file, or {config.connection.username} may not read it"
        )
    elif missing:
        found.errors.append(f"database: fdhdata.dh_file has no column {', '.join(missing)}")
    else:
        found.well.append("database: fdhdata.dh_file can be read")


def _check_api(config: DataHubAccess, found: Findings) -> None:
    try:
        with DataHubClient(config) as client:
            client.health()
    except FileRefused as error:
        found.warnings.append(f"API: it answers, but not about its health: {error}")
    except (ConfigurationError, DataHubUnavailable) as error:
        found.errors.append(f"API: {error}")
    else:
        found.well.append("API: /health answers")


def _check_log(config: DataHubAccess, found: Findings) -> None:
    if config.logging.file is not None:
        _check_folder("folder of the log file", config.logging.file.absolute().parent, found)


def _check_platform(found: Findings) -> None:
    try:
        settings = load_settings()
    except ConfigurationError as error:
        found.errors.append(f"settings: {error}")
        return
    _check_catalog(settings, found)
    if _check_folder("scratch folder (DES_SCRATCH)", settings.scratch, found):
        free = shutil.disk_usage(settings.scratch).free
        if free < _LITTLE_SPACE:
            found.warnings.append(f"scratch folder {settings.scratch}: {free / 1e6:,.0f} MB are free")


def _check_catalog(settings: Settings, found: Findings) -> None:
    import sqlalchemy as sa

    where = f"{settings.pg_host}:{settings.pg_port}/{settings.pg_db}"
    engine = sa.create_engine(settings.catalog_url, connect_args={"connect_timeout": 10})
    try:
        with engine.connect():
            found.well.append(f"catalogue at {where}")
    except sa.exc.OperationalError as error:
        said = " ".join(str(error.orig).split())
        found.errors.append(f"catalogue at {where}: {said}. Check DES_PG_HOST, DES_PG_PORT, DES_PG_USER, DES_PG_DB")
    finally:
        engine.dispose()


def _check_folder(what: str, folder: Path, found: Findings) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            found.well.append(f"{what}: {folder} can be written to")
            return True
    except OSError as error:
        found.errors.append(f"{what}: {folder} cannot be written to: {error.strerror}")
        return False
