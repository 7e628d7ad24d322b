"""What the commands of a month share: its arguments, and the log on standard error and in a file."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.settings import ConfigurationError

if TYPE_CHECKING:
    from des_platform.sources.datahub.config import Logging

FIRST_YEAR = 2000
_MONTHS = 12
_LOG_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

MonthNumber = Annotated[int, typer.Argument(help="month of the uploads, UTC", min=1, max=_MONTHS)]
Year = Annotated[int, typer.Argument(help="year of the uploads, from 2000 to this one", min=FIRST_YEAR)]
BatchSize = Annotated[int | None, typer.Option(help="rows read from the table at once", min=1, max=10_000)]
SizeThreshold = Annotated[int | None, typer.Option(help="only files larger than this many bytes", min=0)]


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def check_year(year: int) -> None:
    """Refuse a year to come.

    Raises:
        ConfigurationError: it is one.
    """
    if year > datetime.now(UTC).year:
        raise ConfigurationError(f"the year is {year}, expected {FIRST_YEAR} to {datetime.now(UTC).year}")


def log_to_stderr(level: str) -> None:
    """Show the platform's own words, and of its libraries' only warnings."""
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("des_platform").setLevel(level)


def log_to_file(config: Logging) -> None:
    """Keep them in a file, too, which is begun anew when it is large.

    Raises:
        ConfigurationError: the file cannot be written to.
    """
    from logging.handlers import RotatingFileHandler

    if config.file is None:
        return
    try:
        handler = RotatingFileHandler(
            config.file, maxBytes=config.max_bytes, backupCount=config.backup_count, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigurationError(f"the log file {config.file} cannot be written to: {error.strerror}") from None
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.getLogger("des_platform").addHandler(handler)
