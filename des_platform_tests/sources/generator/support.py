"""Schemas for tests, and what came out of a generator."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import des_platform
from des_platform.sources.generator.schema import Schema, load_schema, parse_schema
from des_platform.sources.generator.writing import Format, Generator

DAY = date(2024, 1, 2)
DATASETS = Path(des_platform.__file__).parent / "defs" / "datasets"


def schema_of(properties: object, **keywords: Any) -> Schema:
    """A schema of an object of these properties."""
    return parse_schema(json.dumps({"type": "object", "properties": properties, **keywords}), "test.json", "things")


def schema_requiring(properties: dict[str, Any], **keywords: Any) -> Schema:
    """The same, with every property in every row."""
    return schema_of(properties, required=list(properties), **keywords)


def content(schema: Schema | str, file_format: Format, rows: int, *, number: int = 0, seed: int = 0) -> bytes:
    found = load_schema(schema) if isinstance(schema, str) else schema
    return Generator(found, file_format).content(DAY, number, rows=rows, seed=seed)


def table(schema: Schema | str, rows: int, **which: int) -> list[dict[str, str]]:
    """A CSV file's rows."""
    return list(csv.DictReader(io.StringIO(content(schema, "csv", rows, **which).decode(), newline="")))


def objects(schema: Schema | str, rows: int, **which: int) -> list[dict[str, Any]]:
    """A file's rows from JSON lines."""
    return [json.loads(line) for line in content(schema, "jsonl", rows, **which).decode().splitlines()]
