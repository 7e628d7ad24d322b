from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.naming import shard_of
from des_platform.sources.databases.claims import SourceTable
from des_platform.sources.databases.dialects import Worker
from des_platform.sources.databases.shards import shard_expression
from des_platform_tests.platform import DAY
from des_platform_tests.sources.databases.support import FILES, announced, drain_of
from des_platform_tests.sources.support import pending, tally

if TYPE_CHECKING:
    from des_platform.sources.databases.claims import ClaimedRow
    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.databases.support import SourceFiles

ROWS = 20_000
SHARDS = 256
WORKERS = 3


def key(number: int) -> str:
    return f"things/{DAY}/file-{number:05d}"


def shards_of(rows: list[ClaimedRow]) -> Counter[int]:
    return Counter(shard_of(row.values["s3_key"], 8) for row in rows)


def test_a_worker_with_a_third_of_the_shards_gets_all_its_rows_and_no_shard_waits(source_files: SourceFiles) -> None:
    source_files.add([announced(key(number).rsplit("/", 1)[1]) for number in range(ROWS)])
    expected = [key(number) for number in range(ROWS) if shard_of(key(number), 8) % WORKERS == 0]
    table = SourceTable.open(source_files.source(), Worker(0, WORKERS))
    assert len({shard_of(name, 8) for name in expected}) == 86

    first = [table.claim(40).rows for _ in range(3)]
    assert [len(rows) for rows in first] == [40, 40, 40]
    claimed = [row for rows in first for row in rows]
    while rows := table.claim(1000).rows:
        claimed += rows

    assert [row.values["s3_key"] for row in claimed] == expected
    assert len(shards_of(claimed)) == 86
    assert source_files.statuses() == {"pending": ROWS - len(expected), "claimed": len(expected)}
    table.close()


def test_workers_together_serve_every_shard_and_take_no_row_twice(source_files: SourceFiles) -> None:
    source_files.add([announced(key(number).rsplit("/", 1)[1]) for number in range(4000)])
    tables = [SourceTable.open(source_files.source(), Worker(index, 4)) for index in range(4)]

    def work(table: SourceTable) -> list[ClaimedRow]:
        taken: list[ClaimedRow] = []
        while rows := table.claim(100).rows:
            taken += rows
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [row for rows in pool.map(work, tables) for row in rows]

    # A row that another worker looks at in this moment is skipped, too; whoever asks again gets it.
    for table in tables:
        taken += work(table)
        table.close()
    assert len(taken) == len({row.row_id for row in taken}) == 4000
    assert len(shards_of(taken)) == SHARDS


def test_four_workers_of_which_one_is_killed_with_rows_in_its_hands_record_each_file_once(
    platform: Platform, source_files: SourceFiles
) -> None:
    names = [f"file-{number:03d}" for number in range(400)]
    source_files.add([announced(name) for name in names])
    source = source_files.source()
    entry = {
        "name": source.name,
        "connection": source_files.connection,
        "table": source.table.model_dump(exclude_none=True),
        "batch_size": 10,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "des_platform_tests.sources.databases.worker", "0", "4"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(entry) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "claimed\n"
    process.kill()
    process.communicate()
    assert source_files.statuses() == {"pending": 390, "claimed": 10}

    drains = [drain_of(platform, source, index, 4) for index in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda drain: drain.drain(seconds=30), drains))
    for drain in drains:
        drain.drain(seconds=30)  # a row that another worker looked at was skipped; the next tick gets it
    assert len(pending(platform)) == 390

    source_files.age_claims()
    for drain in drains:
        drain.drain(seconds=30)
        drain.close()

    assert pending(platform) == names
    assert tally(platform) == {"pending": 400, "done": 0, "dead": 0}
    assert source_files.statuses() == {"claimed": 400}


def test_rows_of_a_worker_that_is_away_hold_nobody(platform: Platform, source_files: SourceFiles) -> None:
    theirs = [name for name in map(key, range(400)) if shard_of(name, 8) % 2 == 1]
    mine = [name for name in map(key, range(400, 420)) if shard_of(name, 8) % 2 == 0]
    source_files.add([announced(name.rsplit("/", 1)[1]) for name in (*theirs, *mine)])

    report = drain_of(platform, source_files.source(), 0, 2).drain(seconds=30)

    assert report.received == len(mine)
    assert source_files.statuses() == {"pending": len(theirs), "claimed": len(mine)}


def test_every_server_computes_the_shard_that_the_platform_computes(source_files: SourceFiles) -> None:
    keys = ["", "a", "ä/ö\u20ac", "\U0001f600 & 100%", *(f"key-{number}" for number in range(50))]
    source_files.add([announced("x") | {"s3_key": name} for name in keys])
    kind = source_files.source().connection.type
    for bits in (1, 8, 11, 16):
        shard = shard_expression(kind, FILES.c.s3_key, bits)
        with source_files.engine.begin() as connection:
            found = list(connection.scalars(sa.select(shard).order_by(FILES.c.id)))
        digests = [hashlib.sha256(name.encode()).digest() for name in keys]
        assert found == [int.from_bytes(digest[:2], "big") >> (16 - bits) for digest in digests]


def test_a_column_in_another_character_set_gives_the_same_shard(mariadb_files: SourceFiles) -> None:
    mariadb_files.execute(sa.text("ALTER TABLE source_files MODIFY s3_key VARCHAR(1024) CHARACTER SET latin1"))
    mariadb_files.add([announced("x") | {"s3_key": "süß"}])

    with mariadb_files.engine.begin() as connection:
        found = connection.scalar(sa.select(shard_expression("mariadb", FILES.c.s3_key, 8)))

    assert found == shard_of("süß", 8)


def test_a_row_without_a_key_belongs_to_one_worker(source_files: SourceFiles) -> None:
    source_files.add([announced("x") | {"s3_key": None}])

    taken = [SourceTable.open(source_files.source(), Worker(index, 4)).claim(10).rows for index in range(4)]

    assert sum(len(rows) for rows in taken) == 1


def test_another_column_can_choose_the_worker(source_files: SourceFiles) -> None:
    source_files.add([announced(f"file-{number}") for number in range(40)])
    source = source_files.source(shard_key_column="id")

    rows = SourceTable.open(source, Worker(1, 2)).claim(100).rows

    assert [row.row_id for row in rows] == [str(number) for number in range(1, 41) if shard_of(str(number), 8) % 2]
