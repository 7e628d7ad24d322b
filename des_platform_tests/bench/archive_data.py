"""What the archive bench writes: names, payloads that do not shrink, and JSON documents; the same on every machine.

The documents are orders of a shop: about 4 KB each, nested, no two alike, of 4 to 18 items. What a shop draws from a
stock of its own (cities, colours, carriers, browsers, 4,000 products, a vocabulary of 3,000 words with the skew of
real text) comes back from document to document, as it does in a shop; identifiers, times, prices, addresses, hashes
and coordinates are random. The bench prints what zstd at level 3 makes of them one by one, and as one stream of all.
"""

from __future__ import annotations

import json
import random
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SEED = 20_260_101
_BULK_BYTES = 4096
_SMALL_BYTES = 64
_WORDS, _PRODUCTS, _PEOPLE = 3_000, 4_000, 20_000
_CHUNK = 4096
_DAY_MS = 86_400_000
_START_MS = 1_767_225_600_000  # 2026-01-01
_CITIES = (
    "Oslo",
    "Bergen",
    "Lyon",
    "Porto",
    "Gdynia",
    "Kraków",
    "Leeds",
    "Malmö",
    "Turku",
    "Ghent",
    "Graz",
    "Brno",
    "Utrecht",
    "Aarhus",
    "Cork",
    "Split",
)
_COLOURS = ("black", "white", "red", "navy", "olive", "sand", "teal", "grey", "coral", "mint")
_CARRIERS = ("DHL", "UPS", "GLS", "DPD", "PostNord", "InPost")
_STATES = ("placed", "paid", "picked", "packed", "shipped", "delivered", "returned")
_BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/{}E148",
)


def seeded(seed: int) -> random.Random:
    """Chance that is the same in every run."""
    return random.Random(seed)  # noqa: S311 - it is to be repeatable, not secret


def name(number: int) -> str:
    """A name as a fleet of sensors gives it: regular."""
    return f"sensor/2026-01-01/obj_{number:08d}"


def names(count: int) -> list[str]:
    """Such names, in order."""
    return [name(number) for number in range(count)]


def flat(given: str) -> str:
    """The like of a name, for version 1, which knows no slash in it; of the same length."""
    return given.replace("/", "-")


def bulk_payloads(count: int) -> list[bytes]:
    """Payloads of 4 KiB that no codec makes smaller, each a buffer of its own."""
    return _noise(count, _BULK_BYTES)


def small_payloads(count: int) -> list[bytes]:
    """Payloads of 64 bytes that no codec makes smaller, each a buffer of its own."""
    return _noise(count, _SMALL_BYTES)


def small_objects(count: int) -> Iterator[tuple[str, bytes]]:
    """Names with payloads of 64 bytes that do not shrink, one at a time: ten million of them take no memory."""
    for first in range(0, count, _CHUNK):
        noise = _chunk_noise(first)
        for number in range(first, min(first + _CHUNK, count)):
            start = (number - first) * _SMALL_BYTES
            yield name(number), noise[start : start + _SMALL_BYTES]


def small_object(number: int) -> bytes:
    """The payload of one of them."""
    start = number % _CHUNK * _SMALL_BYTES
    return _chunk_noise(number - number % _CHUNK)[start : start + _SMALL_BYTES]


def _chunk_noise(first: int) -> bytes:
    return seeded(_SEED + first).randbytes(_CHUNK * _SMALL_BYTES)


def documents(count: int) -> Iterator[bytes]:
    """JSON documents of about 4 KB."""
    shop = _Shop(seeded(_SEED))
    return (json.dumps(shop.order(number), separators=(",", ":")).encode() for number in range(count))


def _noise(count: int, size: int) -> list[bytes]:
    import numpy as np

    noise = np.random.default_rng(_SEED).bytes(count * size)
    return [noise[start : start + size] for start in range(0, count * size, size)]


