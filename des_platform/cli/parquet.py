"""`des parquet`: Parquet files made smaller without losing a bit, and what is in them.

Each file is written anew beside its target, read back, compared bit for bit, and only then named. A file that does not
become smaller stays as it is. What is no Parquet file is named and counted, and the others go on.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from des_platform.cli.archive.outcome import Problems, Unusable, printable, reporting, said
from des_platform.cli.archive.progress import byte_bar, counted, in_units
from des_platform.cli.demo.state import demo_environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.cli.parquet_files import Found
    from des_platform.cli.parquet_process import ParquetProcess
    from des_platform.files.locations import Location

app = typer.Typer(no_args_is_help=True, help="Parquet files: smaller ones, and what is in them.")

_Where = Annotated[str, typer.Argument(metavar="FILE|PREFIX", help="file, folder, or s3://BUCKET/KEY or .../PREFIX")]
_Out = Annotated[str | None, typer.Option(help="file to write, or folder or prefix for several; beside if omitted")]
_InPlace = Annotated[bool, typer.Option("--in-place", help="replace the files themselves; local ones alone")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="do all the work, keep nothing, and say what it would give")]
_Narrow = Annotated[bool, typer.Option("--narrow", help="32-bit types where they hold every value bit for bit")]
_Tolerance = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=X", help="lossy: values may move by X times themselves; may be given again"),
]
_Cold = Annotated[bool, typer.Option("--cold", help="several times slower to write, for a few percent")]
_Force = Annotated[bool, typer.Option("--force", help="replace files that are there")]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object instead of a table")]


@dataclass(frozen=True, slots=True)
class _Request:
    wanted: dict[str, Any]
    out: str | None
    in_place: bool
    dry_run: bool
    force: bool


@dataclass(frozen=True, slots=True)
class _Done:
    """A line of the report; `target` is '' where the file stays as it is or nothing is kept."""

    file: str
    target: str
    outcome: str
    rows: int
    before: int
    after: int
    narrowed: dict[str, str]
    lost: dict[str, float]


@app.command("optimize")
def optimize(  # noqa: PLR0913, PLR0917 - the command line's options
    where: _Where,
    out: _Out = None,
    in_place: _InPlace = False,
    dry_run: _DryRun = False,
    narrow: _Narrow = False,
    tolerance: _Tolerance = None,
    cold: _Cold = False,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """Write Parquet files anew by a plan for each column: the same rows, bit for bit, in fewer bytes."""
    from des_platform.cli.parquet_files import found_files, scratch_folder
    from des_platform.cli.parquet_process import ParquetProcess

    with reporting():
        demo_environment()
        wanted = {"narrow": narrow, "tolerance": _tolerances(tolerance or []), "cold": cold}
        request = _Request(wanted, out, in_place, dry_run, force)
        files = found_files(where)
        _check(request, files)
        problems = Problems()
        done: list[_Done] = []
        with ParquetProcess() as process, scratch_folder() as scratch:
            for found in files:
                _optimize_or_say(found, request, process, scratch, done, problems)
        if as_json:
            print(json.dumps({"files": [asdict(one) for one in done], "skipped": problems.count}))
        else:
            _print(done, problems.count)
        problems.end()


@app.command("inspect")
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="local path or s3://...")], as_json: _Json = False
) -> None:
    """Show a file's schema, row groups, and what each column takes in which encoding and codec."""
    from des_platform.cli.parquet_files import Found, fetched, scratch_folder
    from des_platform.cli.parquet_process import ParquetProcess, Unreadable
    from des_platform.files.locations import locate

    with reporting():
        demo_environment()
        with (
            ParquetProcess() as process,
            scratch_folder() as scratch,
            byte_bar(file) as bar,
            fetched(Found(locate(file), None), scratch, lambda done, total: bar(done, total or 0)) as original,
        ):
            try:
                found = process.inspect(original.path)
            except Unreadable as error:
                raise Unusable(f"{file} is no Parquet file: {error}") from None
        print(json.dumps(found)) if as_json else _print_inspection(file, found)


