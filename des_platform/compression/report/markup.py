"""HTML and SVG, element by element, so that text from outside can never become markup.

`Markup` is text that is markup already, and only `element` and `joined` make it; every other string is escaped where it
is put into an element, in its content and in its attributes alike.
"""

from __future__ import annotations

import unicodedata
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = frozenset({"meta", "link", "br", "col"})
_SPACE = "\t\n\r"


class Markup(str):
    """HTML that needs no escaping, since it was built here."""

    __slots__ = ()


Content = str | int | None


def element(name: str, /, *content: Content, **attributes: Content) -> Markup:
    """An element with its content.

    Args:
        name: of the element; ours, never from outside.
        content: children: `Markup` as it is, any other text escaped, None left out.
        attributes: by name, with `_` for `-` and one at the end where Python has the word for itself (`class_`); None
            leaves the attribute out.
    """
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_safe(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = joined(content)
    return Markup(f"<{name}{words}>" if name in _VOID else f"<{name}{words}>{inner}</{name}>")


def joined(content: Iterable[Content]) -> Markup:
    """Several pieces of content, one after the other."""
    return Markup("".join(_piece(piece) for piece in content if piece is not None))


def _piece(piece: str | int) -> str:
    return piece if isinstance(piece, Markup) else _safe(str(piece))


def _safe(text: str) -> str:
    return escape(text if text.isprintable() else "".join(_visible(character) for character in text))


def _visible(character: str) -> str:
    """The character; a mark in place of one that is no character of HTML, or turns the reading direction about."""
    if character.isprintable() or character in _SPACE:
        return character
    category = unicodedata.category(character)
    return "\N{REPLACEMENT CHARACTER}" if category in {"Cc", "Cf", "Cs", "Cn"} else character
