"""Files of a schema's rows: JSON lines, a JSON array, CSV or text, of a size in bytes.

CSV is UTF-8 with a header, lines ended by a line feed, quoted where RFC 4180 says so; what is null or absent is an
empty cell, and an empty text is `""`. Text is one `name=value ...` line a row, a value quoted as in JSON where it holds
a space, a quote, an equals sign or nothing; what is null or absent has nothing after its sign. A file is made whole in
memory: at most 64 MiB and 1,000,000 rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

from des_platform.settings import ConfigurationError
from des_platform.sources.generator.drawing import File, Form
from des_platform.sources.generator.rows import cells, names, objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from des_platform.sources.generator.schema import Schema

Format = Literal["json", "jsonl", "csv", "text"]

EXTENSIONS: Final[dict[Format, str]] = {"json": "json", "jsonl": "jsonl", "csv": "csv", "text": "txt"}
MAX_ROWS: Final = 1_000_000
MAX_BYTES: Final = 64 << 20
DEFAULT_BYTES: Final = 1_000_000

_GENERATION: Final = 1  # counts the changes of what a schema and a seed give
_SAMPLE_ROWS: Final = 1_000
_SAMPLE_BYTES: Final = 8 << 20
_SAMPLE_DAY: Final = date(2026, 3, 1)
_TO_QUOTE: Final = re.compile(r'[",\r\n]')


class Generator:
    """Makes the files of one schema in one format.

    Args:
        schema: what the rows are.
        file_format: how they are written.

    Raises:
        ConfigurationError: the schema has no such form: an array has no place in CSV and text.
    """

    def __init__(self, schema: Schema, file_format: Format) -> None:
        if file_format not in EXTENSIONS:
            raise ValueError(f"file_format is {file_format!r}, expected one of {', '.join(EXTENSIONS)}")
        self.schema = schema
        self.file_format: Format = file_format
        self._names = names(schema) if file_format in {"csv", "text"} else []

    def content(self, day: date, number: int, *, rows: int, seed: int = 0) -> bytes:
        """Make a file; the same arguments give the same bytes.

        Args:
            day: day of its dates and times (UTC).
            number: number of the file within its day; it makes files of a day differ.
            rows: rows in it, 0 to 1,000,000.
            seed: another seed, another world.

        Raises:
            ValueError: `rows` is out of range.
            ConfigurationError: the schema's times do not hold so many rows.
        """
        if not 0 <= rows <= MAX_ROWS:
            raise ValueError(f"rows is {rows}, expected 0 to {MAX_ROWS}")
        file = File(self.schema.dataset, day, number, seed)
        if self.file_format == "csv":
            return self._csv(file, rows)
        if self.file_format == "text":
            return self._text(file, rows)
        found = objects(self.schema.root, file, rows)
        if self.file_format == "json":
            inner = ",\n".join(found)
            return f"[\n{inner}\n]\n".encode()
        return _lines(found)

    def rows_of(self, size: int) -> int:
        """How many rows make a file of about this size.

        Args:
            size: bytes, 1 to 64 MiB.

        Returns:
            At least 1.

        Raises:
            ConfigurationError: the size is out of range, or the rows would be too many.
        """
        if not 1 <= size <= MAX_BYTES:
            raise ConfigurationError(f"a file of {size:,} bytes is not generated, expected 1 to {MAX_BYTES:,}")
        around, row = self._widths
        rows = max(1, round((size - around) / row))
        if rows > MAX_ROWS:
            raise ConfigurationError(
                f"a file of {size:,} bytes would have {rows:,} rows of {self.schema.dataset}, and may have"
                f" {MAX_ROWS:,}: make the files smaller"
            )
        return rows

    def fingerprint(self, rows: int) -> str:
        """Eight characters for the name of a file: what stands behind its bytes beside seed, day and number."""
        facts = json.dumps([_GENERATION, self.schema.text, self.file_format, rows])
        return hashlib.sha256(facts.encode()).hexdigest()[:8]

    @cached_property
    def _widths(self) -> tuple[int, float]:
        """Bytes of a file without rows, and of an average row."""
        rows = max(16, min(_SAMPLE_ROWS, _SAMPLE_BYTES // self.schema.root.widest))
        around = len(self.content(_SAMPLE_DAY, 0, rows=0))
        return around, (len(self.content(_SAMPLE_DAY, 0, rows=rows)) - around) / rows

    def _csv(self, file: File, rows: int) -> bytes:
        # A line of nothing would be no row to most readers: a lone null is written as an empty text.
        form = Form(_csv_cell, "", "" if len(self._names) > 1 else '""')
        header = ",".join(map(_csv_cell, self._names))
        columns = cells(self.schema.root, file, rows, form)
        return _lines(chain((header,), map(",".join, zip(*columns, strict=True))))

    def _text(self, file: File, rows: int) -> bytes:
        columns = cells(self.schema.root, file, rows, Form(_text_cell, "", ""))
        template = " ".join(f"{_text_cell(name).replace('%', '%%')}=%s" for name in self._names)
        return _lines(map(template.__mod__, zip(*columns, strict=True)))


def _lines(lines: Iterable[str]) -> bytes:
    text = "\n".join(lines)
    return f"{text}\n".encode() if text else b""


def _csv_cell(text: str) -> str:
    if text and not _TO_QUOTE.search(text):
        return text
    escaped = text.replace('"', '""')
    return f'"{escaped}"'


def _text_cell(text: str) -> str:
    plain = text.isprintable() and not {" ", '"', "="} & set(text)
    return text if text and plain else json.dumps(text)
