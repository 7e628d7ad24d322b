"""Changes JSON documents: their structure, their values, and their text."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

_DEEP = "deep"
_ODD: list[object] = [
    *(None, True, False, 0, 1, -1, 2, 7, 18, 19, 63, 64, 255, 1000, 10**6, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63),
    *(-(2**63), -(2**64), 10**30, 0.0, -0.5, 1.5, 1e308, float("nan"), float("inf")),
    *("", " ", "\0", "\ud800", "é", "Ā", "😀", "%", "\\", '"', "\n", "a" * 3000, "9" * 40, "Y-m-dTH:M:S.3Z", "S9"),
    *([], {}, [[]], [None], {"": 0}, [0] * 1000, _DEEP),
]
_DEEP_TEXT = "[" * 100_000 + "]" * 100_000


def mutate_json(text: str, random: Random) -> str:
    """Return a changed document; mostly still JSON."""
    box = [json.loads(text)]
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        _change(box, random)
    changed = json.dumps(box[0], separators=(",", ":")).replace(f'"{_DEEP}"', _DEEP_TEXT)
    return changed if random.random() < 0.9 else _change_text(changed, random)


def _change(box: list[Any], random: Random) -> None:
    places = list(_places(box))
    inside, key = random.choice(places)
    value = inside[key]
    choice = random.randrange(8)
    if choice <= 1:
        inside[key] = deepcopy(random.choice(_ODD))  # what is changed next must not be the list above
    elif choice == 2:
        inside[key] = _near(value, random)
    elif choice <= 4:
        other, name = random.choice(places)
        inside[key] = deepcopy(other[name])
    elif choice == 5 and inside is not box:
        del inside[key]
    elif choice == 6 and isinstance(inside, list):
        inside[key:key] = [deepcopy(value) for _ in range(random.choice([1, 1, 2, 50]))]
    elif isinstance(inside, dict):
        inside[random.choice([*inside, "name", "new"])] = inside.pop(key)
    else:
        random.shuffle(inside)


def _places(inside: Any) -> Iterator[tuple[Any, Any]]:
    """Where each value stands: what it is in, and at which key or index."""
    for key in list(inside) if isinstance(inside, dict) else range(len(inside)):
        yield inside, key
        if isinstance(inside[key], dict | list):
            yield from _places(inside[key])


def _near(value: object, random: Random) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + random.choice([-1000, -1, 1, 1000, 10**9])
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + random.choice(["", "0", "x", "\n", "\0", "Y", value]) + value[at + random.randrange(3) :]
    return [value]


def _change_text(text: str, random: Random) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + cast("str", random.choice(["", *'{}[],:"0-e', "NaN", "9" * 5000, "\\u0000"])) + text[at + 1 :]
