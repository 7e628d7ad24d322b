"""`des archive extract`: an archive's files into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.listing import selected
from des_platform.cli.archive.options import Archive, Glob, ReplaceFiles  # noqa: TC001 - typer reads it at run time
from des_platform.cli.archive.outcome import Problems, said
from des_platform.cli.archive.progress import byte_bar, counted, in_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.archive import DesReader, IndexEntry

_BATCH_BYTES = 32 * 1024 * 1024
_BATCH_FILES = 2048

_Folder = Annotated[Path, typer.Argument(help="the folder; made if need be", show_default=False)]
_Prefix = Annotated[str, typer.Option(help="only names that start so")]


def extract(
    archive: Archive, folder: _Folder, prefix: _Prefix = "", pattern: Glob = None, force: ReplaceFiles = False
) -> None:
    """Write files into a folder. A name that would leave it is refused and counted, the others are written."""
    from des_platform.cli.archive.folder import Folder
    from des_platform.files.locations import open_reader

    problems = Problems()
    target = Folder(folder)
    files = done = 0
    with open_reader(archive) as reader, byte_bar("extracting") as show:
        total = 0 if prefix or pattern else _total(reader)
        for batch in _batches(selected(reader, prefix, pattern)):
            for name, data in _read(reader, batch, problems):
                try:
                    target.write(name, data, replace=force)
                except (OSError, ValueError) as error:
                    problems.add(f"{name!r}: {said(error)}")
                else:
                    files += 1
                    done += len(data)
            show(done, total)
    print(
        f"{folder}: {counted(files, 'file')}, {in_units(done)}"
        + (f"; {counted(problems.count, 'problem')}" if problems.count else "")
    )
    problems.end()


def _total(reader: DesReader) -> int:
    stats = reader.get_stats()
    return stats.data_bytes + stats.external_bytes


def _batches(entries: Iterator[IndexEntry]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for entry in entries:
        if batch and (size + entry.size > _BATCH_BYTES or len(batch) >= _BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(entry.name)
        size += entry.size
    if batch:
        yield batch


def _read(reader: DesReader, names: list[str], problems: Problems) -> Iterator[tuple[str, bytes]]:
    """Read many files together; one by one where something is wrong with one of them, to say with which."""
    try:
        yield from reader.get_files_batch(names).items()
    except (LookupError, ValueError):
        pass
    else:
        return
    for name in names:
        try:
            data = reader.get_file(name)
        except (LookupError, ValueError) as error:
            problems.add(f"{name!r}: {said(error)}")
        else:
            yield name, data
