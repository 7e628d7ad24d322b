"""Templates of logs: words that stay, and fields that vary, found in a sample of the lines.

Words are what stands between delimiters. Lines with the same delimiters are a group and have one template; a word that
is not always the same is a field. What all of a field's values begin or end with becomes part of the template, too, and
words that are a date and a time together become one field. A field behind `name=` or `name:` has that name, in all
templates; another one is named by its template and place.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from des_platform.codecs.records.templates import Anchors, Field, Template
from des_platform.codecs.records.times import layouts_of, times_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.codecs.records.lines import Block

DELIMITERS = b" \t=,;:[](){}<>|\"'@#?&"
_DELIMITER = re.compile(rb"[" + re.escape(DELIMITERS) + rb"]")
_SIGN = re.compile(rb"[^0-9A-Za-z\x80-\xff]")
_NAME = re.compile(rb"([A-Za-z_][A-Za-z0-9_.]{0,40})[=:][\"']?$")
_OWN_NAME = re.compile(r"message[0-9]+_[0-9]+")
_DIGIT = re.compile(rb"[0-9]")
_MAX_TEMPLATES = 48
_MAX_WORDS = 120
_LEAST_SHARE = 0.0015
_CHECKED = 50


@dataclass(frozen=True, slots=True)
class _Line:
    """A line's words, and the delimiters behind each but the last."""

    words: tuple[bytes, ...]
    delimiters: bytes


def log_anchors(block: Block) -> Anchors:
    """The delimiters of a block."""
    import numpy as np

    table = np.zeros(256, bool)
    table[list(DELIMITERS)] = True
    return Anchors(block, np.flatnonzero(table[block.data]), DELIMITERS)


def log_templates(lines: Sequence[bytes]) -> list[Template]:
    """The templates of these lines, the most frequent first; rare ones have none."""
    groups: dict[bytes, list[_Line]] = defaultdict(list)
    for line in lines:
        if b"\0" not in line:
            parsed = _split(line)
            if len(parsed.words) <= _MAX_WORDS:
                groups[parsed.delimiters].append(parsed)
    found: Counter[Template] = Counter()
    for group in groups.values():
        if (template := _template(group)) is not None:
            found[template] += len(group)
    least = max(3, _LEAST_SHARE * len(lines))
    templates = [template for template, count in found.most_common(_MAX_TEMPLATES) if count >= least]
    return [_named(number, template) for number, template in enumerate(templates, 1)]


def _named(number: int, template: Template) -> Template:
    """The template with names for its columns."""
    fields: list[Field] = []
    for place, item in enumerate(template.fields):
        name = "time" if place == 0 and item.anchors else f"message{number}_{place}"
        match = _NAME.search(template.constants[place])
        told = match.group(1).decode() if match else ""
        if told and not _OWN_NAME.fullmatch(told) and all(told != other.column for other in fields):
            name = told
        fields.append(replace(item, column=name))
    return replace(template, fields=tuple(fields))


def _split(line: bytes) -> _Line:
    return _Line(tuple(_DELIMITER.split(line)), b"".join(_DELIMITER.findall(line)))


def _template(lines: list[_Line]) -> Template | None:
    """The template of lines whose varying words are fields."""
    first = lines[0]
    count = len(first.words)
    varies = [len({line.words[place] for line in lines}) > 1 for place in range(count)]
    constants: list[bytes] = [b""]
    fields: list[Field] = []
    place = 0
    while place < count:
        if (merged := _time_at(lines, place)) > 0:
            fields.append(Field(f"{len(fields)}", merged - 1))
            constants.append(b"")
            place += merged
        elif varies[place]:
            words = [line.words[place] for line in lines]
            prefix, suffix = _around(words)
            constants[-1] += prefix
            fields.append(Field(f"{len(fields)}"))
            constants.append(suffix)
            place += 1
        else:
            constants[-1] += first.words[place]
            place += 1
        constants[-1] += first.delimiters[place - 1 : place]
    return Template(tuple(constants), tuple(fields)) if fields else None


def _around(words: list[bytes]) -> tuple[bytes, bytes]:
    """What all these words begin and end with: signs, or letters around numbers."""
    prefix = _common(words)
    rest = [word[len(prefix) :] for word in words]
    return prefix, _common([word[::-1] for word in rest])[::-1]


def _common(words: list[bytes]) -> bytes:
    least, most = min(words), max(words)
    size = next((place for place, byte in enumerate(least) if byte != most[place]), len(least))
    prefix = least[:size]
    if (digit := _DIGIT.search(prefix)) is not None:
        prefix = prefix[: digit.start()]
    if all(_DIGIT.match(word, len(prefix)) for word in words):
        return prefix
    return prefix[: max((match.end() for match in _SIGN.finditer(prefix)), default=0)]


def _time_at(lines: list[_Line], place: int) -> int:
    """How many words from here on are one time; 0 if they are none."""
    if not _DIGIT.match(lines[0].words[place]):
        return 0
    text = _text(lines[0], place)
    for time in times_at(text):
        size = len(time)
        tail = text[size : size + 1]
        if (not tail or tail in DELIMITERS) and all(
            set(layouts_of(time)) & set(layouts_of(_text(line, place)[:size])) for line in lines[:_CHECKED]
        ):
            return len(_DELIMITER.findall(time)) + 1
    return 0


def _text(line: _Line, place: int) -> bytes:
    parts = []
    for number in range(place, min(place + 8, len(line.words))):
        parts += [line.words[number], line.delimiters[number : number + 1]]
    return b"".join(parts)
