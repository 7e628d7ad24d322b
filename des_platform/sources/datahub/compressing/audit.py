"""The ledger beside the DataHub's table: was anything uploaded without a proof, or deleted without a copy?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from des_platform.sources.datahub.compressing.ledger import Ledger, State
from des_platform.sources.datahub.compressing.table import FileTable

if TYPE_CHECKING:
    from datetime import date

    from des_platform.catalog.database import Catalog
    from des_platform.sources.datahub.config import DataHubAccess

_PAGE = 1000
_MOST_PROBLEMS = 100


@dataclass(slots=True)
class Audit:
    """What the comparison found.

    Attributes:
        copies: copies of the month's files in the DataHub.
        removed: originals that the ledger says were deleted.
        unproven: copies that no proof in the ledger is about, up to 100.
        lost: deleted originals whose copy is not in the DataHub, up to 100.
    """

    copies: int = 0
    removed: int = 0
    unproven: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def audit_month(config: DataHubAccess, catalog: Catalog, first: date) -> Audit:
    """Compare a month's ledger with the table.

    Args:
        config: the DataHub.
        catalog: where the ledger is.
        first: first day of the month.

    Raises:
        SourceUnavailable: the DataHub's database cannot be read.
    """
    audit = Audit()
    ledger = Ledger(catalog, config.name, first)
    with closing(FileTable(config)) as table:
        copies = table.copies_of_month(first)
    audit.copies = len(copies)
    for start in range(0, len(copies), _PAGE):
        page = copies[start : start + _PAGE]
        entries = ledger.entries([copy.original_id for copy in page])
        for copy in page:
            entry = entries.get(copy.original_id)
            if entry is None or entry.copy_id != copy.file_id or entry.state not in (State.PROVEN, State.DONE):
                word = "no entry" if entry is None else f"{entry.state} with the copy {entry.copy_id}"
                _note(audit.unproven, f"{copy.file_id} from {copy.original_id}: the ledger has {word}")
    there = {(copy.original_id, copy.file_id, copy.mark) for copy in copies}
    for entry in ledger.in_states(State.DONE):
        audit.removed += 1
        if (entry.file_id, entry.copy_id, entry.mark) not in there:
            _note(audit.lost, f"{entry.file_id}: its copy {entry.copy_id} is not in dh_file")
    return audit


def _note(problems: list[str], problem: str) -> None:
    if len(problems) < _MOST_PROBLEMS:
        problems.append(problem)
