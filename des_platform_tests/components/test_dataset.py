"""The Dataset component, as a user meets it: a `defs.yaml` in a project of their own."""

from __future__ import annotations

import itertools
import re
import warnings
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from des_platform.catalog.dataset import Dataset, TableSpec
from des_platform.components.dataset import dataset_definitions

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform

TEN_LINES = """\
type: des_platform.Dataset
attributes:
  name: invoices
  bucket: landing
  prefix: things/
  start: "2026-01-01"
  day_in_key: true
  shard_bits: 1
  table:
    columns: { id: long, name: string }
"""
PLATFORM = "from des_platform.defs.resources import resources\n"
SENSORS = "from des_platform.defs.sources.sensors import listing_sensor\n"
_numbers = itertools.count(1)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of a Dagster project that has nothing but the platform's resource and sensors."""
    package = tmp_path / f"their_project_{next(_numbers)}"
    (package / "defs" / "invoices").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "defs" / "platform.py").write_text(PLATFORM)
    (package / "defs" / "sensors.py").write_text(SENSORS)
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{package.name}"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    return package


def loaded(project: Path, yaml: str) -> dg.Definitions:
    (project / "defs" / "invoices" / "defs.yaml").write_text(yaml)
    return dg.load_from_defs_folder(path_within_project=project)


def with_attribute(name: str, value: str) -> str:
    """The ten lines with one attribute changed, or taken out where the value is empty."""
    line = f"  {name}: {value}\n" if value else ""
    changed, found = re.subn(rf"^  {name}:.*\n", line, TEN_LINES, flags=re.MULTILINE)
    return changed if found else TEN_LINES.replace("attributes:\n", f"attributes:\n{line}")


def test_ten_lines_of_yaml_are_a_dataset_that_runs(project: Path, platform: Platform) -> None:
    repository = loaded(project, TEN_LINES).get_repository_def()
    platform.put("a.csv", b"id,name\n1,x\n2,y\n")
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(name: str) -> list[dg.RunRequest]:
            sensor = repository.get_sensor_def(name)
            resources = repository.get_top_level_resources()
            context = dg.build_sensor_context(
                instance=instance,
                repository_def=repository,
                sensor_name=name,
                resources={key: resources[key] for key in sensor.required_resource_keys},
            )
            with context:
                return list(sensor.evaluate_tick(context).run_requests or [])

        assert tick("listing_sensor") == []
        (request,) = tick("invoices_catalog_sensor")
        job = repository.get_job(request.job_name or "")
        result = job.execute_in_process(instance=instance, partition_key=request.partition_key, tags=request.tags)

    materialized = [event.materialization for event in result.get_asset_materialization_events()]
    shown = {found.asset_key.path[1]: found.metadata for found in materialized}
    assert set(shown) == {"raw_files", "compressed_objects", "table"}
    assert shown["table"]["dagster/row_count"].value == 2


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("colour", "blue", "not permitted"),
        ("name", "No Name!", "should match pattern"),
        ("name", "invoices_rejected", "_rejected is the table of another dataset"),
        ("bucket", "NOT_A_BUCKET", "should match pattern"),
        ("prefix", "", "required"),
        ("prefix", "../secrets", "neither starts with '/' nor holds '..'"),
        ("start", "soon", "valid date"),
        ("small_bytes", "lots", "valid integer"),
        ("shard_bits", "9", "less than or equal to 8"),
        ("archive_version", "3", "1 or 2"),
        ("profile", "boiling", "'hot', 'warm', 'cold', 'compatible' or 'archive'"),
    ],
)
def test_mistake_in_a_defs_yaml_names_file_and_field(project: Path, attribute: str, value: str, said: str) -> None:
    message = refused(project, with_attribute(attribute, value))

    assert re.search(rf"attributes\.{attribute} at [^`]*invoices/defs\.yaml:\d+", message)
    assert said in message


def test_mistake_in_a_column_names_file_and_column(project: Path) -> None:
    message = refused(project, TEN_LINES.replace("id: long", "id: money"))

    assert re.search(r"attributes\.table\.columns\.id at [^`]*invoices/defs\.yaml:\d+", message)
    assert "unknown type 'money', expected one of 'string', 'int'" in message


def test_days_in_the_wrong_order_are_refused(project: Path) -> None:
    message = refused(project, with_attribute("end", '"2025-01-01"'))

    assert "invoices/defs.yaml" in message
    assert "end (2025-01-01) must be later than start (2026-01-01)" in message


def refused(project: Path, yaml: str) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - Dagster's own classes are private
        loaded(project, yaml).get_repository_def()
    return explained(raised.value)


def explained(error: BaseException | None) -> str:
    """An error with its causes, as Dagster shows it."""
    return "" if error is None else f"{error}\n{explained(error.__cause__ or error.__context__)}"


def test_a_dataset_in_python_warns_of_nothing_deprecated() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=DeprecationWarning, module=r"des_platform\.")
        dataset_definitions(
            Dataset(
                name="ticks",
                bucket="landing",
                prefix="ticks/",
                start=date(2026, 1, 1),
                table=TableSpec(columns={"id": "long"}),
            )
        )


def test_two_datasets_of_one_name_are_refused(project: Path) -> None:
    other = project / "defs" / "more_invoices"
    other.mkdir()
    (other / "defs.yaml").write_text(TEN_LINES)

    assert "invoices" in refused(project, TEN_LINES)
