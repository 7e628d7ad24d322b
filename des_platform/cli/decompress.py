"""`des decompress`: the originals of compressed files, whichever codec wrote them.

The bytes say which codec that was, never the name. Nothing appears under the original's name unless all of it is right;
a bomb ends where the disk would be full, or earlier where `--max-size` says so.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.options import compression_threads
from des_platform.cli.archive.outcome import Problems, Unusable, complain, reporting, said
from des_platform.cli.archive.progress import byte_bar, in_units
from des_platform.cli.local_files import FileChanged, Input, Output, check_free, counted_bytes, index_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.codecs import Codec, FrameIndex

_HEAD_BYTES = 16

_Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="files to decompress")]
_Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="OUT", help="file to write; - is standard output")
]
_MaxSize = Annotated[
    int | None, typer.Option(metavar="BYTES", help="the most that may come out of a file; else what the disk has")
]
_Threads = Annotated[int | None, typer.Option(help="frames of a file with an index to read side by side", min=1)]
_Force = Annotated[bool, typer.Option("--force", help="replace files that are there")]


def decompress(
    files: _Files,
    output: _Output = None,
    max_size: _MaxSize = None,
    threads: _Threads = None,
    force: _Force = False,
) -> None:
    """Write the originals of compressed files; FILE.index, where there is one, lets its frames be read side by side."""
    from des_platform.codecs import CorruptStream, UnknownCodec

    with reporting():
        if output is not None and len(files) > 1:
            raise Unusable(f"{len(files)} files cannot all become {output}: leave out -o, or give one file")
        problems = Problems()
        for file in files:
            try:
                _decompress(file, output, max_size, threads or compression_threads(), force=force)
            except BrokenPipeError:
                raise  # whoever read standard output has read enough
            except OSError as error:
                problems.add(said(error))
            except (Unusable, FileChanged) as error:
                problems.add(error)
            except (CorruptStream, UnknownCodec) as error:
                problems.add(f"{file}: {error}")
        problems.end()


def _decompress(file: Path, wanted: str | None, max_size: int | None, threads: int, *, force: bool) -> None:
    from des_platform.codecs import codec_of

    with Input(file) as packed:
        codec = codec_of(packed.read(0, _HEAD_BYTES))
        _tell_wrong_extension(file, codec)
        target = None if wanted == "-" else Path(wanted or _original_name(file))
        check_free(target, force=force)
        limit = max_size
        if limit is None:
            limit = sys.maxsize if target is None else shutil.disk_usage(target.parent).free
        with Output(None if target is None else target.parent) as output, byte_bar(file.name) as bar:
            size = 0
            for piece in _pieces(packed, codec, limit, threads, bar):
                size += output.file.write(piece)
            packed.check()
            output.publish(target, force=force, like=file)
    if target is not None:
        print(f"{file} -> {target}: {in_units(packed.size)} to {in_units(size)}; {codec.name}")


def _pieces(packed: Input, codec: Codec, limit: int, threads: int, bar: Callable[[int, int], None]) -> Iterator[bytes]:
    from des_platform.codecs import OutputTooLarge, decompress, decompress_frames

    count = counted_bytes(bar, packed.size)
    index = _index(packed)
    if index is None:
        return decompress(codec, packed.chunks(count), max_size=limit, threads=threads)
    if index.original_size > limit:
        raise OutputTooLarge(f"its index promises {index.original_size} bytes, more than the {limit} allowed")

    def read(offset: int, length: int) -> bytes:
        data = packed.read(offset, length)
        count(data)
        return data

    return decompress_frames(codec, index, read, threads=threads)


def _index(packed: Input) -> FrameIndex | None:
    from des_platform.codecs import CorruptStream, FrameIndex

    beside = index_of(packed.path)
    try:
        index = FrameIndex.from_bytes(beside.read_bytes())
    except FileNotFoundError:
        return None
    except (CorruptStream, OSError) as error:
        complain(f"{beside} is not used: {error}")
        return None
    if index.compressed_size != packed.size:
        complain(f"{beside} is not used: it is of {index.compressed_size} bytes, {packed.path} has {packed.size}")
        return None
    return index


def _tell_wrong_extension(file: Path, codec: Codec) -> None:
    if file.suffix != codec.extension and file.suffix in _extensions():
        complain(f"{file} is {codec.name}, whatever its name says")


def _original_name(file: Path) -> Path:
    known = file.suffix in _extensions() and file.stem
    return file.with_suffix("") if known else file.with_name(f"{file.name}.out")


def _extensions() -> set[str]:
    from des_platform.codecs import all_codecs

    return {codec.extension for codec in all_codecs() if codec.extension}
