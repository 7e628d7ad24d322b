"""A DataHub whose files are compressed in it, and what is in it then."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from des_platform.catalog import checkpoints
from des_platform.sources.datahub.compressing.month import MonthCompressor
from des_platform.sources.datahub.config import DataHubAccess
from des_platform_tests.sources.datahub.support import config_of

if TYPE_CHECKING:
    from des_platform_tests.sources.datahub.support import DataHub

LEDGER = "hub:compress:2026-03"


def access_of(hub: DataHub, **changes: Any) -> DataHubAccess:
    """The DataHub without a landing place, so that nothing waits to be taken."""
    config = config_of(hub.server, hub.address, **changes).model_dump(exclude={"landing", "start"})
    return DataHubAccess.model_validate(config)


def compressor(hub: DataHub, **changes: Any) -> MonthCompressor:
    platform = hub.platform
    return MonthCompressor(access_of(hub, **changes), platform.catalog, platform.scratch, lease_seconds=1)


def text(name: str, lines: int = 300) -> bytes:
    """Bytes that shrink."""
    return f"{name}: a line that repeats itself\n".encode() * lines


def rows(hub: DataHub) -> dict[str, dict[str, Any]]:
    """The DataHub's table, by file."""
    found = hub.database.execute(
        "SELECT file_id, document_id, document_type_nm, size_no, properties FROM fdhdata.dh_file"
    ).fetchall()
    names = ("document_id", "document_type", "size", "properties")
    return {str(row[0]): dict(zip(names, row[1:], strict=True)) for row in found}


def copies(hub: DataHub) -> dict[str, bytes]:
    """What the compressed copies in the DataHub decompress to, by original; fails where there are two of one."""
    found: dict[str, bytes] = {}
    for file_id, row in rows(hub).items():
        if (row["properties"] or {}).get("is_compressed"):
            original = row["properties"]["compressed_from"]
            assert original not in found
            found[original] = gzip.decompress(hub.server.files[file_id])
    return found


def originals(hub: DataHub) -> set[str]:
    """The files that are no compressed copies."""
    return {file_id for file_id, row in rows(hub).items() if not (row["properties"] or {}).get("is_compressed")}


def ledger(hub: DataHub) -> dict[str, str]:
    with hub.platform.catalog.begin() as connection:
        return checkpoints.positions(connection, LEDGER)
