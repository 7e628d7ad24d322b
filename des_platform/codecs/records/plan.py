"""How a file is taken apart: its format, templates and columns, found in its first block and kept for all of it.

A kind is taken for a column if it reads all but a few of the values in a sample; the lines of the others are kept as
they stand. The order of the kinds is from the most to the least exact one, `raw` reads everything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from des_platform.codecs.records.csv_lines import Dialect, csv_anchors, find_dialect
from des_platform.codecs.records.errors import NotRecords
from des_platform.codecs.records.json_lines import json_anchors, json_template, uniform_objects
from des_platform.codecs.records.lines import PADDING, Block
from des_platform.codecs.records.log_lines import log_anchors, log_templates
from des_platform.codecs.records.numbers import MAX_DIGITS
from des_platform.codecs.records.times import layouts_of
from des_platform.codecs.records.values import Column, Quote, Values, read_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from des_platform.codecs.records.templates import Anchors, Template

_SAMPLE_LINES = 2000
_VALUES = 2048
_TOLERATED = 0.002
_MAX_TEMPLATES = 64
_LEAST_LINES = 0.005
_MAX_MISSES = 12
_MAX_LOG_COLUMNS = 64
_NULLS = ("", "NA", "null", "NULL", "None", "nan", "NaN", "N/A", "-", "\\N", "?")
_CSV_QUOTED_FOR = '\r\n"'


@dataclass
class Plan:
    """How a file's lines are taken apart.

    Attributes:
        line_format: `json`, `csv` or `log`.
        templates: the most frequent first.
        columns: all that the templates name.
        separator: of CSV.
        head: the header line of CSV, line feed included: it is no row.
    """

    line_format: str
    templates: list[Template]
    columns: list[Column] = field(default_factory=list)
    separator: str = ""
    head: bytes = b""

    def anchors(self, block: Block) -> Anchors:
        """The anchors of a block."""
        if self.line_format == "json":
            return json_anchors(block)
        return csv_anchors(block, self.separator.encode()) if self.line_format == "csv" else log_anchors(block)


@dataclass
class Spans:
    """Where the fields of a block are, by column.

    Attributes:
        template: number of each line's template, from 1; 0 for none.
        starts: of each column, where its field begins in each line; a harmless place where it has none.
        ends: where it ends.
        present: which lines have it.
    """

    template: NDArray[np.int32]
    starts: dict[str, NDArray[np.int64]]
    ends: dict[str, NDArray[np.int64]]
    present: dict[str, NDArray[np.bool_]]


def find_spans(plan: Plan, block: Block, names: Sequence[str]) -> Spans:
    """Find the template of each line, and its fields."""
    import numpy as np

    anchors = plan.anchors(block)
    spans = Spans(np.zeros(block.rows, np.int32), {}, {}, {})
    for name in names:
        spans.starts[name] = np.full(block.rows, PADDING)
        spans.ends[name] = np.full(block.rows, PADDING)
        spans.present[name] = np.zeros(block.rows, bool)
    left = np.arange(block.rows)
    for number, template in enumerate(plan.templates, 1):
        if not len(left):
            break
        fit = anchors.fit(template, left)
        if len(fit.rows) == block.rows:
            spans.template += number
            spans.starts |= dict(zip(names_of(template), fit.starts, strict=True))
            spans.ends |= dict(zip(names_of(template), fit.ends, strict=True))
            spans.present |= dict.fromkeys(names_of(template), np.ones(block.rows, bool))
            break
        spans.template[fit.rows] = number
        for item, starts, ends in zip(template.fields, fit.starts, fit.ends, strict=True):
            spans.starts[item.column][fit.rows] = starts
            spans.ends[item.column][fit.rows] = ends
            spans.present[item.column][fit.rows] = True
        left = left[spans.template[left] == 0]
    return spans


def names_of(template: Template) -> list[str]:
    """The columns of a template, in its order."""
    return [item.column for item in template.fields]


def make_plan(first: bytes) -> Plan:
    """Find out how a file is to be taken apart.

    Args:
        first: its first block.

    Raises:
        NotRecords: it has no lines that are alike.
    """
    block = Block.of(first)
    rows = block.sample(_SAMPLE_LINES)
    lines = [block.line(row) for row in rows if block.ends[row] - block.starts[row] < 1 << 16]
    if not any(lines):
        raise NotRecords("the file has no lines to take apart")
    plan = _json_plan(lines) or _csv_plan(lines) or _log_plan(lines)
    if plan is None:
        raise NotRecords("the file's lines are not alike: no JSON, CSV or log")
    lines = lines[1:] if plan.head else lines
    if not lines:
        raise NotRecords("the file is no more than a header")
    _infer_columns(plan, Block.of(b"".join(line + b"\n" for line in lines)))
    return plan


def _json_plan(lines: list[bytes]) -> Plan | None:
    import numpy as np

    objects = [line for line in lines if line.lstrip()[:1] == b"{"]
    if len(objects) < len(lines) / 2:
        return None
    uniform = uniform_objects(objects[:500])
    plan = Plan("json", [])
    sample = Block.of(b"".join(line + b"\n" for line in lines))
    anchors = json_anchors(sample)
    left = np.arange(sample.rows)
    misses = 0
    found: Counter[Template] = Counter()
    while len(left) and misses < _MAX_MISSES and len(found) < _MAX_TEMPLATES:
        template = json_template(sample.line(int(left[len(left) // 2])), uniform)
        rows = anchors.fit(template, left).rows if template else left[:0]
        if template is None or len(rows) < max(2, _LEAST_LINES * sample.rows):
            misses += 1
            left = np.delete(left, len(left) // 2)
            continue
        found[template] += len(rows)
        left = np.setdiff1d(left, rows, assume_unique=True)
    if not found:
        template = json_template(lines[0], uniform)
        found.update([template] if template else [])
    plan.templates = [template for template, _count in found.most_common()]
    return plan if plan.templates else None


def _csv_plan(lines: list[bytes]) -> Plan | None:
    dialect: Dialect | None = find_dialect(lines)
    if dialect is None:
        return None
    plan = Plan("csv", [dialect.template], separator=dialect.separator.decode())
    if dialect.has_header:
        plan.head = lines[0] + b"\n"
    return plan


def _log_plan(lines: list[bytes]) -> Plan | None:
    templates: list[Template] = []
    columns = 0
    for template in log_templates(lines):
        columns += len(template.fields)
        if columns <= _MAX_LOG_COLUMNS or not templates:
            templates.append(template)
    return Plan("log", templates) if templates else None


def _infer_columns(plan: Plan, block: Block) -> None:
    import numpy as np

    names = list(dict.fromkeys(item.column for template in plan.templates for item in template.fields))
    spans = find_spans(plan, block, names)
    for name in names:
        rows = np.flatnonzero(spans.present[name])
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _VALUES)).astype(np.int64)] if len(rows) else rows
        starts, ends = spans.starts[name][rows], spans.ends[name][rows]
        plan.columns.append(_infer(plan, name, block, starts, ends))


def _infer(plan: Plan, name: str, block: Block, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Column:
    values = [block.data[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
    nulls = ("null",) if plan.line_format == "json" else _NULLS if plan.line_format == "csv" else ()
    counts = Counter(values)
    null = max(nulls, key=lambda text: counts[text.encode()], default=None)
    null = null if null is not None and counts[null.encode()] else ("null" if plan.line_format == "json" else None)
    shown = [value for value in counts if null is None or value != null.encode()]
    for column in _candidates(plan, Column(name, "raw", null=null), shown):
        _values, good = read_values(column, block, starts, ends)
        if (~good).sum() <= _TOLERATED * len(good):
            return column
    return Column(name, "raw")


def _candidates(plan: Plan, plain: Column, values: list[bytes]) -> list[Column]:
    """Kinds that could be, the most exact first."""
    found: list[Column] = []
    quoted = sum(value[:1] == b'"' for value in values)
    if values and not quoted:
        found += _numeric_candidates(plain, values)
    found += _time_candidates(plain, values)
    if plan.line_format == "json":
        found.append(replace(plain, kind="text", quote="always"))
    elif plan.line_format == "csv":
        special = _CSV_QUOTED_FOR + plan.separator
        if values and quoted == len(values):
            found.append(replace(plain, kind="text", quote="always"))
        elif quoted:
            found.append(replace(plain, kind="text", quote="minimal", quoted_for=special))
        else:
            found.append(replace(plain, kind="text", quoted_for=special))
    else:
        found.append(replace(plain, kind="text"))
    return found


def _numeric_candidates(plain: Column, values: list[bytes]) -> list[Column]:
    found = [replace(plain, kind="integer")]
    widths = {len(value) for value in values}
    if len(widths) == 1 and (width := widths.pop()) < MAX_DIGITS:
        found.append(replace(plain, kind="integer", width=width))
    fractions = Counter(len(value.partition(b".")[2]) for value in values)
    usual, most = fractions.most_common(1)[0][0], max(fractions)
    if 0 < usual < MAX_DIGITS:
        found.append(replace(plain, kind="decimal", scale=usual))
    if 0 < most < MAX_DIGITS:
        found += [replace(plain, kind="trimmed", scale=most, least=least) for least in (0, 1)]
    return [*found, replace(plain, kind="boolean")]


def _time_candidates(plain: Column, values: list[bytes]) -> list[Column]:
    if not values:
        return []
    first = values[0]
    quote: Quote = "always" if first[:1] == b'"' else "never"
    text = first.strip(b'"')
    return [replace(plain, kind="time", layout=layout, quote=quote) for layout in layouts_of(text)]


def read_columns(plan: Plan, block: Block) -> tuple[Spans, dict[str, Values], NDArray[np.bool_]]:
    """Read all columns of a block.

    Returns:
        Where the fields are; the values of each column; which lines fit, with all of their values.
    """
    spans = find_spans(plan, block, [column.name for column in plan.columns])
    good = spans.template > 0
    found: dict[str, Values] = {}
    for column in plan.columns:
        present = spans.present[column.name]
        values, read = read_values(column, block, spans.starts[column.name], spans.ends[column.name])
        good &= read | ~present
        values.valid &= present
        found[column.name] = values
    return spans, found, good
