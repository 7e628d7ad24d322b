from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from des_platform.compression.report import Fact, Row, render_page, report_key, report_link, report_page, write_report
from des_platform.compression.report import day as reported_day
from des_platform.compression.report.units import dollars, megabytes, milliseconds, size_text
from des_platform.settings import load_settings
from des_platform_tests.compression.reported import HOSTILE, Made, catalogue, compressed, failed, kept, packed
from des_platform_tests.platform import DATASET, DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform_tests.platform import Platform

PRICE = 0.023
VOID = {"meta", "link", "br"}
MB = 1_000_000
FILES = [
    compressed("a.jsonl", 40 * MB, 4 * MB, "zstd", 9, seconds=2.0),
    compressed("b.jsonl", 20 * MB, 2 * MB, "zstd", 9, seconds=1.0),
    compressed("c.csv", 30 * MB, 5 * MB, "xz", 6, seconds=10.0),
    kept("d.jpg", 5 * MB),
    packed("e.txt", 400),
    packed("f.txt", 600),
    Made("g.csv", 3 * MB),
    failed("h.csv", 2 * MB, "the checksum differs"),
]
ARCHIVES = [400, 200]


@dataclass
class Page(HTMLParser):
    """A page as a browser takes it apart: tables as rows of texts, texts, elements; badly nested ones are refused."""

    source: str
    tables: list[list[list[str]]] = field(default_factory=list)
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "script"}:
            self.texts.append(data)
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data

    def table(self, first_heading: str) -> dict[str, list[str]]:
        """A table's rows by their first cells, or by their first two where the second is text, too."""
        [found] = [table for table in self.tables if table[0][0] == first_heading]
        return {" ".join(row[:2]) if first_heading == "Compression stage" else row[0]: row for row in found}

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page_of(platform: Platform, price: float = PRICE) -> Page:
    return Page(report_page(platform.catalog, DATASET, DAY, price=price))


def reported(platform: Platform, made: Sequence[Made] = FILES, archives: Sequence[int] = ARCHIVES) -> Page:
    catalogue(platform.catalog, made, DAY, archives)
    return page_of(platform)


def test_each_codec_has_a_row_in_true_units(platform: Platform) -> None:
    rows = reported(platform).table("Compression stage")

    assert rows["Compression stage Compression"][2:] == [
        "Files",
        "Original MB",
        "Compressed MB",
        "Time ms",
        "CPU ms",
        "Ratio",
        "Saving %",
        "Speed MB/s",
        "Read back ms",
    ]
    assert rows["Object of its own zstd-9"][2:] == [
        *("2", "60.000", "6.000", "3,000", "1,500", "10.00", "90.0", "20.0", "600"),
    ]
    assert rows["Object of its own xz-6"][2:] == [
        *("1", "30.000", "5.000", "10,000", "5,000", "6.00", "83.3", "3.0", "2,000"),
    ]
    assert rows["Packed into archives DES archives"][2:5] == ["2", "0.001", "0.001"]
    assert {len(row) for key, row in rows.items() if not key.startswith("Total")} == {11}


def test_the_total_counts_every_file_once(platform: Platform) -> None:
    rows = reported(platform).table("Compression stage")

    [total] = [row for key, row in rows.items() if key.startswith("Total")]
    assert total[1:7] == ["8", "100.001", "21.001", "13,000", "6,500", "4.76"]
    assert total[8] == "6.9"  # 90 MB in 13 s: neither what was kept nor what was packed took time to compress


def test_each_step_says_what_it_improved(platform: Platform) -> None:
    page = reported(platform)

    [steps] = [table for table in page.tables if table[0][0] == "Step"]
    assert [row[0] for row in steps[1:]] == [
        "As it arrived",
        "Step 1: large files compressed",
        "Improvement",
        "Step 2: small files packed",
        "Improvement",
    ]
    assert steps[3][1:5] == ["+0", "−79.000", "+3.76", "+79.0"]  # noqa: RUF001 - minus signs
    assert steps[5][1] == "+0"  # two small files in two archives


