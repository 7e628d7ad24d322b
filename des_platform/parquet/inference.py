"""The columns of a file that nobody declared: names and types, exact where the file has types, else from a sample.

Text is typed with care, since a wrong guess loses what was written: a type is taken only if every value of the sample
comes back from it as it stood. Numbers with zeros in front or with more digits than the type tells apart stay strings;
only `true` and `false` are booleans; a moment with an offset is a `timestamp`, without one a `timestamp_ntz`, and text
with digits below the microsecond neither. A column without a value is a `string`, in JSON `json`, which any value fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, cast

import polars as pl
import pyarrow as pa
from pyarrow import compute

from des_platform.parquet.arrow_rows import arrow_batches
from des_platform.parquet.avro_rows import avro_batches
from des_platform.parquet.batches import Target
from des_platform.parquet.columns import RESCUED, decimal_digits, decimal_kind, type_of
from des_platform.parquet.csv_records import take_record
from des_platform.parquet.csv_rows import read_csv
from des_platform.parquet.dbn_rows import dbn_batches
from des_platform.parquet.json_text import JsonNumber, strict_decoder
from des_platform.parquet.lines import BrokenStream, LineBlock, read_lines
from des_platform.parquet.names import column_names
from des_platform.parquet.parquet_rows import parquet_batches
from des_platform.parquet.rows import TEXT_FORMATS, FileFormat, read_rows
from des_platform.parquet.text_values import from_text
from des_platform.parquet.typed_rows import READER_ERRORS, Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# The stubs of pyarrow's functions know fewer types than the functions.
pc: Any = compute

MAX_SAMPLE_BYTES: Final = 16 << 20
_MAX_COLUMNS: Final = 10_000
_ANY_KEY: Final = "\0"  # stands for no key of a file: no name becomes it
_ANY_NAME: Final = {_ANY_KEY: "json"}
_LONG: Final = r"^(?:0|-?[1-9][0-9]*)$"
_DOUBLE: Final = r"^-?(?:0|[1-9][0-9]*)?(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?$"
_WHOLE_DIGITS, _DIGITS = 15, 17
_OFFSET: Final = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
_DATE_LENGTH: Final = 10
_WHOLE_KINDS: Final = {"int": 10, "long": 19}
_WIDER: Final[dict[frozenset[str], str]] = {
    frozenset({"int", "long"}): "long",
    frozenset({"int", "float"}): "double",
    frozenset({"int", "double"}): "double",
    frozenset({"long", "float"}): "double",
    frozenset({"long", "double"}): "double",
    frozenset({"float", "double"}): "double",
    frozenset({"date", "timestamp"}): "timestamp",
    frozenset({"date", "timestamp_ntz"}): "timestamp_ntz",
}


class NoColumns(ValueError):
    """A file of which no columns can be told: it is empty, damaged or not what its name says."""


def infer_columns(
    source: Iterable[bytes] | BinaryIO, file_format: FileFormat, *, max_rows: int = 100_000
) -> dict[str, str]:
    """Return the columns of a file, name to type.

    Args:
        source: as `rows.read_rows` takes it; of text at most the first 16 MiB are read.
        file_format: of the file.
        max_rows: how many records of text, or of JSON, are looked at.

    Raises:
        NoColumns: it has none, or cannot be read.
        ImportError: for DBN without the package that reads it.
    """
    if file_format in TEXT_FORMATS:
        sample = list(_sample(source))
        found = _of_csv(sample, max_rows) if file_format == "csv" else _of_json(sample, file_format, max_rows)
    else:
        found = _of_typed(cast("BinaryIO", source), file_format)
    if not found:
        raise NoColumns(f"no columns were found: the {file_format} file is empty or not one")
    if len(found) > _MAX_COLUMNS:
        raise NoColumns(f"{len(found)} columns were found, and at most {_MAX_COLUMNS} can be: declare those to keep")
    names = column_names(found)
    return {names[name]: kind for name, kind in found.items()}


def merge_columns(
    one: Mapping[str, str], other: Mapping[str, str], *, fallback: Literal["string", "json"] = "string"
) -> dict[str, str]:
    """Return columns that hold what both hold; a type is only ever widened.

    Args:
        one: columns, whose order and names stay.
        other: columns; one that differs in case alone is the same.
        fallback: the type for what has no common one: `string` where files are CSV, which holds any text, else `json`,
            which holds any value.
    """
    merged = dict(one)
    names = {name.lower(): name for name in merged}
    for name, kind in other.items():
        known = names.setdefault(name.lower(), name)
        merged[known] = merge_kinds(merged[known], kind, fallback) if known in merged else kind
    return merged


def merge_kinds(one: str, other: str, fallback: str = "string") -> str:
    """Return the type that holds the values of both."""
    if one == other:
        return one
    wider = _WIDER.get(frozenset({one, other}))
    if wider:
        return wider
    digits = [_digits(one), _digits(other)]
    if None not in digits:
        (p, s), (q, t) = cast("list[tuple[int, int]]", digits)
        scale = max(s, t)
        kind = decimal_kind(max(p - s, q - t) + scale, scale)
        return fallback if kind == "json" else kind
    return "json" if "json" in (one, other) else fallback


def _digits(kind: str) -> tuple[int, int] | None:
    return (_WHOLE_KINDS[kind], 0) if kind in _WHOLE_KINDS else decimal_digits(kind)


def _sample(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            yield chunk
            if size >= MAX_SAMPLE_BYTES:
                return
    except BrokenStream:
        return


def _replayed(sample: Sequence[bytes]) -> Iterator[bytes]:
    """The sample; where it may end within a record, that record does not count."""
    yield from sample
    if sum(map(len, sample)) >= MAX_SAMPLE_BYTES:
        raise BrokenStream("the sample ends")


def _of_csv(sample: Sequence[bytes], max_rows: int) -> dict[str, str]:
    names = _header(sample)
    once = [name for name in names if names.count(name) == 1]
    if not once:
        return {}
    possible = {name: list(_TESTS) for name in once}
    has_values = dict.fromkeys(once, False)
    rows = 0
    schema: pa.Schema = pa.schema([(name, pa.string()) for name in once])
    target = Target(dict.fromkeys(once, "string"), "reject", schema)
    for batch in read_csv(_replayed(sample), target, MAX_SAMPLE_BYTES):
        for name in once:
            text = pl.Series(batch.rows.column(name).to_pylist(), dtype=pl.String)
            values = text.filter((text != "").fill_null(value=False)).unique()
            if len(values):
                has_values[name] = True
                possible[name] = [kind for kind in possible[name] if _TESTS[kind](values)]
        rows += batch.rows.num_rows
        if rows >= max_rows:
            break
    return {name: (possible[name] or ["string"])[0] if has_values[name] else "string" for name in once}


def _header(sample: Sequence[bytes]) -> list[str]:
    for event in read_lines(_replayed(sample), MAX_SAMPLE_BYTES):
        if not isinstance(event, LineBlock):
            return []
        lines = event.text.split("\n")
        for position in range(len(lines)):
            taken = take_record(lines, position, None, more=False)
            if taken is not None and (taken.fields is not None or taken.reason):
                return [name or "" for name in taken.fields or ()]
    return []


def _of_json(sample: Sequence[bytes], file_format: FileFormat, max_rows: int) -> dict[str, str]:
    found: dict[str, str | None] = {}
    decoder = strict_decoder(exact=True)
    rows = 0
    for batch in read_rows(_replayed(sample), file_format, _ANY_NAME, misfits="rescue"):
        columns: dict[str, list[Any]] = {}
        for text in batch.rows.column(RESCUED).to_pylist():
            for name, value in (decoder.decode(text) if text else {}).items():
                columns.setdefault(name, []).append(value)
        for name in [*columns, *sorted(batch.extra_columns - columns.keys())]:
            kind, known = _kind_of_json(columns.get(name, [])), found.get(name)
            found[name] = kind if known is None else known if kind is None else merge_kinds(known, kind, "json")
        rows += batch.rows.num_rows
        if rows >= max_rows:
            break
    return {name: kind or "json" for name, kind in found.items()}


def _kind_of_json(values: Sequence[Any]) -> str | None:
    """The type of a column's values; None without any."""
    kinds = {type(value) for value in values}
    if not kinds:
        return None
    if kinds == {bool}:
        return "boolean"
    if kinds == {str}:
        text = pl.Series(values, dtype=pl.String)
        return next((kind for kind in ("date", "timestamp_ntz", "timestamp") if _TESTS[kind](text)), "string")
    if kinds <= {int, JsonNumber}:
        text = pl.Series([value.text if isinstance(value, JsonNumber) else str(value) for value in values])
        return next((kind for kind in ("long", "double") if _TESTS[kind](text)), "json")
    return "json"


