from __future__ import annotations

import csv
import gzip
import io
import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from des_platform.archive import CorruptArchive, DesReader
from des_platform.catalog import containers, lake_tables, partitions
from des_platform.catalog.dataset import TableSpec
from des_platform.codecs import CorruptStream
from des_platform.files.reader import FileReader
from des_platform.lake.load import LoadReport, load_days
from des_platform.lake.rejected import rejected_table
from des_platform.lake.tables import Lake
from des_platform.lake.types import SchemaConflict
from des_platform.objectstore import IntegrityError
from des_platform.settings import ConfigurationError
from des_platform_tests.damage import flip, path_of
from des_platform_tests.platform import DATASET, DAY, LANDING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform_tests.platform import Platform

Record = dict[str, Any]

SPEC = TableSpec(
    columns={
        "id": "long",
        "price": "double",
        "symbol": "string",
        "open": "boolean",
        "settles": "date",
        "traded": "timestamp",
    }
)


@dataclass
class Loader:
    """A platform with a lake, whose dataset has a table."""

    platform: Platform
    lake: Lake

    def take_in(self, files: dict[str, bytes], day: date = DAY) -> None:
        for name, content in files.items():
            self.platform.put(name, content, day)
        self.platform.find()
        self.platform.take_in(day)

    def load(self, day: date = DAY) -> LoadReport:
        return self.load_all([day])[day]

    def load_all(self, days: list[date]) -> dict[date, LoadReport]:
        reader = FileReader(self.platform.catalog, self.platform.buckets)
        return load_days(
            self.platform.catalog,
            reader,
            self.lake,
            self.platform.dataset,
            days,
            scratch=self.platform.scratch,
            properties={"run": "r-1"},
        )

    def table(self, name: str = "things") -> list[Record]:
        """Every row of a table as an independent reader of Iceberg sees it, in order of file and line."""
        endpoint = self.platform.settings.s3_endpoint
        options = {"aws_endpoint_url": endpoint, "aws_region": self.platform.settings.s3_region} if endpoint else None
        found = pl.scan_iceberg(self.lake.table(name), storage_options=options).collect()
        assert isinstance(found, pl.DataFrame)
        return found.sort("_file", "_line").to_dicts()

    def rejected(self) -> list[tuple[str, int, str, str]]:
        """File (last part of its key), line, text and reason of each rejected row."""
        names = {row.name: key for key, row in self.platform.rows().items()}
        return sorted((names[row["_file"]], row["_line"], row["text"], row["reason"]) for row in self.rejected_rows())

    def rejected_rows(self) -> list[Record]:
        return self.table(rejected_table("things"))

    def ids(self) -> list[int]:
        return sorted(row["id"] for row in self.table())


@pytest.fixture(autouse=True)
def _plan_without_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # polars warns where it would have liked its plugin


def _loader(platform: Platform) -> Iterator[Loader]:
    platform.dataset = DATASET.model_copy(update={"table": SPEC})
    with closing(Lake(platform.settings)) as lake:
        yield Loader(platform, lake)


@pytest.fixture
def loader(platform: Platform) -> Iterator[Loader]:
    yield from _loader(platform)


@pytest.fixture(params=["platform", "s3_platform"])
def any_loader(request: pytest.FixtureRequest) -> Iterator[Loader]:
    yield from _loader(request.getfixturevalue(request.param))


def records(first: int, count: int) -> list[Record]:
    moment = datetime(2026, 3, 1, 9, 30, 0, 125_000, tzinfo=UTC)
    return [
        {
            "id": number,
            "price": number / 8,
            "symbol": f"Ä,{number}" if number % 3 else None,
            "open": number % 2 == 0,
            "settles": date(2026, 3, 3) + timedelta(number % 28),
            "traded": moment + timedelta(seconds=number),
        }
        for number in range(first, first + count)
    ]


def as_csv(rows: list[Record]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*SPEC.columns], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"open": str(row["open"]).lower(), "traded": row["traded"].isoformat()})
    return text.getvalue().encode()


