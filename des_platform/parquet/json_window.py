"""The part of a JSON document that is looked at: its text, some 100 KiB at a time, and where a broken element ends."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from des_platform.parquet.lines import BrokenStream, until_broken

if TYPE_CHECKING:
    from collections.abc import Iterable

# An error of the decoder counts the lines before it in what it was handed: 85 us of them at a MiB.
WINDOW_CHARACTERS = 1 << 17
_SPACE = re.compile(r"[ \t\n\r]*")
_STRUCTURE = re.compile(r'["\[\]{},]')
_ELEMENT_END = re.compile(r"\},[ \t\r]*\Z")
_OPENING = "[{"
_OPENS = {"]": b"[", "}": b"{"}
_MAX_OPENED = 1 << 14
_INSIDE_STRING = re.compile(r'[^"\\\n]*')


def _close(opened: bytearray, mark: str) -> bool:
    """Close a bracket, and those that were opened since and are not closed; return whether that was the last."""
    position = opened.rfind(_OPENS[mark])
    if position >= 0:
        del opened[position:]
    return not opened


class JsonWindow:
    """The part of a text that is being looked at.

    Attributes:
        text: the part.
        position: where in it the reading is.
        is_ended: whether nothing follows it.
        error: what broke the stream.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = until_broken(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._at_start = True
        self._before = 0
        self.text = ""
        self.position = 0
        self.is_ended = False
        self.error: BrokenStream | None = None

    @property
    def consumed(self) -> int:
        """How many characters the reading has passed."""
        return self._before + self.position

    def extend(self) -> bool:
        """Read on, as much again as there is left; return whether there was anything."""
        rest = self.text[self.position :]
        parts, size = [rest], 0
        while size < max(WINDOW_CHARACTERS, len(rest)) and not self.is_ended:
            chunk = next(self._chunks, None)
            if isinstance(chunk, BrokenStream):
                self.error, chunk = chunk, None
            self.is_ended = chunk is None
            parts.append(self._decoder.decode(chunk or b"", final=chunk is None))
            size += len(parts[-1])
        self._before += self.position
        self.text, self.position = "".join(parts), 0
        if self._at_start and self.text:
            self._at_start = False
            self.text = self.text.removeprefix("\ufeff")
        return size > 0

    def next_character(self) -> str:
        """Pass over white space; return what stands behind it, or nothing at the end."""
        while True:
            found = _SPACE.match(self.text, self.position)
            self.position = found.end() if found else self.position
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.extend():
                return ""

    def pass_over_element(self, *, in_array: bool) -> bool:
        """Pass over an element that is broken or too long, without holding it.

        Args:
            in_array: a comma or the end of the array ends it too, and is left.

        Returns:
            Whether it has an end; else all was passed.
        """
        opened = bytearray()  # the brackets that are open
        deeper = 0  # how many more there are than are kept
        while True:
            found = _STRUCTURE.search(self.text, self.position)
            if found is None:
                self.position = len(self.text)
                if not self.extend():
                    return False
                continue
            mark, self.position = found[0], found.end()
            if mark == '"':
                if self._pass_over_string():
                    return True
            elif mark in _OPENING:
                deeper += len(opened) == _MAX_OPENED
                opened += mark.encode() if len(opened) < _MAX_OPENED else b""
            elif deeper:
                deeper -= mark != ","
            elif not opened or (mark == "]" and b"[" not in opened):
                # What closes the array, or the comma before the next element, is no part of this one.
                self.position -= in_array
                return True
            elif mark != "," and _close(opened, mark):
                return True

    def _pass_over_string(self) -> bool:
        """Pass over the rest of a string; one that is not closed on its line was begun by a stray quote.

        Returns:
            Whether the element ended within: a stray quote took its end and the comma for text.
        """
        while True:
            found = _INSIDE_STRING.match(self.text, self.position)
            self.position = found.end() if found else self.position
            if self.position + 1 >= len(self.text) and self.extend():
                continue
            if self.position >= len(self.text):
                return False
            character = self.text[self.position]
            if character == "\n" and (end := _ELEMENT_END.search(self.text, max(0, self.position - 64), self.position)):
                self.position = end.start() + 1
                return True
            if character != "\\":
                self.position += 1
                return False
            self.position = min(self.position + 2, len(self.text))
