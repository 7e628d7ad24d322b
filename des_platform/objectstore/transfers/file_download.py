"""Downloads to local files: hashed on the way, compared with the object's own checksum, resumed where they broke off.

Invariants: under the file's name stands what was there before, or the whole object, synced and proven as far as it can
be; what is on its way stands beside it, in `.NAME.VERSION.part`, named after the version of the object, so that another
version begins anew. All bytes come from one version. Four requests are on their way or waiting at once, so memory holds
four chunks.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal
from uuid import uuid4

from des_platform.objectstore.errors import IntegrityError, ObjectNotFound, PreconditionFailed, RangeNotSatisfiable
from des_platform.objectstore.threads import in_order
from des_platform.objectstore.transfers.checksums import Digests, ask
from des_platform.objectstore.transfers.progress import logged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from des_platform.objectstore.objects import Progress
    from des_platform.objectstore.store import ObjectStore
    from des_platform.objectstore.transfers.checksums import Stated

_CHUNK_BYTES = 8 * 1024 * 1024
_AT_ONCE = 4
_LONGEST_NAME_BYTES = 200

Proof = Literal["expected", "checksum", "metadata", "unverified"]


@dataclass(frozen=True, slots=True)
class Download:
    """What a download wrote.

    Attributes:
        path: the file.
        key: the object's key.
        size: bytes.
        etag: as in `ObjectInfo`.
        sha256: SHA-256 of the file, 64 lower-case hexadecimal digits.
        proof: what that was compared with: the caller's own, the checksum that the store states, the one in the
            object's metadata; `unverified` where there is none of them.
        resumed_bytes: what an interrupted download had written already.
    """

    path: Path
    key: str
    size: int
    etag: str
    sha256: str
    proof: Proof
    resumed_bytes: int


def download(
    store: ObjectStore,
    key: str,
    path: Path,
    *,
    expected_sha256: str | None = None,
    min_bytes: int = 0,
    accept: Callable[[Path], None] = lambda _: None,
    progress: Progress | None = None,
    resume: bool = True,
) -> Download:
    """Write an object to a local file, replacing the file at the end.

    Args:
        store: the bucket.
        key: the object's key.
        path: the file; its folder must exist.
        expected_sha256: 64 hexadecimal digits that the bytes must have.
        min_bytes: an object that is smaller is refused before its bytes are read.
        accept: looks at the whole, proven file before it gets its name; what it raises is raised, and the file goes.
        progress: called with the bytes that are here; by default lines of the log tell of them.
        resume: keep what came when it breaks off, and go on from there.

    Raises:
        ObjectNotFound: there is no such object.
        IntegrityError: other bytes came than were stored, the object was replaced meanwhile, or it is too small.
        AccessDenied: the store knows us too little.
        StoreUnavailable: it refused or did not answer.
        OSError: the file cannot be written.
    """
    if path.exists() and not path.is_file():
        raise IsADirectoryError(f"{path} is no regular file, and would be replaced")
    found = ask(store, key)
    if found.size < min_bytes:
        raise IntegrityError(f"{_place(store, key)}: it has {found.size} bytes, expected at least {min_bytes}")
    told = progress or logged(f"download of {store.uri(key)} to {path.name}")
    with _beside(path, f"{store.uri(key)}\0{found.etag}", keep=resume and bool(found.etag)) as (file, part):
        digests = Digests(found.part_bytes or 0)
        resumed = _take_up(file, digests, found.size)
        told(resumed, found.size)
        _write_rest(store, key, found, file, digests, told)
        file.flush()
        os.fsync(file.fileno())
        try:
            proof = _compare(_place(store, key), found, digests, expected_sha256)
            accept(part)
        except BaseException:
            part.unlink()
            raise
        part.replace(path)
    _sync(path.parent)
    return Download(path, key, found.size, found.etag, digests.sha256, proof, resumed)


@contextmanager
def _beside(path: Path, version: str, *, keep: bool) -> Iterator[tuple[BinaryIO, Path]]:
    """Open what is there already of this version, locked; another download of it at the same time has its own."""
    stem = _short(path.name)
    part = path.with_name(f".{stem}.{hashlib.sha256(version.encode(errors='surrogateescape')).hexdigest()[:16]}.part")
    for old in path.parent.glob("*.part"):
        if re.fullmatch(rf"\.{re.escape(stem)}\.[0-9a-f]{{16}}\.part", old.name) and old != part:
            _remove_if_idle(old)
    file = part.open("a+b")
    if not _lock(file):
        file.close()
        keep = False
        part = path.with_name(f".{stem}.{uuid4().hex}.part")
        file = part.open("a+b")
    try:
        with file:
            yield file, part
    except BaseException:
        if not keep:
            part.unlink(missing_ok=True)
        raise


def _take_up(file: BinaryIO, digests: Digests, size: int) -> int:
    """Hash what is there already; return how much it is."""
    there = file.seek(0, os.SEEK_END)
    if there > size:
        file.truncate(0)
        return 0
    file.seek(0)
    while data := file.read(_CHUNK_BYTES):
        digests.add(data)
    return there


def _write_rest(
    store: ObjectStore,
    key: str,
    found: Stated,
    file: BinaryIO,
    digests: Digests,
    progress: Progress,
) -> None:
    done = file.tell()

    def read(start: int) -> bytes:
        length = min(_CHUNK_BYTES, found.size - start)
        return store.get_range(key, start, length, if_match=found.etag or None)

    try:
        for data in in_order(read, range(done, found.size, _CHUNK_BYTES), _AT_ONCE):
            file.write(data)
            digests.add(data)
            done += len(data)
            progress(done, found.size)
    except (ObjectNotFound, PreconditionFailed, RangeNotSatisfiable) as error:
        raise IntegrityError(
            f"{_place(store, key)}: it was replaced while it was downloaded, after {done} of {found.size} bytes; "
            "download it again"
        ) from error


def _compare(place: str, found: Stated, digests: Digests, expected: str | None) -> Proof:
    """Compare with everything that is known; return the best proof."""
    known: dict[Proof, tuple[str, str]] = {}
    if expected:
        known["expected"] = (expected.lower(), digests.sha256)
    if found.part_bytes is not None:
        known["checksum"] = (found.checksum, digests.checksum)
    if found.sha256:
        known["metadata"] = (found.sha256, digests.sha256)
    for name, (wanted, came) in known.items():
        if wanted != came:
            whose = {"expected": "the expected one", "checksum": "the store's own"}.get(name, "that of its metadata")
            raise IntegrityError(
                f"{place}: its SHA-256 is {came}, {whose} is {wanted}: other bytes came than were stored; nothing was "
                "written"
            )
    return next(iter(known), "unverified")


def _place(store: ObjectStore, key: str) -> str:
    return f"bucket {store.bucket!r}, key {key!r}"


def _short(name: str) -> str:
    """The start of a file's name that leaves room for an addition."""
    return os.fsdecode(os.fsencode(name)[:_LONGEST_NAME_BYTES])


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_if_idle(part: Path) -> None:
    with part.open("rb") as file:
        if _lock(file):
            part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
