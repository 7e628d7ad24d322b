"""What can go wrong with a DataHub: whether one file is to blame, or nobody can be served.

No message ever holds the key.
"""

from __future__ import annotations

from des_platform.settings import ConfigurationError
from des_platform.sources.source import SourceUnavailable


class DataHubUnavailable(SourceUnavailable):
    """The DataHub did not answer, or not with what was asked for; trying again may help.

    Attributes:
        status: its HTTP status, or None where there was no answer.
        retry_after: seconds that it asked to wait, or None.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class DataHubAccessDenied(ConfigurationError):
    """The DataHub refuses the key (401), or what it may do (403); it is not asked again with that key."""


class FileRefused(Exception):
    """The DataHub will not give this one file, however often it is asked."""


class FileMissing(FileRefused):
    """The DataHub has no such file (404, 410)."""
