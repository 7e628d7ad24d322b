"""What a column holds: fields' bytes to typed values and back.

A kind reads only what it writes again byte for byte; what it cannot read makes the whole line one that is kept as it
stands. The kinds:

| kind | Parquet type | written as |
| --- | --- | --- |
| `integer` | INT64 | digits; with `width`, that many, zeros in front |
| `decimal` | DECIMAL(18, scale) | always `scale` digits behind the point |
| `trimmed` | DECIMAL(18, scale) | without zeros at the end, but `least` digits behind the point (0: and no point) |
| `boolean` | BOOLEAN | `true`, `false` |
| `time` | TIMESTAMP or DATE | as the layout says (`des_platform.codecs.records.times`) |
| `text` | STRING | `quote` is `never`, `always`, or `minimal`: quoted where it holds `quoted_for` |
| `raw` | STRING | the field as it stands |

A column's `null` is how a null is written; without it there is none. Times may stand in quotes, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from des_platform.codecs.records.arrow import (
    constant,
    join,
    joined_to_arrow,
    list_to_arrow,
    numbers_of,
    numbers_to_arrow,
    texts_to_arrow,
)
from des_platform.codecs.records.numbers import find_points, format_scaled, read_decimals, read_digits, read_integers
from des_platform.codecs.records.templates import QUOTE
from des_platform.codecs.records.times import format_times, is_date, is_utc, read_times, unit_of, width_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from des_platform.codecs.records.lines import Block

Kind = Literal["integer", "decimal", "trimmed", "boolean", "time", "text", "raw"]
Quote = Literal["never", "always", "minimal"]

NUMERIC: tuple[Kind, ...] = ("integer", "decimal", "trimmed", "time")
PRECISION = 18


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how its values are written in the file; see the module for the kinds.

    Attributes:
        name: its name in the Parquet file.
        kind: what it holds.
        scale: digits behind the point, of `decimal` and `trimmed`.
        least: digits behind the point that stay, of `trimmed`.
        width: digits of an `integer` with zeros in front; 0 without.
        layout: of a `time`.
        quote: which `text` and `time` stand in quotes.
        quoted_for: characters for which a `minimal` text stands in quotes.
        null: how a null is written; None where there are none.
    """

    name: str
    kind: Kind
    scale: int = 0
    least: int = 0
    width: int = 0
    layout: str = ""
    quote: Quote = "never"
    quoted_for: str = ""
    null: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        plain = Column(self.name, self.kind)
        return {name: value for name, value in asdict(self).items() if name in _KEPT or value != getattr(plain, name)}

    @property
    def is_numeric(self) -> bool:
        """Whether its values are 64-bit integers beneath."""
        return self.kind in NUMERIC

    @property
    def is_text(self) -> bool:
        """Whether its values are strings."""
        return self.kind in {"text", "raw"}


_KEPT = frozenset({"name", "kind"})


@dataclass
class Values:
    """A column's values of one block, a row a line.

    Attributes:
        valid: which lines have one.
        numbers: of a numeric or `boolean` column; 0 where there is none.
        starts: of a `text` or `raw` column, where each begins in the block.
        ends: where each ends.
    """

    valid: NDArray[np.bool_]
    numbers: NDArray[np.int64] | None = None
    starts: NDArray[np.int64] | None = None
    ends: NDArray[np.int64] | None = None


def read_values(
    column: Column, block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[Values, NDArray[np.bool_]]:
    """Read fields.

    Args:
        column: what they hold.
        block: where they stand.
        starts: where each begins.
        ends: where each ends.

    Returns:
        The values, and which fields were read.
    """
    import numpy as np

    null = np.zeros(len(starts), bool)
    if column.null is not None:
        null = _equal(block, starts, ends, column.null.encode())
    if column.is_text:
        if column.kind == "text":
            starts, ends, good = _unquote(column, block, starts, ends)
        else:
            good = np.ones(len(starts), bool)
        return Values(~null, starts=starts, ends=ends), good | null
    numbers, good = _read_numbers(column, block, starts, ends)
    numbers[null | ~good] = 0
    return Values(~null, numbers), good | null


def _equal(block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64], text: bytes) -> NDArray[np.bool_]:
    """Which fields are this text, of at most 8 bytes."""
    import numpy as np

    mask = np.uint64((1 << 8 * len(text)) - 1)
    same: NDArray[np.bool_] = block.words[starts] & mask == int.from_bytes(text, "little")
    same &= ends - starts == len(text)
    return same


