"""The marker on real servers: every row that waits gets one name, and a row that refuses it holds up nobody."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from des_platform.catalog import dead_letters, source_rows
from des_platform.catalog.metrics import samples
from des_platform.naming import parse_name, shard_of
from des_platform.settings import ConfigurationError
from des_platform.sources.databases.config import DatabaseSource
from des_platform.sources.databases.engine import Database
from des_platform.sources.databases.table import map_table
from des_platform.sources.marking import passing as marker_pass
from des_platform.sources.marking import table as marker_table
from des_platform.sources.marking.marker import Marker
from des_platform.sources.marking.stats import MarkerStats
from des_platform.sources.marking.table import MarkerTable
from des_platform.sources.pace import TokenBucket
from des_platform.sources.source import SourceUnavailable
from des_platform_tests.platform import DAY
from des_platform_tests.sources.databases.support import SourceFiles, announced, drain_of

if TYPE_CHECKING:
    from des_platform_tests.platform import Platform

MARKED = sa.Table(
    "marked_files",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("des_name", sa.String(64), unique=True),
    sa.Column("des_hash", sa.String(64)),
    sa.Column("des_shard", sa.Integer),
    sa.Column("des_status", sa.String(20)),
    sa.Column("retry_count", sa.Integer),
    sa.Column("last_error", sa.String(500)),
    sa.Column("status", sa.String(20), nullable=False, server_default="pending"),
    sa.Column("claimed_at", sa.DateTime),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("etag", sa.String(80)),
    sa.Column("s3_bucket", sa.String(63)),
    sa.Column("s3_key", sa.String(200)),
)
FAST = {"batch_size": 10, "backoff_base": 0.001}


@pytest.fixture
def files(source_files: SourceFiles) -> SourceFiles:
    """A table with every column that the marker knows, once in PostgreSQL and once in MariaDB."""
    MARKED.create(source_files.engine)
    return replace(source_files, table=MARKED)


@pytest.fixture
def pg_files(postgres_files: SourceFiles) -> SourceFiles:
    MARKED.create(postgres_files.engine)
    return replace(postgres_files, table=MARKED)


def marker(platform: Platform, files: SourceFiles, **changes: Any) -> Marker:
    options = {name: changes.pop(name) for name in ("strategy", "stop") if name in changes}
    columns = changes.pop("columns", {})
    table = {name: changes.pop(name) for name in ("where_clause",) if name in changes}
    source = files.source(columns=columns, marker=FAST | changes, **table)
    return Marker(source, platform.catalog, name_prefix="DES", **options)


def add(files: SourceFiles, number: int, **values: Any) -> None:
    files.add([announced(f"f{index}") | values for index in range(number)])


def named(files: SourceFiles) -> list[str]:
    return [row["des_name"] for row in files.rows() if row["des_name"] is not None]


def counters(platform: Platform) -> dict[str, float]:
    with platform.catalog.begin() as connection:
        return {
            "-".join([sample.metric.removeprefix("des_marker_"), *sample.labels.values()]): sample.value
            for sample in samples(connection)
        }


def letters(platform: Platform) -> list[dead_letters.DeadLetterRow]:
    with platform.catalog.begin() as connection:
        return dead_letters.newest(connection, 1000)


def refuse(files: SourceFiles, *ids: int) -> None:
    """Let the server refuse names for some rows, as an owner's trigger does."""
    listed = ", ".join(map(str, ids))
    if files.connection["type"] == "postgres":
        function = (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF new.id IN ({listed}) AND new.des_name IS NOT NULL THEN RAISE EXCEPTION 'not this one'; END IF; "
            "RETURN new; END $$"
        )
        files.execute(sa.text(function))
        action = "EXECUTE FUNCTION refuse()"
    else:
        action = (
            f"IF new.id IN ({listed}) AND new.des_name IS NOT NULL "
            "THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF"
        )
    files.execute(sa.text(f"CREATE TRIGGER refuse BEFORE UPDATE ON marked_files FOR EACH ROW {action}"))


def accept(files: SourceFiles) -> None:
    on = " ON marked_files" if files.connection["type"] == "postgres" else ""
    files.execute(sa.text(f"DROP TRIGGER refuse{on}"))


