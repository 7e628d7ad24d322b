"""`des compress`: files of this machine become smaller files that ordinary tools open.

Each is compressed beside its target, read back, compared by SHA-256, and only then named; on any error the original is
as it was and no new file is there. A file that does not shrink is left alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.options import compression_threads
from des_platform.cli.archive.outcome import Problems, Unusable, reporting, said
from des_platform.cli.archive.progress import byte_bar, in_units
from des_platform.cli.local_files import (
    FileChanged,
    Input,
    Output,
    check_free,
    counted_bytes,
    digest,
    index_of,
)

if TYPE_CHECKING:
    from des_platform.codecs import Choice, FrameIndex, Profile

_Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="files to compress")]
_Profile = Annotated[
    str | None, typer.Option(help="hot, warm, cold, compatible or archive; a sample chooses the codec; warm if omitted")
]
_Codec = Annotated[str | None, typer.Option(help="one of `des codecs ls`, whatever the file is like")]
_Level = Annotated[int | None, typer.Option(help="the codec's level; 10 is what xz calls 9e")]
_Threads = Annotated[int | None, typer.Option(help="frames to compress side by side; never changes a byte", min=1)]
_Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="OUT", help="file to write; - is standard output")
]
_Index = Annotated[bool, typer.Option("--index", help="write OUT.index, too, for reading ranges and in parallel")]
_Delete = Annotated[bool, typer.Option("--delete-original/--keep", help="remove FILE once OUT is proven and in place")]
_Force = Annotated[bool, typer.Option("--force", help="replace files that are there")]


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for, of every file alike: a choice of the user's own, or a profile."""

    profile: Profile
    chosen: Choice | None
    threads: int
    index: bool
    delete: bool
    force: bool


@dataclass(frozen=True, slots=True)
class _Done:
    choice: Choice
    size: int
    index: FrameIndex


def compress(  # noqa: PLR0913, PLR0917 - the command line's options
    files: _Files,
    profile: _Profile = None,
    codec: _Codec = None,
    level: _Level = None,
    threads: _Threads = None,
    output: _Output = None,
    index: _Index = False,
    delete_original: _Delete = False,
    force: _Force = False,
) -> None:
    """Compress files, each by the codec that a sample of it chooses. What was written is read back and compared."""
    from des_platform.codecs import CorruptStream, NotRecords, UnknownCodec
    from des_platform.objectstore import IntegrityError

    with reporting():
        request = _request(profile, codec, level, threads, index=index, delete=delete_original, force=force)
        if output == "-" and (index or delete_original):
            raise Unusable("--index and --delete-original need a file to write: leave out -o -")
        if output is not None and len(files) > 1:
            raise Unusable(f"{len(files)} files cannot all become {output}: leave out -o, or give one file")
        problems = Problems()
        for file in files:
            try:
                _compress(file, output, request)
            except BrokenPipeError:
                raise  # whoever read standard output has read enough
            except OSError as error:
                problems.add(said(error))
            except (Unusable, FileChanged) as error:
                problems.add(error)
            except (CorruptStream, IntegrityError, NotRecords, UnknownCodec) as error:
                problems.add(f"{file}: {error}")
        problems.end()


def _request(
    profile: str | None, codec: str | None, level: int | None, threads: int | None, **switches: bool
) -> _Request:
    from des_platform.codecs import Choice, Profile, UnknownCodec, get_codec

    if codec is not None and profile is not None:
        raise Unusable("--codec says how to compress, --profile lets the file decide: leave out one")
    if codec is None and level is not None:
        raise Unusable("--level is a codec's: give --codec, too")
    try:
        found = None if codec is None else get_codec(codec)
        if found is not None and level is not None:
            found = found.at_level(level)
        wanted = Profile(profile or "warm")
    except UnknownCodec as error:
        raise Unusable(str(error)) from None
    except ValueError:
        raise Unusable(f"there is no profile {profile!r}: choose from {', '.join(Profile)}") from None
    chosen = None if found is None else Choice(found, f"{found.name}-{found.level}: as asked for", 1.0)
    return _Request(wanted, chosen, threads or compression_threads(), **switches)


