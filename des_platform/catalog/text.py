"""Texts from outside, in the form that PostgreSQL keeps."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text without NUL and without lone surrogates, which stand for bytes that are not UTF-8."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()