def test_files_that_failed_are_told_with_their_reasons(platform: Platform) -> None:
    again = Made("i.csv", MB, error="the store did not answer", attempts=1)
    page = reported(platform, [*FILES, again])

    [troubles] = [table for table in page.tables if table[0][-1] == "Reason"]
    assert [(row[1], row[2], row[3], row[4]) for row in troubles[1:]] == [
        ("2.000", "3", "Failed", "the checksum differs"),
        ("1.000", "1", "Will be tried again", "the store did not answer"),
    ]
    assert "2 files still wait and 1 file failed." in page.text


def test_every_file_is_listed_the_largest_first(platform: Platform) -> None:
    page = reported(platform)

    [files] = [table for table in page.tables if table[0][1] == "What it became"]
    assert [row[0].split("DES_")[0].rsplit("/", 1)[1] for row in files[1:4]] == ["a.jsonl", "c.csv", "b.jsonl"]
    assert len(files) == 1 + len(FILES)
    assert all(len(row) == 10 for row in files)
    [a_file] = [row for row in files if "a.jsonl" in row[0]]
    assert a_file[1:] == [
        *("zstd-9zstd: smallest", "40.000", "4.000", "2,000", "1,000", "10.00", "90.0", "20.0", "400"),
    ]


def test_a_long_day_lists_its_largest_files_and_says_how_many_are_left_out(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reported_day, "LISTED_FILES", 3)
    page = reported(platform)

    [files] = [table for table in page.tables if table[0][1] == "What it became"]
    assert len(files) == 1 + 3
    assert "the largest 3; 5 more are not listed" in page.text


def test_names_and_reasons_from_outside_are_text_and_nothing_else(platform: Platform) -> None:
    hostile = [
        failed(f"{HOSTILE}\u202egpj.exe", 99_000, HOSTILE),
        Made(HOSTILE * 2, 5_000_000, "packed", HOSTILE, 3, 1_000_000, 0.5, f"{HOSTILE}</script></style></title>"),
    ]
    plain = Page(report_page(platform.catalog, DATASET, DAY, price=PRICE))
    page = reported(platform, hostile)

    assert page.text.count(HOSTILE) > 4
    assert "\u202e" not in page.source
    kinds = {tag for tag, _ in page.elements}
    assert "img" not in kinds
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert sum(tag == "style" for tag, _ in page.elements) == sum(tag == "style" for tag, _ in plain.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_the_page_asks_nobody_for_anything(platform: Platform) -> None:
    page = reported(platform)

    linked = [value for _, attributes in page.elements for name, value in attributes.items() if name in {"src", "href"}]
    assert linked == ["data:,"]
    [policy] = [attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "url(" not in page.source
    assert "@import" not in page.source


def test_the_same_catalogue_gives_the_same_bytes(platform: Platform) -> None:
    first = reported(platform).source

    assert page_of(platform).source == first


def test_money_follows_the_price(platform: Platform) -> None:
    catalogue(platform.catalog, [compressed("a", 2 * 10**12, 10**12)])

    assert "saves $23.00 a month, $276.00 a year" in page_of(platform, 0.023).text
    assert "saves $1,000 a month, $12,000 a year" in page_of(platform, 1.0).text


def test_times_that_are_not_known_are_left_out_of_the_speed(platform: Platform) -> None:
    made = [
        compressed("timed", 10 * MB, MB, seconds=1.0),
        Made("from before", 30 * MB, "packed", "zstd", 9, 3 * MB),
    ]
    rows = reported(platform, made).table("Compression stage")

    assert rows["Object of its own zstd-9"][2:] == [
        *("2", "40.000", "4.000", "1,000", "500", "10.00", "90.0", "10.0", "200"),
    ]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ([], "Nothing came in on this day."),
        ([packed("empty", 0)], "1 file of 0 B came in. 1 object of 100 B stand for them now: 100 B more"),
        ([Made("waiting", 0)], "1 file of 0 B came in. 1 object of 0 B stand for them now. 1 file still waits."),
        ([failed("lost", 7, "gone")], "1 file failed."),
    ],
)
def test_days_of_nothing_much_are_reported_too(platform: Platform, made: list[Made], told: str) -> None:
    archives = [100] if made and made[0].state == "packed" else []

    assert told in reported(platform, made, archives).text


