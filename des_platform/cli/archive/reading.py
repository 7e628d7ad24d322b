"""`des archive get` and `des archive cat`: single files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from des_platform.cli.archive.options import Archive, ReplaceFiles  # noqa: TC001 - typer reads it at run time
from des_platform.cli.archive.outcome import Problems, said

_Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="names of files", show_default=False)]
_Output = Annotated[
    Path, typer.Option("-o", "--output", help="the file to write; a folder, if it is one or there are several names")
]


def get(archive: Archive, names: _Names, output: _Output = Path(), force: ReplaceFiles = False) -> None:
    """Copy files out of an archive, each under its name in the working folder, or where -o says."""
    from des_platform.cli.archive.folder import Folder, write_file
    from des_platform.files.locations import open_reader

    problems = Problems()
    with open_reader(archive) as reader:
        folder = Folder(output) if len(names) > 1 or output.is_dir() else None
        for name in names:
            try:
                data = reader.get_file(name)
                if folder is None:
                    write_file(output, data, replace=force)
                else:
                    folder.write(name, data, replace=force)
            except KeyError:
                problems.add(f"{archive}: there is no file {name!r}")
            except (LookupError, ValueError, OSError) as error:
                problems.add(f"{name!r}: {said(error)}")
    problems.end()


def cat(archive: Archive, names: _Names) -> None:
    """Write files to standard output, one after the other."""
    from des_platform.files.locations import open_reader

    problems = Problems()
    with open_reader(archive) as reader:
        for name in names:
            try:
                data = reader.get_file(name)
            except KeyError:
                problems.add(f"{archive}: there is no file {name!r}")
            except (LookupError, ValueError) as error:
                problems.add(f"{name!r}: {error}")
            else:
                sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    problems.end()
