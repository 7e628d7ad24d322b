"""The index of an archive in memory: its bytes as they stand in the file, and a hash table of where each entry starts.

No object per file: a file costs its index entry (38 bytes and its name) and 16 to 32 bytes of table (up to 64 in a
writer's table of less than 8 MiB); dictionaries of names and entry objects cost several hundred. A reader's index is
read-only once parsed, and so safe for threads; a writer guards its own. Entries that break the format raise
`CorruptArchive` while parsing, never later.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NoReturn

from des_platform.archive.layout import (
    ENTRY_TAIL,
    FLAG_EXTERNAL,
    MAX_META_BYTES,
    MIN_ENTRY_SIZE,
    NAME_LENGTH,
    CorruptArchive,
    Footer,
    IndexEntry,
    name_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIN_SLOTS = 8
_LARGE_TABLE = 2**20


class NameTable:
    """Finds index entries by name: open addressing over the bytes of the index, which are not copied.

    Keys are names as `name_key` gives them. Python keys the hash of bytes anew in every process, so nobody can prepare
    names that collide.

    Args:
        raw: the index; a writer goes on appending to it.
        expected: how many names to make room for at once.
    """

    __slots__ = ("_count", "_mask", "_raw", "_slots")

    def __init__(self, raw: bytes | bytearray, expected: int = 0) -> None:
        self._raw = raw
        self._count = 0
        self._allocate(max(_MIN_SLOTS, 1 << (2 * expected).bit_length()))

    def __len__(self) -> int:
        return self._count

    def find(self, key: bytes) -> int:
        """Return where the entry of a name starts, or -1."""
        return self._slots[self._probe(key)] - 1

    def insert(self, key: bytes, position: int) -> bool:
        """Note where the entry of a name starts; return False, and change nothing, when the name is known."""
        if 2 * self._count >= self._mask:
            self._grow()
        slot = self._probe(key)
        if self._slots[slot]:
            return False
        self._slots[slot] = position + 1  # 0 stands for a free slot
        self._count += 1
        return True

    def _probe(self, key: bytes) -> int:
        slots, raw, mask = self._slots, self._raw, self._mask
        slot = hash(key) & mask
        while (stored := slots[slot]) and not raw.startswith(key, stored - 1):
            slot = (slot + 1) & mask
        return slot

    def _allocate(self, size: int) -> None:
        self._slots = array("Q", bytes(8 * size))
        self._mask = size - 1

    def _grow(self) -> None:
        old = self._slots
        # Growing fourfold while it is cheap: 1.0 us per name all told instead of 1.4.
        self._allocate(len(old) * (4 if len(old) < _LARGE_TABLE else 2))
        slots, raw, mask = self._slots, self._raw, self._mask
        for stored in old:
            if stored:
                position = stored - 1
                slot = hash(bytes(raw[position : _name_end(raw, position)])) & mask
                while slots[slot]:
                    slot = (slot + 1) & mask
                slots[slot] = stored


class PackedIndex:
    """The parsed index of one archive.

    Args:
        raw: the bytes of INDEX, whole.
        footer: the checked footer of the archive.
        where: names the archive in errors.

    Raises:
        CorruptArchive: the entries are not exactly those the footer announces, one points outside its region, or a name
            is empty, not UTF-8 or there twice.
    """

    def __init__(self, raw: bytes, footer: Footer, where: str) -> None:
        self._raw = raw
        self._names = _parse(raw, footer, where)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def __iter__(self) -> Iterator[IndexEntry]:
        """Iterate over the entries in archive order."""
        raw, position = self._raw, 0
        while position < len(raw):
            end = _name_end(raw, position)
            yield IndexEntry(str(raw[position + NAME_LENGTH.size : end], "utf-8"), *ENTRY_TAIL.unpack_from(raw, end))
            position = end + ENTRY_TAIL.size

    def find(self, name: str) -> IndexEntry | None:
        """Return the entry of a name, or None."""
        try:
            key = name_key(name)
        except ValueError:  # no archive can hold such a name
            return None
        position = self._names.find(key)
        if position < 0:
            return None
        return IndexEntry(name, *ENTRY_TAIL.unpack_from(self._raw, position + len(key)))


def make_absolute(raw: bytearray, meta_start: int) -> None:
    """Add ``meta_start`` to the meta offset of every entry: a writer learns it only after the last payload."""
    position = 0
    while position < len(raw):
        end = _name_end(raw, position)
        data_offset, data_length, meta_offset, meta_length, flags = ENTRY_TAIL.unpack_from(raw, end)
        ENTRY_TAIL.pack_into(raw, end, data_offset, data_length, meta_offset + meta_start, meta_length, flags)
        position = end + ENTRY_TAIL.size


def _name_end(raw: bytes | bytearray, position: int) -> int:
    return position + NAME_LENGTH.size + (raw[position] | raw[position + 1] << 8)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _parse(raw: bytes, footer: Footer, where: str) -> NameTable:
    def corrupt(problem: str) -> NoReturn:
        raise CorruptArchive(f"{where}: index entry {len(names)} at byte {footer.index_start + position} {problem}")

    data_start, data_end = footer.data_start, footer.data_start + footer.data_length
    meta_start, meta_end = footer.meta_start, footer.meta_start + footer.meta_length
    names = NameTable(raw, footer.file_count)
    position, size, unpack_tail = 0, len(raw), ENTRY_TAIL.unpack_from
    for _ in range(footer.file_count):
        if position + MIN_ENTRY_SIZE > size or (end := _name_end(raw, position)) + ENTRY_TAIL.size > size:
            corrupt(f"runs past the end of the index of {size} bytes")
        key = raw[position:end]
        data_offset, data_length, meta_offset, meta_length, flags = unpack_tail(raw, end)
        if flags & FLAG_EXTERNAL:
            inside = data_offset == 0
        else:
            inside = data_start <= data_offset and data_offset + data_length <= data_end
        if not inside:
            corrupt(
                f"with flags {flags:#x} has its data at {data_offset} + {data_length}: "
                f"expected 0 if external, else within DATA, {data_start} to {data_end}"
            )
        if meta_offset < meta_start or meta_offset + meta_length > meta_end or meta_length > MAX_META_BYTES:
            corrupt(f"has its metadata at {meta_offset} + {meta_length}, outside META, {meta_start} to {meta_end}")
        if len(key) == NAME_LENGTH.size or not (key.isascii() or _is_utf8(key[NAME_LENGTH.size :])):
            corrupt("has a name that is empty or not UTF-8")
        if not names.insert(key, position):
            corrupt(f"has the name of another entry: {key[NAME_LENGTH.size :]!r}")
        position = end + ENTRY_TAIL.size
    if position != size:
        raise CorruptArchive(f"{where}: the index goes on for {size - position} bytes after its {len(names)} files")
    return names