def test_every_row_gets_a_name_its_hash_and_its_shard(platform: Platform, files: SourceFiles) -> None:
    add(files, 25)

    stats = marker(platform, files).run()

    assert (stats.processed, stats.marked, stats.failed, stats.retries) == (25, 25, 0, 0)
    assert 0 < stats.latency_min_ms <= stats.latency_avg_ms <= stats.latency_max_ms
    rows = files.rows()
    assert len({row["des_name"] for row in rows}) == 25
    for row in rows:
        assert parse_name(row["des_name"]).day == DAY
        assert row["des_hash"] == hashlib.sha256(row["des_name"].encode()).hexdigest()
        assert row["des_shard"] == int(row["des_hash"][:2], 16) == shard_of(row["des_name"], 8)
        assert (row["des_status"], row["status"]) == ("marked", "pending")


def test_marked_rows_are_left_alone(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 5)
    marker(platform, pg_files).run()
    before = named(pg_files)

    assert marker(platform, pg_files).run().processed == 0
    assert named(pg_files) == before


def test_table_needs_no_more_than_the_name(platform: Platform, postgres_files: SourceFiles) -> None:
    postgres_files.add([announced("a"), announced("b")])

    assert marker(platform, postgres_files).run().marked == 2

    for row in postgres_files.rows():
        assert row["des_shard"] == shard_of(row["des_name"], 8)


def test_only_rows_that_wait_are_marked(platform: Platform, files: SourceFiles) -> None:
    old = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=3)
    young = old + timedelta(days=2, hours=12)
    add(files, 1, created_at=old, s3_key="old")
    add(files, 1, created_at=young, s3_key="young")
    add(files, 1, created_at=young, s3_key="packed", status="packed")
    add(files, 1, created_at=young, s3_key="not ours", size_bytes=1)

    stats = marker(platform, files, max_age_days=1, where_clause="size_bytes > 1 -- ours").run()

    assert stats.marked == 1
    assert [row["s3_key"] for row in files.rows() if row["des_name"]] == ["young"]


def test_row_without_a_time_is_named_for_today(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 1, created_at=None)

    marker(platform, pg_files).run()

    (name,) = named(pg_files)
    assert parse_name(name).day in {datetime.now(UTC).date(), datetime.now(UTC).date() - timedelta(days=1)}


def test_file_of_a_marked_row_keeps_the_name(platform: Platform, postgres_files: SourceFiles) -> None:
    postgres_files.add_files(platform, ["a", "b"])
    source = postgres_files.source(marker=FAST)
    drain = drain_of(platform, source)
    assert drain.drain(seconds=30).received == 0  # rows without a name are not claimed

    Marker(source, platform.catalog, name_prefix="DES").run()
    assert drain.drain(seconds=30).new == 2
    platform.take_in()

    assert sorted(row.name for row in platform.rows().values()) == sorted(named(postgres_files))


