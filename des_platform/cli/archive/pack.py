"""`des archive pack`: an archive from folders, files and lists of files."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from des_platform.cli.archive.identity import ArchiveId, Created, identity
from des_platform.cli.archive.options import ReplaceArchive, Target, compression_threads
from des_platform.cli.archive.outcome import DAMAGED, Problems, Unusable, said
from des_platform.cli.archive.progress import byte_bar, counted, in_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.archive import DesWriter
    from des_platform.cli.archive.inputs import Candidate
    from des_platform.files.locations import Location

_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_FILES = 4096

_Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE...", help="folders, whose files are named from there on; files; - for a list on standard input"
    ),
]
_Manifest = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help='a list of files: a path on each line, or {"path": ..., "name": ..., "meta": {...}}'
    ),
]
_Null = Annotated[bool, typer.Option("-0", "--null", help="lists end their entries with NUL, as find -print0 does")]
_Format = Annotated[int, typer.Option("--format", help="version of the format", min=1, max=2)]
_Level = Annotated[
    int | None, typer.Option(help="zstd level, 3 if not given; 0 stores files as they are", min=0, max=22)
]
_Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", metavar="NAME=TYPE", help="a key of the metadata that SQL shall see; string, long, double, boolean"
    ),
]
_Append = Annotated[bool, typer.Option("--append", help="add to the archive that is there, as its next generation")]
_BigFiles = Annotated[
    int | None,
    typer.Option(
        metavar="BYTES", help="files of so many bytes and more become objects in _bigFiles/ beside the archive", min=1
    ),
]


def pack(  # noqa: PLR0913, PLR0917 - the command line's options
    output: Target,
    sources: _Sources = None,
    manifest: _Manifest = None,
    null: _Null = False,
    format_version: _Format = 2,
    level: _Level = None,
    columns: _Columns = None,
    append: _Append = False,
    force: ReplaceArchive = False,
    archive_id: ArchiveId = None,
    created: Created = None,
    big_files: _BigFiles = None,
) -> None:
    """Pack files into an archive. A file that cannot be read is told and counted, the others are packed."""
    from des_platform.archive import CorruptArchive, DesWriter
    from des_platform.files.locations import LocalLocation, locate

    options = _options(format_version, level, columns or [], append, archive_id, created)
    target = locate(output)
    problems = Problems()
    local = target.path if isinstance(target, LocalLocation) else ""
    with ExitStack() as stack:
        found = _candidates(sources or [], manifest, null, local, problems.add, stack)
        if append:
            options["base"] = _base(target, stack)
        if big_files is not None:
            store, prefix = target.big_files()
            options |= {"big_files": store, "external_prefix": prefix, "big_file_threshold": big_files}
        sink = target.sink(replace=force or append)
        try:
            writer = DesWriter(sink, format_version=_version(format_version), **options)
        except CorruptArchive:
            raise
        except ValueError as error:
            raise Unusable(str(error)) from error
        with writer:
            before = len(writer)
            packed = _Packing(writer, problems).run(found, most=None if big_files is None else sys.maxsize)
            if problems.count and len(writer) == before:
                writer.abort()
                problems.add(f"{output}: nothing was packed, so it is not written")
                raise SystemExit(DAMAGED)
            files = len(writer) - before
    print(
        f"{output}: {counted(files, 'file')}, {in_units(packed)}"
        + (f"; {counted(problems.count, 'problem')}" if problems.count else "")
    )
    problems.end()


@dataclass(slots=True)
class _Packing:
    """Adds files to an archive, many at once, and tells what cannot be added."""

    writer: DesWriter
    problems: Problems
    done: int = 0

    def run(self, found: Iterator[Candidate], most: int | None) -> int:
        """Add all files and return how many bytes they have."""
        from des_platform.archive.v2.layout import MAX_OBJECT_BYTES

        batch: list[tuple[str, bytes, dict[str, Any] | None]] = []
        size = 0
        with byte_bar("packing") as show:
            for candidate in found:
                try:
                    data = _read(candidate.path, most or MAX_OBJECT_BYTES)
                except OSError as error:
                    self.problems.add(said(error))
                    continue
                batch.append((candidate.name, data, candidate.meta))
                size += len(data)
                if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                    self._add(batch)
                    show(self.done, 0)
                    batch, size = [], 0
            self._add(batch)
        return self.done

    def _add(self, batch: list[tuple[str, bytes, dict[str, Any] | None]]) -> None:
        start = 0
        while start < len(batch):
            before = len(self.writer)
            try:
                self.writer.add_many(batch[start:])
            except (TypeError, ValueError) as error:
                # Those before the one that was refused are in.
                self.problems.add(error)
                refused = start + len(self.writer) - before
                self._count(batch[start:refused])
                start = refused + 1
            else:
                self._count(batch[start:])
                start = len(batch)

    def _count(self, added: list[tuple[str, bytes, dict[str, Any] | None]]) -> None:
        self.done += sum(len(data) for _, data, _ in added)


def _candidates(
    sources: list[str], manifest: str | None, null: bool, archive: str, tell: Callable[[str], None], stack: ExitStack
) -> Iterator[Candidate]:
    from des_platform.cli.archive.inputs import from_list, from_source

    if not sources and manifest is None:
        raise Unusable("nothing to pack: name folders or files, - for a list on standard input, or --manifest FILE")
    if missing := [source for source in sources if source != "-" and not os.path.lexists(source)]:
        raise Unusable(f"{missing[0]}: there is no such folder or file")
    listed = None if manifest is None else stack.enter_context(Path(manifest).open("rb"))  # noqa: SIM115 - the stack closes it

    def chain() -> Iterator[Candidate]:
        for source in sources:
            if source == "-":
                yield from from_list(sys.stdin.buffer, null=null, tell=tell)
            else:
                yield from from_source(source, archive, tell)
        if listed is not None:
            yield from from_list(listed, null=null, tell=tell)

    return chain()


def _options(
    format_version: int,
    level: int | None,
    columns: list[str],
    append: bool,
    archive_id: str | None,
    created: str | None,
) -> dict[str, Any]:
    """The writer's own, checked as far as the command line alone can tell."""
    given = {
        "--level": level,
        "--column": columns,
        "--append": append,
        "--archive-id": archive_id,
        "--created": created,
    }
    if format_version == 1:
        if named := [name for name, value in given.items() if value not in (None, False, [])]:
            raise Unusable(f"{', '.join(named)}: version 1 of the format has none of that; leave out --format 1")
        return {}
    if append and (columns or archive_id is not None):
        raise Unusable("--append: the archive has its columns and its id already; leave out --column and --archive-id")
    options: dict[str, Any] = {
        **identity(archive_id, created),
        "columns": dict(_column(column) for column in columns),
        "threads": compression_threads(),
    }
    if level is not None:
        options["compression_level"] = level or None
    return options


def _column(text: str) -> tuple[str, str]:
    name, equals, kind = text.rpartition("=")
    if not equals or not name:
        raise Unusable(f"--column {text}: expected NAME=TYPE, as camera=string")
    return name, kind


def _base(target: Location, stack: ExitStack) -> object:
    from des_platform.files.locations import open_source

    return stack.enter_context(open_source(target))


def _version(number: int) -> Literal[1, 2]:
    return 1 if number == 1 else 2


def _read(path: str, most: int) -> bytes:
    """A regular file's bytes; a pipe or a device would be waited for, or never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path}: it is no regular file")
        if status.st_size > most:
            raise OSError(
                f"{path}: {status.st_size} bytes are more than a file in an archive can have; use --big-files"
            )
        return file.readall()
