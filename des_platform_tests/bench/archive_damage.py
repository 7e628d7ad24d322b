"""A small archive with every bit flipped, and cut at every byte: what is noticed, and what comes back.

The peers get the same objects. A tar file is read as far as it goes; a zip file and the literal reader of version 1
need their ends.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

from des_platform.archive import CorruptArchive, DesReader, DesWriter, FileSink, MemorySource, UnsupportedVersion
from des_platform.archive.recovery import recover
from des_platform.archive.verification import verify
from des_platform_tests.bench import archive_data
from des_platform_tests.bench.archive_measure import remove
from des_platform_tests.bench.archive_peers import write_tar, write_zip
from des_platform_tests.bench.archive_writing import LITERAL, write_literal
from des_platform_tests.bench.literal_v1 import LiteralV1Reader
from des_platform_tests.bench.results import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from des_platform_tests.bench.archive_measure import Scale


def bit_flips(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """How many of all single-bit flips are noticed by whoever verifies the archive or reads every object."""
    objects = _objects()
    scratch = folder / "flipped"

    def literal_notices(data: bytes) -> bool:
        scratch.write_bytes(data)
        return _raises(lambda: _read_literal(scratch, objects))

    ours = _share_noticed(_archive(folder, objects), scale.stride, lambda data: _notices(data, objects))
    for name, peer, written, notices in (
        ("bit_flips", LITERAL, _written(folder, objects, write_literal), literal_notices),
        ("bit_flips.zipfile", "zipfile", _written(folder, objects, write_zip), _zip_notices),
    ):
        theirs = _share_noticed(written, scale.stride, notices)
        yield Measurement(name, ours, "% found", peer, theirs, 100, absolute=True)
    remove(scratch)


def truncation(folder: Path, scale: Scale) -> Iterator[Measurement]:
    """How many of the objects that are whole come back from the archive cut at every byte."""
    objects = _objects()
    target = folder / "recovered"
    data = _archive(folder, objects)
    with DesReader(MemorySource(data)) as reader:
        ends = [entry.offset + entry.stored_size for entry in reader.iter_entries()]
    ours = _share_recovered(data, ends, scale.stride, lambda torn: _recovered(torn, target, objects))
    tar = _written(folder, objects, write_tar)
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        tar_ends = [member.offset_data + member.size for member in opened]
    theirs = _share_recovered(tar, tar_ends, scale.stride, lambda torn: _from_tar(torn, objects))
    yield Measurement("truncation", ours, "% of whole ones", "tarfile", theirs, 100, absolute=True)
    zipped = _written(folder, objects, write_zip)
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        headers = [member.header_offset for member in archive.infolist()]
    zip_ends = [*headers[1:], archive.start_dir]
    theirs = _share_recovered(zipped, zip_ends, scale.stride, lambda torn: _from_zip(torn, objects))
    yield Measurement("truncation.zipfile", ours, "% of whole ones", "zipfile", theirs, 100, absolute=True)


def _objects() -> dict[str, bytes]:
    """A few objects of every kind: some shrink, some do not, one is empty."""
    objects = {f"orders/{number}.json": document for number, document in enumerate(archive_data.documents(2))}
    objects |= dict(archive_data.small_objects(6))
    return objects | {"empty": b"", "nested.json": json.dumps([{"k": 1}] * 40).encode()}


def _archive(folder: Path, objects: Mapping[str, bytes]) -> bytes:
    path = folder / "damaged"
    with DesWriter(path, archive_id=1, created_ms=0) as writer:
        for number, (name, data) in enumerate(objects.items()):
            writer.add_file(name, data, {"number": number} if number % 2 else None)
    return _taken(path)


def _written(folder: Path, objects: Mapping[str, bytes], write: Callable[..., int]) -> bytes:
    path = folder / "damaged"
    write(path, list(objects), list(objects.values()))
    return _taken(path)


def _taken(path: Path) -> bytes:
    data = path.read_bytes()
    remove(path)
    return data


def _share_noticed(data: bytes, stride: int, notices: Callable[[bytes], bool]) -> float:
    """How many flips of a hundred are noticed; every `stride`-th bit is flipped."""
    if notices(data):
        raise CorruptArchive("the archive is damaged before any bit of it is flipped")
    damaged = bytearray(data)
    found = flips = 0
    for bit in range(0, len(data) * 8, stride):
        damaged[bit // 8] ^= 1 << bit % 8
        found += notices(bytes(damaged))
        damaged[bit // 8] ^= 1 << bit % 8
        flips += 1
    return 100 * found / flips


def _notices(data: bytes, objects: Mapping[str, bytes]) -> bool:
    source = MemorySource(data)
    try:
        if verify(source).problems:
            return True
        with DesReader(source) as reader:
            for name in objects:
                reader.get_file(name)
    except (CorruptArchive, UnsupportedVersion, KeyError):
        return True
    return False


def _read_literal(path: Path, objects: Mapping[str, bytes]) -> None:
    with LiteralV1Reader(path) as reader:
        for name in objects:
            reader.get_file(name)


def _zip_notices(data: bytes) -> bool:
    def read() -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile

    return _raises(read)


def _raises(read: Callable[[], object]) -> bool:
    try:
        read()
    except Exception:  # noqa: BLE001 - a peer may notice with any error
        return True
    return False


def _share_recovered(data: bytes, ends: list[int], stride: int, recovered: Callable[[bytes], int]) -> float:
    """How many of a hundred whole objects come back; the file is cut at every `stride`-th byte."""
    back = whole = 0
    for cut in range(0, len(data) + 1, stride):
        whole += sum(end <= cut for end in ends)
        back += recovered(data[:cut])
    return 100 * back / whole


def _recovered(torn: bytes, target: Path, objects: Mapping[str, bytes]) -> int:
    remove(target)
    try:
        recover(MemorySource(torn), FileSink(target))
    except CorruptArchive:
        return 0
    with DesReader(target) as reader:
        back = sum(reader.get_file(name) == objects[name] for name in reader.list_files())
    remove(target)
    return back


def _from_tar(torn: bytes, objects: Mapping[str, bytes]) -> int:
    back = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(torn)) as archive:
            for member in archive:
                file = archive.extractfile(member)
                back += file is not None and file.read() == objects[member.name]
    except tarfile.TarError:
        pass  # what came before the end is counted
    return back


def _from_zip(torn: bytes, objects: Mapping[str, bytes]) -> int:
    try:
        with zipfile.ZipFile(io.BytesIO(torn)) as archive:
            return sum(archive.read(name) == objects[name] for name in archive.namelist())
    except (zipfile.BadZipFile, KeyError):
        return 0
