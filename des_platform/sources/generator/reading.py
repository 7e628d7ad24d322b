"""JSON from outside, read with care: every mistake is one line that names the file and the place in it.

Numbers are read as `Decimal`, so 0.01 is a hundredth and not the nearest binary fraction. What could exhaust memory,
time or the stack (size, depth, digits) is refused before anything is made of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from des_platform.settings import ConfigurationError

MAX_BYTES = 1 << 20
"""Largest schema."""

MAX_UNITS = 10**15
"""Most units of a last decimal place that a number may have: exact in a double, as are a quotient's decimals."""

_SHOWN = 60
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a JSON document.

    Attributes:
        origin: the document, for messages.
        path: JSON pointer of the value; empty for the whole.
        value: what `json` made of it.
    """

    origin: str
    path: str
    value: object

    def wrong(self, text: str) -> ConfigurationError:
        """The error that names this place."""
        return ConfigurationError(f"{ascii(self.origin)[1:-1]}: {ascii(self.path or '/')[1:-1]}: {text}")

    def fields(self, known: set[str]) -> dict[str, Node]:
        """The fields of an object that may have only these."""
        found = self.mapping()
        for name, node in found.items():
            if name not in known:
                raise node.wrong(f"is not understood here; expected one of {', '.join(sorted(known))}")
        return found

    def mapping(self) -> dict[str, Node]:
        """The fields of an object."""
        if not isinstance(self.value, dict):
            raise self._expected("an object")
        escaped = ((name, name.replace("~", "~0").replace("/", "~1")) for name in self.value)
        return {name: Node(self.origin, f"{self.path}/{part}", self.value[name]) for name, part in escaped}

    def items(self, most: int) -> list[Node]:
        """The items of an array of 1 to `most`."""
        if not isinstance(self.value, list):
            raise self._expected("an array")
        if not 1 <= len(self.value) <= most:
            raise self.wrong(f"has {len(self.value)} items, expected 1 to {most:,}")
        return [Node(self.origin, f"{self.path}/{index}", value) for index, value in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self._expected("a string")
        return self.value

    def flag(self) -> bool:
        """A boolean."""
        if not isinstance(self.value, bool):
            raise self._expected("true or false")
        return self.value

    def number(self) -> Decimal:
        """A number of at most 15 digits."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | Decimal):
            raise self._expected("a number")
        number = Decimal(self.value).normalize()
        if not -_MAX_DIGITS <= _exponent(number) <= number.adjusted() < _MAX_DIGITS:
            raise self.wrong(f"has more than {_MAX_DIGITS} digits before or after the point")
        return number

    def integer(self, least: int, most: int) -> int:
        """A whole number in a range."""
        number = self.number()
        if number != int(number) or not least <= number <= most:
            raise self._expected(f"a whole number from {least:,} to {most:,}")
        return int(number)

    def fraction(self) -> float:
        """A number from 0 to 1."""
        number = self.number()
        if not 0 <= number <= 1:
            raise self._expected("a number from 0 to 1")
        return float(number)

    def units(self, decimals: int) -> int:
        """A number in units of its last place.

        Args:
            decimals: places after the point.
        """
        units = self.number().scaleb(decimals)
        if units != int(units) or abs(units) > MAX_UNITS:
            raise self.wrong(f"is no number of {decimals} places after the point, or too large for one")
        return int(units)

    def _expected(self, what: str) -> ConfigurationError:
        return self.wrong(f"expected {what}, found {shown(self.value)}")


def decimals_of(number: Decimal) -> int:
    """Places after the point that a number needs."""
    return max(0, -_exponent(number.normalize()))


def read(text: str, origin: str) -> Node:
    """Read a document.

    Raises:
        ConfigurationError: it is no JSON, or too much of it.
    """
    whole = Node(origin, "", None)
    if len(text) > MAX_BYTES:
        raise whole.wrong(f"is larger than {MAX_BYTES:,} bytes")
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_once)
        json.dumps(value, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise whole.wrong("holds half of a surrogate pair, which no text can hold") from None
    except RecursionError:
        raise whole.wrong("is nested too deeply") from None
    except InvalidOperation:
        raise whole.wrong("holds a number beyond all bounds") from None
    except ValueError as error:
        raise whole.wrong(f"is no JSON: {ascii(str(error))[1:-1][:200]}") from None
    return Node(origin, "", value)


def shown(value: object) -> str:
    """A value as a message can show it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = str(value) if isinstance(value, Decimal) else ascii(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"an object has the field {name[:_SHOWN]!r} twice")
        found[name] = value
    return found
