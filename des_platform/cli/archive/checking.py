"""`des archive verify` and `des archive recover`: what is whole in an archive, and what can be made whole."""

from __future__ import annotations

from typing import Annotated

import typer

from des_platform.cli.archive.options import Archive, ReplaceArchive, Target  # noqa: TC001 - typer reads it at run time
from des_platform.cli.archive.outcome import DAMAGED, UNUSABLE, Problems, Unusable, complain, said
from des_platform.cli.archive.progress import byte_bar, counted, in_units

_Archives = Annotated[list[str], typer.Argument(metavar="ARCHIVE...", help="paths or addresses", show_default=False)]
_Upload = Annotated[
    bool, typer.Option("--upload", help="of an upload to S3 that never ended: first make an object of it")
]


def verify(archives: _Archives) -> None:
    """Read archives whole and check every byte; name all that is wrong."""
    worst = 0
    for archive in archives:
        worst = max(worst, _verify(archive))
    if worst:
        raise SystemExit(worst)


def recover(archive: Archive, output: Target, upload: _Upload = False, force: ReplaceArchive = False) -> None:
    """Write an archive of all that is whole in a torn or damaged one. Exit code 1 if something is not.

    After a crash, what a killed `pack` had written stands beside its target as .NAME.des.tmp.
    """
    from des_platform.archive.recovery import recover as run
    from des_platform.files.locations import open_sink, open_source

    if upload:
        _finish_upload(archive)
    problems = Problems()
    with open_source(archive) as source, byte_bar("recovering") as show:
        found = run(source, open_sink(output, replace=force), progress=show)
    for problem in found.problems:
        problems.add(problem)
    for name in found.lost:
        problems.add(f"lost: {name!r}")
    print(f"{output}: {counted(found.recovered, 'file')} recovered, {len(found.lost):,} known to be lost")
    problems.end()


def _verify(archive: str) -> int:
    from des_platform.archive.verification import verify as run
    from des_platform.files.locations import InvalidAddress, open_source
    from des_platform.objectstore import IntegrityError, ObjectNotFound, PreconditionFailed, StoreUnavailable

    try:
        with open_source(archive) as source, byte_bar(f"verifying {archive}") as show:
            found = run(source, progress=show)
    except (InvalidAddress, ObjectNotFound, StoreUnavailable) as error:
        complain(error)
        return UNUSABLE
    except OSError as error:
        complain(said(error))
        return UNUSABLE
    except (IntegrityError, PreconditionFailed) as error:
        complain(f"{archive}: {error}")
        return DAMAGED
    for problem in found.problems:
        complain(f"{archive}: {problem}")
    if found.problems:
        print(f"{archive}: DAMAGED, {counted(len(found.problems), 'problem')}; {counted(found.files, 'file')} right")
        return DAMAGED
    print(f"{archive}: ok, version {found.version}, {counted(found.files, 'file')}, {in_units(found.bytes)}")
    return 0


def _finish_upload(archive: str) -> None:
    from des_platform.files.locations import BucketLocation, locate

    location = locate(archive)
    if not isinstance(location, BucketLocation):
        raise Unusable(f"--upload: {archive} is not on S3; unfinished uploads are there alone")
    if location.store().finish_torn_upload(location.key) is None:
        raise Unusable(f"{archive}: there is no unfinished upload with a part to bring back")
    complain(f"the unfinished upload is the object {archive} now; delete it when the recovered archive is in its place")
