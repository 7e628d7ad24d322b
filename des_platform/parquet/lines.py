"""A byte stream cut into blocks of whole lines.

Lines end with LF or CRLF; what a CR before the LF means is left to the reader of the lines. A leading byte order mark
is dropped. Bytes that are no UTF-8 survive as surrogates (`surrogateescape`), and their block says so. A line that is
longer than allowed is reported by its start and passed over without being held, and so is the line in which a stream
breaks. Memory: one block, which is a line of the allowed length and 1 MiB at most.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.parquet.batches import MAX_TEXT_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK_BYTES = 1 << 20
MIN_LINE_BYTES = 16
"""No limit on the length of lines may be lower."""


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Consecutive whole lines.

    Attributes:
        first: the number of the first of them, counted from 1.
        text: all of them, with LF between but not after them.
        damaged: whether the text has surrogates for bytes that are not UTF-8.
    """

    first: int
    text: str
    damaged: bool


@dataclass(frozen=True, slots=True)
class UnreadLine:
    """A line that is longer than allowed, or in which the stream breaks.

    Attributes:
        line: its number.
        start: how it begins, decoded with `surrogateescape`.
        reason: why it is not read.
    """

    line: int
    start: str
    reason: str


class BrokenStream(Exception):
    """Raised by whatever hands over a file's bytes: they end here, but not because the file does.

    Its text says why. The records before stay rows, for they may have been handed on already; the one that is broken,
    and all that would have followed, are one rejected row.
    """


def broken(error: BrokenStream) -> str:
    """The reason of the rejected row at which a stream breaks."""
    return f"the file is damaged from here on, and nothing after this was read: {error}"


def read_lines(chunks: Iterable[bytes], max_line_bytes: int) -> Iterator[LineBlock | UnreadLine]:
    """Cut a byte stream into blocks of lines, in order.

    Args:
        chunks: the bytes, cut anywhere.
        max_line_bytes: the longest line to hold, without its LF; at least `MIN_LINE_BYTES`.
    """
    line = 1
    pending: list[bytes] = []  # the beginning of a line that has no end yet
    skipping = False
    # No line within a piece can be too long, as no piece is longer than a line may be; only the first and last can.
    for whole_piece in _pieces(chunks, min(_BLOCK_BYTES, max_line_bytes)):
        if isinstance(whole_piece, BrokenStream):
            yield UnreadLine(line, _start(b"".join(pending)), broken(whole_piece))
            return
        piece = whole_piece
        if skipping:
            _, newline, piece = piece.partition(b"\n")
            skipping = not newline
            line += len(newline)
        held = sum(map(len, pending))
        if pending and held + (piece.find(b"\n") if b"\n" in piece else len(piece)) > max_line_bytes:
            start = _start(b"".join([*pending, piece]).partition(b"\n")[0])
            yield UnreadLine(line, start, f"the line is longer than {max_line_bytes} bytes")
            pending = []
            _, newline, piece = piece.partition(b"\n")
            skipping = not newline
            line += len(newline)
        lines, newline, rest = piece.rpartition(b"\n")
        if newline:
            block = _block(line, b"".join([*pending, lines]))
            yield block
            line += block.text.count("\n") + 1
            pending = []
        if rest:
            pending.append(rest)
    if pending:
        yield _block(line, b"".join(pending))


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes | BrokenStream]:
    """The same bytes, without a byte order mark, in pieces of exactly `size` bytes but for the last."""
    held = bytearray()
    at_start = True
    error: BrokenStream | None = None
    for chunk in until_broken(chunks):
        if isinstance(chunk, BrokenStream):
            error = chunk
            break
        for start in range(0, len(chunk), size):
            held += chunk[start : start + size]
            if at_start and len(held) >= len(codecs.BOM_UTF8):
                at_start = False
                if held.startswith(codecs.BOM_UTF8):
                    del held[: len(codecs.BOM_UTF8)]
            if len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
    if held:
        yield bytes(held)
    if error is not None:
        yield error


def until_broken(chunks: Iterable[bytes]) -> Iterator[bytes | BrokenStream]:
    """The chunks, and what broke them as the last."""
    try:
        yield from chunks
    except BrokenStream as error:
        yield error


def _block(first: int, data: bytes) -> LineBlock:
    try:
        return LineBlock(first, data.decode("utf-8"), damaged=False)
    except UnicodeDecodeError:
        return LineBlock(first, data.decode("utf-8", "surrogateescape"), damaged=True)


def _start(line: bytes) -> str:
    return line[: 4 * MAX_TEXT_CHARACTERS].decode("utf-8", "surrogateescape")