def _tolerances(pairs: list[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, equals, text = pair.rpartition("=")
        try:
            found[name] = float(text)
        except ValueError:
            equals = ""
        if not equals or not name or not 0 < found[name] < 1:
            raise Unusable(f"--tolerance {pair!r}: expected COLUMN=X with X between 0 and 1, such as price=1e-5")
    return found


def _check(request: _Request, files: list[Found]) -> None:
    if request.in_place and request.out is not None:
        raise Unusable("--in-place and --out are two places: leave out one")
    if request.in_place and str(files[0].location).startswith("s3://"):
        raise Unusable("an object would lose its metadata if it were replaced: give --out, a new key or prefix")
    if request.out is not None and files[0].relative is not None and Path(request.out).is_file():
        raise Unusable(f"{request.out} is a file, and {counted(len(files), 'file')} cannot become one: give a folder")


def _optimize_or_say(
    found: Found, request: _Request, process: ParquetProcess, scratch: Path, done: list[_Done], problems: Problems
) -> None:
    from des_platform.cli.local_files import FileChanged
    from des_platform.cli.parquet_process import Unreadable
    from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed

    try:
        done.append(_optimize(found, request, process, scratch))
    except OSError as error:
        problems.add(said(error))
    except (FileChanged, Unusable) as error:
        problems.add(error)
    except (IntegrityError, ObjectNotFound, PreconditionFailed, Unreadable) as error:
        problems.add(f"{found.location}: {error}")


def _optimize(found: Found, request: _Request, process: ParquetProcess, scratch: Path) -> _Done:
    from des_platform.cli.parquet_files import fetched, publish, target_of

    target = found.location if request.in_place else target_of(found, request.out)
    if not request.dry_run:
        _check_target(target, found, request)
    made = scratch / "made"
    with byte_bar(found.name) as bar, fetched(found, scratch, lambda done, total: bar(done, total or 0)) as original:
        size = original.size
        told = process.optimize(original.path, made, request.wanted, lambda done, rows: bar(size * done // rows, size))
        smaller = told["after"] < told["before"]
        if smaller and not request.dry_run:
            publish(made, target, original, force=request.force or request.in_place)
            if request.in_place:
                os.utime(original.path)  # whoever looks for changes is to see one
    outcome = "kept: not smaller" if not smaller else "would be smaller" if request.dry_run else "smaller"
    written = str(target) if smaller and not request.dry_run else ""
    facts = {name: told[name] for name in ("rows", "before", "narrowed", "lost")}
    return _Done(file=str(found.location), target=written, outcome=outcome, after=told["after"], **facts)


def _check_target(target: Location, found: Found, request: _Request) -> None:
    from des_platform.cli.local_files import check_free
    from des_platform.files.locations import LocalLocation

    if target == found.location and not request.in_place:
        raise Unusable(f"{target} would replace itself: --in-place is what does that")
    if isinstance(target, LocalLocation):
        check_free(Path(target.path), force=request.force or request.in_place)


def _print(done: list[_Done], skipped: int) -> None:
    rows = [
        [one.file, in_units(one.before), in_units(one.after), _ratio(one.after, one.before), one.outcome]
        for one in done
    ]
    before, after = sum(one.before for one in done), sum(min(one.after, one.before) for one in done)
    total = f"{counted(len(done), 'file')}" + (f", {skipped} skipped" if skipped else "")
    rows.append([total, in_units(before), in_units(after), _ratio(after, before), ""])
    _print_table(("file", "before", "after", "ratio", "outcome"), rows)
    for one in done:
        for column, change in one.narrowed.items():
            exact = "" if column in one.lost else ", no bit lost"
            print(printable(f"{one.file}: {column}: {change}{exact}"))
        for column, error in one.lost.items():
            print(printable(f"{one.file}: {column}: LOSSY, moved by at most {error:.2g} of itself"))


def _print_inspection(file: str, found: dict[str, Any]) -> None:
    groups = found["row_groups"]
    print(
        f"{printable(file)}: {in_units(found['size'])}, {counted(found['rows'], 'row')} in "
        f"{counted(len(groups), 'row group')}, written by {printable(found['written_by']) or 'nobody knows whom'}"
    )
    _print_table(("column", "type"), found["schema"])
    print()
    _print_table(
        ("leaf", "encodings", "codecs", "bytes", "before codec", "ratio", "bytes/value"),
        [
            [leaf["path"], " ".join(leaf["encodings"]), " ".join(leaf["codecs"]), in_units(leaf["packed"]),
             in_units(leaf["unpacked"]), _ratio(leaf["packed"], leaf["unpacked"]),
             f"{leaf['packed'] / leaf['values']:.2f}" if leaf["values"] else "-"]
            for leaf in found["columns"]
        ],
    )  # fmt: skip
    print()
    shares = ([str(number), f"{rows:,}", in_units(size)] for number, (rows, size) in enumerate(groups))
    _print_table(("row group", "rows", "bytes"), shares)


def _ratio(after: int, before: int) -> str:
    return f"{after / before:.3f}" if before else "-"


def _print_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