def as_jsonl(rows: list[Record]) -> bytes:
    values = [row | {"settles": str(row["settles"]), "traded": row["traded"].isoformat()} for row in rows]
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def lined(rows: list[Record], file: str, first_line: int, day: date = DAY) -> list[Record]:
    """Rows as they stand in the table."""
    return [row | {"_day": day, "_file": file, "_line": line} for line, row in enumerate(rows, first_line)]


def test_the_rows_of_csv_and_json_lines_come_back_as_they_were(any_loader: Loader) -> None:
    small, large, packed = records(0, 5), records(100, 200), records(400, 7)
    any_loader.take_in({"a.csv": as_csv(small), "b.JSONL": as_jsonl(large), "c.ndjson": as_jsonl(packed)})
    any_loader.platform.compress()
    any_loader.platform.pack()
    report = any_loader.load()

    names = {key: row.name for key, row in any_loader.platform.rows().items()}
    expected = [
        *lined(small, names["a.csv"], 2),
        *lined(large, names["b.JSONL"], 1),
        *lined(packed, names["c.ndjson"], 1),
    ]
    assert any_loader.table() == sorted(expected, key=lambda row: (row["_file"], row["_line"]))
    assert any_loader.rejected() == []
    assert (report.files, report.records, report.rows, report.rejected) == (3, 212, 212, 0)
    assert report.bytes_read == sum(map(len, (as_csv(small), as_jsonl(large), as_jsonl(packed))))


HEADER = b"id,price,symbol,open,settles,traded\n"
GOOD = b"1,0.5,A,true,2026-03-01,2026-03-01T10:00:00Z\n"
BAD_CSV = {
    "fields": b"2,0.5",
    "UTF-8": b"2,0.5,\xff,true,2026-03-01,2026-03-01T10:00:00Z",
    "'id'": b"two,0.5,A,true,2026-03-01,2026-03-01T10:00:00Z",
    "'settles'": b"2,0.5,A,true,2026-02-30,2026-03-01T10:00:00Z",
    "quote": b'2,0.5,"A,true,2026-03-01,',
}
BAD_JSON = {
    "JSON": b'{"id": 2',
    "'two'": b'{"id": "two"}',
    "1e+40": b'{"id": 1e40}',
    "object": b"[2]",
    "UTF-8": b'{"id": 2, "symbol": "\xff"}',
}


def test_bad_csv_rows_are_rejected_with_their_lines_and_their_neighbours_are_kept(loader: Loader) -> None:
    content = HEADER + GOOD + b"".join(line + b"\n" + GOOD for line in BAD_CSV.values())
    loader.take_in({"a.csv": content, "b.csv": HEADER + GOOD})
    _check_rejected(loader.load(), loader, "a.csv", range(3, 13, 2), BAD_CSV)
    assert loader.ids() == [1] * 7


def test_bad_json_lines_are_rejected_with_their_lines_and_their_neighbours_are_kept(loader: Loader) -> None:
    good = as_jsonl(records(1, 1))
    loader.take_in({"a.jsonl": good + b"".join(line + b"\n" + good for line in BAD_JSON.values()), "b.jsonl": good})
    _check_rejected(loader.load(), loader, "a.jsonl", range(2, 12, 2), BAD_JSON)
    assert loader.ids() == [1] * 7


def _check_rejected(report: LoadReport, loader: Loader, file: str, lines: range, bad: dict[str, bytes]) -> None:
    found = loader.rejected()
    assert [(name, line, text) for name, line, text, _ in found] == [
        (file, line, text.decode("utf-8", "replace")) for line, text in zip(lines, bad.values(), strict=True)
    ]
    assert [said for said, (*_, reason) in zip(bad, found, strict=True) if said not in reason] == []
    assert (report.records, report.rows, report.rejected, sum(report.reasons.values())) == (12, 7, 5, 5)


