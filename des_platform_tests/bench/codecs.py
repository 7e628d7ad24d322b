"""Codecs beside the tools that everybody has: choice, size, CPU time, memory, and input that does not compress.

Rows tell generated corpora from real ones, since generated data flatter; `corpora` says where they come from. Files
stand in memory. A row whose id is a figure's name alone is the worst of its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from des_platform_tests.bench import (
    codecs_archive,
    codecs_choice,
    codecs_incompressible,
    codecs_memory,
    codecs_peers,
)
from des_platform_tests.bench.archive_measure import work_folder
from des_platform_tests.bench.codecs_measure import Laboratory
from des_platform_tests.bench.corpora import corpora
from des_platform_tests.bench.runner import bench

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from des_platform_tests.bench.corpora import Corpus
    from des_platform_tests.bench.results import Measurement


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to measure with.

    Attributes:
        corpus: most bytes of a corpus.
        corpora: names of those that are measured; None for all.
        peers: names of those that all peers are measured on.
        slow_peers: names of those for peers that take a second for a MB, where no figure asks for them.
        memory: bytes of the streams whose memory is measured.
        memory_slow: likewise through slow codecs.
        incompressible: bytes of random data.
        turns: of what takes milliseconds.
        rounds: of what takes seconds.
        patience: wall seconds after which a side has had its time on a corpus.
    """

    corpus: int
    corpora: tuple[str, ...] | None
    peers: tuple[str, ...]
    slow_peers: tuple[str, ...]
    memory: int
    memory_slow: int
    incompressible: int
    turns: int
    rounds: int
    patience: float


_SOME = ("stock_market.jsonl", "flights.jsonl", "stock_market.csv", "flights.csv", "application.log", "dpkg.log")
_FULL = Scale(
    corpus=1 << 40,
    corpora=None,
    peers=(*_SOME, "shapes.jsonl", "nested.jsonl", "nyc_weather.csv", "sources.py.txt", "documents.txt", "library.so"),
    slow_peers=("stock_market.jsonl", "flights.jsonl", "flights.csv", "application.log", "dpkg.log", "documents.txt"),
    memory=300_000_000,
    memory_slow=300_000_000,
    incompressible=256_000_000,
    turns=15,
    rounds=3,
    patience=8.0,
)
_QUICK = Scale(
    corpus=400_000,
    corpora=(*_SOME, "random.bin"),
    peers=("flights.csv",),
    slow_peers=(),
    memory=60_000_000,
    memory_slow=12_000_000,
    incompressible=64_000_000,
    turns=5,
    rounds=1,
    patience=0.0,
)


@bench
def codecs(*, quick: bool) -> Iterator[Measurement]:
    """Codecs: the choice by sample, records, bz2, memory; beside xz, zstd, bzip2, gzip, brotli."""
    scale = _QUICK if quick else _FULL
    with work_folder() as folder:
        found = _of(corpora(folder / "corpora", quick=quick), scale.corpora)
        found = [_cut(corpus, folder, scale.corpus) for corpus in found]
        laboratory = Laboratory(folder, rounds=scale.rounds, patience=scale.patience)
        some, few = _of(found, scale.peers), _of(found, scale.slow_peers)
        yield from codecs_archive.logs_bz2(laboratory, found)
        yield from codecs_archive.archive_json(laboratory, found)
        yield from codecs_archive.archive_csv(laboratory, found)
        yield from codecs_archive.archive_logs(laboratory, found)
        yield from codecs_choice.warm_time(laboratory, found)
        yield from codecs_choice.codec_choice(laboratory, found)
        yield from codecs_incompressible.incompressible(
            laboratory, found, length=scale.incompressible, turns=scale.turns
        )
        yield from codecs_memory.codec_memory(laboratory, found, length=scale.memory, slow_length=scale.memory_slow)
        yield from codecs_peers.literal_hybrid(laboratory, some)
        yield from codecs_peers.quick_peers(laboratory, some)
        yield from codecs_peers.slow_peers(laboratory, few)


def _of(found: Sequence[Corpus], names: tuple[str, ...] | None) -> list[Corpus]:
    return [corpus for corpus in found if names is None or corpus.name in names]


def _cut(corpus: Corpus, folder: Path, size: int) -> Corpus:
    """The corpus's beginning, cut behind a line where it has lines."""
    if corpus.size <= size:
        return corpus
    data = corpus.path.read_bytes()[:size]
    kept = data if corpus.kind in {"binary", "random"} else data[: data.rfind(b"\n") + 1]
    path = folder / corpus.name
    path.write_bytes(kept)
    return replace(corpus, path=path, size=len(kept))