def test_the_trend_shows_the_days_before_and_no_older_ones(platform: Platform) -> None:
    for back, size in ((1, 50), (29, 70), (30, 900)):
        catalogue(platform.catalog, [compressed("x", size * MB, 10 * MB)], DAY - timedelta(days=back))

    assert "220 MB came in on 3 days; they are 41.0 MB now, a ratio of 5.37." in reported(platform).text


def test_removed_originals_are_told(platform: Platform) -> None:
    gone = Made("gone", 8 * MB, "packed", "zstd", 9, MB, 0.5, removed=True)

    assert "removed so far: 1 original of 8.00 MB." in reported(platform, [*FILES, gone]).text


def test_the_report_of_a_real_day_lies_in_the_bucket_as_html(any_platform: Platform) -> None:
    any_platform.put("large.txt", b"the quick brown fox\n" * 10_000)
    any_platform.put("small.txt", b"x" * 500)
    any_platform.run_all()
    own = any_platform.buckets.own

    written = write_report(any_platform.catalog, any_platform.buckets, DATASET, DAY, price=PRICE)

    assert written.key == report_key("things", DAY) == "reports/things/2026-03-01.html"
    assert written.uri == own.uri(written.key)
    stored = own.get(written.key, max_bytes=10 * MB)
    assert len(stored) == written.bytes
    page = Page(stored.decode())
    assert page.text.startswith("things, 1 March 2026 – Compression report")  # noqa: RUF001 - a dash
    assert "2 files of 200 KB came in." in page.text
    [files] = [table for table in page.tables if table[0][1] == "What it became"]
    assert all(cell not in {"–", "0"} for cell in files[1][2:])  # noqa: RUF001 - every time of the large file is known


def test_an_s3_server_says_that_a_report_is_html(s3_platform: Platform) -> None:
    import boto3

    written = write_report(s3_platform.catalog, s3_platform.buckets, DATASET, DAY, price=PRICE)

    client = boto3.client("s3", endpoint_url=s3_platform.settings.s3_endpoint, region_name="us-east-1")
    assert client.head_object(Bucket="des", Key=written.key)["ContentType"] == "text/html; charset=utf-8"


def test_the_link_leads_to_the_served_page_where_there_is_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = platform.buckets.own
    assert report_link(platform.settings, "things", DAY) == own.uri("reports/things/2026-03-01.html")
    monkeypatch.setenv("DES_REPORTS_URL", "http://127.0.0.1:9102")
    assert report_link(load_settings(), "things", DAY) == "http://127.0.0.1:9102/things/2026-03-01.html"


def test_any_facts_make_a_page() -> None:
    rows = [Row("Stream", "bz2-9", 3, 12_000_000, 1_500_000, 2.5, 2.4), Row("DataHub", "gzip-9", 1, 10, 0)]
    page = Page(render_page("orders", "Streams", [Fact("Chunks", "31", "in 3 files")], rows))

    table = page.table("Compression stage")
    assert table["Stream bz2-9"][2:] == ["3", "12.000", "1.500", "2,500", "2,400", "8.00", "87.5", "4.8", "–"]  # noqa: RUF001
    assert table["DataHub gzip-9"][7:9] == ["–", "100.0"]  # noqa: RUF001
    assert "Chunks 31 in 3 files" in page.text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (dollars(0), "$0.00"),
        (dollars(0.004_14), "$0.0041"),
        (dollars(0.000_000_1), "<$0.000001"),
        (dollars(-12.345), "−$12.35"),  # noqa: RUF001
        (dollars(1_234_567.8), "$1,234,568"),
        (megabytes(0), "0.000"),
        (megabytes(1), "<0.001"),
        (megabytes(1_234_567_890), "1,234.568"),
        (milliseconds(0.001_23), "1.2"),
        (milliseconds(61), "61,000"),
        (milliseconds(None), "–"),  # noqa: RUF001
        (size_text(999), "999 B"),
        (size_text(1_500_000), "1.50 MB"),
        (size_text(2.5e12), "2.50 TB"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected
