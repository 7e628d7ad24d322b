"""`des datahub validate-config`: would a configuration work, and everything that stands in its way."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer looks at it
from typing import Annotated

import typer

from des_platform.cli.demo.state import demo_environment


def validate_config(
    file: Annotated[Path, typer.Argument(help="a DataHub's YAML or JSON file, or a sources file")],
) -> None:
    """Check structure, environment, database, REST interface, catalogue and folders; change nothing.

    Exit code 0 says that nothing stands in the way, 1 that something does.
    """
    from des_platform.sources.datahub.validation import validate

    demo_environment()
    found = validate(file)
    for title, lines in (("ok", found.well), ("warning", found.warnings), ("error", found.errors)):
        for line in lines:
            print(f"{title}: {line}")
    print(f"{len(found.errors)} errors, {len(found.warnings)} warnings")
    raise SystemExit(1 if found.errors else 0)
