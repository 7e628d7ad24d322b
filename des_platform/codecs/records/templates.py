"""A template: the constant texts of a line and the fields between them; which lines fit it, found for all at once.

Anchors are the characters by whose number in a line its fields are found: quotes in JSON, the separator in CSV, what
stands between words in logs. A template knows how many anchors each constant has, so the end of a field is an anchor
of known rank. Constants are compared with the line, and constants and fields together are the whole line: a line that
fits is its fields' bytes between the constants, nothing else, whatever the fields hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from des_platform.codecs.records.lines import PADDING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from des_platform.codecs.records.lines import Block

QUOTE = ord('"')
_WORD = 8
_NESTED = (ord("{"), ord("["))


@dataclass(frozen=True, slots=True)
class Field:
    """What varies between two constants.

    Attributes:
        column: name of the column that it goes to.
        anchors: how many anchors it holds; -1 for a JSON value, which holds as many as it shows.
        depth: of a JSON value, how many objects it is in.
    """

    column: str
    anchors: int = 0
    depth: int = 0


@dataclass(frozen=True)
class Template:
    """Lines of one form: constant, field, constant, field, ..., constant.

    Attributes:
        constants: one more than fields; each but the first and the last holds an anchor or begins the last.
        fields: in the line's order.
    """

    constants: tuple[bytes, ...]
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Fit:
    """The lines that fit a template.

    Attributes:
        rows: numbers of the lines, ascending.
        starts: where each field begins, an array of a position a line.
        ends: where each field ends.
    """

    rows: NDArray[np.int64]
    starts: list[NDArray[np.int64]]
    ends: list[NDArray[np.int64]]


class Anchors:
    """The anchors of a block.

    Args:
        block: the lines.
        positions: where the anchors are, ascending.
        characters: which bytes are anchors.
    """

    def __init__(self, block: Block, positions: NDArray[np.int64], characters: bytes) -> None:
        import numpy as np

        self.block = block
        self.characters = frozenset(characters)
        self.first = np.searchsorted(positions, block.starts)
        self.positions = positions if len(positions) else np.array([len(block.data) - 1])
        self._last = len(self.positions) - 1
        self._closings: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def at(self, rank: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the anchors of these ranks are; the last one for a rank that there is not."""
        import numpy as np

        return self.positions[np.minimum(rank, self._last)]

    def closing(self, depth: int, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the objects or arrays that begin at these positions end, and the rank of the first quote behind.

        Args:
            depth: in how many objects they are.
            positions: where they begin.
        """
        import numpy as np

        if depth not in self._closings:
            self._closings = self._find_closings(depth)
        ends, ranks = self._closings[depth]
        found = np.searchsorted(ends, positions)
        return ends[found] + 1, ranks[found]

    def _find_closings(self, depth: int) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        import numpy as np

        block = self.block
        kinds = np.zeros(256, np.int8)
        kinds[list(b"{[")], kinds[list(b"}]")] = 1, -1
        steps = kinds[block.data]
        brackets = np.flatnonzero(steps)
        counts = np.diff(np.searchsorted(brackets, np.append(block.starts, len(block.data))))
        ranks = np.searchsorted(self.positions, brackets)
        outside = (ranks - np.repeat(self.first, counts)) % 2 == 0
        levels = np.concatenate([[0], np.cumsum(np.where(outside, steps[brackets], 0))])
        before = np.repeat(levels[np.cumsum(counts) - counts], counts)
        closes = outside & (steps[brackets] < 0)
        after = levels[1:] - before
        found = dict(self._closings)
        chosen = closes & (after == depth)
        end = len(block.data) - 1
        found[depth] = (np.append(brackets[chosen], end), np.append(ranks[chosen], self._last))
        return found

    def fit(self, template: Template, rows: NDArray[np.int64]) -> Fit:
        """Find which of these lines fit a template, and where their fields are."""
        import numpy as np

        block = self.block
        limit = len(block.data) - 1
        position, rank, line_ends = block.starts[rows], self.first[rows], block.ends[rows]
        good = np.ones(len(rows), bool)
        starts: list[NDArray[np.int64]] = []
        ends: list[NDArray[np.int64]] = []
        for number, constant in enumerate(template.constants):
            good &= self._stands(constant, position)
            position = np.minimum(position + len(constant), limit)
            rank = rank + self._anchors_in(constant)
            if number == len(template.fields):
                break
            end, rank = self._field_end(template, number, position, rank, line_ends)
            good &= end >= position
            starts.append(position)
            ends.append(end)
            position = np.clip(end, 0, limit)
        good &= (position == line_ends) & (block.after[rows] > line_ends)
        if good.all():
            return Fit(rows, starts, ends)
        return Fit(rows[good], [start[good] for start in starts], [end[good] for end in ends])

    def _field_end(
        self,
        template: Template,
        number: int,
        position: NDArray[np.int64],
        rank: NDArray[np.int64],
        line_ends: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where a field ends, and the rank of the first anchor behind it."""
        import numpy as np

        field, following = template.fields[number], template.constants[number + 1]
        within = max(0, field.anchors)
        offset = next((place for place, byte in enumerate(following) if byte in self.characters), None)
        plain = line_ends - len(following) if offset is None else self.at(rank + within) - offset
        if field.anchors >= 0:
            return plain, rank + within
        first = self.block.data[position]
        quoted = first == QUOTE
        end = np.where(quoted, self.at(rank + 1) + 1, plain)
        rank = rank + 2 * quoted
        nested = np.isin(first, _NESTED)
        if nested.any():
            end[nested], rank[nested] = self.closing(field.depth, position[nested])
        return end, rank

    def _anchors_in(self, constant: bytes) -> int:
        return sum(byte in self.characters for byte in constant)

    def _stands(self, constant: bytes, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a constant stands at each position."""
        import numpy as np

        words, last = self.block.words, len(self.block.data) - PADDING
        positions = np.minimum(positions, max(0, last - len(constant)))
        size = len(constant)
        if size < _WORD:
            mask = np.uint64((1 << 8 * size) - 1)
            good: NDArray[np.bool_] = words[positions] & mask == int.from_bytes(constant, "little")
            return good
        good = words[positions + (size - _WORD)] == int.from_bytes(constant[-_WORD:], "little")
        for start in range(0, size - _WORD, _WORD):
            good &= words[positions + start] == int.from_bytes(constant[start : start + _WORD], "little")
        return good
