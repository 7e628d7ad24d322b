from __future__ import annotations

import random

import pytest

from des_platform.sources.streams.cutting import Cutter


def cut(content: bytes, size: int, part: int) -> tuple[list[bytes], int]:
    """The chunks of a file that comes in parts, and how many records were cut."""
    cutter = Cutter(size)
    return list(cutter.cut(content[start : start + part] for start in range(0, len(content), part))), cutter.cut_records


@pytest.mark.parametrize("part", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("content", "size", "chunks", "cut_records"),
    [
        (b"", 4, [b""], 0),
        (b"abcd", 4, [b"abcd"], 0),
        (b"ab\ncd\nef\n", 6, [b"ab\ncd\n", b"ef\n"], 0),
        (b"ab\ncd\nef", 7, [b"ab\ncd\n", b"ef"], 0),
        (b"a\r\nb\r\n", 4, [b"a\r\n", b"b\r\n"], 0),
        (b"\n\n\n", 2, [b"\n\n", b"\n"], 0),
        (b"abcdefghij\nkl\n", 4, [b"abcd", b"efgh", b"ij\n", b"kl\n"], 1),
        (b"ab\ncdefghij", 4, [b"ab\n", b"cdef", b"ghij"], 1),
        (b"abcdef\nghijkl\n", 4, [b"abcd", b"ef\n", b"ghij", b"kl\n"], 2),
        (b"a\0\nb\ncdefg", 4, [b"a\0\nb", b"\ncde", b"fg"], 0),
    ],
)
def test_chunks_end_where_records_end(
    content: bytes, size: int, chunks: list[bytes], cut_records: int, part: int
) -> None:
    assert cut(content, size, part) == (chunks, cut_records)


@pytest.mark.parametrize("seed", range(20))
def test_no_byte_is_changed_and_no_chunk_is_too_large(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    content = bytes(chance.choices(b"ab\n\r" + (b"\0" if seed % 2 else b""), k=chance.randrange(30_000)))
    size = chance.randrange(1, 9000)

    chunks, _ = cut(content, size, chance.randrange(1, 40_000))

    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= size
