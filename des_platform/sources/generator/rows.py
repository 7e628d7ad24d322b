"""Rows of a schema, column by column: as objects of JSON, or as the cells of a table.

The same schema, file and number of rows give the same texts, in any process and on any platform. Times that increase
are stretched over their span; all else of a file's first rows stays what it is when the file has more.
"""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, cast

from des_platform.settings import ConfigurationError
from des_platform.sources.generator.drawing import Column, Drawing, Form
from des_platform.sources.generator.schema import Group, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.sources.generator.drawing import File
    from des_platform.sources.generator.schema import Property, Schema

JSON = Form(json.dumps, '"', "null")


def objects(group: Group, file: File, rows: int) -> list[str]:
    """Rows as JSON objects, each on one line, in ASCII."""
    drawn = _drawn(group, file, rows)
    # Names and commas stand in the template, but for a property that may be absent: there they go with the value. One
    # that is always there lets those before it bring the comma behind them, and those after it the comma before.
    constant = next((place for place, found in enumerate(group.properties) if not found.absent), None)
    template, columns = "", []
    for place, found in enumerate(group.properties):
        before = "," if constant is None or place > constant else ""
        after = "," if constant is not None and place < constant else ""
        label = f"{before}{json.dumps(found.name)}:"
        texts = _texts(found, drawn.get(found.name, []), file, rows)
        if found.absent:
            texts = _masked([f"{label}{text}{after}" for text in texts], found, "absent", found.absent, file, "")
            label = after = ""
        template += f"{label.replace('%', '%%')}%s{after}"
        columns.append(texts)
    values = zip(*columns, strict=True)
    if constant is None:
        return [f"{{{(template % row)[1:]}}}" for row in values]
    return [*map(f"{{{template}}}".__mod__, values)]


def cells(group: Group, file: File, rows: int, form: Form) -> list[list[str]]:
    """Rows as columns of cells; objects inside are flattened, and a cell that is absent is written as null is."""
    drawn, columns = _drawn(group, file, rows), []
    for found in group.properties:
        if isinstance(found.content, Group):
            flat = cells(found.content, file, rows, form)
        else:
            flat = [_column_texts(found, drawn[found.name], form, file)]
        columns += [_masked(texts, found, "absent", found.absent, file, form.null) for texts in flat]
    return columns


def names(schema: Schema) -> list[str]:
    """Names of the columns that `cells` gives; those of objects inside are joined by `_`.

    Raises:
        ConfigurationError: an array, or two columns of one name: the schema has no flat form.
    """
    found: dict[str, str] = {}
    for name, path in _flat(schema.root, schema.origin):
        if name in found:
            raise ConfigurationError(
                f"{ascii(schema.origin)[1:-1]}: {path}: as a column it is called {name!r}, as {found[name]} is: rename"
                " one, or choose json or jsonl"
            )
        found[name] = path
    return list(found)


def _flat(group: Group, origin: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    for found in group.properties:
        if isinstance(found.content, Listed):
            raise ConfigurationError(
                f"{ascii(origin)[1:-1]}: {found.path}: an array has no place in csv and text: choose json or jsonl"
            )
        if isinstance(found.content, Group):
            yield from _flat(found.content, origin, f"{prefix}{found.name}_")
        else:
            yield prefix + found.name, found.path


def _drawn(group: Group, file: File, rows: int) -> dict[str, list[int]]:
    """What the columns of an object draw, by name; objects and arrays inside draw for themselves."""
    drawn: dict[str, list[int]] = {}
    columns = [(found, found.content) for found in group.properties if isinstance(found.content, Column)]
    for found, column in sorted(columns, key=lambda pair: pair[1].rank):
        drawn[found.name] = column.draw(Drawing(file, found.path, rows, drawn))
    return drawn


def _texts(found: Property, drawn: list[int], file: File, rows: int) -> list[str]:
    if isinstance(found.content, Group):
        return objects(found.content, file, rows)
    if isinstance(found.content, Listed):
        return _arrays(found.content, found.path, file, rows)
    return _column_texts(found, drawn, JSON, file)


def _column_texts(found: Property, drawn: list[int], form: Form, file: File) -> list[str]:
    column = cast("Column", found.content)
    return _masked(column.texts(drawn, form, file.day), found, "null", found.nulls, file, form.null)


def _arrays(listed: Listed, path: str, file: File, rows: int) -> list[str]:
    sizes = Drawing(file, f"{path}#items", rows, {}).picked(range(listed.least, listed.most + 1))
    total, item = sum(sizes), listed.item
    drawn = item.content.draw(Drawing(file, item.path, total, {})) if isinstance(item.content, Column) else []
    texts = _texts(item, drawn, file, total)
    return [f"[{','.join(texts[start:end])}]" for start, end in pairwise(accumulate(sizes, initial=0))]


def _masked(texts: list[str], found: Property, what: str, fraction: float, file: File, instead: str) -> list[str]:
    """Replace a fraction of the texts."""
    if not fraction:
        return texts
    draw = Drawing(file, f"{found.path}#{what}", len(texts), {}).random()
    return [instead if draw() < fraction else text for text in texts]
