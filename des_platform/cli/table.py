"""`des table`: the lake's tables, and their upkeep: a plan unless `--apply` says to do it."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from des_platform.cli.archive.outcome import Problems, complain, printable
from des_platform.cli.archive.progress import byte_bar, counted, in_units
from des_platform.cli.demo.state import demo_environment
from des_platform.cli.table_reading import export, origins, sql
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.lake.upkeep.types import Part, Report
    from des_platform.lake.upkeep.upkeep import Upkeep

app = typer.Typer(no_args_is_help=True, help="The lake's tables and their upkeep; nothing changes without --apply.")
app.command()(sql)
app.command()(origins)
app.command()(export)

_Name = Annotated[str, typer.Argument(metavar="TABLE", help="the table's name")]
_Names = Annotated[list[str] | None, typer.Argument(metavar="[TABLE...]", help="names of tables")]
_All = Annotated[bool, typer.Option("--all", help="every table of the lake")]
_Apply = Annotated[bool, typer.Option("--apply", help="do it; without, only say what would be done")]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
_Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="only this day (UTC) of the table")]
_Small = Annotated[int, typer.Option(help="MiB from which on a file is large enough", min=1, max=256)]
_Fewest = Annotated[int, typer.Option(help="partitions with fewer small files are left alone", min=2)]
_Days = Annotated[float, typer.Option("--older-than", help="days since a snapshot was the newest", min=1 / 24)]
_Written = Annotated[float, typer.Option("--older-than", help="days since a file was written", min=1 / 24)]
_Keep = Annotated[int, typer.Option(help="newest snapshots that stay, however old", min=1)]

_SHOWN = 20


@app.command()
def ls(as_json: _Json = False) -> None:
    """List the tables with their rows, files and bytes."""
    with _upkeep() as upkeep:
        problems = Problems()
        found = [facts for name in upkeep.names() if (facts := _facts(upkeep, name, problems))]
    if as_json:
        for facts in found:
            print(json.dumps(facts))
    else:
        print(f"{'rows':>15}  {'files':>9}  {'size':>10}  {'snapshots':>9}  table")
        for facts in found:
            size = in_units(facts["bytes"])
            print(f"{facts['rows']:>15,}  {facts['files']:>9,}  {size:>10}  {facts['snapshots']:>9,}  {facts['table']}")
    problems.end()


@app.command()
def show(table: _Name, as_json: _Json = False) -> None:
    """Describe a table: where it is, how it is partitioned, its columns, and what upkeep it needs."""
    from des_platform.lake.partitioning import rules_of
    from des_platform.lake.schema import column_types

    with _upkeep() as upkeep:
        loaded = _known(upkeep, table)
        facts = _facts(upkeep, table, Problems()) or {}
        facts |= {
            "folder": loaded.location(),
            "partition_by": ["_day", *(str(rule) for rule in rules_of(loaded.metadata))],
            "columns": dict(column_types(loaded.schema())),
            "small_files": upkeep.compact(table, apply=False).files_before,
        }
    if as_json:
        print(json.dumps(facts))
        return
    columns = facts.pop("columns")
    for name, value in facts.items():
        told = in_units(value) if name == "bytes" else ", ".join(value) if isinstance(value, list) else f"{value}"
        print(f"{name.replace('_', ' ')}: {printable(told)}")
    for name, kind in columns.items():
        print(f"  {printable(name)}: {kind}")


@app.command()
def compact(
    tables: _Names = None,
    *,
    everything: _All = False,
    apply: _Apply = False,
    day: _Day = None,
    small: _Small = 96,
    min_files: _Fewest = 5,
    as_json: _Json = False,
) -> None:
    """Make few large files of the small files of each partition; the rows stay the same."""
    days = None if day is None else [day.date()]
    with byte_bar("compact") as progress:

        def job(upkeep: Upkeep, name: str) -> Report:
            return upkeep.compact(
                name,
                apply=apply,
                days=days,
                small_bytes=small << 20,
                fewest_files=min_files,
                progress=progress,
            )

        _tell(_each(tables, job, everything=everything), as_json=as_json)


@app.command()
def expire(
    tables: _Names = None,
    *,
    everything: _All = False,
    apply: _Apply = False,
    older_than: _Days = 5,
    keep: _Keep = 20,
    as_json: _Json = False,
) -> None:
    """Forget old snapshots, and remove the files that no other snapshot names."""

    def job(upkeep: Upkeep, name: str) -> Report:
        return upkeep.expire(name, apply=apply, older_than=timedelta(days=older_than), keep=keep)

    _tell(_each(tables, job, everything=everything), as_json=as_json)


@app.command()
def orphans(
    tables: _Names = None,
    *,
    everything: _All = False,
    apply: _Apply = False,
    older_than: _Written = 3,
    as_json: _Json = False,
) -> None:
    """Remove files of a table's folder that nothing names, such as a killed writer's."""

    def job(upkeep: Upkeep, name: str) -> Report:
        return upkeep.orphans(name, apply=apply, older_than=timedelta(days=older_than))

    _tell(_each(tables, job, everything=everything), as_json=as_json)


@app.command()
def manifests(
    tables: _Names = None, *, everything: _All = False, apply: _Apply = False, as_json: _Json = False
) -> None:
    """Merge many small manifests into few, so that scans are planned sooner."""

    def job(upkeep: Upkeep, name: str) -> Report:
        return upkeep.manifests(name, apply=apply)

    _tell(_each(tables, job, everything=everything), as_json=as_json)


@contextmanager
def _upkeep() -> Iterator[Upkeep]:
    from des_platform.catalog.database import Catalog
    from des_platform.lake.upkeep.upkeep import Upkeep
    from des_platform.objectstore import Buckets

    demo_environment()
    settings = load_settings()
    with Catalog.open(settings) as catalog, closing(Upkeep(settings, catalog, Buckets(settings))) as upkeep:
        yield upkeep


def _known(upkeep: Upkeep, name: str) -> Any:  # noqa: ANN401 - a pyiceberg table, which costs a second to import
    try:
        return upkeep.table(name)
    except LookupError as error:
        raise ConfigurationError(str(error)) from None


def _facts(upkeep: Upkeep, name: str, problems: Problems) -> dict[str, Any] | None:
    try:
        loaded = upkeep.table(name)
    except Exception as error:  # noqa: BLE001 - one table that cannot be read must not hide the others
        problems.add(f"table {name!r} cannot be read: {error}")
        return None
    newest = loaded.current_snapshot()
    totals = newest.summary.additional_properties if newest and newest.summary else {}
    return {
        "table": name,
        "rows": int(totals.get("total-records", 0)),
        "files": int(totals.get("total-data-files", 0)),
        "bytes": int(totals.get("total-files-size", 0)),
        "snapshots": len(loaded.metadata.snapshots),
    }


def _each(names: list[str] | None, job: Callable[[Upkeep, str], Report], *, everything: bool) -> Iterator[Report]:
    """A job on each table; one that is refused does not stop the others."""
    from des_platform.catalog.leases import LeaseLost
    from des_platform.lake.upkeep.types import UpkeepRefused

    if bool(names) == everything:
        raise ConfigurationError("name tables, or say --all; `des table ls` lists them")
    problems = Problems()
    with _upkeep() as upkeep:
        for name in names or upkeep.names():
            _known(upkeep, name)
        for name in names or upkeep.names():
            try:
                yield job(upkeep, name)
            except (LeaseLost, UpkeepRefused) as error:
                problems.add(error)
    problems.end()


def _tell(reports: Iterator[Report], *, as_json: bool) -> None:
    for report in reports:
        if as_json:
            print(json.dumps(asdict(report) | {"bytes_saved": report.bytes_saved}), flush=True)
            continue
        for part in report.parts[:_SHOWN]:
            print(f"  {_part(part)}{printable(part.name)} {part.note}".rstrip())
        if len(report.parts) > _SHOWN:
            print(f"  and {len(report.parts) - _SHOWN:,} more")
        for reason in report.skipped:
            complain(f"{report.table}: left to the next time: {reason}")
        print(_summary(report), flush=True)


def _part(part: Part) -> str:
    if not part.files:
        return ""
    after = f" -> {counted(part.files_after, 'file')}, {in_units(part.bytes_after)}" if part.files_after else ""
    return f"{counted(part.files, 'file')}, {in_units(part.bytes)}{after}  "


def _summary(report: Report) -> str:
    what = {"compact": "small file", "expire": "file", "orphans": "file", "manifests": "manifest"}[report.job]
    numbers = (
        f"{counted(report.files_before, what)}, {in_units(report.bytes_before)} ->"
        f" {counted(report.files_after, what.removeprefix('small '))}, {in_units(report.bytes_after)}"
    )
    gone = f", {counted(report.snapshots, 'snapshot')} forgotten" if report.snapshots else ""
    how = f"in {report.seconds:.1f} s" if report.applied else "planned; --apply does it"
    if report.files_before == report.files_after and not report.snapshots:
        return f"{report.table}: nothing to {report.job}" if not report.skipped else f"{report.table}: nothing done"
    return f"{report.table}: {numbers}{gone}; {how}"