def test_a_file_without_a_tabular_format_is_one_rejected_row(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3)), "photo.png": b"\x89PNG", "README": b"id\n1\n"})
    report = loader.load()
    found = loader.rejected()
    assert [(file, line) for file, line, _, _ in found] == [("README", 1), ("photo.png", 1)]
    assert all("no tabular format" in reason for *_, reason in found)
    assert (report.files, report.records, report.rows, report.rejected) == (3, 5, 3, 2)
    assert loader.ids() == [0, 1, 2]


def test_a_csv_file_without_a_usable_header_is_one_rejected_row(loader: Loader) -> None:
    bad = {"b.csv": b"", "c.csv": b"other,names\n1,2\n", "d.csv": b"\xff\xfe\n1\n"}
    loader.take_in({"a.csv": as_csv(records(0, 3)), **bad})
    report = loader.load()
    assert [(file, line) for file, line, _, _ in loader.rejected()] == [(name, 1) for name in bad]
    assert (report.records, report.rows, report.rejected) == (6, 3, 3)


def test_a_file_that_vanished_or_was_replaced_is_one_rejected_row(any_loader: Loader) -> None:
    names = ("gone.csv", "replaced.csv")
    any_loader.take_in({"a.csv": as_csv(records(0, 3)), **dict.fromkeys(names, as_csv(records(3, 4)))})
    landing = any_loader.platform.buckets.bucket(LANDING)
    landing.delete(any_loader.platform.rows()["gone.csv"].key)
    landing.put(any_loader.platform.rows()["replaced.csv"].key, as_csv(records(50, 4)))
    report = any_loader.load()
    found = any_loader.rejected()
    assert [(file, line) for file, line, _, _ in found] == [(name, 1) for name in names]
    assert all("cannot be read" in reason for *_, reason in found)
    assert any_loader.ids() == [0, 1, 2]
    assert (report.files, report.records, report.rows, report.rejected) == (3, 5, 3, 2)


def test_loading_again_gives_the_same_rows(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3)), "b.jsonl": as_jsonl(records(3, 3)) + b"{\n", "c": b""})
    first = loader.load()
    rows, rejected = loader.table(), loader.rejected_rows()
    again = loader.load()
    assert loader.table() == rows
    assert loader.rejected_rows() == rejected
    assert (again.files, again.records, again.rows, again.rejected, again.reasons) == (
        first.files,
        first.records,
        first.rows,
        first.rejected,
        first.reasons,
    )
    assert (first.records, first.rows, first.rejected) == (8, 6, 2)


def test_files_give_the_same_rows_wherever_they_live(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3)), "large.jsonl": as_jsonl(records(3, 100))})
    tables = []
    for stage in (lambda: None, loader.platform.compress, loader.platform.pack):
        stage()
        assert loader.load().rows == 103
        tables.append(loader.table())
    assert {row.state for row in loader.platform.rows().values()} == {"packed"}
    assert tables[0] == tables[1] == tables[2]


def test_a_late_file_joins_its_day_and_leaves_the_others_alone(loader: Loader) -> None:
    other = DAY + timedelta(1)
    loader.take_in({"a.csv": as_csv(records(0, 3))})
    loader.take_in({"b.csv": as_csv(records(10, 2)) + b"x\n"}, other)
    loader.load()
    loader.load(other)
    loader.take_in({"late.csv": as_csv(records(3, 2))})
    assert loader.load().rows == 5
    assert sorted((row["_day"], row["id"]) for row in loader.table()) == [
        *((DAY, number) for number in range(5)),
        (other, 10),
        (other, 11),
    ]
    assert [row["_day"] for row in loader.rejected_rows()] == [other]


def test_a_row_that_is_rejected_no_longer_leaves_the_rejected_ones(loader: Loader) -> None:
    loader.platform.dataset = DATASET.model_copy(update={"table": TableSpec(columns={"id": "long"})})
    loader.take_in({"a.csv": b"name,id\nx,1\n", "b.csv": b"name\ny\n"})
    assert loader.load().rejected == 1
    loader.platform.dataset = DATASET.model_copy(update={"table": TableSpec(columns={"id": "long", "name": "string"})})
    report = loader.load()
    assert (report.rows, report.rejected, loader.rejected()) == (2, 0, [])
    assert sorted((row["id"] or 0, row["name"]) for row in loader.table()) == [(0, "y"), (1, "x")]


