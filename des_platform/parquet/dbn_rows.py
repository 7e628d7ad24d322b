"""DBN (Databento's binary encoding) to typed batches, a block of records at a time, without a loss.

A file has records of one schema; a record of another kind (a symbol mapping, a message of the system) is rejected. The
columns are the fields of the schema's records, by their names there, whatever version of DBN wrote them:

* prices are fixed-point numbers of nine digits after the point: `decimal(19,9)`;
* times are nanoseconds since 1970: a `long` column takes them as they are, a `timestamp` those that are whole
  microseconds;
* characters and text are strings, all else whole numbers.

A price or a time that is undefined by DBN's own sign for it is null.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from des_platform.parquet.batches import MAX_BATCH_ROWS, RowBatch, Target
from des_platform.parquet.typed_rows import DamagedFile, Unread, content, typed_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

PRICE: Final = pa.decimal128(19, 9)
_UNDEFINED_PRICE: Final = 2**63 - 1
_UNDEFINED_TIME: Final = 2**64 - 1
_LAST_TIME: Final = 2**63 - 1
_HEAD_BYTES: Final = 8
_WORD: Final = 4  # record lengths count these
_RECORD_HEAD_BYTES: Final = 16
_TS_OUT: Final = "ts_out"
_KINDS: Final[dict[str, frozenset[int]]] = {
    "TradeMsg": frozenset({0}),
    "MBP1Msg": frozenset({1, 197}),
    "MBP10Msg": frozenset({10}),
    "OHLCVMsg": frozenset({17, 32, 33, 34, 35, 36}),
    "StatusMsg": frozenset({18}),
    "InstrumentDefMsg": frozenset({19}),
    "ImbalanceMsg": frozenset({20}),
    "ErrorMsg": frozenset({21}),
    "SymbolMappingMsg": frozenset({22}),
    "SystemMsg": frozenset({23}),
    "StatMsg": frozenset({24}),
    "MBOMsg": frozenset({160}),
    "CMBP1Msg": frozenset({177, 194}),
    "CBBOMsg": frozenset({192, 193}),
    "BBOMsg": frozenset({195, 196}),
}


class _Layout(NamedTuple):
    """How records of one kind lie in a file: their type, and which fields are columns, prices and times."""

    dtype: np.dtype[Any]
    names: tuple[str, ...]
    prices: frozenset[str]
    times: frozenset[str]


def read_dbn(source: BinaryIO, target: Target) -> Iterator[RowBatch]:
    """Read a DBN file, as `des_platform.parquet.rows.read_rows` says.

    Raises:
        ImportError: nothing is installed that knows DBN.
    """
    _module()
    return typed_batches(dbn_batches(source), target, "DBN")


def dbn_batches(source: BinaryIO) -> Iterator[pa.RecordBatch | Unread]:
    """Yield the records of a DBN file with all their fields, at least one batch.

    Raises:
        DamagedFile: it is none, or ends within a record.
        ImportError: nothing is installed that knows DBN.
    """
    dbn = _module()
    data = memoryview(content(source)).cast("B")
    start = _records_start(data)
    try:
        metadata = dbn.Metadata.decode(bytes(data[:start]), dbn.VersionUpgradePolicy.AS_IS)
    except Exception as error:  # the package's errors have no name
        raise DamagedFile(f"its header cannot be read: {error}") from error
    kind = -1
    if metadata.schema is not None:
        kind = int(dbn.RType.from_schema(metadata.schema).value)
    elif start + 1 < len(data):
        kind = data[start + 1]
    if start == len(data):
        names = _name_of(kind)
        layout = _layout(names, _newest_size(names), with_ts_out=bool(metadata.ts_out)) if names else None
        yield _batch(np.empty(0, layout.dtype), layout) if layout else pa.RecordBatch.from_pylist([], pa.schema([]))
        return
    yield from _records(data, start, kind, with_ts_out=bool(metadata.ts_out))


def _records(data: memoryview, start: int, kind: int, *, with_ts_out: bool) -> Iterator[pa.RecordBatch | Unread]:
    position = start
    while position < len(data):
        size = data[position] * _WORD
        if size < _RECORD_HEAD_BYTES:
            raise DamagedFile(f"a record at byte {position} claims {size} bytes")
        if position + size > len(data):
            raise DamagedFile(f"it ends within a record: {len(data) - position} of {size} bytes are there")
        found = data[position + 1]
        name = _name_of(found)
        layout = _layout(name, size, with_ts_out=with_ts_out) if name == _name_of(kind) else None
        if layout is None:
            what = f"{name} of {size} bytes" if name else f"of kind {found}"
            raw = bytes(data[position : position + size]).hex()
            yield Unread(raw, f"the record is a {what}, no {_name_of(kind) or kind} as the file's others")
            position += size
            continue
        count = min(MAX_BATCH_ROWS, (len(data) - position) // size)
        records = np.frombuffer(data, layout.dtype, count, position)
        same = (records["length"] == data[position]) & (records["rtype"] == found)
        good = count if same.all() else int(np.argmin(same))
        yield _batch(records[:good], layout)
        position += good * size


def _records_start(data: memoryview) -> int:
    if len(data) < _HEAD_BYTES or bytes(data[:3]) != b"DBN":
        raise DamagedFile("it does not begin with DBN")
    start = _HEAD_BYTES + int.from_bytes(data[4:8], "little")
    if start > len(data):
        raise DamagedFile(f"its header claims {start} bytes, the file has {len(data)}")
    return start


def _batch(records: np.ndarray[Any, Any], layout: _Layout) -> pa.RecordBatch:
    columns: dict[str, pa.Array[Any]] = {}
    for name in layout.names:
        values = np.ascontiguousarray(records[name])
        if name in layout.prices:
            columns[name] = _prices(values)
        elif name in layout.times:
            columns[name] = _times(values, name)
        elif values.dtype.kind == "S":
            columns[name] = pa.array(values.tolist(), pa.binary()).cast(pa.string(), safe=False)
        else:
            columns[name] = pa.array(values)
    return pa.RecordBatch.from_pydict(columns)


def _prices(values: np.ndarray[Any, Any]) -> pa.Array[Any]:
    undefined = values == _UNDEFINED_PRICE
    digits = np.empty((len(values), 2), "<i8")  # 128 bits, the lower half first
    digits[:, 0] = values
    digits[:, 1] = values >> 63
    made: pa.Array[Any] = pa.Array.from_buffers(PRICE, len(values), [None, pa.py_buffer(digits.tobytes())])
    return pc.if_else(pa.array(undefined), pa.scalar(None, PRICE), made) if undefined.any() else made


def _times(values: np.ndarray[Any, Any], name: str) -> pa.Array[Any]:
    undefined = values == _UNDEFINED_TIME
    if ((values > _LAST_TIME) & ~undefined).any():
        raise DamagedFile(f"field {name} has a time after the year 2262")
    return pa.array(values.view("<i8"), pa.int64(), mask=undefined).view(pa.timestamp("ns", "UTC"))


@cache
def _layout(name: str, size: int, *, with_ts_out: bool) -> _Layout | None:
    """The layout of records of so many bytes; None where no version of DBN has it."""
    dbn = _module()
    for version in ("", "V2", "V1"):
        record = getattr(dbn, name + version, None)
        if record is None:
            continue
        fields = [*record._dtypes, *([(_TS_OUT, "u8")] if with_ts_out else [])]  # noqa: SLF001 - its documented layout
        dtype = np.dtype(fields)
        if dtype.itemsize == size:
            hidden = {*record._hidden_fields, "length"}  # noqa: SLF001
            times = frozenset([*record._timestamp_fields, _TS_OUT])  # noqa: SLF001
            names = tuple(field for field, _ in fields if field not in hidden)
            return _Layout(dtype, names, frozenset(record._price_fields), times)  # noqa: SLF001
    return None


def _newest_size(name: str) -> int:
    return int(np.dtype(getattr(_module(), name)._dtypes).itemsize)  # noqa: SLF001


def _name_of(kind: int) -> str:
    """The name of the package's class for a kind of record; empty for one that is unknown."""
    return next((name for name, kinds in _KINDS.items() if kind in kinds), "")


def _module() -> Any:  # noqa: ANN401 - an optional package
    try:
        import databento_dbn
    except ImportError:
        raise ImportError("nothing here reads DBN: install des-platform[dbn]") from None
    return databento_dbn
