"""The shard that a name belongs to: the leading bits of the SHA-256 of the name.

The hash is of the whole name and nothing else, so whoever knows a name knows its shard without asking anybody. More
bits split every shard evenly: shard ``s`` of ``b`` bits becomes ``2s`` and ``2s + 1`` of ``b + 1`` bits, and no name
moves anywhere else.

Arguments out of range raise ``ValueError``; nothing is clamped, since a wrong shard would look like a missing file.
"""

from __future__ import annotations

import hashlib

MAX_SHARD_BITS = 8


def shard_of(name: str, bits: int) -> int:
    """Return the shard of a name: the top ``bits`` bits of the SHA-256 of its UTF-8 bytes.

    Args:
        name: the name, whole.
        bits: how many bits number the shards, 0 to 8; with 0 there is the one shard 0.

    Returns:
        A shard number, at least 0 and below ``2 ** bits``.

    Raises:
        ValueError: ``bits`` is out of range, or the name has no UTF-8 form.
    """
    _check_bits(bits)
    return hashlib.sha256(name.encode("utf-8")).digest()[0] >> (MAX_SHARD_BITS - bits)


def shard_label(shard: int, bits: int) -> str:
    """Return how a shard is written in keys and partitions: lower-case hex, ``ceil(bits / 4)`` digits and at least one.

    Args:
        shard: the shard number, at least 0 and below ``2 ** bits``.
        bits: how many bits number the shards, 0 to 8.

    Raises:
        ValueError: ``bits`` is out of range, or there is no such shard.
    """
    _check_bits(bits)
    if not 0 <= shard < 1 << bits:
        raise ValueError(f"shard {shard} does not exist: {bits} bits number the shards 0 to {(1 << bits) - 1}")
    return f"{shard:0{max(1, -(-bits // 4))}x}"


def shard_labels(bits: int) -> list[str]:
    """Return the labels of all ``2 ** bits`` shards in order.

    Raises:
        ValueError: ``bits`` is out of range.
    """
    _check_bits(bits)
    return [shard_label(shard, bits) for shard in range(1 << bits)]


def _check_bits(bits: int) -> None:
    if not 0 <= bits <= MAX_SHARD_BITS:
        raise ValueError(f"shard bits must be 0 to {MAX_SHARD_BITS}, not {bits}")
