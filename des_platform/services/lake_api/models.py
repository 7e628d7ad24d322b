"""What the bodies and parameters of the API have in common.

A body's fields are all known, and of exactly the type that is declared: `"5"` is no number. No text anywhere holds a
NUL or a lone surrogate, which PostgreSQL cannot keep, no number is NaN or infinite, and nothing is nested without end.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Self

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

BIGGEST: Final = 2**53 - 1
"""The largest number that every JSON reader takes as it is."""

_DEEPEST: Final = 32

Id = Annotated[int, Field(ge=1, le=BIGGEST)]
PathId = Annotated[int, Path(ge=1, le=BIGGEST, examples=[1])]
Amount = Annotated[int, Field(ge=0, le=BIGGEST)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A name that people give: one line."""

Text = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _keepable(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the JSON holds
        return _plain(value, 1)


class Answer(BaseModel):
    """A response's body, made from a row of the catalogue."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, row: object) -> Self:
        """The answer with the row's attributes."""
        return cls.model_validate(row)


def _plain(value: object, depth: int) -> object:
    """The value, where PostgreSQL can keep it; 1.0 is the integer 1, as JSON Schema has it."""
    if depth > _DEEPEST:
        raise ValueError(f"the body is nested more than {_DEEPEST} levels deep")
    match value:
        case dict():
            return {_plain(key, depth): _plain(inner, depth + 1) for key, inner in value.items()}
        case list():
            return [_plain(inner, depth + 1) for inner in value]
        case str() if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("a text holds a NUL or half a surrogate pair, which no database keeps")
        case float() if not math.isfinite(value):
            raise ValueError("a number is NaN or infinite, which is no JSON")
        case float() if value.is_integer() and abs(value) <= BIGGEST:
            return int(value)
    return value
