from __future__ import annotations

import os
import signal
import urllib.request
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest

from des_platform.cli.demo.reports import report_pages
from des_platform.cli.demo.state import free_port
from des_platform_tests.cli.commands import PATIENCE_SECONDS, complaint, des, des_running

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform


@pytest.fixture
def filled(platform: Platform) -> Platform:
    platform.put("a.txt", b"the quick brown fox\n" * 1000)
    platform.run_all()
    return platform


def test_a_report_is_written_into_the_bucket_and_its_place_is_printed(filled: Platform) -> None:
    done = des("report", "things", "2026-03-01")

    own = filled.buckets.own
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == own.uri("reports/things/2026-03-01.html")
    assert own.get("reports/things/2026-03-01.html", max_bytes=1 << 20).startswith(b"<!DOCTYPE html>")


def test_a_report_goes_to_a_file_alone_where_one_is_named(filled: Platform, tmp_path: Path) -> None:
    done = des("report", "-o", tmp_path / "page.html", "things", "2026-03-01")

    assert done.stdout.strip() == (tmp_path / "page.html").as_uri()
    assert "1 file of 20.0 KB came in." in (tmp_path / "page.html").read_text("utf-8")
    assert not filled.buckets.own.exists("reports/things/2026-03-01.html")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing", "2026-03-01"], "no dataset is called 'nothing'; known are things"),
        (["things", "yesterday"], "'yesterday' is no day; expected one such as 2026-03-01"),
        (["things", "2026-03-02"], "things has no catalogued file of 2026-03-02"),
        (["things", "2026-03-01", "-o", "/missing/page.html"], "/missing/page.html cannot be written"),
    ],
)
def test_what_cannot_be_reported_is_one_line(filled: Platform, arguments: list[str], told: str) -> None:
    done = des("report", *arguments)

    assert done.returncode != 0
    assert told in complaint(done)


def test_reports_are_served_until_ctrl_c(filled: Platform, tmp_path: Path) -> None:
    des("report", "things", "2026-03-01")
    with des_running(
        "report", "serve", "--port", free_port(), env=dict(os.environ), errors=tmp_path / "errors"
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        with urllib.request.urlopen(f"{url}things/2026-03-01.html") as answer:
            assert b"Compression report" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert (tmp_path / "errors").read_text() == ""


def test_the_demo_serves_reports_as_long_as_it_runs(platform: Platform) -> None:
    with report_pages(platform.settings, free_port()) as url, urllib.request.urlopen(url) as answer:
        assert b"Compression reports" in answer.read()
    with pytest.raises(URLError):
        urllib.request.urlopen(url)
