"""Which keys and bucket names the platform uses.

Names come from outside. A key accepted here means the same object on S3 and under a folder, and cannot leave its
bucket. A listing reports whatever the store holds; a key refused here goes to the dead letters of whoever found it.
"""

from __future__ import annotations

import re
import unicodedata

from des_platform.objectstore.errors import InvalidKey

MAX_KEY_BYTES = 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SHOWN_CHARS = 80


def check_key(key: str) -> str:
    """Return the key if the platform may use it.

    Args:
        key: an object's key; S3 allows at most 1024 bytes of UTF-8.

    Raises:
        InvalidKey: naming the key and the problem.
    """
    problem = _problem_of_key(key)
    if problem:
        shown = repr(key[:_SHOWN_CHARS]) + ("..." if len(key) > _SHOWN_CHARS else "")
        raise InvalidKey(f"key {shown} is refused: {problem}")
    return key


def check_bucket(name: str) -> str:
    """Return the name if S3 allows it for a bucket: 3 to 63 of a-z, 0-9, '.' and '-', no '..', ends alphanumeric.

    Raises:
        InvalidKey: naming the bucket and the rule.
    """
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise InvalidKey(
            f"bucket name {name[:_SHOWN_CHARS]!r} is refused: expected 3 to 63 of a-z, 0-9, '.' and '-', "
            "starting and ending with a letter or digit, without '..'"
        )
    return name


def _problem_of_key(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    segments = key.split("/")
    problems = {
        "it is empty": not key,
        f"it has {size} bytes, more than {MAX_KEY_BYTES}": size > MAX_KEY_BYTES,
        "it starts with '/'": key.startswith("/"),
        "it ends with '/'": key.endswith("/"),
        "it has an empty segment ('//')": "//" in key,
        "it has a segment '.' or '..'": "." in segments or ".." in segments,
        "it has a backslash": "\\" in key,
        "it has a control character": any(unicodedata.category(character) == "Cc" for character in key),
    }
    return next((problem for problem, found in problems.items() if found), "")
