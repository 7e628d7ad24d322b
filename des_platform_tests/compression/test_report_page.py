"""The page in a real browser: it obeys its own security policy, sorts, and fits the paper."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from des_platform.compression.report import report_page, write_report
from des_platform.services.reports import reports_server
from des_platform_tests.compression.reported import HOSTILE, catalogue, compressed, failed, packed
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from des_platform_tests.platform import Platform

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
    if found is None:
        missing = f"no Chromium found on the PATH (looked for {', '.join(_CHROMIUMS)}); Debian: apt install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def served(platform: Platform) -> Iterator[str]:
    with reports_server(platform.buckets.own, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/things/2026-03-01.html"
        finally:
            server.shutdown()


def test_a_page_full_of_hostile_names_runs_nothing_asks_for_nothing_and_sorts(
    platform: Platform, browser: Browser
) -> None:
    made = [
        compressed("a.jsonl", 9_000_000, 3_000_000),
        compressed(f"{HOSTILE}.csv", 8_000_000, 1_000_000, "bz2"),
        packed("small", 10),
        failed("lost", 2000, HOSTILE),
    ]
    catalogue(platform.catalog, made, DAY, [500])
    write_report(platform.catalog, platform.buckets, DATASET, DAY, price=0.023)
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1500, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))

    with served(platform) as url:
        page.goto(url)
        files = page.locator("table.files")
        assert not files.is_visible()
        page.locator("summary").click()
        files.get_by_role("button", name="Ratio").click()
        assert files.locator("th[aria-sort=descending]").inner_text().startswith("Ratio")
        assert HOSTILE in files.locator("tbody tr").first.inner_text()
        files.get_by_role("button", name="Original").click()
        files.get_by_role("button", name="Original").click()
        assert "small" in files.locator("tbody tr").first.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.close()  # delivers what the browser has not told yet

    assert complaints == []
    assert asked <= {url, "data:,"}


def test_the_colours_follow_the_readers_scheme(platform: Platform, browser: Browser, tmp_path: Path) -> None:
    catalogue(platform.catalog, [compressed("a.jsonl", 9_000_000, 3_000_000)])
    file = tmp_path / "page.html"
    file.write_text(report_page(platform.catalog, DATASET, DAY, price=0.023), "utf-8")

    pages = [browser.new_page(color_scheme="light"), browser.new_page(color_scheme="dark")]
    papers = []
    for page in pages:
        page.goto(file.as_uri())
        papers.append(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    assert papers == ["rgb(255, 255, 255)", "rgb(19, 23, 26)"]
