"""What all configured sources share: how they are named, and secrets that stand in the environment.

A configuration file holds `${VARIABLE}` where a secret belongs. It is replaced when a connection is made, not when the
file is read: nothing that is printed, compared or kept in Dagster's definitions ever holds the secret.
"""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import Field

from des_platform.settings import ConfigurationError

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
"""Part of asset keys, metrics' labels and object keys."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(text: str, what: str) -> str:
    """Replace every `${VARIABLE}` by the environment's value.

    Args:
        text: from the configuration; other dollar signs stay as they are.
        what: names the setting in an error, such as `sources.orders.connection.password`.

    Raises:
        ConfigurationError: a variable is not set, or its name is none.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{what} holds ${{{name}}}, which names no environment variable")
        if name not in os.environ:
            raise ConfigurationError(f"{what} needs the environment variable {name}, which is not set")
        return os.environ[name]

    return _VARIABLE.sub(value_of, text)
