"""Feeds broken and lying archives to all that reads archives; each case follows from a seed and its number alone.

What may come out is `CorruptArchive`, `UnsupportedVersion`, and what a method's documentation names besides. A read
outside the archive, memory beyond a small multiple of it, or a case that takes seconds is a find like any other error.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import zstandard

from des_platform.archive import (
    CorruptArchive,
    DesReader,
    DesWriter,
    ExternalFile,
    ReadPolicy,
    UnsupportedVersion,
)
from des_platform.archive.recovery import recover
from des_platform.archive.rewriting import compact, convert
from des_platform.archive.v2.builder import V2Builder
from des_platform.archive.verification import verify
from des_platform_tests.archive.corpus import ARCHIVE_ID, CREATED_MS, MemorySink, documents, noise, seeded, write
from des_platform_tests.fuzz.mutations import mutate, mutate_hint
from des_platform_tests.fuzz.watching import Find, watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

_FREE_BYTES = 24 * 1024 * 1024
_BYTES_PER_BYTE = 64
_MOST_NAMES = 40


class StrictSource:
    """An archive in memory that refuses what a store would refuse."""

    identity: str | None = None

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __repr__(self) -> str:
        return "StrictSource()"

    def read_tail(self, length: int) -> tuple[bytes, int]:
        if length <= 0:
            raise Find(f"a tail of {length} bytes was asked for")
        return self._data[-length:], len(self._data)

    def read_range(self, offset: int, length: int) -> bytes:
        if length <= 0 or offset < 0 or offset + length > len(self._data):
            raise Find(f"{length} bytes at {offset} were asked for, of an archive of {len(self._data)}")
        return self._data[offset : offset + length]


def corpus() -> dict[str, bytes]:
    """Return archives that are whole, of every kind, the same ones each time."""
    plain = {"a.txt": b"hello", "b/c.bin": (noise(1, 300), {"k": [1, 2]}), "empty": b"", "text": b"abcdefgh" * 60}
    small = write(plain, columns={"n": "long", "s": "string"})
    appended = _append(small, {"new": b"new" * 100, "a.txt": b"again"}, ["a.txt", "empty"])
    alike = documents(40)
    dictionary = zstandard.train_dictionary(1024, list(documents(600).values())).as_bytes()
    return {
        "v1": _with_external(format_version=1),
        "v1-empty": _v1({}),
        "v1-many": _v1({f"{number}": noise(number, number) for number in range(20)}),
        "v2-empty": write({}),
        "v2-one": write({"only": b"x" * 40}, compression_level=None),
        "v2-plain": write(plain, compression_level=None),
        "v2-external": _with_external(archive_id=ARCHIVE_ID, created_ms=CREATED_MS),
        "v2-small": small,
        "v2-appended": appended,
        "v2-thrice": _append(appended, {"third": noise(3, 50)}, ["new"]),
        "v2-dictionary": _with_dictionary(alike, dictionary),
        "v2-pages": write({f"n{number}": number.to_bytes(2, "big") for number in range(700)}),
        "v2-nested": write({"inner.des": small, "z": b"z"}, archive_id=5, compression_level=None),
    }


def _v1(items: dict[str, bytes]) -> bytes:
    sink = MemorySink()
    with DesWriter(sink, format_version=1) as writer:
        for name, data in items.items():
            writer.add_file(name, data, {"from": name})
    return sink.data


def _with_external(**options: Any) -> bytes:
    sink = MemorySink()
    with DesWriter(sink, **options) as writer:
        writer.add_file("inside", b"inside" * 9, {"a": {"b": None}})
        writer.add_external("outside", 12_345, {"codec": "none"}, external_key="elsewhere/outside")
    return sink.data


def _with_dictionary(items: dict[str, bytes], dictionary: bytes) -> bytes:
    sink = MemorySink()
    builder = V2Builder(sink, archive_id=ARCHIVE_ID, created_ms=CREATED_MS)
    builder.set_dictionary(dictionary)
    builder.add_many(items.items())
    builder.finish()
    sink.commit()
    return sink.data


def _append(base: bytes, items: dict[str, bytes], deleted: list[str]) -> bytes:
    sink = MemorySink()
    builder = V2Builder(sink, base=StrictSource(base), created_ms=CREATED_MS + 1)
    for name in deleted:
        builder.delete(name)
    builder.add_many(items.items())
    builder.finish()
    sink.commit()
    return sink.data


class ArchiveFuzzer:
    """Runs cases.

    Args:
        seed: cases of another seed are others.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._corpus = corpus()
        self._names = list(self._corpus)
        self._hints = {name: DesReader(StrictSource(data)).hint() for name, data in self._corpus.items()}
        self.outcomes: Counter[str] = Counter()

    def case(self, number: int) -> tuple[bytes, bytes | None, Random]:
        """Return the archive and the hint of a case, and what chooses the rest."""
        random = seeded(f"{self.seed}/{number}")
        name = random.choice(self._names)
        data = mutate(self._corpus[name], list(self._corpus.values()), random)
        hint = self._hints[name]
        if hint is not None and random.random() < 0.2:
            return (self._corpus[name] if random.random() < 0.5 else data), mutate_hint(hint, random), random
        return data, None, random

    def run(self, number: int) -> None:
        """Run a case.

        Raises:
            Find: something came out that must not.
        """
        data, hint, random = self.case(number)
        action = "hint" if hint is not None else random.choice(list(ACTIONS))
        self.outcomes[f"{action}: {check(action, data, random, hint)}"] += 1

    def save(self, number: int, path: Path) -> list[Path]:
        """Write the archive of a case, and its hint."""
        data, hint, _ = self.case(number)
        saved = [path.with_suffix(".des")]
        saved[0].write_bytes(data)
        if hint is not None:
            saved.append(path.with_suffix(".hint"))
            saved[1].write_bytes(hint)
        return saved


