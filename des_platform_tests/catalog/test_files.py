from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog import files, inbox
from des_platform.catalog.files import Copy, NewFile
from des_platform_tests.catalog.support import catalogue_one, entry
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from des_platform.catalog.database import Catalog

COPY = Copy(
    "k", 3, "zstd", 9, "smallest", indexed=False, compress_seconds=0.2, compress_cpu_seconds=0.1, prove_seconds=0.1
)


def test_a_file_fails_for_good_after_as_many_errors_as_are_allowed(catalog: Catalog) -> None:
    file_id = catalogue_one(catalog)
    with catalog.begin() as connection:
        outcomes = [
            files.record_failure(connection, file_id, f"error {number}") for number in range(files.MAX_ATTEMPTS)
        ]
        row = files.by_name(connection, "DES_one")

    assert outcomes == [False] * (files.MAX_ATTEMPTS - 1) + [True]
    assert row is not None
    assert (row.state, row.attempts, row.last_error) == ("failed", 3, "error 2")


def test_a_success_forgets_the_last_error(catalog: Catalog) -> None:
    file_id = catalogue_one(catalog)
    with catalog.begin() as connection:
        files.record_failure(connection, file_id, "once")
        files.mark_ready(connection, file_id, COPY)
        row = files.by_name(connection, "DES_one")

    assert row is not None
    assert (row.state, row.last_error, row.object_key, row.stored_size) == ("ready", None, "k", 3)


def test_a_long_error_is_cut(catalog: Catalog) -> None:
    file_id = catalogue_one(catalog)
    with catalog.begin() as connection:
        files.record_failure(connection, file_id, "x" * 1_000_000)
        row = files.by_name(connection, "DES_one")

    assert row is not None
    assert row.last_error is not None
    assert row.last_error.startswith("xxx")
    assert len(row.last_error) < 10_000


def test_a_name_belongs_to_one_file(catalog: Catalog) -> None:
    catalogue_one(catalog, "one")
    with catalog.begin() as connection:
        inbox.record(connection, [entry("two")])
        row = inbox.claim(connection, DATASET.name, DAY, after=0, limit=1)[0]
    twin = NewFile(row.seq, row.dataset, row.day, row.bucket, row.key, row.etag, 7, "0" * 64, "DES_one", 0)

    with pytest.raises(sa.exc.IntegrityError, match="files_name_key"), catalog.begin() as connection:
        files.insert_new(connection, [twin])


def test_a_day_is_read_in_batches_in_the_order_of_the_names(catalog: Catalog) -> None:
    for name in ("c", "a", "e", "b", "d"):
        catalogue_one(catalog, name)

    with catalog.begin() as connection:
        batches = [[row.name for row in batch] for batch in files.of_day(connection, DATASET.name, DAY, batch=2)]

    assert batches == [["DES_a", "DES_b"], ["DES_c", "DES_d"], ["DES_e"]]


def test_a_key_leads_to_its_newest_version(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        for version in ("v1", "v2"):
            inbox.record(connection, [entry("one", etag=version)])
        rows = inbox.claim(connection, DATASET.name, DAY, after=0, limit=9)
        files.insert_new(
            connection,
            [NewFile(r.seq, r.dataset, r.day, r.bucket, r.key, r.etag, 7, r.etag, f"DES_{r.etag}", 0) for r in rows],
        )
        key = rows[0].key

        newest = files.by_key(connection, LANDING, key)
        assert newest is not None
        assert newest.etag == "v2"
        assert {found: row.etag for found, row in files.by_keys(connection, LANDING, [key, "none"]).items()} == {
            key: "v2"
        }
        assert files.by_key(connection, LANDING, "none") is None
        assert files.recorded_twice(connection) == 0


def test_totals_count_each_state(catalog: Catalog) -> None:
    with catalog.begin() as connection:
        assert files.totals(connection).files == 0
    catalogue_one(catalog, "one")
    ready = catalogue_one(catalog, "two")
    with catalog.begin() as connection:
        files.mark_ready(connection, ready, COPY)

        totals = files.totals(connection, DATASET.name, DAY)

    assert (totals.files, totals.bytes, totals.catalogued, totals.ready) == (2, 14, 1, 1)
    assert (totals.large, totals.compressed, totals.compressed_bytes_in, totals.compressed_bytes_out) == (1, 1, 7, 3)
