"""Feeds broken and lying objects to every codec, frame indexes, files of records and chunk manifests to their readers.

What may come out is what the documentation names, and bytes that were once put in: the whole original, or a row of
frames that are all true. An index may lie in everything but the hashes and the size that its reader knows, and still
no wrong byte comes of it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from des_platform.codecs import (
    CorruptStream,
    FrameIndex,
    OutputTooLarge,
    UnknownCodec,
    codec_of,
    decompress,
    decompress_frames,
    get_codec,
)
from des_platform.sources.messages.bodies import MalformedMessage
from des_platform.sources.messages.chunk_manifest import chunk_manifest, chunked_file
from des_platform_tests.archive.corpus import seeded
from des_platform_tests.fuzz.codec_corpus import (
    FRAMED,
    by_size,
    contents,
    manifests,
    objects,
    record_files,
    record_originals,
)
from des_platform_tests.fuzz.codec_mutations import mutate_index, mutate_object, mutate_records
from des_platform_tests.fuzz.json_mutations import mutate_json
from des_platform_tests.fuzz.watching import Find, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

MIB = 1 << 20
_BYTES_PER_BYTE = 64
_WINDOW_BYTES = 128 * MIB
_MOST_BYTES = {"records": 256 * MIB, "manifest": 24 * MIB}
_MOST_OUTPUT = 8 * MIB
_KINDS = (*FRAMED, "records", "manifest")


@dataclass(frozen=True)
class Case:
    """What a reader is fed.

    Attributes:
        kind: the codec's name, or `manifest`.
        data: the object, or the message.
        index: the index that stands beside the object, if one does.
    """

    kind: str
    data: bytes
    index: bytes | None = None


class CodecFuzzer:
    """Runs cases.

    Args:
        seed: cases of another seed are others.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.outcomes: Counter[str] = Counter()

    def case(self, number: int) -> tuple[Case, Random]:
        """Return a case, and what chooses the rest."""
        random = seeded(f"{self.seed}/{number}")
        kind = random.choice([*FRAMED, "records", "records", "manifest"])
        if kind == "records":
            return Case(kind, mutate_records(random.choice(record_files()), record_files(), random)), random
        if kind == "manifest":
            return Case(kind, mutate_json(random.choice(manifests()), random).encode()), random
        return _framed(kind, random), random

    def run(self, number: int) -> None:
        """Run a case.

        Raises:
            Find: something came out that must not.
        """
        case, random = self.case(number)
        self.outcomes[f"{case.kind}{' index' if case.index else ''}: {check(case, random)}"] += 1

    def save(self, number: int, path: Path) -> list[Path]:
        """Write the object of a case, and its index."""
        return save(self.case(number)[0], path)


def _framed(kind: str, random: Random) -> Case:
    stored = objects(kind)
    # What is quick is tried most: of the bomb, mebibytes come out.
    name = random.choices(list(stored), [1 if name == "bomb" else 8 for name in stored])[0]
    whole, others = stored[name], [item for key, item in stored.items() if key != "bomb"]
    if random.random() < 0.5:
        return Case(kind, mutate_object(whole, others, random))
    entries = random.choice([whole, whole, whole, random.choice(others)]).index
    data = whole.data if random.random() < 0.8 else mutate_object(whole, others, random)
    return Case(kind, data, mutate_index(entries, random.choice(others).index, random))


def save(case: Case, path: Path) -> list[Path]:
    """Write a case to files that begin with that path and end with its kind."""
    saved = [path.with_name(f"{path.name}.{case.kind}")]
    saved[0].write_bytes(case.data)
    if case.index is not None:
        saved.append(path.with_name(f"{saved[0].name}.index"))
        saved[1].write_bytes(case.index)
    return saved


def load(path: Path) -> Case:
    """Read the case again whose object is that file."""
    index = path.with_name(f"{path.name}.index")
    return Case(path.suffix[1:], path.read_bytes(), index.read_bytes() if index.exists() else None)


def check(case: Case, random: Random) -> str:
    """Feed a case to its reader, and return what came of it.

    Raises:
        Find: something that must not.
    """
    run: Callable[[], str]
    if case.kind == "manifest":
        run = partial(_check_manifest, case.data.decode())
    elif case.index is not None:
        run = partial(_check_index, case, case.index, random)
    else:
        run = partial(_check_stream, case, random)
    length = len(case.data) + len(case.index or b"")
    most = _MOST_BYTES.get(case.kind, _WINDOW_BYTES) + _BYTES_PER_BYTE * length
    return watched(run, f"{case.kind} of {length} bytes", most_bytes=most)