def _of_typed(source: BinaryIO, file_format: FileFormat) -> dict[str, str]:
    try:
        batch = next((found for found in _BATCHES[file_format](source) if not isinstance(found, Unread)), None)
    except READER_ERRORS as error:
        raise NoColumns(f"no columns were found: it is no whole {file_format} file: {error}") from None
    if batch is None:
        return {}
    once = [name for name in batch.schema.names if batch.schema.names.count(name) == 1]
    return {name: _kind_of_typed(batch.column(name), file_format) for name in once}


def _kind_of_typed(values: pa.Array[Any], file_format: FileFormat) -> str:
    kind = values.type
    if isinstance(kind, pa.TimestampType) and kind.unit == "ns":
        nanoseconds = values.view(pa.int64())
        whole = pc.equal(pc.multiply(pc.divide(nanoseconds, 1000), 1000), nanoseconds)
        if file_format == "dbn" or pc.all(whole).as_py() is False:
            return "long"
    return type_of(kind)


def _is_boolean(values: pl.Series) -> bool:
    return bool(values.str.to_lowercase().is_in(["true", "false"]).all())


def _is_long(values: pl.Series) -> bool:
    return bool(values.str.contains(_LONG).all()) and _fits(values, "long")


def _is_double(values: pl.Series) -> bool:
    if not values.str.contains(_DOUBLE).all():
        return False
    mantissa = values.str.replace("[eE].*$", "")
    digits = mantissa.str.replace_all(r"[-.]", "").str.replace(r"^0+", "").str.len_chars()
    limit = mantissa.str.contains(".", literal=True).cast(pl.Int64) * (_DIGITS - _WHOLE_DIGITS) + _WHOLE_DIGITS
    return bool((digits <= limit).all()) and _fits(values, "double")


def _is_timestamp(values: pl.Series) -> bool:
    has_offset = values.str.contains(_OFFSET) & (values.str.len_chars() > _DATE_LENGTH)
    return bool((has_offset | (values.str.len_chars() == _DATE_LENGTH)).all()) and _fits(values, "timestamp")


def _fits(values: pl.Series, kind: str) -> bool:
    return from_text(values.to_list(), kind).null_count == 0


_TESTS: Final[dict[str, Callable[[pl.Series], bool]]] = {
    "boolean": _is_boolean,
    "long": _is_long,
    "double": _is_double,
    "date": lambda values: _fits(values, "date"),
    "timestamp_ntz": lambda values: _fits(values, "timestamp_ntz"),
    "timestamp": _is_timestamp,
}
_BATCHES: Final[dict[str, Callable[[BinaryIO], Iterator[pa.RecordBatch | Unread]]]] = {
    "parquet": parquet_batches,
    "arrow": arrow_batches,
    "avro": avro_batches,
    "dbn": dbn_batches,
}