@pytest.mark.parametrize("place", ["small original", "original", "compressed", "archive"])
def test_damaged_bytes_stop_the_load_and_leave_the_table_as_it_was(loader: Loader, place: str) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3)) + b"x\n"})
    loader.load()
    before, rejected = loader.table(), loader.rejected_rows()
    snapshots = {name: loader.lake.table(name).current_snapshot() for name in ("things", "things_rejected")}

    bad = "small.csv" if place in {"small original", "archive"} else "large.csv"
    loader.take_in({"small.csv": as_csv(records(5, 2)), "large.csv": as_csv(records(10, 1000)), "z.csv": b"id\n9\nx\n"})
    if place in {"compressed", "archive"}:
        loader.platform.compress()
    if place == "archive":
        loader.platform.pack()
    row = loader.platform.rows()[bad]
    own, landing = loader.platform.buckets.own, loader.platform.buckets.bucket(LANDING)
    if place == "archive":
        with loader.platform.catalog.begin() as connection:
            path = path_of(own, containers.by_id(connection, row.container_id or 0).key)
        flip(path, _data_offset(path, row.name))
    elif place == "compressed":
        path = path_of(own, row.object_key or "")
        flip(path, path.stat().st_size // 2)
    else:
        # The last digit of a price: still a CSV file of good rows.
        path = path_of(landing, row.key)
        flip(path, path.read_bytes().rindex(b",true,") - 6, 1)

    with pytest.raises((IntegrityError, CorruptArchive, CorruptStream)):
        loader.load()
    assert loader.table() == before
    assert loader.rejected_rows() == rejected
    assert {name: loader.lake.table(name).current_snapshot() for name in snapshots} == snapshots
    assert len(_data_files(loader)) == 2
    with loader.platform.catalog.begin() as connection:
        load = partitions.load_of(connection, "things", DAY)
    assert load is not None
    assert (load.files, load.table_rows) == (1, 3)


def _data_offset(path: Path, name: str) -> int:
    with DesReader(path) as archive:
        entry = archive.get_entry(name)
    return entry.offset + entry.stored_size // 2


def _data_files(loader: Loader) -> list[str]:
    return [info.key for info in loader.platform.buckets.own.list("lake/") if info.key.endswith(".parquet")]


def test_an_empty_day_gives_no_rows(loader: Loader) -> None:
    loader.take_in({})
    report = loader.load()
    assert (report.files, report.records, report.rows, report.rejected) == (0, 0, 0, 0)
    assert loader.table() == []
    assert loader.rejected() == []


def test_the_catalogue_keeps_the_counts_of_the_last_load(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3)) + b"x\n"})
    loader.load()
    loader.take_in({"b.csv": as_csv(records(3, 2))})
    report = loader.load()
    with loader.platform.catalog.begin() as connection:
        load = partitions.load_of(connection, "things", DAY)
    assert load is not None
    assert (load.files, load.parsed_rows, load.table_rows, load.rejected_rows) == (2, 6, 5, 1)
    assert report.replaced is not None
    assert load.snapshot_id == report.replaced.snapshot_id == loader.lake.table("things").current_snapshot().snapshot_id


def test_columns_that_nobody_declared_are_reported_and_absent_ones_are_null(loader: Loader) -> None:
    loader.take_in({"a.csv": b"note,id\nhello,1\n", "b.jsonl": b'{"id": 2, "colour": "red"}\n'})
    report = loader.load()
    assert report.extra_columns == {"note", "colour"}
    assert [(row["id"], row["price"], row["traded"]) for row in sorted(loader.table(), key=lambda row: row["id"])] == [
        (1, None, None),
        (2, None, None),
    ]


