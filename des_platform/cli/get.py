"""`des get NAME`: a file's original bytes, wherever they live now."""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.files import FileRow


def get(
    name: Annotated[str, typer.Argument(help="DES name of the file, or BUCKET/KEY under which it arrived")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="file to write; standard output if omitted")
    ] = None,
) -> None:
    """Write a file's original bytes to standard output or to a file."""
    from des_platform.catalog.database import Catalog
    from des_platform.files.reader import FileReader
    from des_platform.objectstore import Buckets

    demo_environment()
    settings = load_settings()
    with Catalog.open(settings) as catalog:
        pieces = FileReader(catalog, Buckets(settings)).stream(_find(catalog, name))
        if output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            try:
                _write(output, pieces)
            except OSError as error:
                print(f"des: {output} cannot be written: {error.strerror}", file=sys.stderr)
                raise SystemExit(2) from None


def _find(catalog: Catalog, name: str) -> FileRow:
    from des_platform.catalog import files

    with catalog.begin() as connection:
        found = files.by_name(connection, name)
        if found is None and "/" in name:
            found = files.by_key(connection, *name.split("/", 1))
    if found is None:
        print(
            f"des: no file is catalogued as {name!r}; names look like DES_20260301_(0123456789AB_CC)", file=sys.stderr
        )
        raise SystemExit(1)
    return found


def _write(output: Path, pieces: Iterator[bytes]) -> None:
    """Write beside the target and rename, so that a stream that ends badly leaves nothing under the target's name."""
    if output.exists() and not output.is_file():  # a pipe or a device is written to, never replaced
        with output.open("wb") as stream:
            stream.writelines(pieces)
        return
    beside = output.with_name(f".{output.name}-{uuid.uuid4().hex}")
    try:
        with beside.open("xb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(output)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
