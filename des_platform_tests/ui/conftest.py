"""A browser and a demo, both started once; a page for each test, which must not complain."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from des_platform_tests.ui.demo import Demo, running_demo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response, WebSocket

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PAGE_SECONDS = 60  # a page took 3 s on two cores at a load of 8
_LEFT_BEHIND = "net::ERR_ABORTED"  # what a page still asked for when the test went on to the next
_LOCAL_SCHEMES = ("data", "blob")


@pytest.fixture(scope="module")
def chromium() -> str:
    """Path of the machine's Chromium."""
    for name in _CHROMIUMS:
        if path := shutil.which(name):
            return path
    missing = f"no Chromium found on the PATH (looked for {', '.join(_CHROMIUMS)}); Debian: apt install chromium"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="module")
def demo(chromium: str) -> Iterator[Demo]:
    """A running demo; asked for after Chromium, without which none is started."""
    with running_demo() as running:
        yield running


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser with a profile of its own, in a window of 1500 x 900."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=chromium,
            viewport={"width": 1500, "height": 900},
            args=["--disable-gpu", "--disable-quic", "--no-proxy-server"],
        )
        context.set_default_timeout(_PAGE_SECONDS * 1000)
        expect.set_options(timeout=_PAGE_SECONDS * 1000)
        yield context
        context.close()


@pytest.fixture
def page(browser: BrowserContext, demo: Demo) -> Iterator[Page]:
    """An empty page. At the end, whatever it complained of or asked of another host fails the test."""
    complaints: list[str] = []
    page = browser.new_page()
    _watch(page, demo.url, complaints)
    yield page
    page.close()  # delivers what the browser has not told yet
    assert not complaints


def _watch(page: Page, url: str, complaints: list[str]) -> None:
    home = urlsplit(url).netloc

    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text} {message.location}")

    def asked(request: Request | WebSocket) -> None:
        address = urlsplit(request.url)
        if address.netloc != home and address.scheme not in _LOCAL_SCHEMES:
            complaints.append(f"foreign host: {request.url}")

    def failed(request: Request) -> None:
        if request.failure != _LEFT_BEHIND:
            complaints.append(f"{request.method} {request.url}: {request.failure}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            complaints.append(f"{response.request.method} {response.url}: {response.status}")

    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("request", asked)
    page.on("websocket", asked)
    page.on("requestfailed", failed)
    page.on("response", answered)


@pytest.fixture
def keep_screenshot(page: Page) -> Callable[[str], None]:
    """Saves what the page shows in the folder that DES_SCREENSHOTS names, if it names one."""
    folder = os.environ.get("DES_SCREENSHOTS")

    def keep(name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / name)

    return keep
