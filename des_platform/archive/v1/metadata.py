"""Metadata as they stand in META: compact JSON in ASCII, the bytes that `json.dumps` with narrow separators gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from des_platform.archive.models import MAX_META_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

# json.dumps builds an encoder on every call unless its settings are the default ones. NaN and Infinity are not JSON.
_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_quote = json.encoder.encode_basestring_ascii


def encode_meta(name: str, meta: Mapping[str, object], size: int) -> bytes:
    """Return metadata as they stand in META: compact JSON, ``size`` at the end or in its place.

    Raises:
        ValueError: they are not JSON, or over 10 MiB.
    """
    try:
        text = _encode_flat(meta, size)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the metadata of {name!r} is not JSON: {error}") from error
    if len(text) > MAX_META_BYTES:
        raise ValueError(f"the metadata of {name!r} is {len(text)} bytes of JSON: {MAX_META_BYTES} at most")
    return text.encode("ascii")


def _encode_flat(meta: Mapping[str, object], size: int) -> str:
    """Encode key by key: 0.5 us for two short strings, where an encoder takes 1.7 us to set itself up."""
    fields = []
    for key, value in meta.items():
        if type(key) is not str or key == "size":
            return _encode_json({**meta, "size": size})
        if type(value) is str:
            encoded = _quote(value)
        elif type(value) is int:
            encoded = repr(value)
        else:
            encoded = _encode_json(value)
        fields.append(f"{_quote(key)}:{encoded}")
    fields.append(f'"size":{size}')
    return "{" + ",".join(fields) + "}"
