"""Demos that are killed with SIGKILL at any stage, and started again: nothing is lost, and nothing happens twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from des_platform.cli.demo.state import ENVIRONMENT_FILE
from des_platform.defs.attempts import MAX_ATTEMPTS
from des_platform_tests.chaos.demo import ACCESS_EXCLUSIVE, Demo, RunningDemo
from des_platform_tests.cli.commands import PATIENCE_SECONDS
from des_platform_tests.cli.demo_files import FILES, write_files
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform_tests.cli.commands import Totals

FILES_PACKED = "SELECT count(*) >= {} FROM des_catalog.files WHERE state = 'packed'"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with server_folder() as made:
        write_files(made / "files")
        yield made


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> Totals:
    """The totals of a demo that nobody disturbed."""
    result = Demo(folder / "unbroken", ("--from", folder / "files")).finish()
    assert (result["files_verified"], result["lost"], result["duplicated"]) == (FILES, 0, 0)
    return result


@pytest.fixture
def demo(folder: Path, request: pytest.FixtureRequest) -> Demo:
    return Demo(folder / request.node.name.replace("/", "_"), ("--from", folder / "files"))


def while_postgres_is_made(demo: RunningDemo) -> None:
    demo.until_file("postgres/unfinished-*/data/*")


def when_the_servers_are_up(demo: RunningDemo) -> None:
    demo.until_file(ENVIRONMENT_FILE)


def while_dagster_makes_its_tables(demo: RunningDemo) -> None:
    with demo.database() as connection:
        demo.until_true(connection, "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'public'")


def when_dagster_has_made_half_of_its_tables(demo: RunningDemo) -> None:
    with demo.database() as connection:
        demo.until_true(connection, "SELECT count(*) > 12 FROM pg_tables WHERE schemaname = 'public'")


def while_the_queue_hangs(demo: RunningDemo) -> None:
    # A stopped process does not hear that its supervisor has died: it is left over for the next start to end.
    demo.until_file(ENVIRONMENT_FILE)
    demo.queue().suspend()
    demo.until_file("store/landing/documents/*")


def while_feeding_and_draining(demo: RunningDemo) -> None:
    # The inbox takes nothing, so the queue fills, and the feeder waits for it.
    demo.kill_waiting_for("des_catalog.inbox")


def while_cataloguing(demo: RunningDemo) -> None:
    demo.kill_waiting_for("des_catalog.files")


def while_cataloguing_goes_on(demo: RunningDemo) -> None:
    with demo.database() as connection:
        demo.until_table(connection, "des_catalog.files")
        demo.until_true(connection, "SELECT count(*) > 0 FROM des_catalog.inbox")


def while_writing_the_manifest(demo: RunningDemo) -> None:
    demo.kill_waiting_for("des_catalog.manifests")


def while_compressing(demo: RunningDemo) -> None:
    demo.kill_waiting_for("des_catalog.files", when="SELECT count(*) > 0 FROM des_catalog.files")


def while_committing_a_table(demo: RunningDemo) -> None:
    demo.kill_waiting_for("public.iceberg_tables")


def between_the_table_and_its_record(demo: RunningDemo) -> None:
    demo.kill_waiting_for("des_catalog.table_loads")


def between_upload_and_publication_of_an_archive(demo: RunningDemo) -> None:
    demo.kill_waiting_for("des_catalog.containers")


def when_half_is_packed(demo: RunningDemo) -> None:
    with demo.database() as connection:
        demo.until_table(connection, "des_catalog.files")
        demo.until_true(connection, FILES_PACKED.format(FILES // 2))


def while_proving(demo: RunningDemo) -> None:
    demo.kill_waiting_for("des_catalog.files", ACCESS_EXCLUSIVE, when=FILES_PACKED.format(FILES))


def check(demo: Demo, unbroken: Totals, started: datetime) -> None:
    """One more demo completes what was killed, as if nothing had happened."""
    result, expected = demo.finish(), dict(unbroken)
    if datetime.now(UTC).date() != started.date():  # midnight splits the files between the shards of two days
        del result["des_shards"], expected["des_shards"]
    assert result == expected
    assert demo.processes() == []


@pytest.mark.chaos
def test_demo_killed_three_times_completes_as_if_it_had_not_been(demo: Demo, unbroken: Totals) -> None:
    started = datetime.now(UTC)
    for moment in (while_feeding_and_draining, while_cataloguing, when_half_is_packed):
        demo.killed_when(moment)
    check(demo, unbroken, started)


@pytest.mark.chaos
def test_demo_killed_at_every_stage_completes_as_if_it_had_not_been(demo: Demo, unbroken: Totals) -> None:
    started = datetime.now(UTC)
    moments: list[Callable[[RunningDemo], None]] = [
        while_postgres_is_made,
        when_the_servers_are_up,
        while_dagster_makes_its_tables,
        when_dagster_has_made_half_of_its_tables,
        while_the_queue_hangs,
        while_feeding_and_draining,
        while_cataloguing,
        while_writing_the_manifest,
        while_compressing,
        between_upload_and_publication_of_an_archive,
        when_half_is_packed,
        while_proving,
    ]
    for moment in moments:
        demo.killed_when(moment)
    check(demo, unbroken, started)


@pytest.mark.chaos
def test_demo_killed_again_and_again_at_one_moment_completes(demo: Demo, unbroken: Totals) -> None:
    started = datetime.now(UTC)
    for _ in range(MAX_ATTEMPTS + 1):
        demo.killed_when(while_cataloguing)
    check(demo, unbroken, started)


@pytest.mark.chaos
def test_demo_killed_while_it_makes_tables_has_every_row_once(folder: Path) -> None:
    arguments = ("--days", "1", "--documents", "20")
    expected = Demo(folder / "tables-unbroken", arguments).finish()
    assert expected["table_rows"] > 0
    demo = Demo(folder / "tables-killed", arguments)
    for moment in (while_committing_a_table, between_the_table_and_its_record):
        demo.killed_when(moment)
    result = demo.finish()
    # Few files a day: which shards have some follows from their names, and those from the clock.
    del result["des_shards"], expected["des_shards"]
    assert result == expected


@pytest.mark.chaos
@pytest.mark.parametrize("moment", [while_cataloguing_goes_on, when_half_is_packed])
def test_demo_whose_postgres_is_killed_says_so_and_the_next_completes(
    demo: Demo, unbroken: Totals, moment: Callable[[RunningDemo], None]
) -> None:
    started = datetime.now(UTC)
    with demo.running() as running:
        moment(running)
        running.postgres().kill()
        assert running.process.wait(PATIENCE_SECONDS) == 2
        errors = running.errors.read_text()
    assert "des: postgres ended early, with exit code -9." in errors
    assert "Traceback" not in errors
    check(demo, unbroken, started)