class _Shop:
    """What the orders have in common."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        consonants = (*"bdfgklmnprstvz", "st", "tr", "br")
        syllables = [consonant + vowel for consonant in consonants for vowel in "aeiou"]
        self._words = ["".join(chance.choices(syllables, k=chance.choice((1, 2, 2, 3, 3, 4)))) for _ in range(_WORDS)]
        self._skew = list(accumulate(1 / (rank + 3) for rank in range(_WORDS)))  # as words of real text are
        self._people = [f"{self._title(1)} {self._title(1)}" for _ in range(_PEOPLE)]
        self._products = [self._product(number) for number in range(_PRODUCTS)]

    def order(self, number: int) -> dict[str, Any]:
        """One document."""
        chance, pick = self._chance, self._pick
        when = _START_MS + number * 431 + int(chance.random() * 900)
        person = pick(self._people)
        items = [self._item() for _ in range(4 + int(chance.random() * 15))]
        total = round(sum(item["price"] * item["quantity"] for item in items), 2)
        states = _STATES[: 1 + int(chance.random() * len(_STATES))]
        version = 110 + int(chance.random() * 40)
        return {
            "order_id": f"{chance.getrandbits(128):032x}",
            "number": 4_000_000 + number,
            "created_at_ms": when,
            "customer": {
                "id": chance.getrandbits(40),
                "name": person,
                "email": f"{person.lower().replace(' ', '.')}{int(chance.random() * 100)}@{pick(self._words)}.example",
                "phone": f"+47 {int(chance.random() * 9e7) + 10_000_000}",
                "segment": pick(("new", "returning", "business", "vip")),
                "consents": {"newsletter": chance.random() < 0.3, "profiling": chance.random() < 0.6},
            },
            "shipping": {
                "carrier": pick(_CARRIERS),
                "tracking": f"{chance.getrandbits(60):015X}",
                "address": {
                    "street": f"{self._title(1)} {1 + int(chance.random() * 180)}",
                    "postcode": f"{int(chance.random() * 1e5):05d}",
                    "city": pick(_CITIES),
                    "location": {"lat": round(46 + chance.random() * 18, 6), "lon": round(chance.random() * 24, 6)},
                },
            },
            "items": items,
            "total": total,
            "tax": round(total * 0.25, 2),
            "history": [{"state": state, "at_ms": self._later(when, day)} for day, state in enumerate(states)],
            "payment": {"method": pick(("card", "invoice", "transfer")), "token": f"{chance.getrandbits(96):024x}"},
            "client": {
                "ip": ".".join(str(int(chance.random() * 256)) for _ in range(4)),
                "agent": pick(_BROWSERS).format(version, version),
                "session": f"{chance.getrandbits(64):016x}",
                "latency_ms": round(chance.gammavariate(2.0, 40.0), 3),
            },
            "note": self._text(8 + int(chance.random() * 50)),
        }

    def _item(self) -> dict[str, Any]:
        chance = self._chance
        product = self._products[int(chance.random() ** 2 * _PRODUCTS)]
        return {
            **product,
            "quantity": 1 + int(chance.random() ** 3 * 6),
            "discount": round(chance.random() * 0.2, 3),
            "serial": f"{chance.getrandbits(48):012x}",
            "attributes": {"colour": self._pick(_COLOURS), "weight_g": int(chance.random() * 4000)},
            "reviewed": chance.random() < 0.5,
        }

    def _product(self, number: int) -> dict[str, Any]:
        return {
            "sku": f"{self._pick(self._words)[:3].upper()}-{number:05d}",
            "title": self._title(3),
            "price": round(1 + self._chance.random() * 400, 2),
            "description": self._text(8),
        }

    def _later(self, when: int, days: int) -> int:
        return when + int((days + self._chance.random()) * _DAY_MS)

    def _pick(self, among: Sequence[Any]) -> Any:
        return among[int(self._chance.random() * len(among))]

    def _title(self, words: int) -> str:
        return " ".join(self._pick(self._words).capitalize() for _ in range(words))

    def _text(self, words: int) -> str:
        return " ".join(self._chance.choices(self._words, cum_weights=self._skew, k=words))
