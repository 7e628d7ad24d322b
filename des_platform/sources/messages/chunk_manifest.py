"""The message that announces a chunked file: which records of a stream, read in which order, undone by which codecs.

    {"ID": ..., "file_name": ..., "file_total_chunk": 2, "shard_id": ..., "sequence_number": ["...", "..."],
     "metadata": {"name": "bz2 + zstd"}, "file_size": ..., "file_sha256": ..., "chunk_bytes": ...,
     "chunk_checksums": "..."}

`metadata` may also be the text of such an object. The last four fields are optional: what they promise is checked
when the file is put together. The checksums are the XXH3 (64 bits, big-endian) of each chunk as it is stored, one
after the other, in base64. Chunks that are objects count as the records 0, 1, ... of a shard that is their folder.
Pure, no input or output.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass

from des_platform.sources.messages.bodies import (
    MalformedMessage,
    bytes_of,
    load_body,
    load_object,
    object_of,
    shown,
    text_of,
)

_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SEQUENCE_NUMBER = re.compile(r"[0-9]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WHAT = "manifest of a chunked file"


@dataclass(frozen=True)
class ChunkedFile:
    """A whole file lies in a stream, in compressed chunks.

    Attributes:
        id: the file's identifier: ASCII letters, digits, '.', '_' and '-'.
        file_name: its name, as the object store accepts it.
        shard_id: the stream's shard that holds the chunks.
        sequence_numbers: where in the shard, in the order of the chunks.
        pipeline: names of the codecs, in the order in which they were applied.
        chunk_bytes: bytes of all chunks; None where the message does not tell.
        size: bytes of the original; None where the message does not tell.
        sha256: SHA-256 of the original in lower-case hexadecimal; None where the message does not tell.
        checksums: XXH3 of each chunk, 64 bits; None where the message does not tell.
    """

    id: str
    file_name: str
    shard_id: str
    sequence_numbers: tuple[int, ...]
    pipeline: tuple[str, ...]
    chunk_bytes: int | None = None
    size: int | None = None
    sha256: str | None = None
    checksums: tuple[int, ...] | None = None


def chunked_file(body: str) -> ChunkedFile | None:
    """Read the chunked file out of one message body; None where the body announces none.

    Raises:
        MalformedMessage: it announces one, and cannot be understood.
    """
    if "file_total_chunk" not in body:  # parsing costs more than looking
        return None
    message, _ = load_body(body)
    return chunked_of(message) if "file_total_chunk" in message else None


def chunk_manifest(file: ChunkedFile) -> str:
    """Write the message that announces a chunked file; fields that are not known are left out."""
    message = {
        "ID": file.id,
        "file_name": file.file_name,
        "file_total_chunk": len(file.sequence_numbers),
        "shard_id": file.shard_id,
        "sequence_number": [str(number) for number in file.sequence_numbers],
        "metadata": json.dumps({"name": " + ".join(file.pipeline)}),
        "file_size": file.size,
        "file_sha256": file.sha256,
        "chunk_bytes": file.chunk_bytes,
        "chunk_checksums": None if file.checksums is None else _packed(file.checksums),
    }
    return json.dumps({name: value for name, value in message.items() if value is not None}, separators=(",", ":"))


def chunked_of(message: dict[str, object]) -> ChunkedFile:
    """The chunked file that an object announces.

    Raises:
        MalformedMessage: it cannot be understood.
    """
    name = text_of(message, "file_name", _WHAT)
    try:
        return _chunked(message, name)
    except MalformedMessage as error:
        raise MalformedMessage(f"{shown(name)}: {error}") from None


def _chunked(message: dict[str, object], name: str) -> ChunkedFile:
    identifier = _matching(text_of(message, "ID", _WHAT), _IDENTIFIER, "ID", "letters, digits, '.', '_' and '-'")
    shard = _matching(text_of(message, "shard_id", _WHAT), _IDENTIFIER, "shard_id", "the name of a shard")
    numbers = message.get("sequence_number")
    if not isinstance(numbers, list) or not numbers:
        raise MalformedMessage(f"sequence_number is {shown(numbers)}, expected a list of at least one")
    texts = [number for number in numbers if isinstance(number, str) and _SEQUENCE_NUMBER.fullmatch(number)]
    # Sorted as integers: the order of their texts is another one.
    found = tuple(sorted({int(number) for number in texts}))
    if len(found) != len(numbers) or message.get("file_total_chunk") != len(found):
        raise MalformedMessage(
            f"file_total_chunk is {shown(message.get('file_total_chunk'))}, and sequence_number names {len(found)} "
            f"different records in {len(numbers)} entries: expected the same number three times"
        )
    metadata = message.get("metadata")
    if isinstance(metadata, str):
        metadata = load_object(metadata, "metadata")
    pipeline = text_of(object_of(metadata, "metadata"), "name", "metadata")
    sha256 = message.get("file_sha256")
    if sha256 is not None:
        sha256 = _matching(text_of(message, "file_sha256", _WHAT), _SHA256, "file_sha256", "64 hexadecimal digits")
    return ChunkedFile(
        identifier,
        name,
        shard,
        found,
        tuple(stage.strip() for stage in pipeline.split("+")),
        bytes_of(message, "chunk_bytes"),
        bytes_of(message, "file_size"),
        sha256,
        _checksums(message, len(found)),
    )


def _packed(checksums: tuple[int, ...]) -> str:
    return base64.b64encode(struct.pack(f">{len(checksums)}Q", *checksums)).decode("ascii")


def _checksums(message: dict[str, object], number: int) -> tuple[int, ...] | None:
    if message.get("chunk_checksums") is None:
        return None
    text = text_of(message, "chunk_checksums", _WHAT)
    try:
        packed = base64.b64decode(text, validate=True)
    except ValueError:  # binascii's own, and that of what is not ASCII
        raise MalformedMessage("chunk_checksums is not base64") from None
    if len(packed) != 8 * number:
        raise MalformedMessage(f"chunk_checksums has {len(packed)} bytes, expected 8 for each of {number} chunks")
    return struct.unpack(f">{number}Q", packed)


def _matching(text: str, pattern: re.Pattern[str], name: str, expected: str) -> str:
    if pattern.fullmatch(text):
        return text
    raise MalformedMessage(f"{name} is {shown(text)}, expected {expected}")