def _check_stream(case: Case, random: Random) -> str:
    with suppress(UnknownCodec):
        codec_of(case.data[:16])
    most = random.choice([0, 1, 699, 3333, 100_000, MIB, 64 * MIB, 1 << 40])
    chunks = _cut(case.data, random.choice([7, 1000, 1 << 16]) if len(case.data) < 1000 else 1 << 16)
    threads = 2 if random.random() < 0.1 else 1
    try:
        output = _taken(decompress(get_codec(case.kind), chunks, max_size=most, threads=threads), most)
    except (CorruptStream, OutputTooLarge) as error:
        return _named(error)
    if output is None or case.kind == "store":
        return "much"
    if not (output in record_originals() if case.kind == "records" else _is_made_of(output, contents())):
        raise Find(f"{case.kind}: {len(output)} bytes came out that were never put in: {output[:80]!r}")
    return "fine"


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _taken(pieces: Iterator[bytes], most: int) -> bytes | None:
    """All pieces together; None if they are too many to be held."""
    held, size = bytearray(), 0
    for piece in pieces:
        size += len(piece)
        if not 0 < len(piece) <= MIB or size > most:
            raise Find(f"a piece of {len(piece)} bytes, {size} in all, where at most {most} may come")
        if size <= _MOST_OUTPUT:
            held += piece
    return bytes(held) if size <= _MOST_OUTPUT else None


def _is_made_of(output: bytes, parts: list[bytes]) -> bool:
    """Whether some bytes are a row of these parts."""
    reached, waiting = {0}, [0]
    while waiting and len(output) not in reached:
        start = waiting.pop()
        ends = {start + len(part) for part in parts if output.startswith(part, start)} - reached
        reached |= ends
        waiting += ends
    return len(output) in reached


def _check_index(case: Case, data: bytes, random: Random) -> str:
    try:
        index = FrameIndex.from_bytes(data)
    except CorruptStream as error:
        return _named(error)
    if FrameIndex.from_bytes(index.to_bytes()) != index:
        raise Find("an index is another one when it is written and read again")
    # A lie about one frame is no lie to who reads another one alone.
    for frame in index.frames[:8]:
        _check_range(case, index, frame.original_offset, frame.original_size, 1)
    return _check_range(case, index, *_range(index, random), 2 if random.random() < 0.1 else 1)


def _check_range(case: Case, index: FrameIndex, offset: int, length: int, threads: int) -> str:
    read = partial(_read, case.data)
    try:
        pieces = decompress_frames(get_codec(case.kind), index, read, offset=offset, length=length, threads=threads)
        output = _taken(pieces, length)
    except CorruptStream as error:
        return _named(error)
    if output is None:
        return "much"
    if len(output) != length:
        raise Find(f"{len(output)} bytes came for a range of {length}")
    # Its reader knows the size of the original, and takes no index of another size.
    original, hashes = by_size().get(index.original_size, (b"", []))
    if [frame.xxh3 for frame in index.frames] != hashes:
        return "another's"
    if output != original[offset : offset + length]:
        raise Find(f"{case.kind}: bytes {offset} to {offset + length} are {output[:80]!r} by a lying index")
    return "fine"


def _read(data: bytes, offset: int, length: int) -> bytes:
    if length <= 0 or offset < 0 or length > 32 * MIB:
        raise Find(f"{length} bytes at {offset} were asked for")
    return data[offset : offset + length]


def _range(index: FrameIndex, random: Random) -> tuple[int, int]:
    """A range within the original that an index tells of, often all of it or one that ends where a frame does."""
    size = index.original_size
    if random.random() < 0.3:
        return 0, size
    borders = [0, size, *(frame.original_offset for frame in index.frames[:100])]
    ends = [
        min(max(0, random.choice([*borders, random.randrange(size + 1)]) + random.choice([-1, 0, 0, 1])), size)
        for _ in range(2)
    ]
    return min(ends), max(ends) - min(ends)


def _check_manifest(body: str) -> str:
    try:
        file = chunked_file(body)
    except MalformedMessage as error:
        _named(error)
        return "MalformedMessage"
    if file is None:
        return "none"
    if list(file.sequence_numbers) != sorted(set(file.sequence_numbers)) or min(file.sequence_numbers) < 0:
        raise Find(f"{file.sequence_numbers} are no places in a shard")
    if file.checksums is not None and len(file.checksums) != len(file.sequence_numbers):
        raise Find("there are not as many checksums as chunks")
    if chunked_file(chunk_manifest(file)) != file:
        raise Find(f"{file} is another one when it is written and read again")
    json.loads(chunk_manifest(file))
    for name in file.pipeline:
        try:
            get_codec(name)
        except UnknownCodec as error:
            return _named(error)
    return "fine"


def _named(error: Exception) -> str:
    """The kind of an error that may be, whose text must be short, and fit for a log and a database."""
    text = str(error)
    if len(text) > 2000 or "\0" in text or re.search("[\ud800-\udfff]", text):
        raise Find(f"an error whose text is no text for a log: {text[:2000]!r}") from error
    return type(error).__name__
