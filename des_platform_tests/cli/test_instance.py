from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import sqlalchemy as sa

from des_platform.cli.demo.instance import drop_half_made_tables
from des_platform.cli.demo.stack import instance_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.cli.demo.postgres import PostgresAddress


@pytest.fixture
def engine(postgres_address: PostgresAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database in which `DagsterInstance.get()` makes its tables."""
    for name, value in (postgres_address.environment() | {"DAGSTER_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    shutil.copyfile(instance_file("dagster.yaml"), tmp_path / "dagster.yaml")
    made = sa.create_engine(postgres_address.url("postgresql+psycopg"))
    yield made
    made.dispose()


def runs(instance: dg.DagsterInstance) -> list[str]:
    return [run.run_id for run in instance.get_runs(dg.RunsFilter(tags={"any": "tag"}))]


def record_run() -> str:
    @dg.job
    def nothing() -> None:
        """Only has to be recorded."""

    with dg.DagsterInstance.get() as instance:
        return instance.create_run_for_job(nothing, tags={"any": "tag"}).run_id


@pytest.mark.parametrize("missing", ["run_tags", "event_logs", "jobs, instigators", "alembic_version"])
def test_instance_whose_tables_are_half_made_works_afterwards(engine: sa.Engine, missing: str) -> None:
    with dg.DagsterInstance.get():
        pass
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP TABLE {missing}"))
    assert drop_half_made_tables(engine)
    run_id = record_run()
    with dg.DagsterInstance.get() as instance:
        assert runs(instance) == [run_id]


def test_whole_tables_and_none_at_all_are_left_alone(engine: sa.Engine) -> None:
    assert not drop_half_made_tables(engine)
    run_id = record_run()
    assert not drop_half_made_tables(engine)
    with dg.DagsterInstance.get() as instance:
        assert runs(instance) == [run_id]


def test_whole_tables_without_a_run_are_left_alone(engine: sa.Engine) -> None:
    with dg.DagsterInstance.get():
        pass
    assert not drop_half_made_tables(engine)


def test_tables_that_lack_one_but_hold_runs_are_left_alone(engine: sa.Engine) -> None:
    run_id = record_run()
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE job_ticks"))
    assert not drop_half_made_tables(engine)
    with dg.DagsterInstance.get() as instance:
        assert runs(instance) == [run_id]
