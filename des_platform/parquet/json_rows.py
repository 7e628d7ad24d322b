"""A JSON document to typed batches: the elements of one array, or objects one after the other, each a row.

Elements come as the file does: no more than one of them and a MiB is held. One that is broken, too long or no object is
rejected, and reading goes on behind it: its end is found by its brackets and quotes alone, where a quote that is not
closed on its line is taken for a stray one. Strict as `jsonl_rows`. A record's line is its number, counted from 1.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from des_platform.parquet.batches import (
    MAX_BATCH_ROWS,
    MAX_TEXT_CHARACTERS,
    RejectedRow,
    RowBatch,
    Target,
    is_damaged,
    reject,
    utf16_reason,
)
from des_platform.parquet.json_objects import JsonObjects, as_object, decoding_reason
from des_platform.parquet.json_window import JsonWindow
from des_platform.parquet.lines import broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BATCH_CHARACTERS = 1 << 20
# An error so near to the end of what was read may be one of the reading: a literal or an escape that was cut.
_CUT_CHARACTERS = 16


def read_json(chunks: Iterable[bytes], target: Target, max_element_bytes: int) -> Iterator[RowBatch]:
    """Read a JSON document, as `des_platform.parquet.rows.read_rows` says."""
    document = _Document(JsonWindow(chunks), JsonObjects(target), max_element_bytes)
    while True:
        batch = document.next_batch()
        if batch.rows.num_rows or batch.rejected:
            yield batch
        if document.is_done:
            return


class _Document:
    """A document on its way to batches."""

    def __init__(self, window: JsonWindow, objects: JsonObjects, max_element_bytes: int) -> None:
        self._window = window
        self._objects = objects
        self._max = max_element_bytes
        self._number = 0
        self._values: list[dict[str, object]] = []
        self._numbers: list[int] = []
        self._texts: list[str] = []
        self._rejected: list[RejectedRow] = []
        self.is_done = False
        first = window.next_character()
        self._in_array = first == "["
        if self._in_array:
            window.position += 1
        if utf16 := utf16_reason(window.text):
            self._end(utf16)
        elif not first and window.error is None:
            self._end("the file is empty: expected an array of objects, or an object")
        elif first and first not in "[{":
            self._end("the file is no JSON document: it begins with neither an array nor an object")

    def next_batch(self) -> RowBatch:
        """The next elements; also sets whether they are the last."""
        start = self._window.consumed
        while not self.is_done and len(self._values) + len(self._rejected) < MAX_BATCH_ROWS:
            self._take()
            if self._window.consumed - start >= _BATCH_CHARACTERS:
                break
        batch = self._objects.batch(self._values, self._numbers, self._texts, self._rejected)
        self._values, self._numbers, self._texts, self._rejected = [], [], [], []
        return batch

    def _take(self) -> None:
        """Take one element and the comma behind it, or find the end."""
        window = self._window
        character = window.next_character()
        if not character:
            if window.error is not None:
                self._end(broken(window.error))
            elif self._in_array:
                self._end("the file ends within its array: it was cut short")
            self.is_done = True
            return
        if self._in_array and character == "]":
            window.position += 1
            if window.next_character() or window.error is not None:
                self._end(broken(window.error) if window.error else "something follows the end of the array")
            self.is_done = True
            return
        self._number += 1
        self._take_value()
        if self._in_array and not self.is_done:
            self._take_comma()

    def _take_comma(self) -> None:
        character = self._window.next_character()
        if character == ",":
            self._window.position += 1
            if self._window.next_character() == "]":
                self._end("a comma stands before the end of the array")
        elif character and character != "]":
            self._end(f"{character!r} follows the element where a comma or the end of the array should")

    def _take_value(self) -> None:
        window = self._window
        while True:
            try:
                value, end = self._objects.decoder.raw_decode(window.text, window.position)
            except json.JSONDecodeError as error:
                if self._may_be_cut(error) and window.extend():
                    continue
                self._pass_over(f"is not valid JSON: {error.msg}")
            except RecursionError:
                self._pass_over("is JSON nested too deeply")
            except ValueError as error:
                self._pass_over(decoding_reason(error))
            else:
                # A number goes on for as long as there are digits: what follows it has to be in sight.
                if end == len(window.text) and window.extend():
                    continue
                self._keep(value, end)
            return

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        text = self._window.text
        held = len(text) - self._window.position
        at_end = error.pos >= len(text) - _CUT_CHARACTERS or error.msg.startswith("Unterminated")
        return at_end and held <= self._max and not self._window.is_ended

    def _keep(self, value: object, end: int) -> None:
        window = self._window
        text = window.text[window.position : end]
        window.position = end
        if len(text) > self._max:
            self._reject(text, f"is longer than {self._max} bytes")
        elif is_damaged(text):
            self._reject(text, "is not valid UTF-8")
        else:
            try:
                self._values.append(as_object(value))
            except ValueError as error:
                self._reject(text, str(error))
            else:
                self._numbers.append(self._number)
                self._texts.append(text)

    def _pass_over(self, reason: str) -> None:
        """Reject an element, and find its end."""
        window = self._window
        text, before = window.text[window.position : window.position + MAX_TEXT_CHARACTERS], window.consumed
        if window.pass_over_element(in_array=self._in_array):
            size = window.consumed - before
            self._reject(text[:size], f"is longer than {self._max} bytes" if size > self._max else reason)
        else:
            self._reject(text, broken(window.error) if window.error else f"{reason}, and nothing closes it")
            self.is_done = True

    def _reject(self, text: str, reason: str) -> None:
        said = reason if reason.startswith("the file") else f"the element {reason}"
        self._rejected.append(reject(self._number, text, said))

    def _end(self, reason: str) -> None:
        """Reject what is left of the document."""
        window = self._window
        text = window.text[window.position : window.position + MAX_TEXT_CHARACTERS]
        self._rejected.append(reject(self._number + 1, text, reason))
        self.is_done = True