def _read_numbers(
    column: Column, block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    match column.kind:
        case "integer":
            return _read_integers(column, block, starts, ends)
        case "decimal":
            points = ends - (column.scale + 1)
            numbers, good = read_decimals(block, starts, ends, points, column.scale)
            return numbers, good & (block.data[points] == ord("."))
        case "trimmed":
            points = find_points(block, starts, ends)
            numbers, good = read_decimals(block, starts, ends, points, column.scale)
            digits = ends - points - 1
            kept = (block.data[ends - 1] != ord("0")) & (digits > column.least)
            return numbers, good & (kept | (digits == column.least) | ((digits < 0) & (column.least == 0)))
        case "time":
            starts, ends, quoted = _unquote(column, block, starts, ends)
            numbers, good = read_times(block, starts, ends, column.layout)
            return numbers, good & quoted
        case _:
            true, false = _equal(block, starts, ends, b"true"), _equal(block, starts, ends, b"false")
            return true.astype("int64"), true | false


def _read_integers(
    column: Column, block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if not column.width:
        return read_integers(block, starts, ends)
    numbers, good = read_digits(block, starts, ends)
    return numbers, good & (ends - starts == column.width)


def _unquote(
    column: Column, block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where the texts are within their quotes, and which fields are texts."""
    import numpy as np

    data = block.data
    quoted = (data[starts] == QUOTE) & (data[ends - 1] == QUOTE) & (ends - starts >= 2)  # noqa: PLR2004 - both
    if column.quote == "always":
        good = quoted
    elif column.quote == "never":
        return starts, ends, ~_holds(block, starts, ends, '"') if column.quoted_for else np.ones(len(starts), bool)
    else:
        inner = np.where(quoted, starts + 1, starts), np.where(quoted, ends - 1, ends)
        good = quoted == _holds(block, *inner, column.quoted_for.replace('"', ""))
        good &= ~_holds(block, *inner, '"')
    if column.quote == "always" and len(block.backslashes):
        # A text with an escape in it is another one than its bytes say.
        good = good & (np.searchsorted(block.backslashes, starts) == np.searchsorted(block.backslashes, ends))
    return np.where(quoted, starts + 1, starts), np.where(quoted, ends - 1, ends), good


def _holds(block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64], characters: str) -> NDArray[np.bool_]:
    import numpy as np

    places = block.places(characters)
    if not len(places):
        return np.zeros(len(starts), bool)
    held: NDArray[np.bool_] = np.searchsorted(places, starts) != np.searchsorted(places, ends)
    return held


def to_arrow(column: Column, block: Block, values: Values, good: NDArray[np.bool_]) -> pa.Array[Any]:
    """Make an Arrow array.

    Args:
        column: what they are.
        block: where texts stand.
        values: of all lines.
        good: which lines fit their template; the others have null.
    """
    valid = values.valid & good
    if values.starts is not None and values.ends is not None:
        return texts_to_arrow(block, values.starts, values.ends, valid)
    if values.numbers is None:
        raise TypeError(f"column {column.name!r} has neither numbers nor texts")
    return numbers_to_arrow(values.numbers, arrow_type(column), valid)


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column's values."""
    import pyarrow as pa

    match column.kind:
        case "integer":
            return pa.int64()
        case "boolean":
            return pa.bool_()
        case "decimal" | "trimmed":
            return pa.decimal64(PRECISION, column.scale)
        case "time" if is_date(column.layout):
            return pa.date32()
        case "time":
            unit = unit_of(column.layout)
            return pa.timestamp(unit, tz="UTC") if is_utc(column.layout) else pa.timestamp(unit)
        case _:
            return pa.string()


def write_values(column: Column, array: pa.Array[Any]) -> pa.Array[Any]:
    """Write a column's values as the fields that they were, an array of binary values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        texts = array.cast(pa.binary())
    else:
        texts = _write_numbers(column, numbers_of(array))
    if column.quote == "always":
        texts = _quoted(texts)
    elif column.quote == "minimal":
        pattern = "[" + "".join(f"\\x{ord(char):02x}" for char in column.quoted_for) + "]"
        texts = pc.if_else(pc.match_substring_regex(texts, pattern), _quoted(texts), texts)
    if array.null_count:
        texts = pc.if_else(pc.is_valid(array), texts, constant((column.null or "").encode()))
    return texts


def _quoted(texts: pa.Array[Any]) -> pa.Array[Any]:
    quote = constant(b'"')
    return join([quote, texts, quote])


def _write_numbers(column: Column, numbers: NDArray[np.int64]) -> pa.Array[Any]:
    import numpy as np
    import pyarrow as pa

    if column.kind == "boolean":
        return list_to_arrow([b"false", b"true"], pa.binary()).take(numbers_to_arrow(numbers, pa.int64()))
    if column.kind == "time":
        table = format_times(numbers, column.layout)
        return joined_to_arrow(table, np.full(len(numbers), width_of(column.layout)))
    if column.kind == "integer" and not column.width:
        return numbers_to_arrow(numbers, pa.int64()).cast(pa.string()).cast(pa.binary())
    if column.kind == "integer":
        texts, sizes = format_scaled(numbers + 10**column.width, 0)
        return joined_to_arrow(np.ascontiguousarray(texts.reshape(-1, column.width + 1)[:, 1:]), sizes - 1)
    return joined_to_arrow(
        *format_scaled(numbers, column.scale, least=column.least if column.kind == "trimmed" else None)
    )