def _compress(file: Path, wanted: str | None, request: _Request) -> None:
    from des_platform.codecs import choose

    with Input(file) as original:
        choice = request.chosen or choose(_samples(original), request.profile, size=original.size)
        if choice.codec.name == "store" and wanted is None:
            print(f"{file}: left as it is: {choice.reason}")
            return
        check_free(_target(file, wanted, choice), force=request.force)
        folder = None if wanted == "-" else Path(wanted or file).parent
        with Output(folder) as output:
            done = _fitting(original, output, choice, request)
            if done.size >= original.size and wanted is None and request.chosen is None:
                print(f"{file}: left as it is: {done.choice.codec.name} gave {done.size} of {original.size} bytes")
                return
            target = _target(file, wanted, done.choice)
            original.check()
            output.publish(target, force=request.force, like=file)
        if target is not None:
            _finish(original, target, done, request)


def _target(file: Path, wanted: str | None, choice: Choice) -> Path | None:
    if wanted == "-":
        return None
    return file.with_name(file.name + choice.codec.extension) if wanted is None else Path(wanted)


def _finish(original: Input, target: Path, done: _Done, request: _Request) -> None:
    if request.index and done.index.frames:
        with Output(target.parent) as beside:
            beside.file.write(done.index.to_bytes())
            beside.publish(index_of(target), force=True)  # what stood there is of another object now
    ratio = original.size / max(done.size, 1)
    print(
        f"{original.path} -> {target}: {in_units(original.size)} to {in_units(done.size)} ({ratio:.2f} to 1); "
        f"{done.choice.reason}"
    )
    if request.delete:
        original.check()
        original.path.unlink()


def _samples(original: Input) -> list[bytes]:
    from des_platform.codecs import sample_ranges

    return [original.read(offset, length) for offset, length in sample_ranges(original.size)]


def _fitting(original: Input, output: Output, choice: Choice, request: _Request) -> _Done:
    """Compress by the choice, or by the best ordinary codec where `records` turns out not to suit."""
    from des_platform.codecs import CorruptStream, NotRecords, smaller_than_records, without_records
    from des_platform.objectstore import IntegrityError

    if choice.codec.name != "records" or request.chosen is not None:
        return _proven(original, output, choice, request.threads)
    try:
        done = _proven(original, output, choice, request.threads)
    except (NotRecords, CorruptStream, IntegrityError) as error:
        ordinary = without_records(_samples(original), size=original.size, why=str(error))
    else:
        smaller = smaller_than_records(_samples(original), choice, size=original.size, left=done.size)
        if smaller is None:
            return done
        ordinary = smaller
    output.clear()
    return _proven(original, output, ordinary, request.threads)


def _proven(original: Input, output: Output, choice: Choice, threads: int) -> _Done:
    """Compress into the output, read it back and compare.

    Raises:
        IntegrityError: what came back is something else.
    """
    from des_platform.codecs import compress, decompress
    from des_platform.objectstore import IntegrityError

    sha256 = hashlib.sha256()
    with byte_bar(f"{original.path.name} by {choice.codec.name}") as bar:
        chunks = original.chunks(counted_bytes(bar, original.size, sha256.update))
        compressed = compress(choice.codec, chunks, threads=threads)
        size = sum(map(output.file.write, compressed))
    with byte_bar(f"{original.path.name} read back") as bar:
        pieces = decompress(choice.codec, output.read_back(), max_size=original.size, threads=threads)
        found = digest(pieces, counted_bytes(bar, original.size))
    if found != sha256.hexdigest():
        raise IntegrityError(f"{choice.codec.name} did not give back what it was given: the original stays")
    return _Done(choice, size, compressed.index)
