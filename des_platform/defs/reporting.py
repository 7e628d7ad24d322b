"""What a materialization shows: numbers that the UI charts, and a table for the reader's eye.

The names are the same everywhere: `files`, `bytes_in`, `bytes_out`, `compression_ratio`, `duration_s`,
`throughput_mb_s`. Sizes are bytes, MB are 10^6 bytes.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


Metadata = dict[str, Any]
_CELL_CHARACTERS = 200
_MARKUP = re.compile(r"[\\`*_\[\]~|]")


class Stopwatch:
    """Seconds that one partition took; `seconds` is final when the `with` has ended."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure the body of a `with`."""
    watch = Stopwatch()
    started = time.perf_counter()
    yield watch
    watch.seconds = time.perf_counter() - started


def numbers(*, files: int, bytes_in: int, bytes_out: int, watch: Stopwatch) -> Metadata:
    """The numbers that every stage reports."""
    return {
        "files": files,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "compression_ratio": round(bytes_in / bytes_out, 3) if bytes_out else 1.0,
        "duration_s": round(watch.seconds, 3),
        "throughput_mb_s": round(bytes_in / 1e6 / watch.seconds, 3) if watch.seconds else 0.0,
    }


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A table in Markdown; cells are data, so what would be markup is escaped."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def bars(label: str, unit: str, values: Mapping[str, int]) -> dg.MarkdownMetadataValue:
    """A bar chart as a table: needs neither a network nor a picture to show."""
    longest = max(values.values(), default=0) or 1
    return table(
        [label, unit, ""], [[name, value, "█" * round(30 * value / longest)] for name, value in values.items()]
    )


def report(context: dg.AssetExecutionContext, partition_key: str, metadata: Metadata) -> None:
    """Attach metadata to one partition, also where a run covers a range of them."""
    context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=partition_key)


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    # Every kind of line break would end the row; cut before escaping, or half an escape could be left.
    text = " ".join(text.split())[:_CELL_CHARACTERS].replace("&", "&amp;").replace("<", "&lt;")
    return _MARKUP.sub(r"\\\g<0>", text)
