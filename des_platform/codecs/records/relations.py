"""Which columns follow from others, found in a sample of the first block.

What a relation saves is estimated by the entropy of the bytes that are left, since zstd comes close to it on bytes of
one place, and then measured by writing both. A relation is used where it saves a good part of the file, and never one
that goes in a circle. A lookup is used only if its table does not grow any more towards the end of the sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from des_platform.codecs.records.arrow import beneath, codes_of, numbers_of, numbers_to_arrow, valid_of
from des_platform.codecs.records.dense import Dense, Groups, Numbers, group, minus_previous, zigzag
from des_platform.codecs.records.encodings import SAMPLE_ROWS, choose_encoding, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from des_platform.codecs.records.values import Column

_LEAST_ROWS = 64
_LEAST_SAVING = 0.0075
_LEAST_SHARE = 0.12
_MAX_KEYS = 2048
_MAX_GROUPS = 512
_MAX_COLUMNS = 60  # every pair of them is looked at
_EXCEPTIONS = 0.0005
_TEXT_BYTES = 64
_GLANCE = 2000
_CLOSER_LOOKS = 4


@dataclass(frozen=True)
class _Candidate:
    dense: Dense
    saving: float


def find_relations(columns: list[Column], arrays: dict[str, pa.Array[Any]], sizes: dict[str, int]) -> list[Dense]:
    """Find what is worth it.

    Args:
        columns: all of them.
        arrays: their values in the first block.
        sizes: what the sample of each takes, written for itself.

    Returns:
        Relations in an order in which each finds the columns that it needs.
    """
    rows = len(next(iter(arrays.values())))
    if rows < _LEAST_ROWS:
        return []
    search = _Search(columns, arrays, sizes)
    total = sum(sizes.values())
    found: dict[str, Dense] = {}
    for candidate in sorted(search.candidates(), key=lambda item: (-item.saving, item.dense.column)):
        dense = candidate.dense
        if dense.column in found or candidate.saving < max(_LEAST_SAVING * total, 32):
            continue
        if any(_leads_to(found, name, dense.column) for name in dense.needs):
            continue
        found[dense.column] = dense
    return _ordered(found)


def _leads_to(found: dict[str, Dense], start: str, goal: str) -> bool:
    if start == goal:
        return True
    return start in found and any(_leads_to(found, name, goal) for name in found[start].needs)


def _ordered(found: dict[str, Dense]) -> list[Dense]:
    done: dict[str, Dense] = {}

    def visit(name: str) -> None:
        if name in found and name not in done:
            for needed in found[name].needs:
                visit(needed)
            done[name] = found[name]

    for name in found:
        visit(name)
    return list(done.values())


class _Search:
    """Candidates of one file; the sample's numbers and groups are made once."""

    def __init__(self, columns: list[Column], arrays: dict[str, pa.Array[Any]], sizes: dict[str, int]) -> None:
        varied = [column for column in columns if sizes[column.name]]
        largest = sorted(varied, key=lambda column: -sizes[column.name])[:_MAX_COLUMNS]
        self.columns = {column.name: column for column in varied if column in largest}
        self.sizes = sizes
        self.whole = arrays
        self.samples = {name: sample_of(array) for name, array in arrays.items()}
        self.numbers = {
            name: Numbers(numbers_of(array), valid_of(array))
            for name, array in self.samples.items()
            if name in self.columns and self.columns[name].is_numeric
        }
        self.codes = {name: codes_of(arrays[name]) for name in self.columns}

    def candidates(self) -> Iterator[_Candidate]:
        """What would save bytes, by how many of the sample's."""
        lookups = list(self._lookups())
        yield from lookups
        looked_up = {item.dense.column for item in lookups}
        groups = self._groups(looked_up - {item.dense.of for item in lookups})
        for name, own in self.numbers.items():
            if self.sizes[name]:
                yield from self._residuals(name, own, groups)

    def _groups(self, without: set[str]) -> dict[str, Groups]:
        import numpy as np

        every = np.ones(min(SAMPLE_ROWS, len(next(iter(self.samples.values())))), bool)
        found = {"": group(None, every)}
        for name, (_codes, count) in self.codes.items():
            if 3 <= count <= _MAX_GROUPS and name not in without:  # noqa: PLR2004 - two values and null
                found[name] = group(self.samples[name], every)
        return found

    def _residuals(self, name: str, own: Numbers, groups: dict[str, Groups]) -> Iterator[_Candidate]:
        """The best way to store what is left of a column's numbers by another column, and the best one by itself.

        Both, since one of two columns that are close to each other must stand by itself.
        """
        import numpy as np
        import pyarrow as pa

        divisor = max(1, int(np.gcd.reduce(own.values[own.valid])))
        ways: list[tuple[Dense, NDArray[np.int64]]] = [(Dense(name, "scaled"), own.values)]
        for other, numbers in self.numbers.items():
            if other != name and self._alike(name, other):
                ways.append((Dense(name, "difference", of=other), own.values - numbers.values))
        for by, item in groups.items():
            if by != name and own.valid.all():
                ways.append((Dense(name, "previous", by=by), minus_previous(own.values, item)))
            elif not by:
                ways.append((Dense(name, "previous"), minus_previous(own.values, group(None, own.valid))))
        for family in ({"difference"}, {"previous", "scaled"}):
            rests = [
                (replace(dense, step=step), zigzag(left // step))
                for dense, left in ways
                if dense.how in family
                for step in [1 if dense.how == "difference" else divisor]
            ]
            rests = sorted(rests, key=lambda item: float(np.log2(item[1] + 1.0).sum()))[:_CLOSER_LOOKS]
            if not rests:
                continue
            dense, rest = min(rests, key=lambda item: _entropy(item[1]))
            size = choose_encoding(numbers_to_arrow(rest, pa.int64(), own.valid))[1]
            if size < (1 - _LEAST_SHARE) * self.sizes[name]:
                yield _Candidate(dense, self.sizes[name] - size)

    def _alike(self, name: str, other: str) -> bool:
        """Whether the difference of two columns means anything."""
        one, two = self.columns[name], self.columns[other]
        return one.scale == two.scale and (one.kind == "time") == (two.kind == "time") and one.layout == two.layout

    def _lookups(self) -> Iterator[_Candidate]:
        for name in self.columns:
            for other in self.columns:
                if (candidate := self._lookup(name, other)) is not None:
                    yield candidate

    def _lookup(self, name: str, other: str) -> _Candidate | None:
        """The table that gives a column by another one, if there is one."""
        import numpy as np

        keys, count = self.codes[other]
        values, different = self.codes[name]
        if name == other or not 2 < count <= _MAX_KEYS or different > count:  # noqa: PLR2004 - one value and null
            return None
        step = max(1, len(keys) // _GLANCE)
        for seen in (slice(None, None, step), slice(None)):
            table = np.full(count, -1)
            table[keys[seen][::-1]] = values[seen][::-1]
            if (table[keys[seen]] != values[seen]).sum() > _EXCEPTIONS * len(keys):
                return None
        wrong = (table[keys] != values).sum()
        half = len(keys) // 2
        late = ~np.isin(keys[half:], keys[:half])
        if wrong > _EXCEPTIONS * len(keys) or late.sum() > 2 * _EXCEPTIONS * len(keys):
            return None
        dense = self._table(name, other, keys)
        if not all(item.isprintable() for item in (*dense.keys, *dense.values) if isinstance(item, str)):
            return None  # the table stands in the SQL, too
        size = sum(len(str(item)) + 3 for item in (*dense.keys, *dense.values))
        share = min(1.0, SAMPLE_ROWS / len(keys))
        return _Candidate(dense, self.sizes[name] - 2 * size * share) if size < _TEXT_BYTES * _MAX_KEYS else None

    def _table(self, name: str, other: str, keys: NDArray[np.int64]) -> Dense:
        import numpy as np
        import pyarrow as pa

        _distinct, rows = np.unique(keys, return_index=True)
        places = numbers_to_arrow(np.sort(rows), pa.int64())
        of, values = beneath(self.whole[other]).take(places), beneath(self.whole[name]).take(places)
        return Dense(name, "lookup", of=other, keys=tuple(of.to_pylist()), values=tuple(values.to_pylist()))


def _entropy(numbers: NDArray[np.int64]) -> float:
    """Bytes that the numbers take when each place of their bytes is coded for itself."""
    import numpy as np

    total = 0.0
    for place in numbers.view(np.uint8).reshape(-1, 8).T:
        if not place.any():
            continue
        counts = np.bincount(place)
        counts = counts[counts > 0]
        total += -(counts * np.log2(counts / len(numbers))).sum() / 8 if len(counts) > 1 else 0
    return total
