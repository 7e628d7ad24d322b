"""How a table's schema changes: definitions, their differences, what is permitted, and bringing it about.

Importing it is cheap; pyiceberg comes in with the first table.
"""

from des_platform.lake.evolution.apply import apply_changes, fields_of, reorder, roll_back
from des_platform.lake.evolution.changes import Change, ChangeType, diff, inverse, inverses
from des_platform.lake.evolution.compatibility import violations
from des_platform.lake.evolution.declared import evolve_declared
from des_platform.lake.evolution.fields import Field, parse_definition, to_definition

__all__ = [
    "Change",
    "ChangeType",
    "Field",
    "apply_changes",
    "diff",
    "evolve_declared",
    "fields_of",
    "inverse",
    "inverses",
    "parse_definition",
    "reorder",
    "roll_back",
    "to_definition",
    "violations",
]
