"""`des archive ls` and `des archive info`: what an archive holds, without reading its files."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from des_platform.cli.archive.options import Archive, Glob  # noqa: TC001 - typer reads it at run time
from des_platform.cli.archive.outcome import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive import ByteSource, DesReader, IndexEntry

_WILDCARDS = "*?["

_Prefix = Annotated[str, typer.Argument(help="only names that start so")]
_Long = Annotated[bool, typer.Option("-l", "--long", help="with size, stored size, and x where the file is outside")]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]


def ls(
    archive: Archive, prefix: _Prefix = "", pattern: Glob = None, long: _Long = False, as_json: _Json = False
) -> None:
    """List an archive's names; version 2 in their order, version 1 in the order of adding."""
    from des_platform.files.locations import open_reader

    write = sys.stdout.write
    with open_reader(archive) as reader:
        for entry in selected(reader, prefix, pattern):
            if as_json:
                write(f"{json.dumps(_described(entry), ensure_ascii=False)}\n")
            elif long:
                outside = "x" if entry.is_external else "-"
                write(f"{entry.size:>14} {entry.stored_size:>14} {outside} {_shown(entry.name)}\n")
            else:
                write(f"{_shown(entry.name)}\n")


def info(archive: Archive, as_json: Annotated[bool, typer.Option("--json", help="as one JSON object")] = False) -> None:
    """Describe an archive: version, counts, sizes, identity."""
    from des_platform.files.locations import locate, open_source

    location = locate(archive)
    with location.reader() as reader, open_source(location) as source:
        stats = reader.get_stats()
        found: dict[str, Any] = {"archive": str(location), **asdict(stats)}
        found["compression_ratio"] = round(stats.compression_ratio, 4)
        hint = reader.hint()
        if hint is not None:
            found |= _identity(source, str(location)) | {"hint": hint.hex()}
    if as_json:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, value in found.items():
        print(
            f"{name.replace('_', ' '):{width}}  {value:,}"
            if type(value) is int
            else f"{name.replace('_', ' '):{width}}  {value}"
        )


def selected(reader: DesReader, prefix: str, pattern: str | None) -> Iterator[IndexEntry]:
    """Iterate over the entries whose names start with a prefix and match a pattern; only such names are looked at."""
    if pattern is None:
        yield from reader.iter_entries(prefix)
        return
    literal = pattern[: min((at for at in map(pattern.find, _WILDCARDS) if at >= 0), default=len(pattern))]
    if not literal.startswith(prefix) and not prefix.startswith(literal):
        return
    for entry in reader.iter_entries(max(prefix, literal, key=len)):
        if fnmatchcase(entry.name, pattern):
            yield entry


def _described(entry: IndexEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "size": entry.size,
        "stored_size": entry.stored_size,
        "data_offset": entry.offset,
        "external": entry.is_external,
    }


def _shown(name: str) -> str:
    # A script gets the name as it is; a terminal must not be steered by whoever made the archive.
    return printable(name) if sys.stdout.isatty() else name


def _identity(source: ByteSource, where: str) -> dict[str, Any]:
    from datetime import UTC, datetime

    from des_platform.archive.v2.layout import Footer

    tail, size = source.read_tail(64 * 1024)
    footer = Footer.parse(tail, size, where)

    def time(milliseconds: int) -> str:
        try:
            return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
        except (ValueError, OverflowError, OSError):
            return f"{milliseconds} ms"

    return {
        "archive_id": f"{footer.archive_id:#018x}",
        "generation": str(footer.generation),
        "created": time(footer.created_ms),
    }