def test_two_markers_never_mark_a_row_twice(platform: Platform, files: SourceFiles) -> None:
    add(files, 300)
    with files.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE marks (id bigint, name varchar(64))"))
    insert = "INSERT INTO marks VALUES (new.id, new.des_name)"
    if files.connection["type"] == "postgres":
        files.execute(
            sa.text(f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {insert}; RETURN new; END $$")
        )
        files.execute(sa.text("CREATE TRIGGER note AFTER UPDATE ON marked_files FOR EACH ROW EXECUTE FUNCTION note()"))
    else:
        files.execute(sa.text(f"CREATE TRIGGER note AFTER UPDATE ON marked_files FOR EACH ROW {insert}"))
    markers = [marker(platform, files) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        stats = list(pool.map(lambda one: one.run(), markers))

    assert sum(one.marked for one in stats) == 300
    assert sum(one.failed for one in stats) == 0
    with files.engine.begin() as connection:
        ids, names = connection.execute(
            sa.text("SELECT count(DISTINCT id), count(DISTINCT name) FROM marks HAVING count(*) = 300")
        ).one()
    assert (ids, names) == (300, 300)


def test_row_that_another_holds_is_passed_over(platform: Platform, files: SourceFiles) -> None:
    add(files, 3)
    first = files.rows()[0]["id"]

    with files.engine.begin() as owner:
        owner.execute(sa.select(files.table).where(files.table.c.id == first).with_for_update())
        stats = marker(platform, files).run()

    assert (stats.marked, stats.failed) == (2, 0)
    assert marker(platform, files).run().marked == 1


def test_refused_row_is_given_up_and_its_neighbours_are_marked(platform: Platform, files: SourceFiles) -> None:
    add(files, 25)
    ids = [row["id"] for row in files.rows()]
    refuse(files, ids[0], ids[7], ids[8])

    stats = marker(platform, files).run()

    assert (stats.marked, stats.failed, stats.processed) == (22, 3, 25)
    assert sum(stats.errors.values()) == 3
    found = letters(platform)
    assert {letter.reference for letter in found} == {str(ids[0]), str(ids[7]), str(ids[8])}
    assert all(letter.origin == "erp.marker" and "not this one" in letter.reason for letter in found)
    row = files.rows()[7]
    assert (row["des_name"], row["des_status"], row["retry_count"]) == (None, "failed", 1)
    assert "not this one" in row["last_error"]


def test_row_given_up_stays_dead_until_it_is_retried(platform: Platform, files: SourceFiles) -> None:
    add(files, 3)
    dead = files.rows()[0]["id"]
    refuse(files, dead)
    marker(platform, files).run()

    for _ in range(3):
        assert marker(platform, files).run().processed == 0
    (letter,) = letters(platform)
    assert letter.attempts == 1

    accept(files)
    assert marker(platform, files).run().processed == 0
    with platform.catalog.begin() as connection:
        assert source_rows.forget(connection, letter.origin or "", letter.reference or "")
    assert marker(platform, files).run().marked == 1


def test_rows_at_the_head_that_are_refused_hold_up_nobody(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 40)
    ids = [row["id"] for row in pg_files.rows()]
    refuse(pg_files, *ids[:30])

    stats = marker(platform, pg_files).run()

    assert (stats.marked, stats.failed) == (10, 30)
    add(pg_files, 1)
    assert marker(platform, pg_files).run().marked == 1


def test_table_that_refuses_every_row_is_to_blame_and_not_its_rows(
    platform: Platform, pg_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marker_pass, "MANY_REFUSED", 20)
    add(pg_files, 21)
    refuse(pg_files, *(row["id"] for row in pg_files.rows()))

    with pytest.raises(ConfigurationError, match="none of 21 rows could be marked"):
        marker(platform, pg_files, batch_size=100).run()
    assert letters(platform) == []

    add(pg_files, 1)
    stats = marker(platform, pg_files, batch_size=100).run()
    assert stats.marked == 1
    assert stats.failed >= 20


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 BC"])
def test_time_that_is_none_is_one_rows_problem(platform: Platform, pg_files: SourceFiles, value: str) -> None:
    add(pg_files, 3)
    first = pg_files.rows()[0]["id"]
    set_time = MARKED.update().where(MARKED.c.id == first)
    pg_files.execute(set_time.values(created_at=sa.cast(sa.literal_column(f"'{value}'"), sa.DateTime)))

    stats = marker(platform, pg_files).run()

    assert (stats.marked, stats.failed) == (2, 1)
    assert stats.errors == {"BadTime": 1}
    assert "created_at is" in letters(platform)[0].reason


class Fickle:
    """A strategy that cannot hash every third name."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def digest(self, name: str) -> bytes:
        if parse_name(name).value % 3 == 0:
            raise ValueError("I do not like it")
        return hashlib.sha512(name.encode()).digest()[:32]


def test_strategy_of_ones_own_decides_hash_and_shard(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 12)

    stats = marker(platform, pg_files, strategy=Fickle()).run()

    assert stats.marked + stats.failed == 12
    for row in pg_files.rows():
        if row["des_name"]:
            assert row["des_hash"] == hashlib.sha512(row["des_name"].encode()).digest()[:32].hex()


def test_failure_that_passes_is_tried_again(
    platform: Platform, pg_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(pg_files, 10)
    failing(pg_files, "40P01", 2)

    stats = marker(platform, pg_files, max_retries=3).run()

    assert (stats.marked, stats.failed, stats.retries) == (10, 0, 2)
    found = counters(platform)
    assert (found["retries_total-1"], found["retries_total-2"]) == (1, 1)


def failing(files: SourceFiles, state: str, times: int) -> None:
    """Let the next updates fail; a sequence counts them, which no rollback takes back."""
    files.execute(sa.text("CREATE SEQUENCE attempts"))
    files.execute(
        sa.text(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF nextval('attempts') <= {times} THEN RAISE EXCEPTION 'passing' USING ERRCODE = '{state}'; END IF; "
            "RETURN new; END $$"
        )
    )
    files.execute(sa.text("CREATE TRIGGER fail BEFORE UPDATE ON marked_files FOR EACH ROW EXECUTE FUNCTION fail()"))


def test_no_transaction_is_open_while_it_waits(
    platform: Platform, pg_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(pg_files, 30)
    failing(pg_files, "40001", 1)
    open_at_pause: list[int] = []

    def look(_: float) -> None:
        with pg_files.engine.begin() as connection:
            statement = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
            )
            open_at_pause.append(connection.scalar(sa.text(statement)) or 0)

    monkeypatch.setattr("tenacity.nap.time.sleep", look)
    one = marker(platform, pg_files, rate_limit=10)
    monkeypatch.setattr(one, "_pace", TokenBucket(10, sleep=look))
    one.run()

    assert len(open_at_pause) >= 3  # one for the retry, two and more for the rate
    assert set(open_at_pause) == {0}


def test_lost_connection_in_the_middle_is_survived(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 20)
    calls = 0

    class Ending:
        def digest(self, name: str) -> bytes:
            nonlocal calls
            calls += 1
            if calls in (1, 11):  # the first of each batch of ten
                end = (
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND state = 'idle in transaction' AND query LIKE '%marked_files%'"
                )
                pg_files.execute(sa.text(end))
            return hashlib.sha256(name.encode()).digest()

    stats = marker(platform, pg_files, strategy=Ending()).run()

    assert (stats.marked, stats.failed, stats.retries) == (20, 0, 2)
    assert len(set(named(pg_files))) == 20


@pytest.mark.parametrize("leaves", ["before rows are looked for", "before they are marked"])
def test_server_that_is_away_blames_no_row(
    platform: Platform, pg_files: SourceFiles, monkeypatch: pytest.MonkeyPatch, leaves: str
) -> None:
    add(pg_files, 5)
    waiting = MarkerTable.waiting
    home: list[Database] = []

    def look_and_leave(table: MarkerTable, after: object, limit: int) -> list[object]:
        if leaves == "before they are marked" and home:
            table._database = home[0]  # it is back as soon as nobody marks
            return waiting(table, after, limit)
        home.append(table._database)
        away = replace(table._database, engine=sa.create_engine("postgresql+psycopg://u:s3cret@127.0.0.1:1/d"))
        if leaves == "before they are marked":
            found = waiting(table, after, limit)
            table._database = away
            return found
        table._database = away
        return waiting(table, after, limit)

    monkeypatch.setattr(MarkerTable, "waiting", look_and_leave)
    with pytest.raises(SourceUnavailable) as raised:
        marker(platform, pg_files, max_retries=1).run()

    assert "s3cret" not in str(raised.value)
    assert letters(platform) == []


def test_missing_permission_blames_no_row(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 3)
    pg_files.execute(sa.text("CREATE ROLE reader LOGIN PASSWORD 'x'"))
    try:
        pg_files.execute(sa.text("GRANT SELECT ON marked_files TO reader"))
        reading = replace(pg_files, connection=pg_files.connection | {"username": "reader", "password": "x"})

        with pytest.raises(ConfigurationError, match="permission denied"):
            marker(platform, reading).run()
        assert letters(platform) == []
    finally:
        pg_files.execute(sa.text("DROP OWNED BY reader"))
        pg_files.execute(sa.text("DROP ROLE reader"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("oracle", "ORDER BY source_files.id FOR UPDATE SKIP LOCKED"),
        ("mssql", "FROM source_files WITH (ROWLOCK, UPDLOCK, READPAST)"),
    ],
)
def test_servers_that_are_not_here_are_asked_to_skip_locked_rows(
    monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    source = DatabaseSource.model_validate(
        {
            "name": "erp",
            "connection": {"type": kind, "host": "h", "database": "d", "username": "u"},
            "table": {"name": "source_files", "columns": {"created_at": "created_at"}},
            "marker": {"max_age_days": 1},
        }
    )
    names = ("id", "s3_bucket", "s3_key", "status", "claimed_at", "des_name", "created_at")
    types = {name: (name, sa.DateTime() if name.endswith("_at") else sa.String(80)) for name in names}
    mapped = map_table(source, None, {**types, "shard_key": types["s3_key"]})
    monkeypatch.setattr(marker_table, "read_table", lambda *_: mapped)
    monkeypatch.setattr(MarkerTable, "_read_further", lambda _: {})
    database = Database(sa.create_mock_engine("sqlite://", lambda *_: None), "erp", "h", "")  # type: ignore[arg-type]
    dialect = {"oracle": oracle.dialect, "mssql": mssql.dialect}[kind]()

    locking = MarkerTable(database, source, 30)._locking(["1", "2"])

    text = " ".join(str(locking.compile(dialect=dialect)).split())
    assert said in text
    assert "source_files.des_name IS NULL" in text


def test_column_too_short_for_names_is_said_before_any_row_is_touched(
    platform: Platform, pg_files: SourceFiles
) -> None:
    add(pg_files, 3)
    pg_files.execute(sa.text("ALTER TABLE marked_files ALTER des_hash TYPE varchar(32)"))

    with pytest.raises(ConfigurationError, match="des_hash .* holds 32 characters, and the marker writes 64"):
        marker(platform, pg_files).run()


def test_age_needs_a_column_of_creation(platform: Platform, pg_files: SourceFiles) -> None:
    with pytest.raises(ConfigurationError, match="max_age_days .* needs table.columns.created_at"):
        marker(platform, pg_files, max_age_days=1, columns={"created_at": None}).run()


def test_rate_holds_over_batches(platform: Platform, pg_files: SourceFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    add(pg_files, 100)
    waited: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    one = marker(platform, pg_files, batch_size=1000, rate_limit=20)
    monkeypatch.setattr(one, "_pace", TokenBucket(20, clock=lambda: now[0], sleep=sleep))
    assert one.run().marked == 100

    assert sum(waited) == pytest.approx(100 / 20, rel=0.05)
    assert max(waited) <= 1.01
    assert counters(platform)["rate_limit_ops_per_sec"] == 20


def test_stop_ends_behind_the_batch_in_hand(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 50)
    stop = threading.Event()

    class Stopping:
        def digest(self, name: str) -> bytes:
            stop.set()
            return hashlib.sha256(name.encode()).digest()

    assert marker(platform, pg_files, stop=stop, strategy=Stopping()).run().marked == 10
    assert len(named(pg_files)) == 10


def test_time_budget_ends_a_pass(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 50)

    assert marker(platform, pg_files).run(seconds=0).processed == 0
    assert marker(platform, pg_files).run(seconds=60).marked == 50


def test_counters_tell_what_was_done(platform: Platform, pg_files: SourceFiles) -> None:
    add(pg_files, 15)
    refuse(pg_files, pg_files.rows()[3]["id"])

    marker(platform, pg_files).run()

    found = counters(platform)
    assert (found["entries_marked_total-marked"], found["entries_marked_total-failed"]) == (14, 1)
    assert (found["dlq_entries_total"], found["errors_total-RaiseException"]) == (1, 1)
    assert (found["batch_size_count"], found["batch_size_sum"], found["batch_size_bucket-10"]) == (2, 15, 2)
    assert found["batch_duration_seconds_count"] == 2
    assert found["entry_latency_ms_count"] == 14
    assert (found["batch_stats-processed"], found["batch_stats-marked"], found["batch_stats-failed"]) == (5, 5, 0)


def test_numbers_of_passes_add_up() -> None:
    total = MarkerStats()
    total += MarkerStats(failed=1, processed=1)
    first = MarkerStats(retries=2)
    first.add_marked(2, 10.0)
    second = MarkerStats(seconds=1.5)
    second.add_marked(1, 4.0)
    total += first
    total += second

    assert (total.processed, total.marked, total.failed, total.retries, total.seconds) == (4, 3, 1, 2, 1.5)
    assert (total.latency_min_ms, total.latency_avg_ms, total.latency_max_ms) == (4, 8, 10)


def test_source_without_a_marker_is_refused(platform: Platform, pg_files: SourceFiles) -> None:
    with pytest.raises(ConfigurationError, match="has no marker"):
        Marker(pg_files.source(), platform.catalog, name_prefix="DES")
