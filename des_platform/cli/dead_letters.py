"""`des dead-letters`: what could not be processed, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import load_settings


def dead_letters(limit: Annotated[int, typer.Option(help="most letters to show", min=1)] = 50) -> None:
    """List what could not be processed, the newest first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from des_platform.catalog import dead_letters as letters
    from des_platform.catalog.database import Catalog

    demo_environment()
    with Catalog.open(load_settings()) as catalog, catalog.begin() as connection:
        found = letters.newest(connection, limit)
        number = letters.count(connection)
    table = Table(title=f"{number} dead letters" + (f", the newest {limit}" if number > limit else ""))
    for header in ("id", "stage", "dataset", "what", "why", "attempts", "last seen (UTC)"):
        table.add_column(header, overflow="fold")
    for letter in found:
        seen = f"{letter.last_seen_at:%Y-%m-%d %H:%M:%S}" if letter.last_seen_at else ""
        cells = (
            letter.dead_letter_id,
            letter.stage,
            letter.dataset or "",
            letter.subject,
            letter.reason,
            letter.attempts,
            seen,
        )
        table.add_row(*(Text(_printable(str(cell))) for cell in cells))
    Console().print(table)


def _printable(text: str) -> str:
    # Whoever may write to the queue must not steer the terminal of who reads this.
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
