"""Files as they lie in a store: named, compressed, damaged, and not what they say."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from des_platform.lake.reading import FORMATS, format_of, infer_columns, read_file
from des_platform.parquet import NoColumns
from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform.parquet import RejectedRow

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
    ".ZSTD": zstandard.compress,
}
CSV = b"id,name\n" + b"".join(b"%d,name %d\n" % (i, i * 7919) for i in range(20_000))
COLUMNS = {"id": "long", "name": "string"}


def read(name: str, data: bytes, scratch: Path, **options: Any) -> tuple[list[dict[str, Any]], list[RejectedRow]]:
    rows: list[dict[str, Any]] = []
    rejected: list[RejectedRow] = []
    chunks = [data[start : start + 10_000] for start in range(0, len(data), 10_000)]
    for batch in read_file(name, chunks, options.pop("columns", COLUMNS), scratch=scratch, **options):
        rows += batch.rows.to_pylist()
        rejected += batch.rejected
    assert list(scratch.iterdir()) == []
    return rows, rejected


def parquet(rows: int = 100) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": range(rows), "name": ["x"] * rows}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.csv", "csv"),
        ("B.CSV.GZ", "csv"),
        ("x.ndjson.zst", "jsonl"),
        ("x.json.bz2", "json"),
        ("x.pq", "parquet"),
        ("x.feather", "arrow"),
        ("x.avro", "avro"),
        ("x.dbn.zst", "dbn"),
        ("x.csv.gz.gz", None),
        ("x.gz", None),
        ("csv", None),
        ("x.csv.tmp", None),
        ("x.csv\n", None),
        ("", None),
    ],
)
def test_the_end_of_a_name_tells_the_format(name: str, expected: str | None) -> None:
    assert format_of(name) == expected


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_every_compression_is_read(suffix: str, tmp_path: Path) -> None:
    rows, rejected = read(f"a.csv{suffix}", COMPRESSORS[suffix](CSV), tmp_path)
    assert (len(rows), rejected) == (20_000, [])
    assert read(f"a.parquet{suffix}", COMPRESSORS[suffix](parquet()), tmp_path)[0][99] == {"id": 99, "name": "x"}


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_truncated_file_ends_with_a_rejected_row_and_half_a_record_is_no_row(suffix: str, tmp_path: Path) -> None:
    packed = COMPRESSORS[suffix](CSV)
    rows, rejected = read(f"a.csv{suffix}", packed[: len(packed) * 2 // 3], tmp_path)
    assert [row["id"] for row in rows] == list(range(len(rows)))
    assert all(row["name"] == f"name {row['id'] * 7919}" for row in rows)
    assert len(rejected) == 1
    assert "fetch the object again" in rejected[0].reason
    rows, [rejected_row] = read(f"a.parquet{suffix}", COMPRESSORS[suffix](parquet())[:-20], tmp_path)
    assert rows == []
    assert rejected_row.reason.startswith("the whole file is rejected")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("des_platform.lake.reading._UNSUSPICIOUS_BYTES", 1 << 20)
    bomb = zstandard.compress(b"id,name\n" + b"1,x\n" * (2 << 20))
    rows, [rejected] = read("a.csv.zst", bomb, tmp_path)
    assert len(rows) < 2 << 20
    assert "became more than 1000 times as many" in rejected.reason
    _, [rejected] = read("a.parquet.zst", bomb, tmp_path)
    assert "became more than 1000 times as many" in rejected.reason


def test_a_file_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    assert "more than the 1000 bytes" in read("a.parquet", parquet(), tmp_path, max_size=1000)[1][0].reason
    assert "more than the 1000 bytes" in read("a.csv.gz", gzip.compress(CSV), tmp_path, max_size=1000)[1][0].reason


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", gzip.compress(CSV, mtime=0), "should be csv by its name, and begins as gzip"),
        ("a.jsonl", parquet(), "should be jsonl by its name, and begins as Parquet"),
        ("a.csv.gz", CSV, "gzip: damaged data"),
        ("a.parquet", CSV, "does not begin and end with PAR1"),
        ("a.arrow", parquet(), "the whole file is rejected"),
        ("a.avro", parquet(), "does not begin as an Avro file"),
        ("a.dbn", CSV, "does not begin with DBN"),
        ("a.json", CSV, "no JSON document"),
        ("a.txt", CSV, "a.txt has no tabular format"),
        ("a.csv", b"PK\x03\x04zipped", "begins as zip"),
    ],
)
def test_a_name_that_lies_is_told(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    rows, rejected = read(name, data, tmp_path)
    assert rows == []
    assert any(reason in row.reason for row in rejected)


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_file_is_told_or_has_no_rows(suffix: str, tmp_path: Path) -> None:
    for ending in ("", ".gz"):
        rows, rejected = read(f"a{suffix}{ending}", COMPRESSORS[ending](b""), tmp_path)
        assert rows == []
        assert len(rejected) == (suffix not in (".jsonl", ".ndjson"))
        with pytest.raises(NoColumns, match=f"a{suffix}"):
            infer_columns(f"a{suffix}{ending}", [COMPRESSORS[ending](b"")], scratch=tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_columns_are_inferred_through_compression(suffix: str, tmp_path: Path) -> None:
    compress = COMPRESSORS[suffix]
    assert infer_columns(f"a.csv{suffix}", [compress(CSV)], scratch=tmp_path) == COLUMNS
    assert infer_columns(f"a.pq{suffix}", [compress(parquet())], scratch=tmp_path) == COLUMNS
    assert list(tmp_path.iterdir()) == []


def test_inference_takes_no_more_than_its_sample(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"id\n"
        for _ in range(17):
            yield b"1\n" * (1 << 19)
        raise AssertionError("read on")

    assert infer_columns("a.csv", chunks(), scratch=tmp_path) == {"id": "long"}


def test_a_name_without_a_format_has_no_columns(tmp_path: Path) -> None:
    with pytest.raises(NoColumns, match=r"a\.txt has no tabular format"):
        infer_columns("a.txt", [b""], scratch=tmp_path)


def test_the_format_may_be_told(tmp_path: Path) -> None:
    assert len(read("part-0001.gz", gzip.compress(CSV), tmp_path, file_format="csv")[0]) == 20_000


def test_what_the_store_says_comes_through(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"id,name\n1,a\n"
        raise ConnectionError("gone")

    for name in ("a.csv", "a.parquet"):
        with pytest.raises(ConnectionError, match="gone"):
            list(read_file(name, chunks(), COLUMNS, scratch=tmp_path))


def test_a_reader_that_is_not_installed_is_a_matter_of_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without() -> Any:
        raise ImportError("install des-platform[dbn]")

    monkeypatch.setattr("des_platform.parquet.dbn_rows._module", without)
    with pytest.raises(ConfigurationError, match=r"a\.dbn cannot be read: install des-platform\[dbn\]"):
        read("a.dbn", b"DBN", tmp_path)
    with pytest.raises(ConfigurationError, match=r"des-platform\[dbn\]"):
        infer_columns("a.dbn", [b"DBN"], scratch=tmp_path)


def test_misfits_are_rescued(tmp_path: Path) -> None:
    rows, _ = read("a.csv.gz", gzip.compress(b"id,name\n1.7,x\n"), tmp_path, misfits="rescue")
    assert rows == [{"id": None, "name": "x", "_rescued": '{"id": "1.7"}'}]


def test_a_line_of_100_mib_is_not_held(tmp_path: Path) -> None:
    import resource

    def chunks() -> Iterator[bytes]:
        yield b"id,name\n1,a\n2,"
        for _ in range(100):
            yield b"x" * (1 << 20)
        yield b"\n3,b\n"

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batches = list(read_file("a.csv", chunks(), COLUMNS, scratch=tmp_path))
    assert [row["id"] for batch in batches for row in batch.rows.to_pylist()] == [1, 3]
    assert [row.line for batch in batches for row in batch.rejected] == [3]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 << 10
