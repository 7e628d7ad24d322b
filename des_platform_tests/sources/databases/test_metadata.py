"""What a row says besides its file goes into the archive, and a row that failed is tried again from its dead letter."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from des_platform.catalog import containers
from des_platform.sources.config import Sources
from des_platform.sources.databases import rows
from des_platform.sources.recording import Recorder
from des_platform.sources.reprocessing import Reprocessing
from des_platform_tests.platform import DAY
from des_platform_tests.sources.databases.support import FILES, drain_of, row_of
from des_platform_tests.sources.support import letters, pending

if TYPE_CHECKING:
    import pytest

    from des_platform_tests.platform import Platform
    from des_platform_tests.sources.databases.support import SourceFiles


def test_metadata_columns_stand_in_the_archive_beside_the_file(platform: Platform, source_files: SourceFiles) -> None:
    row = row_of(platform, "a.txt") | {"amount": "12.50", "des_shard": 7}
    source_files.add([row])
    with closing(
        drain_of(platform, source_files.source(columns={"metadata_columns": ["amount", "des_shard"]}))
    ) as drain:
        drain.drain(seconds=30)

    platform.take_in()
    platform.compress()
    platform.pack()

    (file,) = platform.rows().values()
    with platform.catalog.begin() as connection:
        container = containers.published(connection, platform.dataset.name, DAY, file.shard)
    assert container is not None
    meta = platform.reader.archive(container).get_meta(file.name)
    assert {name: meta[name] for name in ("source_db", "source_file_id", "amount")} == {
        "source_db": "erp",
        "source_file_id": "1",
        "amount": "12.50",
    }
    assert str(meta["des_shard"]) == "7"
    assert (meta["bucket"], meta["key"]) == (file.bucket, file.key)


def test_metadata_that_is_too_much_for_an_archive_is_a_dead_letter(
    platform: Platform, postgres_files: SourceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_MAX_META_BYTES", 200)
    postgres_files.add([row_of(platform, name) | {"content": b"x" * 50} for name in ("a.txt", "b.txt")])
    postgres_files.set(FILES.c.id == 1, content=b"x" * 100)
    with closing(drain_of(platform, postgres_files.source(columns={"metadata_columns": ["content"]}))) as drain:
        report = drain.drain(seconds=30)

    assert (report.new, report.dead) == (1, 1)
    assert pending(platform) == ["b.txt"]
    assert "name fewer" in letters(platform)[0].reason


def test_retrying_the_dead_letter_of_a_row_that_was_mended_takes_it(
    platform: Platform, postgres_files: SourceFiles
) -> None:
    row = row_of(platform, "a.txt")
    postgres_files.add([row | {"s3_key": "../escape"}])
    source = postgres_files.source()
    with closing(drain_of(platform, source)) as drain:
        assert drain.drain(seconds=30).dead == 1
        drain.drain(seconds=30)
        assert postgres_files.statuses() == {"failed": 1}
        postgres_files.set(FILES.c.id == 1, s3_key=row["s3_key"])
        (letter,) = letters(platform)
        recorder = Recorder(platform.catalog, platform.buckets, [platform.dataset])

        assert Reprocessing(recorder, Sources(sources=(source,))).retry(letter) is None

        assert drain.drain(seconds=30).new == 1
    assert pending(platform) == ["a.txt"]
    assert letters(platform) == []