def check(action: str, data: bytes, random: Random, hint: bytes | None = None) -> str:
    """Do something with an archive, and return what came of it.

    Raises:
        Find: something that must not.
    """
    run = partial(read_all, data, random, hint) if action == "hint" else partial(ACTIONS[action], data, random)
    return watched(
        partial(_outcome, run, convert=action == "convert"),
        f"{action} of an archive of {len(data)} bytes",
        most_bytes=_FREE_BYTES + _BYTES_PER_BYTE * len(data),
    )


def _outcome(run: Callable[[], None], *, convert: bool) -> str:
    try:
        run()
    except (CorruptArchive, UnsupportedVersion) as error:
        return type(error).__name__
    except ValueError as error:
        if convert and type(error) is ValueError:  # names that version 1 cannot hold
            return "ValueError"
        raise
    return "fine"


def read_all(data: bytes, random: Random, hint: bytes | None = None) -> None:
    """Call every method of a reader."""
    reader = DesReader(StrictSource(data), hint=hint, max_object_bytes=1 << 24)
    len(reader), reader.hint()
    calls: list[Callable[[], object]] = [
        reader.get_stats,
        reader.list_files,
        lambda: reader.list_files("n1"),
        reader.get_index,
        lambda: "absent" in reader,
        lambda: _allowed(lambda: reader.get_file("absent")),
    ]
    random.shuffle(calls)
    errors: list[Exception] = []
    names: list[str] = ["a.txt", "b/c.bin", "text", "inside", "outside", "only", "n7", "doc/000003.json"]
    for call in calls:
        _try(call, errors)
    _try(lambda: names.extend(reader.list_files()[:_MOST_NAMES]), errors)
    for name in names:
        for method in (reader.get_file, reader.get_meta, reader.get_entry, reader.__contains__):
            _try(lambda method=method, name=name: _allowed(lambda: method(name)), errors)  # type: ignore[misc]
    policy = ReadPolicy(random.choice([0, 64, 1 << 16]), random.choice([0, 1000, 1 << 23]), random.choice([1, 3]))
    _try(lambda: _allowed(lambda: reader.get_files_batch(names, policy=policy)), errors)
    if errors:
        raise errors[0]


def _try(call: Callable[[], object], errors: list[Exception]) -> None:
    """Go on after an archive has been refused: the next method meets the same archive."""
    try:
        call()
    except (CorruptArchive, UnsupportedVersion) as error:
        errors.append(error)


def _allowed(call: Callable[[], object]) -> None:
    with suppress(KeyError, ExternalFile):
        call()


def _verify(data: bytes, _: Random) -> None:
    found = verify(StrictSource(data))
    if not found.ok:
        raise CorruptArchive(found.problems[0])


def _whole(sink: MemorySink, what: str) -> None:
    """What a repair has written is an archive that can be read."""
    if not sink.committed:
        raise Find(f"{what} has not committed its sink")
    found = verify(StrictSource(sink.data))
    # A tombstone that lies about what it deletes is taken over as it is.
    if [problem for problem in found.problems if not problem.endswith("of which were there")]:
        raise Find(f"{what} has written an archive that is not whole: {found.problems[:3]}")


def _ended(sink: MemorySink, run: Callable[[], object], what: str) -> None:
    try:
        run()
    except (CorruptArchive, UnsupportedVersion) as error:
        if not sink.aborted or sink.committed:
            raise Find(f"{what} has not aborted its sink after {error!r}") from error
        raise
    _whole(sink, what)


def _recover(data: bytes, _: Random) -> None:
    sink = MemorySink()
    _ended(sink, lambda: recover(StrictSource(data), sink), "recover")


def _compact(data: bytes, _: Random) -> None:
    sink = MemorySink()
    _ended(sink, lambda: compact(StrictSource(data), sink), "compact")


def _go_on(data: bytes, random: Random) -> None:
    sink = MemorySink()

    def run() -> None:
        with DesWriter(sink, base=StrictSource(data)) as writer:
            writer.add_file("fuzz/new", random.randbytes(100))

    try:
        run()
    except (CorruptArchive, UnsupportedVersion) as error:
        if not sink.aborted:
            raise Find("the sink of an archive that could not be gone on from was not aborted") from error
        raise
    if DesReader(StrictSource(sink.data)).get_file("fuzz/new") is None:
        raise Find("what was appended cannot be read")


def _convert(data: bytes, random: Random) -> None:
    sink = MemorySink()
    _ended(sink, lambda: convert(StrictSource(data), sink, format_version=random.choice([1, 2])), "convert")


ACTIONS: dict[str, Callable[[bytes, Random], None]] = {
    "read": read_all,
    "verify": _verify,
    "recover": _recover,
    "compact": _compact,
    "go on": _go_on,
    "convert": _convert,
}
