"""Oracle and SQL Server are not at hand: what would be sent to them is compared with what was reviewed."""

# ruff: noqa: S608 - nothing here is ever sent

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from des_platform.catalog.source_rows import SettledRow
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.databases.dialects import Statements, Worker
from des_platform.sources.databases.outcomes import Outcomes
from des_platform.sources.databases.table import map_table

if TYPE_CHECKING:
    from des_platform.sources.databases.table import MappedTable

DIALECTS: dict[str, sa.engine.Dialect] = {"oracle": oracle.dialect(), "mssql": mssql.dialect()}
FOUND: dict[str, tuple[str, sa.types.TypeEngine[Any]]] = {
    "id": ("file_id", sa.BigInteger()),
    "s3_bucket": ("bucket", sa.String(63)),
    "s3_key": ("object key", sa.String(1024)),
    "status": ("status", sa.String(20)),
    "claimed_at": ("claimed_at", sa.DateTime()),
    "claimed_by": ("claimed_by", sa.String(64)),
    "packed_at": ("packed_at", sa.DateTime()),
    "des_name": ("des_name", sa.String(64)),
    "error_message": ("error_message", sa.String(10)),
    "shard_key": ("object key", sa.String(1024)),
}


def statements(kind: str) -> Statements:
    return Statements(*told(kind))


def outcomes(kind: str) -> Outcomes:
    return Outcomes(*told(kind))


def told(kind: str) -> tuple[DatabaseSource, MappedTable, Worker]:
    source = DatabaseSource.model_validate(
        {
            "name": "erp",
            "connection": {"type": kind, "host": "h", "database": "d", "username": "u"},
            "table": {"name": "files", "where_clause": "kind = 'x:y%' -- theirs"},
        }
    )
    return source, map_table(source, "app", FOUND), Worker(1, 4)


def text_of(kind: str, statement: sa.sql.expression.ClauseElement) -> str:
    compiled = statement.compile(dialect=DIALECTS[kind], compile_kwargs={"render_postcompile": True})
    return " ".join(str(compiled).split())


COLUMNS = {
    "oracle": (
        'app.files.file_id AS id, app.files.bucket AS s3_bucket, app.files."object key" AS s3_key, '
        "app.files.des_name AS des_name"
    ),
    "mssql": (
        "app.files.file_id AS id, app.files.bucket AS s3_bucket, app.files.[object key] AS s3_key, "
        "app.files.des_name AS des_name"
    ),
}
SHARD = {
    "oracle": (
        "mod((floor(to_number(substr(rawtohex(standard_hash(convert(coalesce(to_char(app.files.\"object key\"), '-'), "
        "'AL32UTF8'), 'SHA256')), 1, 4), 'XXXX') / 256) + :param_1), :param_2) < 1"
    ),
    "mssql": (
        "(CAST(substring(hashbytes('SHA2_256', CAST(coalesce(CAST(app.files.[object key] AS NVARCHAR(4000)), '-') "
        "COLLATE Latin1_General_100_BIN2_UTF8 AS VARCHAR(8000))), 1, 2) AS INTEGER) / 256 + :param_2) % :param_3 < 1"
    ),
}
WHERE = "(kind = 'x:y%' -- theirs )"


def test_oracle_chooses_the_oldest_rows_by_address_and_locks_those() -> None:
    assert text_of("oracle", statements("oracle").pick(100, resumed=True).params(after=7)) == (
        f"SELECT {COLUMNS['oracle']} FROM app.files WHERE ROWID IN (SELECT oldest.address FROM "
        "(SELECT ROWID AS address FROM app.files WHERE app.files.status = :status_1 AND app.files.file_id > :after "
        f"AND {SHARD['oracle']} AND {WHERE} ORDER BY app.files.file_id) oldest WHERE ROWNUM <= :ROWNUM_1) "
        "AND app.files.status = :status_2 ORDER BY app.files.file_id FOR UPDATE SKIP LOCKED"
    )


def test_oracle_finds_claims_that_ran_out_by_its_own_clock() -> None:
    assert text_of("oracle", statements("oracle").pick(100, expired=True)) == (
        f"SELECT {COLUMNS['oracle']} FROM app.files WHERE ROWID IN (SELECT oldest.address FROM "
        "(SELECT ROWID AS address FROM app.files WHERE app.files.status = :status_1 AND (app.files.claimed_at IS NULL "
        "OR app.files.claimed_at < SYS_EXTRACT_UTC(SYSTIMESTAMP) - numtodsinterval(:numtodsinterval_1, 'SECOND')) "
        f"AND {SHARD['oracle']} AND {WHERE} ORDER BY app.files.file_id) oldest WHERE ROWNUM <= :ROWNUM_1) "
        "AND app.files.status = :status_2 ORDER BY app.files.file_id FOR UPDATE SKIP LOCKED"
    )


