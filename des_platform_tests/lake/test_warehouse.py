"""The lake on other catalogues than the platform's own: an Iceberg REST server, AWS Glue."""

from __future__ import annotations

import pickle
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING

import boto3
import pytest
from pydantic import SecretStr
from pyiceberg.exceptions import UnauthorizedError

from des_platform.catalog.table_spec import PartitionRule
from des_platform.lake.tables import Lake
from des_platform.lake.types import CommitUnknown
from des_platform.settings import Settings
from des_platform_tests.lake import rest_catalog
from des_platform_tests.lake.conftest import COLUMNS, rows
from des_platform_tests.lake.test_concurrency import before_next_commit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform_tests.lake.rest_catalog import RestCatalogServer

MONDAY, TUESDAY = date(2024, 1, 1), date(2024, 1, 2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RestCatalogServer]:
    (tmp_path / "server").mkdir()
    with rest_catalog.serve(tmp_path / "server") as served:
        yield served


@pytest.fixture
def rest(server: RestCatalogServer, tmp_path: Path) -> Settings:
    return Settings(
        store_url=f"file://{tmp_path}",
        bucket="des",
        lake_catalog="rest",
        lake_catalog_url=server.url,
        lake_catalog_credential=SecretStr(rest_catalog.CREDENTIAL),
    )


@pytest.fixture
def glue(moto_endpoint: str) -> Settings:
    boto3.client("s3", endpoint_url=moto_endpoint, region_name="us-east-1").create_bucket(Bucket="des")
    return Settings(
        store_url="s3://",
        bucket="des",
        s3_endpoint=moto_endpoint,
        lake_catalog="glue",
        lake_catalog_url=moto_endpoint,
    )


@pytest.fixture(params=["rest", "glue"])
def elsewhere(request: pytest.FixtureRequest) -> Settings:
    made: Settings = request.getfixturevalue(request.param)
    return made


def test_tables_live_through_all_that_may_happen_on_another_catalogue(elsewhere: Settings) -> None:
    with closing(Lake(elsewhere)) as lake, closing(Lake(elsewhere)) as other:
        assert not lake.exists("ticks")
        with pytest.raises(LookupError, match="no table 'ticks'"):
            lake.table("ticks")
        lake.ensure_table("ticks", COLUMNS, [PartitionRule.parse("list(symbol)")])
        other.ensure_table("ticks", {**COLUMNS, "venue": "string"})
        for count in (5, 4):
            lake.replace_days("ticks", {MONDAY: [rows(count)], TUESDAY: [rows(1)]}, properties={"run": "r"})
        other.repartition("ticks", [PartitionRule.parse("hash(id, 2)")])
        other.replace_day("ticks", TUESDAY, [rows(7)], properties={})
        assert lake.exists("ticks")
        assert (lake.day_rows("ticks", MONDAY), lake.total_rows("ticks")) == (4, 11)
        assert lake.uri("ticks").endswith("des/lake/des/ticks")
        (origin,) = other.origins("ticks", MONDAY)
        assert origin.properties == {"run": "r"}


def test_a_rival_on_another_catalogue_is_met_by_planning_again(
    elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Lake(elsewhere)) as lake, closing(Lake(elsewhere)) as rival:
        lake.ensure_table("ticks", COLUMNS)
        lake.replace_day("ticks", MONDAY, [rows(2)], properties={})

        def act() -> None:
            rival.replace_days("ticks", {MONDAY: [rows(9, "RIVAL")], TUESDAY: [rows(3)]}, properties={})

        before_next_commit(lake, monkeypatch, act)
        lake.replace_day("ticks", MONDAY, [rows(5, "OURS")], properties={})
        assert lake.scan_day("ticks", MONDAY, 100)["symbol"].to_pylist() == ["OURS"] * 5
        assert rival.total_rows("ticks") == 8


def test_the_rest_server_refuses_an_outdated_commit_and_takes_the_next(
    rest: Settings, server: RestCatalogServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Lake(rest)) as lake, closing(Lake(rest)) as rival:
        lake.ensure_table("ticks", COLUMNS)
        before_next_commit(lake, monkeypatch, lambda: rival.replace_day("ticks", TUESDAY, [rows(3)], properties={}))
        lake.replace_day("ticks", MONDAY, [rows(5)], properties={})
        assert server.answers["POST", "ticks", 409] == 1
        assert not caplog.text
        assert lake.total_rows("ticks") == 8


def test_a_rest_server_whose_answer_is_lost_leaves_the_rows_it_took(rest: Settings, server: RestCatalogServer) -> None:
    with closing(Lake(rest)) as lake:
        lake.ensure_table("ticks", COLUMNS)
        server.silent = 1
        with pytest.raises(CommitUnknown, match="the answer is lost"):
            lake.replace_day("ticks", MONDAY, [rows(5)], properties={})
        assert lake.scan_day("ticks", MONDAY, 10).num_rows == 5


def test_a_token_does_as_well_as_a_credential(rest: Settings) -> None:
    named = rest.model_copy(
        update={
            "lake_catalog_credential": SecretStr(""),
            "lake_catalog_token": SecretStr(rest_catalog.TOKEN),
            "lake_warehouse": "the-warehouse",
        }
    )
    with closing(Lake(named)) as lake:
        lake.ensure_table("ticks", COLUMNS)
        assert lake.uri("ticks").endswith("/server/warehouse/des/ticks")
        lake.replace_day("ticks", MONDAY, [rows(1)], properties={})


def test_secrets_of_the_rest_server_stay_out_of_tables_and_errors(
    rest: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with closing(Lake(rest)) as lake:
        lake.ensure_table("ticks", COLUMNS)
        table = lake.table("ticks")
        held = f"{table.io.properties} {table.properties} {table.catalog.properties}".encode()
        held += pickle.dumps(table.io)
    wrong = rest.model_copy(update={"lake_catalog_credential": SecretStr("platform:a-wrong-secret")})
    with pytest.raises(Exception, match="invalid_client") as caught:
        Lake(wrong)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}".encode()
    for secret in (b"a-secret-of-the-server", b"a-token-of-the-server", b"a-wrong-secret"):
        assert secret not in held
        assert secret not in told
    with pytest.raises(UnauthorizedError):
        Lake(rest.model_copy(update={"lake_catalog_credential": SecretStr("")}))
