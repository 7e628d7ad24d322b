"""The rescue of one archive: a first walk that finds the damage, and a second that builds the new archive.

What stands before the first damage is taken over as it is; the members behind it are added again, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from des_platform.archive.errors import CorruptArchive
from des_platform.archive.models import FLAG_DICTIONARY
from des_platform.archive.recovery import Recovery
from des_platform.archive.v2.adoption import Adopted
from des_platform.archive.v2.block import check_blob, parse_objects, parse_tombstones, split
from des_platform.archive.v2.block_writer import strings
from des_platform.archive.v2.builder import V2Builder
from des_platform.archive.v2.catalogue_writer import catalogue_schema
from des_platform.archive.v2.ends import Ends
from des_platform.archive.v2.layout import (
    BLOCK_DICTIONARY,
    BLOCK_MAGIC,
    BLOCK_OBJECTS,
    BLOCK_SCHEMA,
    BLOCK_TOMBSTONES,
    HEADER_BYTES,
    Header,
)
from des_platform.archive.v2.members import parse_dictionary
from des_platform.archive.v2.rows import is_json_object, parse_json, rows_of_block
from des_platform.archive.v2.verify import external_records, right_payloads
from des_platform.archive.v2.walk import Block, Damage, Window, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource
    from des_platform.archive.v2.block import ObjectColumns
    from des_platform.archive.v2.layout import Footer


@dataclass(slots=True)
class _Survey:
    """What the first walk found.

    Attributes:
        whole: the blocks up to here can be taken over as they are.
        archive_id: of the blocks.
        created_ms: of the archive; None if nothing tells.
        blocks: how many are taken over.
        ordinals: how many objects they hold.
        columns: the user's.
        dictionary: the zstd dictionary.
        dictionary_offset: of its block, if that is taken over.
        dictionary_length: of its block.
        deleted: by the tombstones that are taken over.
        ended: what ended behind the first damage: a tombstone there is not taken over, and a member there says that
            those before it that have its name were deleted, even if that tombstone is lost.
    """

    whole: int = HEADER_BYTES
    archive_id: int | None = None
    created_ms: int | None = None
    blocks: int = 0
    ordinals: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    dictionary: bytes = b""
    dictionary_offset: int = 0
    dictionary_length: int = 0
    deleted: Ends = field(default_factory=Ends)
    ended: Ends = field(default_factory=Ends)


class Rescue:
    """Recovers one archive.

    Args:
        source: what is left of it.
        sink: takes the new archive.
        end: no block reaches beyond this offset.
        footer: of the archive, if it is whole.
        progress: called with the bytes that are done, and all.
    """

    def __init__(
        self,
        source: ByteSource,
        sink: ByteSink,
        end: int,
        footer: Footer | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._end = end
        self._footer = footer
        self._where = repr(source)
        self._progress = progress
        self._found = Recovery()
        self._survey = _Survey()
        self._outlived: dict[str, None] = {}

    def run(self) -> Recovery:
        """Write the new archive; the sink is left to be committed."""
        self._read_header()
        self._look()
        survey = self._survey
        builder = self._builder()
        try:
            for name in self._outlived:
                builder.delete(name)
            if survey.dictionary and not survey.dictionary_offset:
                builder.set_dictionary(survey.dictionary)
            self._add_rest(builder)
            builder.finish()
            self._found.recovered = len(builder)
        finally:
            builder.discard()
        return self._found

    def _builder(self) -> V2Builder:
        survey = self._survey
        if survey.whole <= HEADER_BYTES:
            return V2Builder(
                self._sink,
                archive_id=survey.archive_id,
                created_ms=survey.created_ms,
                columns=survey.columns,
                compression_level=None,
            )
        adopted = Adopted(
            source=self._source,
            length=survey.whole,
            rows=self._rows(),
            archive_id=survey.archive_id or 0,
            created_ms=survey.created_ms or 0,
            generation=1,
            seed=survey.archive_id or 0,
            ordinals=survey.ordinals,
            blocks=survey.blocks,
            columns=survey.columns,
            dictionary=survey.dictionary if survey.dictionary_offset else b"",
            dictionary_offset=survey.dictionary_offset,
            dictionary_length=survey.dictionary_length,
            view=self._outlived,
        )
        return V2Builder(self._sink, base=adopted, created_ms=survey.created_ms, compression_level=None)

    def _read_header(self) -> None:
        survey = self._survey
        raw = self._source.read_range(0, HEADER_BYTES)
        try:
            survey.archive_id, survey.created_ms = Header.parse(raw, self._where)
        except CorruptArchive as error:
            self._found.problems.append(str(error))
            survey.whole = 0  # the header must be written anew
            if self._footer:
                survey.archive_id, survey.created_ms = self._footer.archive_id, self._footer.created_ms

    def _look(self) -> None:
        """Find the first damage, the dictionary, the schema and what is deleted."""
        survey, window = self._survey, Window(self._source, self._end)
        whole = survey.whole > 0
        for block in walk(window, survey.archive_id, self._where):
            if isinstance(block, Damage):
                # Behind the last block of a cut archive stands what is left of its end: that is no loss.
                if self._footer or block.end < self._end or bytes(window.read(block.start, 4)) == BLOCK_MAGIC:
                    self._found.problems.append(f"{block.problem} (bytes {block.start} to {block.end})")
                whole = False
            else:
                survey.archive_id = block.header.archive_id
                whole = whole and block.header.first_ordinal == survey.ordinals
                whole = self._note(block, window, whole=whole)
                if whole:
                    survey.whole = block.end
                    survey.blocks += 1
                    survey.ordinals += block.header.count if block.header.kind == BLOCK_OBJECTS else 0
            if self._progress:
                self._progress(block.end, self._end)
        survey.deleted.settle()
        survey.ended.settle()

    def _note(self, block: Block, window: Window, *, whole: bool) -> bool:
        """Take note of what a block says; return whether it can be taken over, if all before it is ``whole``."""
        at = f"{self._where}: byte {block.offset}"
        survey, kind = self._survey, block.header.kind
        try:
            if kind == BLOCK_OBJECTS:
                columns = parse_objects(block.header, block.columns, at)
                right = right_payloads(block, columns, window)
                records = (record for _, record in external_records(block, columns, window))
                whole = whole and all(right) and _is_readable(columns) and all(map(is_json_object, records))
                if not whole:
                    names = split(columns.names, columns.name_lengths)
                    there = [name for name, is_right in zip(names, right, strict=True) if is_right]
                    survey.ended.add(there, block.header.first_ordinal)
            elif kind == BLOCK_TOMBSTONES:
                ends = survey.deleted if whole else survey.ended
                ends.add(parse_tombstones(block.header, block.columns, at), block.header.first_ordinal)
            elif kind == BLOCK_DICTIONARY:
                raw = bytes(window.read(block.offset, block.header.size))
                survey.dictionary = parse_dictionary(raw, block.header.archive_id, at)
                if whole:
                    survey.dictionary_offset, survey.dictionary_length = block.offset, block.header.size
            elif kind == BLOCK_SCHEMA:
                payload = bytes(window.read(block.payload_offset, block.header.payload))
                check_blob(payload, block.columns, at)
                survey.columns = _user_columns(payload, at)
            else:
                whole = whole and block.end <= self._end
        except CorruptArchive as error:
            self._found.problems.append(str(error))
            return False
        return whole

    def _rows(self) -> Iterator[pa.Table]:
        """The rows of the blocks that are taken over, less what their tombstones delete."""
        survey = self._survey
        window = Window(self._source, survey.whole)
        for block in walk(window, survey.archive_id, self._where):
            if isinstance(block, Block) and block.header.kind == BLOCK_OBJECTS:
                columns = parse_objects(block.header, block.columns, self._where)
                records = dict(external_records(block, columns, window))
                rows = rows_of_block(columns, block.payload_offset, records, survey.archive_id or 0, survey.columns)
                names = split(columns.names, columns.name_lengths)
                deleted = survey.deleted.dead(names, block.header.first_ordinal)
                ended = survey.ended.dead(names, block.header.first_ordinal) & ~deleted
                self._outlived.update((names[index].decode(), None) for index in np.flatnonzero(ended).tolist())
                yield rows.filter(pa.array(~deleted)) if deleted.any() else rows

    def _add_rest(self, builder: V2Builder) -> None:
        """Add every member behind the first damage that is whole."""
        window = Window(self._source, self._end)
        for block in walk(window, self._survey.archive_id, self._where):
            if isinstance(block, Damage) or block.offset < self._survey.whole:
                continue
            if block.header.kind == BLOCK_OBJECTS:
                try:
                    self._add_block(builder, block, window)
                except CorruptArchive:  # the first walk has said so
                    continue

    def _add_block(self, builder: V2Builder, block: Block, window: Window) -> None:
        columns = parse_objects(block.header, block.columns, f"{self._where}: byte {block.offset}")
        names = split(columns.names, columns.name_lengths)
        metadata = split(columns.metadata, columns.metadata_lengths)
        dead = self._survey.ended.dead(names, block.header.first_ordinal)
        offset = block.payload_offset
        for index, right in enumerate(right_payloads(block, columns, window)):
            length, flags = int(columns.stored_lengths[index]), int(columns.flags[index])
            name = names[index].decode(errors="replace")
            problem = "" if right else f"{name!r} is not whole"
            if right and flags & FLAG_DICTIONARY and not self._survey.dictionary:
                problem = f"{name!r} needs the dictionary, which is lost"
            if not problem and not dead[index]:
                payload = bytes(window.read(offset, length))
                if metadata[index] and not is_json_object(metadata[index]):
                    self._found.problems.append(f"{self._where}: the metadata of {name!r} are not a JSON object")
                    metadata[index] = b""
                try:
                    builder.add_stored(name, payload, metadata[index], flags, int(columns.raw_lengths[index]))
                except ValueError as error:
                    problem = str(error)
            if problem and not dead[index]:
                self._found.lost.append(name)
                self._found.problems.append(f"{self._where}: byte {offset}: {problem}")
            offset += length


def _is_readable(columns: ObjectColumns) -> bool:
    """Whether names and metadata are what a catalogue can have in it."""
    try:
        strings(columns.names, columns.name_lengths).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return all(is_json_object(text) for text in split(columns.metadata, columns.metadata_lengths) if text)


def _user_columns(payload: bytes, where: str) -> dict[str, str]:
    columns = parse_json(payload).get("columns")
    if not isinstance(columns, dict) or not all(isinstance(kind, str) for kind in columns.values()):
        raise CorruptArchive(f"{where}: the schema block has the columns {columns!r}: expected names and types")
    try:
        catalogue_schema(columns)
    except ValueError as error:
        raise CorruptArchive(f"{where}: the schema block: {error}") from error
    return columns
