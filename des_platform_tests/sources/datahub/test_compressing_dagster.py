"""`datahub_compressed` in Dagster: when its runs are requested, what they show, and what its checks find."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from des_platform_tests.datahub_server import Fault
from des_platform_tests.defs.daemon import Daemon, metadata, verdicts
from des_platform_tests.sources.datahub.compressing_support import copies, originals, rows, text
from des_platform_tests.sources.datahub.support import DataHub, write_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAKING = "hub_datahub_sensor"
SENSOR = "hub_datahub_compressed_sensor"
ASSET = dg.AssetKey(["hub", "datahub_compressed"])


@pytest.fixture
def daemon(hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    write_sources(hub, tmp_path, monkeypatch)
    path = tmp_path / "sources.yaml"
    sources = json.loads(path.read_text())
    sources["datahubs"][0]["compress"] = {"codec": "gzip", "level": 9}
    path.write_text(json.dumps(sources))
    with closing(Daemon(hub.platform.dataset)) as made:
        yield made


def work_off(daemon: Daemon, sensor: str) -> list[dg.ExecuteInProcessResult]:
    job = daemon.repository.get_sensor_def(sensor).job_name
    return [daemon.execute(request.with_replaced_attrs(job_name=job)) for request in daemon.requests(sensor)]


def test_month_is_compressed_once_its_files_are_taken(hub: DataHub, daemon: Daemon) -> None:
    contents = {name: hub.add(name, text(name)) for name in ("a", "b", "c")}
    (early,) = work_off(daemon, SENSOR)
    assert metadata(early)["datahub_compressed", "2026-03-01"]["files_not_yet_taken"] == 3
    assert daemon.said(SENSOR) == "0 months with 0 candidates wait, 0 runs are in flight."
    assert originals(hub) == set(contents)

    assert all(result.success for result in work_off(daemon, TAKING))
    (done,) = work_off(daemon, SENSOR)

    facts = metadata(done)["datahub_compressed", "2026-03-01"]
    assert (facts["files"], facts["originals_removed"], facts["failed_compressions"]) == (3, 3, 0)
    assert facts["bytes_in"] == sum(map(len, contents.values()))
    assert facts["bytes_out"] == sum(map(len, hub.server.files.values()))
    assert facts["report"].endswith("_compressed/2026-03-01.html")
    page = hub.platform.buckets.own.get("reports/" + "/".join(facts["report"].split("/")[-2:]), max_bytes=1 << 20)
    assert b"originals removed: 3" in page
    assert verdicts(done) == {"every_copy_is_proven": True, "every_removed_original_has_its_copy": True}
    assert copies(hub) == contents
    assert daemon.said(SENSOR) == "0 months with 0 candidates wait, 0 runs are in flight."
    assert all(result.success for result in work_off(daemon, TAKING))
    assert sorted(hub.landed().values()) == sorted(contents.values())


def test_file_that_fails_is_shown_and_its_month_waits_no_more(hub: DataHub, daemon: Daemon) -> None:
    for name in ("a", "b"):
        hub.add(name, text(name))
    work_off(daemon, TAKING)
    hub.server.always["DELETE a"] = Fault(500)

    (done,) = work_off(daemon, SENSOR)

    assert done.success
    facts = metadata(done)["datahub_compressed", "2026-03-01"]
    assert (facts["files"], facts["failed_compressions"]) == (1, 1)
    assert "deletion of file 'a': HTTP 500" in facts["newest_dead_letters"]
    assert daemon.said(SENSOR).startswith("0 months")


def test_checks_find_a_copy_that_is_gone_and_one_that_nobody_proved(hub: DataHub, daemon: Daemon) -> None:
    hub.add("a", text("a"))
    work_off(daemon, TAKING)
    work_off(daemon, SENSOR)
    ((copy_id, row),) = rows(hub).items()
    hub.add("stray", b"x", properties=row["properties"])
    hub.database.execute("DELETE FROM fdhdata.dh_file WHERE file_id = %s", [copy_id])

    found = daemon.materialize(ASSET, first="2026-03-01")

    assert verdicts(found) == {"every_copy_is_proven": False, "every_removed_original_has_its_copy": False}


def test_datahub_without_the_section_has_no_such_asset(
    hub: DataHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sources(hub, tmp_path, monkeypatch)

    with closing(Daemon(hub.platform.dataset)) as daemon:
        assert ASSET not in daemon.repository.asset_graph.get_all_asset_keys()
        assert not daemon.repository.has_sensor_def(SENSOR)
