from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import inbox, partitions
from des_platform.catalog.inbox import Backlog
from des_platform.cli.demo.processes import wait_until
from des_platform_tests.catalog.support import at_once, entries, entry
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog
    from des_platform.catalog.inbox import InboxEntry, InboxRow

NEXT_DAY = DAY + timedelta(days=1)
OTHER = DATASET.model_copy(update={"name": "other", "prefix": "other/"})


@pytest.fixture(autouse=True)
def _other_dataset(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        partitions.register_datasets(connection, [OTHER])


def record(catalog: Catalog, new: list[InboxEntry]) -> int:
    with catalog.begin() as connection:
        return inbox.record(connection, new)


def claim(connection: sa.Connection, *, after: int = 0, limit: int = 100) -> list[InboxRow]:
    return inbox.claim(connection, DATASET.name, DAY, after=after, limit=limit)


def test_a_file_is_recorded_once_however_often_it_is_announced(catalog: Catalog) -> None:
    assert record(catalog, entries(3)) == 3
    assert record(catalog, entries(4)) == 1
    assert record(catalog, [entry("twice"), entry("twice")]) == 1
    assert record(catalog, []) == 0
    with catalog.begin() as connection:
        assert inbox.tally(connection) == {"pending": 5, "done": 0, "dead": 0}


def test_a_new_version_of_a_file_is_a_file_of_its_own(catalog: Catalog) -> None:
    assert record(catalog, [entry("a", etag="v1"), entry("a", etag="v2")]) == 2


def test_a_settled_file_that_is_announced_again_stays_settled(catalog: Catalog) -> None:
    record(catalog, [entry("a")])
    with catalog.begin() as connection:
        inbox.settle(connection, [claim(connection)[0].seq], "done")

    assert record(catalog, [entry("a")]) == 0
    with catalog.begin() as connection:
        assert inbox.tally(connection) == {"pending": 0, "done": 1, "dead": 0}


def test_two_that_record_the_same_files_in_opposite_orders_never_deadlock(catalog: Catalog) -> None:
    files = [entry("a"), entry("m"), entry("z")]

    with ThreadPoolExecutor(2) as pool, catalog.engine.connect() as holder:
        inbox.record(holder, [entry("m")])  # both meet this row halfway, and wait
        new = [pool.submit(record, catalog, files), pool.submit(record, catalog, files[::-1])]
        wait_until(lambda: waiting(catalog) == 2, 30, "both wait")
        holder.rollback()

        assert sum(one.result(timeout=30) for one in new) == 3


def waiting(catalog: Catalog) -> int:
    """How many sessions wait for another one."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with catalog.begin() as connection:
        return int(connection.execute(sa.text(statement)).scalar_one())


def test_many_that_record_the_same_files_at_once_record_each_once(catalog: Catalog) -> None:
    files = entries(1500)
    orders = [random.Random(seed).sample(files, len(files)) for seed in range(3)]  # noqa: S311 - no secret

    new = at_once([partial(record, catalog, order) for order in orders])

    assert sum(new) == len(files)
    with catalog.begin() as connection:
        assert inbox.tally(connection)["pending"] == len(files)


def test_two_claimers_get_different_rows_oldest_first(catalog: Catalog) -> None:
    record(catalog, entries(5))

    with catalog.begin() as first, catalog.begin() as second:
        mine, theirs = claim(first, limit=3), claim(second, limit=3)
        left = claim(second, after=theirs[-1].seq)

    assert [len(mine), len(theirs), len(left)] == [3, 2, 0]
    seqs = [row.seq for row in mine + theirs]
    assert seqs == sorted(set(seqs))


def test_other_partitions_do_not_use_up_a_claim(catalog: Catalog) -> None:
    record(catalog, entries(5, day=NEXT_DAY))
    record(catalog, entries(5, dataset=OTHER.name))
    record(catalog, entries(3))

    with catalog.begin() as connection:
        assert {(row.dataset, row.day) for row in claim(connection, limit=3)} == {(DATASET.name, DAY)}
    with catalog.begin() as connection:
        assert len(claim(connection, limit=3)) == 3


def test_rows_locked_in_another_partition_do_not_hide_mine(catalog: Catalog) -> None:
    record(catalog, entries(2, day=NEXT_DAY))
    record(catalog, entries(2))

    with catalog.begin() as other, catalog.begin() as connection:
        assert len(inbox.claim(other, DATASET.name, NEXT_DAY, after=0, limit=9)) == 2
        assert len(claim(connection, limit=2)) == 2


def test_a_claim_comes_back_when_its_transaction_is_undone(catalog: Catalog) -> None:
    record(catalog, entries(2))

    with suppress(KeyError), catalog.begin() as connection:
        lost = claim(connection)
        inbox.settle(connection, [row.seq for row in lost], "done")
        raise KeyError

    with catalog.begin() as connection:
        assert claim(connection) == lost


def test_a_claim_comes_back_when_its_process_is_killed(catalog: Catalog) -> None:
    record(catalog, entries(2))

    with suppress(sa.exc.OperationalError), catalog.begin() as connection:
        lost = claim(connection)
        pid = connection.scalar(sa.select(sa.func.pg_backend_pid()))
        with catalog.begin() as other:
            assert other.scalar(sa.text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        inbox.settle(connection, [row.seq for row in lost], "done")

    with catalog.begin() as connection:
        assert claim(connection) == lost


def test_a_settled_row_is_not_claimed_again(catalog: Catalog) -> None:
    record(catalog, entries(3))
    with catalog.begin() as connection:
        first, second, third = claim(connection)
        inbox.settle(connection, [first.seq], "done")
        inbox.settle(connection, [second.seq], "dead")

    with catalog.begin() as connection:
        assert claim(connection) == [third]
        assert inbox.tally(connection, DATASET.name, DAY) == {"pending": 1, "done": 1, "dead": 1}
        assert inbox.tally(connection, DATASET.name, NEXT_DAY) == {"pending": 0, "done": 0, "dead": 0}
        assert inbox.more_after(connection, DATASET.name, DAY, second.seq)
        assert not inbox.more_after(connection, DATASET.name, DAY, third.seq)
        assert not inbox.more_after(connection, DATASET.name, NEXT_DAY, 0)


def test_a_row_is_dead_after_as_many_failures_as_are_allowed(catalog: Catalog) -> None:
    record(catalog, entries(1))
    outcomes = []
    for _ in range(inbox.MAX_ATTEMPTS):
        with catalog.begin() as connection:
            outcomes.append(inbox.record_failure(connection, claim(connection)[0].seq))

    assert outcomes == [False] * (inbox.MAX_ATTEMPTS - 1) + [True]
    with catalog.begin() as connection:
        assert claim(connection) == []
        assert inbox.tally(connection)["dead"] == 1


def test_the_backlog_counts_pending_rows_by_day_the_oldest_wait_first(catalog: Catalog) -> None:
    record(catalog, entries(2, day=NEXT_DAY))
    record(catalog, entries(3))
    record(catalog, entries(4, dataset=OTHER.name))
    with catalog.begin() as connection:
        newest = {row.day: row.newest_seq for row in inbox.backlog(connection, DATASET.name, 10)}
        inbox.settle(connection, [claim(connection)[0].seq], "done")

        waiting = inbox.backlog(connection, DATASET.name, 10)

        assert waiting == [Backlog(NEXT_DAY, 2, newest[NEXT_DAY]), Backlog(DAY, 2, newest[DAY])]
        assert inbox.backlog(connection, DATASET.name, 1) == waiting[:1]


def test_what_is_unknown_is_told_by_bucket_key_and_version(catalog: Catalog) -> None:
    known = entry("known")
    record(catalog, [known])
    asked = [(known.key, "e1"), (known.key, "e2"), ("things/new", "e1")]

    with catalog.begin() as connection:
        assert inbox.unknown(connection, LANDING, asked) == set(asked[1:])
        assert inbox.unknown(connection, "elsewhere", asked) == set(asked)
        assert inbox.unknown(connection, LANDING, []) == set()


def test_a_name_that_came_with_a_file_is_handed_to_whoever_claims_it(catalog: Catalog) -> None:
    record(catalog, [entry("a"), replace(entry("b"), name="given"), replace(entry("c"), name="NUL \0 and \udcff")])

    with catalog.begin() as connection:
        rows = claim(connection)

    assert [row.name for row in rows] == [None, "given", "NUL \ufffd and \\udcff"]
