"""Arrow arrays from NumPy and back, by their buffers.

`pyarrow.array`, `pyarrow.scalar` and what calls them import pandas where it is installed: half a second, and 40 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from des_platform.codecs.records.lines import Block

_INLINE = 12  # bytes of a text that a view of it holds itself


def numbers_to_arrow(
    numbers: NDArray[np.int64] | NDArray[np.int32], kind: pa.DataType, valid: NDArray[np.bool_] | None = None
) -> pa.Array[Any]:
    """Make an Arrow array of numbers.

    Args:
        numbers: the integers beneath the values.
        kind: the type of the values.
        valid: which of them there are; None for all.
    """
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        data = np.packbits(numbers != 0, bitorder="little")
    else:
        data = np.ascontiguousarray(numbers, np.dtype(f"i{kind.bit_width // 8}"))
    return pa.Array.from_buffers(kind, len(numbers), [bits_of(valid), buffer_of(data)])


def buffer_of(array: NDArray[Any]) -> pa.Buffer:
    """The bytes of a NumPy array, which must be contiguous."""
    import pyarrow as pa

    data: Any = array
    return pa.py_buffer(data)


def bits_of(valid: NDArray[np.bool_] | None) -> pa.Buffer | None:
    """Arrow's validity bitmap, None where all values are there."""
    import numpy as np

    return None if valid is None or valid.all() else buffer_of(np.packbits(valid, bitorder="little"))


def joined_to_arrow(texts: NDArray[np.uint8], sizes: NDArray[np.int64]) -> pa.Array[Any]:
    """Make an array of binary values that stand one behind the other.

    Args:
        texts: their bytes.
        sizes: how many each has.
    """
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), len(sizes), [None, buffer_of(offsets), buffer_of(texts)])


def list_to_arrow(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    """Make an array of a list of integers, texts or bytes, with None for null."""
    import numpy as np
    import pyarrow as pa

    valid = np.array([value is not None for value in values], bool)
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        return numbers_to_arrow(np.array([value or 0 for value in values], np.int64), kind, valid)
    texts = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    sizes = np.array([len(text) for text in texts], np.int64)
    array = joined_to_arrow(np.frombuffer(b"".join(texts), np.uint8), sizes)
    return pa.Array.from_buffers(kind, len(array), [bits_of(valid), *array.buffers()[1:]])


def texts_to_arrow(
    block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64], valid: NDArray[np.bool_], *, binary: bool = False
) -> pa.Array[Any]:
    """Copy pieces of a block into an Arrow array of strings."""
    import numpy as np
    import pyarrow as pa

    sizes = np.where(valid, ends - starts, 0).astype(np.uint64)
    kept = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
    low, high = block.words[starts], block.words[starts + 8]
    short = sizes <= _INLINE
    low &= kept[np.where(short, np.minimum(sizes, 8), 4)]
    high = np.where(short, high & kept[np.clip(sizes.astype(np.int64) - 8, 0, 4)], starts.astype(np.uint64))
    views = np.empty((len(starts), 2), np.uint64)
    shift = np.uint64(32)
    views[:, 0] = sizes | low << shift
    views[:, 1] = low >> shift | high << shift
    buffers = [bits_of(valid), buffer_of(views), buffer_of(block.data)]
    array = pa.Array.from_buffers(pa.binary_view(), len(starts), buffers).cast(pa.binary())
    return array if binary else pa.Array.from_buffers(pa.string(), len(array), array.buffers())


def constant(value: bytes) -> pa.Scalar[Any]:
    """A binary scalar."""
    import pyarrow as pa

    scalar: pa.Scalar[Any] = list_to_arrow([value], pa.binary())[0]
    return scalar


def join(parts: Sequence[Any], separator: bytes = b"") -> pa.Array[Any]:
    """Join binary arrays and scalars, value by value; null where one of them is."""
    import pyarrow.compute as pc

    joined: pa.Array[Any] = pc.binary_join_element_wise(*parts, constant(separator))
    return joined


def valid_of(array: pa.Array[Any]) -> NDArray[np.bool_]:
    """Which values of an array are not null."""
    import numpy as np

    if not array.null_count:
        return np.ones(len(array), bool)
    return _unpack(array.buffers()[0], array.offset, len(array))


def _unpack(buffer: pa.Buffer | None, offset: int, size: int) -> NDArray[np.bool_]:
    import numpy as np

    bits = np.unpackbits(_view(buffer, "u1"), count=offset + size, bitorder="little")
    return bits[offset:].view(np.bool_)


def _view(buffer: Any, kind: str) -> NDArray[Any]:  # noqa: ANN401 - a buffer, to all but its type stubs
    import numpy as np

    return np.frombuffer(buffer, kind) if buffer is not None else np.empty(0, kind)


def numbers_of(array: pa.Array[Any]) -> NDArray[np.int64]:
    """The integers beneath an Arrow array; 0 where it is null."""
    import numpy as np
    import pyarrow as pa

    data = array.buffers()[1]
    if pa.types.is_boolean(array.type):
        numbers = _unpack(data, array.offset, len(array)).astype(np.int64)
    else:
        width = array.type.bit_width
        words = max(1, width // 64)  # of a decimal of 128 bits, the lower half is all
        flat = _view(data, f"i{min(width, 64) // 8}")[words * array.offset :]
        numbers = np.ascontiguousarray(flat[: words * len(array) : words], np.int64)
    return np.where(valid_of(array), numbers, 0) if array.null_count else numbers


def beneath(array: pa.Array[Any]) -> pa.Array[Any]:
    """Texts as they are, all else as 64-bit integers."""
    import pyarrow as pa

    return array if pa.types.is_string(array.type) else numbers_to_arrow(numbers_of(array), pa.int64(), valid_of(array))


def codes_of(array: pa.Array[Any]) -> tuple[NDArray[np.int64], int]:
    """A number for each value, the last one for null, and how many numbers there are."""
    import numpy as np

    encoded = beneath(array).dictionary_encode()
    count = len(encoded.dictionary)
    return np.where(valid_of(encoded.indices), numbers_of(encoded.indices), count), count + 1


def bytes_of(texts: pa.Array[Any]) -> memoryview:
    """The values of a binary array, one behind the other.

    Raises:
        ValueError: one of them is null.
    """
    if texts.null_count:
        raise ValueError("a line is missing")
    offsets = _view(texts.buffers()[1], "i4")[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    return memoryview(data)[int(offsets[0]) : int(offsets[-1])] if data is not None else memoryview(b"")