def test_sql_server_locks_rows_and_reads_past_those_of_others() -> None:
    assert text_of("mssql", statements("mssql").pick(100, resumed=True).params(after=7)) == (
        f"SELECT TOP 100 {COLUMNS['mssql']} FROM app.files WITH (ROWLOCK, UPDLOCK, READPAST) "
        "WHERE app.files.status = :status_1 AND app.files.file_id > :after "
        f"AND {SHARD['mssql']} AND {WHERE} ORDER BY app.files.file_id"
    )


def test_sql_server_finds_claims_that_ran_out_by_its_own_clock() -> None:
    assert text_of("mssql", statements("mssql").pick(100, expired=True)) == (
        f"SELECT TOP 100 {COLUMNS['mssql']} FROM app.files WITH (ROWLOCK, UPDLOCK, READPAST) "
        "WHERE app.files.status = :status_1 AND (app.files.claimed_at IS NULL OR app.files.claimed_at < "
        f"dateadd(second, :dateadd_1, SYSUTCDATETIME())) AND {SHARD['mssql']} AND {WHERE} ORDER BY app.files.file_id"
    )


CLOCK = {"oracle": "SYS_EXTRACT_UTC(SYSTIMESTAMP)", "mssql": "SYSUTCDATETIME()"}
HELD = {
    "oracle": "app.files.status = :status_1 AND (app.files.claimed_by LIKE :claimed_by_1 || '%' ESCAPE '/')",
    "mssql": "app.files.status = :status_1 AND (app.files.claimed_by LIKE :claimed_by_1 + '%' ESCAPE '/')",
}


@pytest.mark.parametrize("kind", ["oracle", "mssql"])
def test_rows_are_marked_and_renewed_by_their_ids(kind: str) -> None:
    assert text_of(kind, statements(kind).take([1, 2])) == (
        f"UPDATE app.files SET status=:status, claimed_at={CLOCK[kind]}, claimed_by=:claimed_by "
        "WHERE app.files.file_id IN (:file_id_1_1, :file_id_1_2)"
    )
    assert text_of(kind, outcomes(kind).renew([1, 2])) == (
        f"UPDATE app.files SET claimed_at={CLOCK[kind]} "
        f"WHERE app.files.file_id IN (:file_id_1_1, :file_id_1_2) AND {HELD[kind]}"
    )


@pytest.mark.parametrize("kind", ["oracle", "mssql"])
def test_outcomes_are_written_into_rows_that_are_still_ours(kind: str) -> None:
    rows = [SettledRow("1", "packed", "NAME", 3, None), SettledRow("2", "failed", None, None, "much too long")]

    packed, failed = outcomes(kind).write_back(rows)

    assert text_of(kind, packed[0]) == (
        f"UPDATE app.files SET status=:status, packed_at={CLOCK[kind]}, des_name=:new_des_name, "
        f"error_message=:error_message WHERE app.files.file_id = :row_id AND {HELD[kind]}"
    )
    assert packed[1] == [{"row_id": 1, "new_des_name": "NAME"}]
    assert text_of(kind, failed[0]) == (
        "UPDATE app.files SET status=:status, error_message=:new_error_message "
        f"WHERE app.files.file_id = :row_id AND {HELD[kind]}"
    )
    assert failed[1] == [{"row_id": 2, "new_error_message": "much too l"}]


@pytest.mark.parametrize("kind", ["oracle", "mssql"])
def test_waiting_rows_are_counted_up_to_a_limit(kind: str) -> None:
    pending, _claimed = statements(kind).counts(1000)

    inner = f"SELECT {{}}app.files.file_id AS file_id FROM app.files WHERE app.files.status = :status_1 AND {WHERE}"
    assert (
        text_of(kind, pending)
        == {
            "oracle": f"SELECT count(*) AS count_1 FROM ({inner.format('')} FETCH FIRST 1000 ROWS ONLY) waiting",
            "mssql": f"SELECT count(*) AS count_1 FROM ({inner.format('TOP 1000 ')}) AS waiting",
        }[kind]
    )
