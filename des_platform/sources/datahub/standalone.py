"""A DataHub in a file of its own, for who only wants its files compressed: YAML or JSON with `DataHubAccess`'s fields.

The name, which the ledger goes by, is the file's unless it says another. The earlier utility's forms are read too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from des_platform.settings import ConfigurationError
from des_platform.sources.datahub.config import DataHubAccess, DataHubConfig
from des_platform.sources.datahub.legacy import is_legacy, translate

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_BYTES = 1 << 20
_STRANGE = re.compile(r"[^a-z0-9_]+")
_LONGEST_NAME = 40


@dataclass(slots=True)
class Draft:
    """What a file says, and everything that is wrong with it.

    Attributes:
        fields: as written, in our own words.
        config: the DataHub, or None where an error stands in its way.
        errors: one line each.
        warnings: one line each.
        wrong: fields and sections with a value that is none.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    config: DataHubAccess | None = None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)


def find_datahub(config: str, known: Iterable[DataHubAccess]) -> DataHubAccess:
    """The DataHub that an argument means.

    Args:
        config: the name of a known one, or the path of a file.
        known: those of the sources file.

    Raises:
        ConfigurationError: there is none, or its file is wrong; every mistake is named.
    """
    by_name = {datahub.name: datahub for datahub in known}
    if config in by_name:
        return by_name[config]
    path = Path(config)
    if not _looks_like_a_file(path):
        names = ", ".join(sorted(by_name)) or "none; add one to `datahubs` in the file that DES_SOURCES names"
        raise ConfigurationError(f"{config} is no file, and no DataHub is called so; known are {names}")
    draft = read_draft(path)
    if draft.config is None or draft.errors:
        raise ConfigurationError(f"{path} is wrong: {'; '.join(draft.errors)}")
    return draft.config


def read_draft(path: Path) -> Draft:
    """Read a file and collect everything that is wrong with what it says.

    Raises:
        ConfigurationError: it cannot be read, or is neither YAML nor JSON.
    """
    read = _load(path)
    draft = Draft(read)
    if is_legacy(read):
        made = translate(read, os.environ)
        draft.fields, draft.errors, draft.warnings = made.fields, made.errors, made.warnings
    return complete(draft, DataHubAccess, name=_name_of(path))


def read_drafts(path: Path) -> list[Draft]:
    """The same for every DataHub of a file, which may be a sources file.

    Raises:
        ConfigurationError: it cannot be read, or is neither YAML nor JSON.
    """
    read = _load(path)
    if not isinstance(read.get("datahubs"), list):
        return [read_draft(path)]
    drafts = []
    for number, entry in enumerate(read["datahubs"]):
        if isinstance(entry, dict):
            draft = complete(Draft(entry), DataHubConfig, name="")
        else:
            draft = Draft(errors=[f"expected fields, found {type(entry).__name__}"])
        draft.errors = [f"datahubs.{number}.{error}" for error in draft.errors]
        drafts.append(draft)
    return drafts


def complete(draft: Draft, model: type[DataHubAccess], *, name: str) -> Draft:
    """Make the configuration out of a draft's fields, or name what is wrong with them."""
    if name:
        draft.fields = {"name": name} | draft.fields
    try:
        draft.config = model.model_validate(draft.fields)
    except ValidationError as error:
        # Without the input: a password that somebody wrote there after all must not be printed.
        draft.errors += [
            f"{'.'.join(str(part) for part in problem['loc']) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        ]
        draft.wrong = {str(part) for problem in error.errors() for part in problem["loc"][:1]}
    return draft


def _looks_like_a_file(path: Path) -> bool:
    return path.is_file() or len(path.parts) > 1 or path.suffix in (".json", ".yaml", ".yml")


def _name_of(path: Path) -> str:
    stem = _STRANGE.sub("_", path.stem.lower()).strip("_")[:_LONGEST_NAME]
    return stem if stem[:1].isalpha() else f"datahub_{stem}".rstrip("_")


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigurationError(f"{path} is larger than {_MAX_BYTES} bytes")
        read = yaml.safe_load(content)  # JSON is YAML
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    if not isinstance(read, dict):
        raise ConfigurationError(f"{path} holds {type(read).__name__}, expected fields and sections")
    return read
