from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from des_platform.definitions import defs

if TYPE_CHECKING:
    from dagster._core.definitions.repository_definition import RepositoryDefinition

    from des_platform_tests.platform import Platform

REPOSITORY = Path(__file__).parents[2]

# Key, group, kinds, partitions, upstream assets, checks (! is blocking).
ASSETS = """
documents/compressed_objects | documents | s3 | days from 2026-10-01 | raw_files | every_object_decompresses!
documents/des_shards | documents | des s3 | days from 2026-10-01 in 16 shards | compressed_objects | \
every_member_readable_and_equal!
documents/raw_files | documents | parquet postgres | days from 2026-10-01 | inbox | \
every_file_accounted_for! no_dead_letters
flights/compressed_objects | flights | s3 | days of 2013-01-01 to 2013-01-31 | raw_files | \
every_object_decompresses!
flights/des_shards | flights | des s3 | days of 2013-01-01 to 2013-01-31 in 2 shards | compressed_objects | \
every_member_readable_and_equal!
flights/raw_files | flights | parquet postgres | days of 2013-01-01 to 2013-01-31 | inbox | \
every_file_accounted_for! no_dead_letters
flights/table | flights | iceberg parquet | days of 2013-01-01 to 2013-01-31 | compressed_objects | \
columns_as_declared every_record_accounted_for! no_rejected_rows
flights/table_upkeep | flights | iceberg parquet | days of 2013-01-01 to 2013-01-31 | table |
inbox | sources | postgres | whole | |
lake/upkeep | lake | iceberg | whole | |
stock_market/compressed_objects | stock_market | s3 | days from 2026-10-01 | raw_files | \
every_object_decompresses!
stock_market/des_shards | stock_market | des s3 | days from 2026-10-01 in 2 shards | compressed_objects | \
every_member_readable_and_equal!
stock_market/raw_files | stock_market | parquet postgres | days from 2026-10-01 | inbox | \
every_file_accounted_for! no_dead_letters
stock_market/table | stock_market | iceberg parquet | days from 2026-10-01 | compressed_objects | \
columns_as_declared every_record_accounted_for! no_rejected_rows
stock_market/table_upkeep | stock_market | iceberg parquet | days from 2026-10-01 | table |
weather/compressed_objects | weather | s3 | days from 2026-10-01 | raw_files | every_object_decompresses!
weather/des_shards | weather | des s3 | days from 2026-10-01 in 2 shards | compressed_objects | \
every_member_readable_and_equal!
weather/raw_files | weather | parquet postgres | days from 2026-10-01 | inbox | \
every_file_accounted_for! no_dead_letters
weather/table | weather | iceberg parquet | days from 2026-10-01 | compressed_objects | \
columns_as_declared every_record_accounted_for! no_rejected_rows
weather/table_upkeep | weather | iceberg parquet | days from 2026-10-01 | table |
"""
JOBS = """
documents_ingest: compressed_objects raw_files
documents_pack: des_shards
flights_ingest: compressed_objects raw_files table
flights_pack: des_shards
flights_upkeep: table_upkeep
lake_ingestion:
lake_upkeep: upkeep
stock_market_ingest: compressed_objects raw_files table
stock_market_pack: des_shards
stock_market_upkeep: table_upkeep
weather_ingest: compressed_objects raw_files table
weather_pack: des_shards
weather_upkeep: table_upkeep
"""
SENSORS = """
documents_catalog_sensor: RUNNING, requests documents_ingest documents_pack
flights_catalog_sensor: RUNNING, requests flights_ingest flights_pack
lake_ingestion_sensor: RUNNING, requests lake_ingestion
listing_sensor: RUNNING, requests nothing
stock_market_catalog_sensor: RUNNING, requests stock_market_ingest stock_market_pack
weather_catalog_sensor: RUNNING, requests weather_ingest weather_pack
"""
SCHEDULES = """
flights_upkeep_schedule: RUNNING at 17 2 * * *, requests flights_upkeep
lake_upkeep_schedule: RUNNING at 47 3 * * *, requests lake_upkeep
stock_market_upkeep_schedule: RUNNING at 17 2 * * *, requests stock_market_upkeep
weather_upkeep_schedule: RUNNING at 17 2 * * *, requests weather_upkeep
"""


@pytest.fixture(scope="module")
def repository() -> RepositoryDefinition:
    return defs().get_repository_def()


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def partitions(definition: dg.PartitionsDefinition | None) -> str:
    if definition is None:
        return "whole"
    if isinstance(definition, dg.MultiPartitionsDefinition):
        by_name = {dimension.name: dimension.partitions_def for dimension in definition.partitions_defs}
        assert set(by_name) == {"day", "shard"}
        return f"{partitions(by_name['day'])} in {len(by_name['shard'].get_partition_keys())} shards"
    assert isinstance(definition, dg.DailyPartitionsDefinition)
    assert definition.timezone == "UTC"
    first, last = definition.get_first_partition_key(), definition.get_last_partition_key()
    return f"days of {first} to {last}" if definition.end else f"days from {first}"


