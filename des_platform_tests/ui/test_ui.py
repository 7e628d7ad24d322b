from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Locator, Page, expect

from des_platform.naming import shard_labels
from des_platform_tests.ui.demo import DAYS, Demo

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.ui

SHARDS = {"documents": shard_labels(4), "flights": shard_labels(1), "stock_market": shard_labels(1)}
WITHOUT_TABLE = ["raw_files", "compressed_objects", "des_shards"]
DATASETS = {
    "documents": WITHOUT_TABLE,
    "flights": [*WITHOUT_TABLE, "table"],
    "stock_market": [*WITHOUT_TABLE, "table"],
}
FILLING = {  # sensors that start no runs, and what they say
    "files_queue_sensor": "messages: ",
    "listing_sensor": "objects listed: ",
}
REQUESTING = [f"{dataset}_catalog_sensor" for dataset in DATASETS]
SENSORS = [*FILLING, *REQUESTING, "lake_ingestion_sensor", "weather_catalog_sensor"]  # nothing of that data set is fed

STATS_QUERY = "{ assetNodes { assetKey { path } partitionStats { numMaterialized } } }"
RUNS_QUERY = """query ($filter: RunsFilter) { runsOrError(filter: $filter) { ... on Runs { results {
    runId status tags { key value } assetMaterializations { assetKey { path } partition } } } } }"""
BACKFILLS_QUERY = """{ partitionBackfillsOrError { ... on PartitionBackfills { results {
    id status partitionNames } } } }"""
SENSORS_QUERY = """{ sensorsOrError(
    repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "des_platform"}
    ) { ... on Sensors { results { name sensorState {
    status ticks(limit: 500) { status skipReason runIds error { message } } } } } } }"""
ROW_COUNT_QUERY = """query ($asset: AssetKeyInput!) { assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    assetMaterializations(limit: 1) { metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }"""


def runs(demo: Demo, **tags: str) -> list[Any]:
    """Runs that have the given tags of Dagster's, the newest first."""
    wanted = [{"key": f"dagster/{name}", "value": value} for name, value in tags.items()]
    found: list[Any] = demo.ask(RUNS_QUERY, filter={"tags": wanted})["runsOrError"]["results"]
    return found


def backfills(demo: Demo) -> dict[str, Any]:
    """Every backfill, by its id."""
    found = demo.ask(BACKFILLS_QUERY)["partitionBackfillsOrError"]["results"]
    return {backfill["id"]: backfill for backfill in found}


def materialized(run: Any) -> set[tuple[str, str]]:
    """Asset and partition of all that a run materialized."""
    return {("/".join(made["assetKey"]["path"]), made["partition"]) for made in run["assetMaterializations"]}


def open_lineage(page: Page, demo: Demo, dataset: str) -> Locator:
    """Open a dataset's lineage graph; gives its nodes."""
    page.goto(f"{demo.url}/locations/des_platform/asset-groups/{dataset}/lineage")
    return page.locator("foreignObject")


def node(page: Page, nodes: Locator, asset: str) -> Locator:
    """The node of one asset."""
    return nodes.filter(has=page.get_by_text(asset, exact=True))


def launch(page: Page, demo: Demo, asset: str, partitions: str, count: str, button: str) -> None:
    """Materialize partitions of an asset as a user does, by clicking."""
    page.goto(f"{demo.url}/assets/{asset}")
    page.get_by_role("button", name="Materialize…").click()  # no ellipsis: the page has not seen the partitions yet
    dialog = page.get_by_role("dialog")
    selection = dialog.get_by_placeholder(re.compile("^ex: "))
    selection.fill(partitions)
    selection.press("Enter")
    expect(dialog.get_by_text(count, exact=True)).to_be_visible()
    dialog.get_by_role("button", name=button, exact=True).click()
    expect(dialog).to_be_hidden()


@pytest.fixture(scope="module")
def worked_off(demo: Demo) -> None:
    """Waits until the sensors have had everything materialized that was fed, and nothing runs any more."""
    expected = {
        f"{dataset}/{asset}": days * (len(SHARDS[dataset]) if asset == "des_shards" else 1)
        for dataset, days in (("documents", 1), ("flights", len(DAYS)), ("stock_market", len(DAYS)))
        for asset in DATASETS[dataset]
    }

    def missing() -> dict[str, int]:
        nodes = demo.ask(STATS_QUERY)["assetNodes"]
        partitioned = [found for found in nodes if found["partitionStats"] is not None]
        counts = {
            "/".join(found["assetKey"]["path"]): found["partitionStats"]["numMaterialized"] for found in partitioned
        }
        return {asset: count - counts[asset] for asset, count in expected.items() if counts[asset] < count}

    def unfinished() -> list[Any]:
        statuses = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]
        found: list[Any] = demo.ask(RUNS_QUERY, filter={"statuses": statuses})["runsOrError"]["results"]
        return found

    demo.wait_for(missing, lambda left: not left, "every partition is materialized")
    demo.wait_for(unfinished, lambda left: not left, "no run is in flight")


@pytest.mark.parametrize("dataset", DATASETS)
def test_lineage_graph_shows_the_assets_of_a_dataset(page: Page, demo: Demo, dataset: str) -> None:
    nodes = open_lineage(page, demo, dataset)
    for asset in DATASETS[dataset]:
        expect(node(page, nodes, asset)).to_be_visible()
    expect(nodes.filter(has_text="inbox")).to_be_visible()
    # A table is followed by its upkeep, which waits for the night.
    assets = len(DATASETS[dataset]) + ("table" in DATASETS[dataset])
    expect(nodes).to_have_count(assets + 1)
    # inbox -> raw_files -> compressed_objects -> each of the others
    expect(page.locator("path[marker-end]")).to_have_count(assets)