def test_a_declaration_that_does_not_fit_the_table_changes_nothing(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3))})
    loader.load()
    loader.platform.dataset = DATASET.model_copy(update={"table": TableSpec(columns={"id": "string"})})
    with pytest.raises(SchemaConflict):
        loader.load()
    assert loader.ids() == [0, 1, 2]


def test_loading_leaves_the_scratch_folder_empty(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 3)) + b"x\n"})
    loader.load()
    assert not [*loader.platform.scratch.iterdir()]


def test_columns_that_nobody_declared_are_inferred_once_and_then_stay(loader: Loader) -> None:
    loader.platform.dataset = DATASET.model_copy(update={"table": TableSpec()})
    loader.take_in({"a.csv": b"id,price,day\n1,0.5,2026-03-01\n", "b.jsonl": b'{"id": 2, "price": 3, "note": "x"}\n'})

    report = loader.load()

    assert report.rejected == 0
    types = dict(loader.lake.schema_of("things"))
    assert [types[name] for name in ("id", "price", "day", "note")] == ["long", "double", "date", "string"]
    assert sorted((row["id"], row["price"], row["note"]) for row in loader.table()) == [(1, 0.5, None), (2, 3.0, "x")]

    loader.take_in({"c.csv": b"id,price,colour\n1.7,2.5,red\n3,4.5,blue\n"})
    report = loader.load()
    assert dict(loader.lake.schema_of("things")) == types
    assert report.extra_columns == {"colour"}
    assert [(file, line) for file, line, _, _ in loader.rejected()] == [("c.csv", 2)]
    assert loader.ids() == [1, 2, 3]


def test_files_that_tell_no_columns_are_rejected_until_one_does(loader: Loader) -> None:
    loader.platform.dataset = DATASET.model_copy(update={"table": TableSpec()})
    loader.take_in({"photo.png": b"\x89PNG"})

    first = loader.load()
    assert (first.records, first.rejected, first.replaced) == (1, 1, None)
    assert not loader.lake.exists("things")

    loader.take_in({"a.csv": b"id\n1\n"})
    loader.load()
    assert loader.ids() == [1]


def test_parquet_arrow_and_compressed_files_give_the_same_rows(any_loader: Loader) -> None:
    wanted = records(0, 50)
    table = pa.Table.from_pylist(wanted)
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    any_loader.take_in(
        {
            "a.parquet": parquet.getvalue(),
            "b.arrow": arrow.getvalue(),
            "c.csv.gz": gzip.compress(as_csv(wanted)),
            "d.jsonl.zst": zstandard.compress(as_jsonl(wanted)),
        }
    )
    report = any_loader.load()
    assert (report.rows, report.rejected) == (200, 0)
    names = {row.name: key for key, row in any_loader.platform.rows().items()}
    found: dict[str, list[Record]] = {}
    for row in any_loader.table():
        found.setdefault(names[row["_file"]], []).append({name: row[name] for name in SPEC.columns})
    assert found == dict.fromkeys(names.values(), wanted)


