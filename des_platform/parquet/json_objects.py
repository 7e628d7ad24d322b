"""JSON objects, one a record, to typed batches: what files of JSON lines and JSON documents have in common."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from des_platform.parquet.batches import BatchBuilder, RejectedRow, RowBatch, Target, shown
from des_platform.parquet.json_text import JsonNumber, json_text, quoted, strict_decoder
from des_platform.parquet.json_values import from_json, is_exact
from des_platform.parquet.names import AmbiguousName, candidates, match_names

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    JsonNumber: "a number",
    bool: "a boolean",
    type(None): "null",
}


class JsonObjects:
    """Decodes objects and types them.

    Attributes:
        decoder: for one JSON value, as strict as the files are read.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        exact = target.is_rescue or any(map(is_exact, target.columns.values()))
        self.decoder = strict_decoder(exact=exact)

    def decode(self, text: str) -> dict[str, object]:
        """Decode one object.

        Raises:
            ValueError: what is wrong with it.
        """
        try:
            value = self.decoder.decode(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not valid JSON: {error.msg} at character {error.colno}") from None
        except RecursionError:
            raise ValueError("is JSON nested too deeply") from None
        except ValueError as error:
            raise ValueError(decoding_reason(error)) from None
        return as_object(value)

    def batch(
        self,
        values: Sequence[dict[str, object]],
        numbers: Sequence[int],
        texts: Sequence[str],
        rejected: list[RejectedRow],
    ) -> RowBatch:
        """Type some objects.

        Args:
            values: decoded.
            numbers: where each starts.
            texts: each as it stands.
            rejected: records between them that are none.
        """
        columns = self._target.columns
        builder = BatchBuilder(self._target, numbers, texts.__getitem__, rejected)
        names: set[str] = set().union(*values)
        found, several = self._found(names, values, builder)
        for column, kind in columns.items():
            raw: list[object] = [value.get(found.get(column, column)) for value in values]
            if several:
                raw = [value.get(own.get(column, column)) for value, own in zip(values, several, strict=True)]
            array, faults = from_json(raw, kind)
            builder.add(array, {index: raw[index] for index in faults}, as_shown=_shown)
        extra = names.difference(columns, found.values(), *(own.values() for own in several))
        if self._target.is_rescue and (extra or several):
            taken = several or [found] * len(values)
            for index, (value, own) in enumerate(zip(values, taken, strict=True)):
                known = {*columns, *own.values()}
                unknown = [name for name, part in value.items() if name not in known and part is not None]
                if unknown:
                    builder.keep_members(index, [f"{quoted(name)}: {json_text(value[name])}" for name in unknown])
        return builder.build(frozenset(name.encode("utf-8", "replace").decode("utf-8") for name in extra))

    def _found(
        self, names: set[str], values: Sequence[dict[str, object]], builder: BatchBuilder
    ) -> tuple[dict[str, str], list[dict[str, str]]]:
        """The name for each column: of all objects, or where they differ in it, of each."""
        columns = self._target.columns
        possible = candidates(names, columns)
        if all(len(some) == 1 for some in possible.values()):
            return {column: some[0] for column, some in possible.items()}, []
        several: list[dict[str, str]] = []
        for index, value in enumerate(values):
            try:
                several.append(match_names(value, columns))
            except AmbiguousName as error:
                builder.refuse(index, str(error))
                several.append({})
        return {}, several


def decoding_reason(error: ValueError) -> str:
    """What is wrong with a JSON value that a strict decoder refused for anything but its syntax."""
    return "has a number of more than 4300 digits" if str(error).startswith("Exceeds the limit") else str(error)


def as_object(value: object) -> dict[str, object]:
    """Return a decoded value that is an object.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f"is no JSON object but {JSON_NAMES[type(value)]}")  # noqa: TRY004 - bad input
    return value


def _shown(value: object) -> str:
    return value.text[:100] if isinstance(value, JsonNumber) else shown(value)
