"""A code location with one dataset that has a table, on an empty platform."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from des_platform.defs.sources import catalog_sensor
from des_platform_tests.defs.daemon import TABLED, Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform_tests.platform import Platform


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are packed at once, not only after some quiet seconds."""
    monkeypatch.setattr(catalog_sensor, "PACK_QUIET_SECONDS", 0)


@pytest.fixture
def daemon(platform: Platform) -> Iterator[Daemon]:
    platform.dataset = TABLED
    with closing(Daemon(TABLED)) as made:
        yield made
