"""`des upload`, `des download`, `des check` and `des months`: files to and from a bucket, each with its proof.

Of a transfer one line says how it is known that the bytes are the right ones. Standard error shows a bar if it is a
terminal, and nothing if it is not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from des_platform.cli.demo.state import demo_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.objectstore import ObjectStore, Progress
    from des_platform.objectstore.transfers import Month

_MEMORY = Path(".local/state/des/uploads")
_Bucket = Annotated[str, typer.Option(help="the platform's own if omitted")]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object instead of a line")]
_Format = Annotated[
    Literal["any", "parquet", "dbn"], typer.Option("--format", help="read to the end by its own reader")
]
_Sha256 = Annotated[str | None, typer.Option("--sha256", help="64 hexadecimal digits that its bytes must have")]
_MinSize = Annotated[int, typer.Option(min=0, help="least bytes")]


def upload(  # noqa: PLR0913 - a command's options
    path: Annotated[Path, typer.Argument(help="local file", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Argument(help="the object's key; with --month its prefix, which may be omitted")] = "",
    *,
    bucket: _Bucket = "",
    verify: Annotated[Literal["reply", "read-back"], typer.Option(help="what counts as proof")] = "reply",
    metadata: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; may be given again")] = None,
    month: Annotated[str, typer.Option(help="YYYY-MM: store it as that month's data")] = "",
    statistics: Annotated[
        Path | None, typer.Option(help="JSON file; with --month", exists=True, dir_okay=False)
    ] = None,
    resume: Annotated[bool, typer.Option(help="go on where an interrupted upload of it broke off")] = True,
    as_json: _Json = False,
) -> None:
    """Store a local file in a bucket and prove that it is there."""
    from des_platform.objectstore.transfers import upload as send
    from des_platform.objectstore.transfers import upload_month
    from des_platform.objectstore.transfers.months import PREFIX

    told = _pairs(metadata or [])
    memory = Path.home() / _MEMORY if resume else None
    if statistics and not month:
        _refuse("--statistics needs --month")
    if not key and not month:
        _refuse("a KEY is missing; only --month makes one itself")
    facts = _facts(statistics) if statistics else None
    whole_month = _month(month) if month else None
    store = _store(bucket)
    with _bar(path.name) as progress, _readable(path):
        if whole_month:
            stored = upload_month(
                store, path, whole_month, statistics=facts, prefix=key.rstrip("/") or PREFIX,
                metadata=told, verify=verify, progress=progress,
            )  # fmt: skip
            done, problem = stored.data, stored.statistics_problem
        else:
            done, problem = send(store, path, key, metadata=told, verify=verify, progress=progress, resume=memory), ""
    said = {
        "checksum": "the store states the same SHA-256",
        "read-back": "read back and compared",
        "size": "NOT proven: the store states no checksum; --verify read-back would",
    }
    _print(done, f"{store.uri(done.key)}: {done.size} bytes, {said[done.proof]}", as_json=as_json)
    if problem:
        print(f"des: {problem}", file=sys.stderr)


def download(
    key: Annotated[str, typer.Argument(help="the object's key")],
    path: Annotated[Path, typer.Argument(help="local file, or a folder to put it into")],
    *,
    bucket: _Bucket = "",
    sha256: _Sha256 = None,
    search: Annotated[
        bool, typer.Option(help="look for it in the usual folders, too; keep a valid local file")
    ] = False,
    format_name: _Format = "any",
    min_size: _MinSize = 0,
    as_json: _Json = False,
) -> None:
    """Write an object to a local file: whole, or not at all."""
    from des_platform.objectstore.transfers import NothingFetched, fetch
    from des_platform.objectstore.transfers import download as get

    _checked_sha256(sha256)
    target = path / key.rpartition("/")[2] if path.is_dir() else path
    store = _store(bucket)
    wanted = None if format_name == "any" else format_name
    with _bar(target.name) as progress, _readable(target):
        if not search and wanted is None:
            done = get(store, key, target, expected_sha256=sha256, min_bytes=min_size, progress=progress)
            proof = "NOT proven: no checksum of it is known" if done.proof == "unverified" else f"proof: {done.proof}"
            _print(done, f"{target}: {done.size} bytes, {proof}", as_json=as_json)
            return
        try:
            found = fetch(
                store, key, target, folders=_folders(search=search), min_bytes=min_size, format=wanted,
                expected_sha256=sha256, progress=progress,
            )  # fmt: skip
        except NothingFetched as error:
            print(f"des: {error}", file=sys.stderr)
            raise SystemExit(1) from None
    origin = store.uri(found.download.key) if found.download else "here already"
    _print(found, f"{target}: {found.check.size} bytes, {origin}", as_json=as_json)
    for reason in found.refused:
        print(f"des: left out: {reason}", file=sys.stderr)


def check(
    name: Annotated[str, typer.Argument(help="local file, else an object's key")],
    *,
    bucket: Annotated[str, typer.Option(help="bucket of the key; a local file is then not looked for")] = "",
    sha256: _Sha256 = None,
    format_name: _Format = "any",
    min_size: _MinSize = 0,
    as_json: _Json = False,
) -> None:
    """Tell whether a file is whole: its size, SHA-256 and format. Exit code 0 if it is, 1 if not."""
    from des_platform.objectstore import IntegrityError, ObjectNotFound
    from des_platform.objectstore.transfers import check_file
    from des_platform.objectstore.transfers import download as get

    _checked_sha256(sha256)
    path = Path(name)
    wanted = None if format_name == "any" else format_name

    look = partial(check_file, expected_sha256=sha256, format=wanted, min_bytes=min_size)
    proof = ""
    if not bucket and path.exists():
        found = look(path)
    else:
        store = _store(bucket)
        with tempfile.TemporaryDirectory(prefix="des-check-", dir=_scratch()) as folder, _bar(name) as progress:
            copy = Path(folder) / "object"
            try:
                proof = f", proof: {get(store, name, copy, progress=progress).proof}"
                found = look(copy)
            except (IntegrityError, ObjectNotFound) as error:
                found = replace(look(copy), exists=isinstance(error, IntegrityError), problems=(str(error),))
    state = "whole" if found.valid else "NOT whole: " + "; ".join(found.problems)
    _print(found, f"{name}: {state} ({found.size} bytes, SHA-256 {found.sha256 or 'unknown'}{proof})", as_json=as_json)
    raise SystemExit(0 if found.valid else 1)


def months(
    first: Annotated[str, typer.Argument(help="YYYY-MM")],
    last: Annotated[str, typer.Argument(help="YYYY-MM, included")],
    *,
    bucket: _Bucket = "",
    prefix: Annotated[str, typer.Option(help="of the months' keys; the usual one if omitted")] = "",
) -> None:
    """Print the months of a range that have no data yet, one a line."""
    from des_platform.objectstore.transfers import months_missing
    from des_platform.objectstore.transfers.months import PREFIX

    for month in months_missing(_store(bucket), _month(first), _month(last), prefix.rstrip("/") or PREFIX):
        print(month)


def _store(bucket: str) -> ObjectStore:
    from des_platform.objectstore import Buckets, InvalidKey
    from des_platform.settings import load_settings

    demo_environment()
    buckets = Buckets(load_settings())
    try:
        return buckets.bucket(bucket) if bucket else buckets.own
    except InvalidKey as error:
        _refuse(str(error))


def _scratch() -> Path:
    from des_platform.settings import load_settings

    return load_settings().scratch


def _folders(*, search: bool) -> tuple[str, ...]:
    from des_platform.objectstore.transfers import FOLDERS

    return FOLDERS if search else ()


def _month(text: str) -> Month:
    from des_platform.objectstore.transfers import Month

    try:
        return Month.parse(text)
    except ValueError as error:
        _refuse(str(error))


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        _refuse(f"{path} is no JSON: {error}")
    if not isinstance(facts, dict):
        _refuse(f"{path} is no JSON object")
    return facts


def _pairs(metadata: list[str]) -> dict[str, str]:
    pairs = {}
    for pair in metadata:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            _refuse(f"--metadata {pair!r} is refused: expected NAME=VALUE")
        pairs[name] = value
    return pairs


def _checked_sha256(sha256: str | None) -> None:
    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):  # noqa: PLR2004
        _refuse(f"--sha256 {sha256!r} is refused: expected 64 hexadecimal digits")


def _refuse(problem: str) -> NoReturn:
    print(f"des: {problem}", file=sys.stderr)
    raise SystemExit(2)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What is wrong with a local file or a name is the user's to mend."""
    from des_platform.objectstore import InvalidKey

    try:
        yield
    except OSError as error:
        _refuse(f"{path}: {error.strerror or error}")
    except (InvalidKey, ValueError) as error:
        _refuse(str(error))


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """A bar on a terminal: bytes, speed, time left; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _done, _total, /: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(name))
        yield lambda done, total, /: bar.update(task, completed=done, total=total)


def _print(found: Any, line: str, *, as_json: bool) -> None:  # noqa: ANN401 - any of the results
    print(json.dumps(asdict(found), default=str) if as_json else line)
