"""Where a DataHub's file lands: a key that follows from its row alone, so that taking it again finds it there.

`{prefix}{YYYY-MM-DD of its upload}/{file id}-{document id}{extension}`. The identifiers are texts from outside: what is
no letter, digit, dot or underscore becomes an underscore. Two files never share a key: the document's part holds no
hyphen, so the last one ends the file's part, and a file identifier that had to be changed, or cut, carries its hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from des_platform.sources.datahub.candidates import Candidate

_PLAIN_FILE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_STRANGE_IN_FILE_ID = re.compile(r"[^A-Za-z0-9._-]")
_STRANGE = re.compile(r"[^A-Za-z0-9._]")
_EXTENSION = re.compile(r"[a-z0-9]{1,10}")
_SHOWN_CHARS = 80


def landing_key(prefix: str, candidate: Candidate) -> str:
    """The key of a file; its day is the UTC day of the upload.

    Args:
        prefix: start of the key, ending in '/'.
        candidate: the file's row.
    """
    day = candidate.uploaded_at.date().isoformat()
    document = _STRANGE.sub("_", candidate.document_id)[:_SHOWN_CHARS].rstrip(".")
    return f"{prefix}{day}/{_file_part(candidate.file_id)}-{document}{_extension(candidate.document_type)}"


def _file_part(file_id: str) -> str:
    if _PLAIN_FILE_ID.fullmatch(file_id):
        return file_id
    digest = hashlib.sha256(file_id.encode()).hexdigest()
    # '~' stands in no plain identifier, so this is nobody else's.
    return f"{_STRANGE_IN_FILE_ID.sub('_', file_id)[:_SHOWN_CHARS]}~{digest}"


def _extension(document_type: str) -> str:
    """`.pdf` for `PDF`, `.pdf` and `application/pdf`; nothing for what is no extension."""
    found = document_type.strip().lower().rpartition("/")[2].lstrip(".")
    return f".{found}" if _EXTENSION.fullmatch(found) else ""
