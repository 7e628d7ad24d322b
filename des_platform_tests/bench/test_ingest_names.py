from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.catalog.database import Catalog, migrate
from des_platform.catalog.nodes import LeasedNode
from des_platform_tests.bench import ingest_names

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def catalog(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    monkeypatch.setattr(ingest_names, "_STEPS_MS", (0, -5))
    engine = sa.create_engine(postgres_url, pool_size=ingest_names._NODES_AT_ONCE)
    migrate(engine)
    with Catalog(engine) as opened:
        yield opened


def test_no_name_repeats_over_callers_nodes_restarts_and_clock_steps(catalog: Catalog) -> None:
    found = ingest_names._collisions(catalog, 100_000)

    assert (found.id, found.value, found.met) == ("names_collisions", 0, True)


def test_names_that_repeat_are_counted(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = LeasedNode.reserve

    def forgetful(leased: LeasedNode, from_ms: int) -> tuple[int, int]:
        reserve(leased, from_ms)
        return from_ms, from_ms + 1000

    monkeypatch.setattr(LeasedNode, "reserve", forgetful)
    # On a busy machine more than the shortest step goes by before the next holder begins.
    monkeypatch.setattr(ingest_names, "_STEPS_MS", (0, -5, -50, -500))

    found = ingest_names._collisions(catalog, 100_000)

    assert found.value > 0
    assert found.met is False


def test_the_rate_is_told_beside_its_peers(catalog: Catalog) -> None:
    found = ingest_names._rate(catalog, 5_000, 1)

    assert found.id == "names_rate"
    assert found.value > 0
    assert found.peer_value > 0