@pytest.mark.usefixtures("worked_off")
def test_sensors_alone_have_every_partition_materialized(demo: Demo) -> None:
    done = runs(demo, sensor_name="flights_catalog_sensor")
    assert {run["status"] for run in done} == {"SUCCESS"}
    by_day = {(f"flights/{asset}", day) for asset in DATASETS["flights"] if asset != "des_shards" for day in DAYS}
    by_shard = {("flights/des_shards", f"{day}|{shard}") for day in DAYS for shard in SHARDS["flights"]}
    assert set().union(*map(materialized, done)) == by_day | by_shard


@pytest.mark.usefixtures("worked_off")
def test_lineage_graph_tells_that_all_checks_passed(
    page: Page, demo: Demo, keep_screenshot: Callable[[str], None]
) -> None:
    nodes = open_lineage(page, demo, "flights")
    for asset in DATASETS["flights"]:
        expect(node(page, nodes, asset)).to_contain_text(re.compile(r"Latest event.*ago.*([1-9]) / \1 Passed"))
    keep_screenshot("lineage.png")


@pytest.mark.usefixtures("worked_off")
def test_table_page_shows_columns_and_number_of_rows(
    page: Page, demo: Demo, keep_screenshot: Callable[[str], None]
) -> None:
    answer = demo.ask(ROW_COUNT_QUERY, asset={"path": ["stock_market", "table"]})["assetNodeOrError"]
    entries = answer["assetMaterializations"][0]["metadataEntries"]
    (rows,) = (entry["intValue"] for entry in entries if entry["label"] == "dagster/row_count")
    page.goto(f"{demo.url}/assets/stock_market/table")
    expect(page.get_by_text(f"{rows:,}", exact=True).first).to_be_visible()
    for column in ("symbol", "ts", "price", "volume"):
        expect(page.get_by_text(column, exact=True).first).to_be_visible()
    keep_screenshot("table.png")


@pytest.mark.usefixtures("worked_off")
def test_automation_page_lists_the_sensors_as_running(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/automation")
    for sensor in SENSORS:
        row = page.locator("[data-index]").filter(has=page.locator(f'a[href$="/sensors/{sensor}"]'))
        expect(row.get_by_role("checkbox").last).to_be_checked()  # the first one selects the row


@pytest.mark.usefixtures("worked_off")
def test_sensors_tick_and_tell_what_they_did(demo: Demo) -> None:
    states = {found["name"]: found["sensorState"] for found in demo.ask(SENSORS_QUERY)["sensorsOrError"]["results"]}
    assert {name: state["status"] for name, state in states.items()} == dict.fromkeys(SENSORS, "RUNNING")
    assert not [tick["error"] for state in states.values() for tick in state["ticks"] if tick["error"]]
    for sensor, said in FILLING.items():
        assert any(said in (tick["skipReason"] or "") for tick in states[sensor]["ticks"])
    for sensor in REQUESTING:
        assert any(tick["status"] == "SUCCESS" and tick["runIds"] for tick in states[sensor]["ticks"])
        assert any("files waiting" in (tick["skipReason"] or "") for tick in states[sensor]["ticks"])


@pytest.mark.usefixtures("worked_off")
def test_one_partition_is_materialized_by_clicking(page: Page, demo: Demo) -> None:
    day = DAYS[1]

    def launched() -> list[Any]:
        return runs(demo, partition=day, from_ui="true")

    before = {run["runId"] for run in launched()}
    launch(page, demo, "flights/raw_files", day, "1 partition", "Launch 1 run")
    (run,) = demo.wait_for(
        lambda: [run for run in launched() if run["runId"] not in before],
        lambda found: bool(found) and all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in found),
        "the run that was clicked has ended",
    )
    assert run["status"] == "SUCCESS"
    assert materialized(run) == {("flights/raw_files", day)}
    page.goto(f"{demo.url}/runs/{run['runId']}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()


@pytest.mark.usefixtures("worked_off")
def test_backfill_of_a_range_is_one_run(page: Page, demo: Demo) -> None:
    before = backfills(demo)
    launch(page, demo, "flights/table", f"[{DAYS[0]}...{DAYS[-1]}]", "3 partitions", "Launch backfill")
    (backfill,) = demo.wait_for(
        lambda: [found for name, found in backfills(demo).items() if name not in before],
        lambda found: bool(found) and found[0]["status"] not in {"REQUESTED", "CANCELING", "FAILING"},
        "the backfill that was clicked has ended",
    )
    assert backfill["status"] == "COMPLETED_SUCCESS"
    assert backfill["partitionNames"] == DAYS
    (run,) = runs(demo, backfill=backfill["id"])
    assert run["status"] == "SUCCESS"
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/asset_partition_range_start"] == DAYS[0]
    assert tags["dagster/asset_partition_range_end"] == DAYS[-1]
    assert materialized(run) == {("flights/table", day) for day in DAYS}
    page.goto(f"{demo.url}/runs/b/{backfill['id']}")
    expect(page.get_by_text("100% completed", exact=True)).to_be_visible()