def test_every_shipped_asset_is_as_announced(repository: RepositoryDefinition) -> None:
    graph = repository.asset_graph
    described = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        checks = (
            check.name + "!" * graph.get_check_spec(check).blocking
            for check in graph.asset_check_keys
            if check.asset_key == key
        )
        facts = [
            key.to_user_string(),
            node.group_name,
            " ".join(sorted(node.kinds)),
            partitions(node.partitions_def),
            " ".join(sorted(parent.path[-1] for parent in node.parent_keys)),
            " ".join(sorted(checks)),
        ]
        described.append(" | ".join(facts).replace("|  |", "| |").rstrip())
    assert described == lines(ASSETS)


def test_a_range_of_any_asset_is_one_run(repository: RepositoryDefinition) -> None:
    nodes = repository.asset_graph.asset_nodes
    policies = {node.backfill_policy for node in nodes if node.is_executable and node.partitions_def is not None}
    assert policies == {dg.BackfillPolicy.single_run()}


def test_checks_are_partitioned_like_their_assets(repository: RepositoryDefinition) -> None:
    graph = repository.asset_graph
    for check in graph.asset_check_keys:
        assert graph.get(check).partitions_def == graph.get(check.asset_key).partitions_def


def test_every_shipped_job_is_as_announced(repository: RepositoryDefinition) -> None:
    described = []
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            keys = job.asset_layer.executable_asset_keys
            described.append(f"{job.name}: {' '.join(sorted(key.path[-1] for key in keys))}".rstrip())
            assert {key.path[0] for key in keys} <= {job.name.rpartition("_")[0]}
    assert described == lines(JOBS)


def test_every_shipped_sensor_is_as_announced(repository: RepositoryDefinition) -> None:
    described = []
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        requested = " ".join(sorted(target.job_name for target in sensor.targets)) or "nothing"
        described.append(f"{sensor.name}: {sensor.default_status.name}, requests {requested}")
    assert described == lines(SENSORS)


def test_every_shipped_schedule_is_as_announced(repository: RepositoryDefinition) -> None:
    described = [
        f"{one.name}: {one.default_status.name} at {one.cron_schedule}, requests {one.job_name}"
        for one in sorted(repository.schedule_defs, key=lambda schedule: schedule.name)
    ]
    assert described == lines(SCHEDULES)


def test_today_is_a_partition_and_tomorrow_is_not(repository: RepositoryDefinition) -> None:
    days = repository.asset_graph.get(dg.AssetKey(["documents", "raw_files"])).partitions_def
    assert days is not None
    with dg.partition_loading_context(effective_dt=datetime.fromisoformat("2026-12-01T00:00:01+00:00")):
        assert days.get_last_partition_key() == "2026-12-01"
    with dg.partition_loading_context(effective_dt=datetime.fromisoformat("2026-12-01T23:59:59+00:00")):
        assert days.get_last_partition_key() == "2026-12-01"


LOADER = """
import json, sys

def forbid(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {arguments[1:]} while the definitions were loaded")

sys.addaudithook(forbid)
from des_platform.definitions import defs
repository = defs().get_repository_def()
heavy = ("boto3", "numpy", "polars", "pyarrow", "pyiceberg", "psycopg")
print(json.dumps([len(repository.asset_graph.get_all_asset_keys()), [name for name in heavy if name in sys.modules]]))
"""


SOURCES = """
queues: [{name: orders, url: "${ORDERS_QUEUE}"}]
streams: [{name: clicks, stream: clicks}]
sources:
- name: erp
  connection: {type: postgres, host: db.example, database: erp, username: des, password: "${ERP_PASSWORD}"}
  table: {name: files}
  marker: {}
datahubs:
- name: archive
  url: https://datahub.example/api
  api_key: ${DATAHUB_API_KEY}
  start: "2026-01-01"
  landing: {bucket: landing, prefix: archive/}
  connection: {type: postgres, host: hub.example, database: hub, username: des, password: "${HUB_PASSWORD}"}
inventories: [{name: attic, manifest_bucket: inventories, manifest_prefix: attic/daily/}]
"""


def load(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOADER], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


def test_definitions_load_without_settings_secrets_connections_or_heavy_libraries(tmp_path: Path) -> None:
    alone = load(tmp_path, {})
    assert alone.returncode == 0, alone.stderr
    assert json.loads(alone.stdout) == [len(lines(ASSETS)), []]

    (tmp_path / "sources.yaml").write_text(SOURCES)
    configured = load(tmp_path, {"DES_SOURCES": "sources.yaml", "DES_QUEUE_URL": "https://sqs.example/files"})
    assert configured.returncode == 0, configured.stderr
    number, heavy = json.loads(configured.stdout)
    assert number == json.loads(alone.stdout)[0] + 6
    assert heavy == []


def test_a_wrong_setting_is_an_error_of_the_code_location_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_text("queues: [{name: Orders, url: https://sqs.example/orders}]")

    threads = load(tmp_path, {"DES_THREADS": "-1"})
    sources = load(tmp_path, {"DES_SOURCES": "sources.yaml"})

    assert (threads.returncode, sources.returncode) == (1, 1)
    assert "DES_THREADS is wrong" in threads.stderr
    assert "sources.yaml is wrong: queues.0.name" in sources.stderr


def test_workspace_and_instance_files_are_valid(platform: Platform, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    validated = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(REPOSITORY / "workspace.yaml")],
        env=os.environ | {"DAGSTER_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert validated.returncode == 0, validated.stderr
    assert "Validation successful for code location des_platform" in validated.stdout
