"""The one object that Dagster loads: everything in `defs/`, found by its place there."""

from __future__ import annotations

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Every dataset with its assets, checks and sensors, and the resources they ask."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
