from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters
from des_platform.catalog.dead_letters import DeadLetter
from des_platform_tests.catalog.support import at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dead_letters import DeadLetterRow

LETTER = DeadLetter("queue", "a message", "it is not JSON", "{", "things")


def add(catalog: Catalog, letters: Sequence[DeadLetter]) -> None:
    with catalog.begin() as connection:
        dead_letters.add(connection, *letters)


def kept(catalog: Catalog) -> list[DeadLetterRow]:
    with catalog.begin() as connection:
        assert dead_letters.count(connection) == len(dead_letters.newest(connection, 1000))
        return dead_letters.newest(connection, 1000)


def test_a_letter_is_kept_with_all_it_says(catalog: Catalog) -> None:
    add(catalog, [LETTER])

    (row,) = kept(catalog)
    assert DeadLetter(row.stage, row.subject, row.reason, row.body, row.dataset) == LETTER
    assert row.attempts == 1


def test_the_same_letter_again_counts_an_attempt(catalog: Catalog) -> None:
    add(catalog, [LETTER, LETTER])
    add(catalog, [LETTER])

    assert [row.attempts for row in kept(catalog)] == [3]


def test_a_letter_that_differs_in_anything_is_another_one(catalog: Catalog) -> None:
    changes = [{field: "another"} for field in ("stage", "subject", "reason", "body", "dataset")]
    add(catalog, [LETTER, *(replace(LETTER, **change) for change in changes)])

    assert [row.attempts for row in kept(catalog)] == [1] * 6


def test_what_no_database_text_can_hold_is_kept_all_the_same(catalog: Catalog) -> None:
    hostile = ["\0", "\ud800", "\udcff", "\U0010ffff", "'; DROP TABLE inbox; --", "\u202e"]
    texts = [f"before{text}after" for text in hostile]
    add(catalog, [DeadLetter("listing", text, text, text) for text in texts])

    rows = kept(catalog)
    assert len(rows) == len(hostile)
    for row in rows:
        for found in (row.subject, row.reason, row.body):
            assert found is not None
            assert found.startswith("before")
            assert found.endswith("after")


def test_the_largest_message_is_kept_whole(catalog: Catalog) -> None:
    body = "\u00e4" * (1 << 19)
    add(catalog, [replace(LETTER, body=body)])

    assert kept(catalog)[0].body == body


def test_a_body_beyond_all_bounds_is_kept_in_part(catalog: Catalog) -> None:
    add(catalog, [replace(LETTER, body="begin" + "x" * (3 << 20), reason="why" * 100_000)])

    (row,) = kept(catalog)
    assert row.body is not None
    assert row.body.startswith("begin")
    assert (1 << 20) <= len(row.body) < (2 << 20)
    assert row.reason.startswith("whywhy")


def test_many_that_meet_the_same_letters_in_other_orders_never_deadlock(catalog: Catalog) -> None:
    letters = [replace(LETTER, subject=f"message {number}") for number in range(200)]
    orders = [random.Random(seed).sample(letters, len(letters)) for seed in range(4)]  # noqa: S311 - no secret

    at_once([partial(add, catalog, order) for order in orders])

    assert [row.attempts for row in kept(catalog)] == [4] * len(letters)


def test_the_newest_letters_come_first(catalog: Catalog) -> None:
    other = replace(LETTER, subject="another", dataset="other")
    add(catalog, [LETTER])
    add(catalog, [other])
    with catalog.begin() as connection:
        assert [row.subject for row in dead_letters.newest(connection, 1)] == ["another"]
    add(catalog, [LETTER])

    assert [row.subject for row in kept(catalog)] == ["a message", "another"]
    with catalog.begin() as connection:
        assert [row.subject for row in dead_letters.newest(connection, dataset="other")] == ["another"]
        assert dead_letters.newest(connection, dataset="none") == []
