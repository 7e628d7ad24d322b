"""Snowflake names and the shard that a name belongs to."""

from __future__ import annotations

from des_platform.naming.shard import MAX_SHARD_BITS, shard_label, shard_labels, shard_of
from des_platform.naming.snowflake import DesName, NameMinter, parse_name

__all__ = ["MAX_SHARD_BITS", "DesName", "NameMinter", "parse_name", "shard_label", "shard_labels", "shard_of"]