def test_a_damaged_object_of_the_platform_stops_the_load_though_its_file_is_compressed_itself(loader: Loader) -> None:
    loader.take_in({"a.csv.gz": gzip.compress(as_csv(records(0, 400)), 0)})
    loader.platform.compress()
    row = loader.platform.rows()["a.csv.gz"]
    assert row.object_key is not None
    path = path_of(loader.platform.buckets.own, row.object_key)
    flip(path, path.stat().st_size // 2)
    with pytest.raises((IntegrityError, CorruptStream)):
        loader.load()
    assert loader.rejected_rows() == []


def test_values_that_do_not_fit_are_rescued_where_the_definition_says_so(loader: Loader) -> None:
    spec = TableSpec(columns={"id": "long", "price": "double"}, misfits="rescue")
    loader.platform.dataset = DATASET.model_copy(update={"table": spec})
    loader.take_in({"a.csv": b"id,price,colour\n1,0.5,red\ntwo,1.5,blue\n"})

    report = loader.load()

    assert (report.rows, report.rescued, report.rejected) == (2, 2, 0)
    assert [(row["id"], row["price"], json.loads(row["_rescued"])) for row in loader.table()] == [
        (1, 0.5, {"colour": "red"}),
        (None, 1.5, {"colour": "blue", "id": "two"}),
    ]


def test_a_definition_may_begin_to_rescue_and_end_it(loader: Loader) -> None:
    spec = TableSpec(columns={"id": "long"})
    loader.take_in({"a.csv": b"id\n1\ntwo\n"})
    for misfits, expected in (("reject", (1, 0, 1)), ("rescue", (2, 1, 0)), ("reject", (1, 0, 1))):
        table = spec.model_copy(update={"misfits": misfits})
        loader.platform.dataset = DATASET.model_copy(update={"table": table})
        report = loader.load()
        assert (report.rows, report.rescued, report.rejected) == expected


def test_a_renamed_column_holds_what_files_from_before_and_after_bring(loader: Loader) -> None:
    loader.platform.dataset = DATASET.model_copy(update={"table": TableSpec(columns={"id": "long", "name": "string"})})
    other = DAY + timedelta(1)
    loader.take_in({"a.csv": b"id,name\n1,x\n"})
    loader.load()
    renamed = TableSpec(columns={"id": "long", "title": "string"}, renames={"title": "name"})
    loader.platform.dataset = DATASET.model_copy(update={"table": renamed})
    loader.take_in({"b.csv": b"id,title\n2,y\n"}, other)
    assert loader.load(other).extra_columns == set()
    expected = [(1, "x"), (2, "y")]
    assert sorted((row["id"], row["title"]) for row in loader.table()) == expected
    assert loader.load().extra_columns == set()  # the day from before, anew
    assert sorted((row["id"], row["title"]) for row in loader.table()) == expected


def test_days_that_are_loaded_together_stand_in_one_commit(loader: Loader) -> None:
    days = [DAY + timedelta(number) for number in range(3)]
    for number, day in enumerate(days):
        loader.take_in({"a.csv": as_csv(records(number, 1)) + b"x\n" * number}, day)
    reports = loader.load_all(days)
    assert [(report.rows, report.rejected) for report in reports.values()] == [(1, 0), (1, 1), (1, 2)]
    assert len({report.replaced.snapshot_id for report in reports.values() if report.replaced}) == 1
    assert sorted((row["_day"], row["id"]) for row in loader.table()) == [*zip(days, range(3), strict=True)]
    run = loader.lake.origins("things", days[1])
    assert [origin.properties["run"] for origin in run] == ["r-1"]


def test_partition_rules_of_the_definition_take_effect_and_may_change(loader: Loader) -> None:
    loader.take_in({"a.csv": as_csv(records(0, 6))})
    loader.load()
    rows = loader.table()
    ruled = SPEC.model_copy(update={"partition_by": ("hash(id, 4)", "range(price, 0.25, 0.5)")})
    loader.platform.dataset = DATASET.model_copy(update={"table": ruled})
    loader.load()
    own = {name for name, _ in loader.lake.schema_of("things") if name.startswith("_range_")}
    assert [{name: row[name] for name in row if name not in own} for row in loader.table()] == rows
    assert len(loader.lake.partitions("things")) > 1
    with loader.platform.catalog.begin() as connection:
        registered = lake_tables.by_name(connection, "things")
    assert registered is not None
    assert registered.partition_by == ["hash(id, 4)", "range(price, 0.25, 0.5)"]


def test_a_table_that_the_api_made_is_left_to_it(loader: Loader) -> None:
    with loader.platform.catalog.begin() as connection:
        assert lake_tables.create(connection, "things") is not None
    loader.take_in({"a.csv": as_csv(records(0, 3))})
    with pytest.raises(ConfigurationError, match="rename the dataset"):
        loader.load()
    assert not loader.lake.exists("things")
