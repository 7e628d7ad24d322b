"""`des archive compact` and `des archive convert`: an archive written anew from another one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from des_platform.cli.archive.identity import ArchiveId, Created, identity
from des_platform.cli.archive.options import Archive, ReplaceArchive, Target, compression_threads
from des_platform.cli.archive.outcome import DAMAGED, Unusable, complain
from des_platform.cli.archive.progress import byte_bar, counted, in_units

_InPlace = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="ARCHIVE", help="the archive to write; in its own place if omitted"),
]
_To = Annotated[int, typer.Option("--to", help="version of the format", min=1, max=2)]


def compact(
    archive: Archive,
    output: _InPlace = None,
    force: ReplaceArchive = False,
    archive_id: ArchiveId = None,
    created: Created = None,
) -> None:
    """Write an archive without what was deleted from it, as one generation."""
    from des_platform.archive import UnsupportedVersion
    from des_platform.archive.rewriting import compact as run
    from des_platform.files.locations import open_sink, open_source

    options = identity(archive_id, created)
    with open_source(archive) as source, byte_bar("compacting") as show:
        sink = open_sink(output or archive, replace=force or output is None)
        try:
            done = run(source, sink, progress=show, **options)
        except UnsupportedVersion as error:
            raise Unusable(str(error)) from error
    sizes = f"{in_units(done.bytes_before)} -> {in_units(done.bytes_after)}"
    print(f"{output or archive}: {counted(done.files, 'file')}, {done.dropped:,} deleted ones dropped, {sizes}")


def convert(
    archive: Archive,
    output: Target,
    version: _To,
    force: ReplaceArchive = False,
    archive_id: ArchiveId = None,
    created: Created = None,
) -> None:
    """Write an archive in the other version of the format."""
    from des_platform.archive import CorruptArchive
    from des_platform.archive.rewriting import convert as run
    from des_platform.files.locations import open_sink, open_source

    options: dict[str, Any] = {}
    if version != 1:
        options = identity(archive_id, created) | {"threads": compression_threads()}
    elif archive_id is not None or created is not None:
        raise Unusable("--archive-id, --created: version 1 of the format has none of that")
    with open_source(archive) as source, byte_bar("converting") as show:
        sink = open_sink(output, replace=force)
        try:
            files = run(source, sink, format_version=1 if version == 1 else 2, progress=show, **options)
        except CorruptArchive:
            raise
        except ValueError as error:
            complain(f"{archive} cannot be of version {version}: {error}")
            raise SystemExit(DAMAGED) from None
    print(f"{output}: {counted(files, 'file')}, version {version}")
