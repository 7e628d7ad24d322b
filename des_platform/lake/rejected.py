"""Rejected rows on their way from the parser to the table that keeps them: `<table>_rejected`.

Each keeps its text, the reason, its file and its line. Until their commit they wait in a scratch file, as there may be
as many of them as there are records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from des_platform.lake.types import FILE, LINE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import IOBase

    import pyarrow as pa

    from des_platform.lake.tables import Lake
    from des_platform.parquet import RejectedRow

REJECTED_COLUMNS: Final = {"text": "string", "reason": "string"}
"""Declared columns of a table of rejected rows."""

_REASON_CHARACTERS: Final = 80


def rejected_table(name: str) -> str:
    """Name of the table that keeps a table's rejected rows."""
    return f"{name}_rejected"


def ensure_rejected_table(lake: Lake, name: str) -> None:
    """Create the table that keeps a table's rejected rows, where it is missing."""
    if not lake.exists(rejected_table(name)):
        lake.ensure_table(rejected_table(name), REJECTED_COLUMNS)


class RejectedRows:
    """Rejected rows, kept as they come and given back once.

    Args:
        spool: an empty scratch file, open for reading and writing.

    Attributes:
        count: how many there are.
        reasons: how many of each kind; the kind is what stands before the first colon.
    """

    def __init__(self, spool: IOBase) -> None:
        import pyarrow as pa

        self.count = 0
        self.reasons: dict[str, int] = {}
        self._spool = spool
        text: list[pa.Field[Any]] = [pa.field(name, pa.string()) for name in (*REJECTED_COLUMNS, FILE)]
        self._schema = pa.schema([*text, pa.field(LINE, pa.int64())])
        self._writer = pa.ipc.new_stream(spool, self._schema)

    def add(self, file: str, rows: list[RejectedRow]) -> None:
        """Keep rejected rows of one file, and count them."""
        import pyarrow as pa

        if not rows:
            return
        self.count += len(rows)
        for row in rows:
            kind = row.reason.split(":", 1)[0][:_REASON_CHARACTERS]
            self.reasons[kind] = self.reasons.get(kind, 0) + 1
        columns = {
            "text": [row.text for row in rows],
            "reason": [row.reason for row in rows],
            FILE: [file] * len(rows),
            LINE: [row.line for row in rows],
        }
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What was kept; ends the keeping."""
        import pyarrow as pa

        self._writer.close()
        self._spool.seek(0)
        yield from pa.ipc.open_stream(self._spool)
