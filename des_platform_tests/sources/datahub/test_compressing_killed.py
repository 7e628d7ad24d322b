"""A run that is killed, wherever, and started again ends as one that was left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from des_platform_tests.sources.datahub.compressing_support import access_of, copies, originals, rows, text

if TYPE_CHECKING:
    from des_platform_tests.sources.datahub.support import DataHub

MONTHS = [[year, month] for year in range(2022, 2026) for month in range(1, 13)]


@pytest.mark.chaos
def test_run_killed_behind_any_step_ends_as_an_unbroken_one(hub: DataHub) -> None:
    contents = {}
    for year, month in MONTHS:
        name = f"f-{year}-{month}"
        contents[name] = hub.add(name, text(name), datetime(year, month, 7))  # noqa: DTZ001 - as the table has it
    config = access_of(hub).model_dump(mode="json", by_alias=True)
    config["api_key"] = hub.server.key
    config["connection"]["password"] = hub.address.password

    done = subprocess.run(
        [sys.executable, "-m", "des_platform_tests.sources.datahub.killing"],
        input=json.dumps({"config": config, "months": MONTHS}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["used"] < len(MONTHS)
    assert told["killed"] > 25
    assert hub.server.uploads == told["used"]
    used = {f"f-{year}-{month}" for year, month in MONTHS[: told["used"]]}
    assert copies(hub) == {name: content for name, content in contents.items() if name in used}
    assert originals(hub) == set(contents) - used
    assert set(hub.server.files) == set(rows(hub))
    assert hub.letters() == []
    with hub.platform.catalog.begin() as connection:
        states = connection.exec_driver_sql(
            "SELECT DISTINCT position::jsonb->>'state' FROM des_catalog.checkpoints WHERE source LIKE 'hub:compress:%%'"
        )
        assert states.scalars().all() == ["done"]
