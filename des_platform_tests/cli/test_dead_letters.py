"""`des dead-letters`: looking, trying again, forgetting."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import dead_letters, files, inbox, partitions
from des_platform.catalog.dead_letters import DeadLetter, DeadLetterRow
from des_platform_tests.cli.commands import complaint, des
from des_platform_tests.platform import LANDING
from des_platform_tests.sources.support import announce

if TYPE_CHECKING:
    import subprocess

    from des_platform_tests.platform import Platform


def letters(platform: Platform) -> list[DeadLetterRow]:
    with platform.catalog.begin() as connection:
        return dead_letters.newest(connection, 100)


def keep(platform: Platform, *found: DeadLetter) -> list[int]:
    with platform.catalog.begin() as connection:
        partitions.register_datasets(connection, [platform.dataset])
        dead_letters.add(connection, *found)
        return sorted(letter.dead_letter_id for letter in dead_letters.newest(connection, 100))


def run(*arguments: str | int) -> subprocess.CompletedProcess[str]:
    return des("dead-letters", *map(str, arguments), env=os.environ | {"COLUMNS": "200"})


def pending(platform: Platform) -> int:
    with platform.catalog.begin() as connection:
        return inbox.tally(connection)["pending"]


class TestLooking:
    def test_one_is_shown_whole_with_its_body(self, platform: Platform) -> None:
        letter = DeadLetter("queue", "a message", "not JSON", "first\n\x1b[2Jsecond", origin="orders", reference="m-1")
        (number,) = keep(platform, letter)

        shown = run("show", number).stdout

        assert re.search(r"^origin +orders$", shown, re.MULTILINE)
        assert re.search(r"^reference +m-1$", shown, re.MULTILINE)
        assert "\nfirst\n\\x1b[2Jsecond\n" in shown

    def test_json_has_every_field(self, platform: Platform) -> None:
        keep(platform, DeadLetter("queue", "a", "why", "body", "things"), DeadLetter("listing", "b", "because"))

        found = [json.loads(line) for line in run("ls", "--json", "--stage", "queue").stdout.splitlines()]

        (letter,) = found
        assert (letter["stage"], letter["subject"], letter["reason"]) == ("queue", "a", "why")
        assert (letter["body"], letter["dataset"], letter["attempts"]) == ("body", "things", 1)

    @pytest.mark.usefixtures("platform")
    def test_an_unknown_number_is_told(self) -> None:
        assert "there is no dead letter 4711" in complaint(run("show", 4711))


class TestTryingAgain:
    def test_a_message_whose_dataset_was_missing_is_recorded_once_there_is_one(self, platform: Platform) -> None:
        key = platform.put("late.txt", b"content")
        letter = DeadLetter("queue", f"{LANDING}/{key}", "no dataset takes it", announce(key), origin="files")
        (number,) = keep(platform, letter)

        done = run("retry", number)

        assert (done.returncode, done.stdout) == (0, "1 processed, 0 stay\n")
        assert letters(platform) == []
        assert pending(platform) == 1

    def test_a_message_that_fails_again_stays_with_one_attempt_more(self, platform: Platform) -> None:
        reason = "body is not JSON: Expecting value: line 1 column 1 (char 0)"
        (number,) = keep(platform, DeadLetter("queue", "a message", reason, "rubbish", origin="files"))

        done = run("retry", "--all")

        assert done.returncode == 1
        assert f"{number} stays: {reason}" in done.stdout
        (letter,) = letters(platform)
        assert (letter.dead_letter_id, letter.attempts) == (number, 2)

    def test_a_vanished_file_that_is_back_is_catalogued(self, s3_platform: Platform) -> None:
        key = s3_platform.put("a.txt", b"content")
        s3_platform.find()
        s3_platform.buckets.bucket(LANDING).delete(key)
        s3_platform.take_in()
        (letter,) = letters(s3_platform)
        s3_platform.put("a.txt", b"content")

        assert run("retry", letter.dead_letter_id).returncode == 0

        s3_platform.take_in()
        assert list(s3_platform.rows()) == ["a.txt"]
        assert letters(s3_platform) == []

    def test_a_file_that_failed_to_compress_is_tried_again(self, platform: Platform) -> None:
        platform.put("a.txt", b"content")
        platform.find()
        platform.take_in()
        (row,) = platform.rows().values()
        with platform.catalog.begin() as connection:
            assert [files.record_failure(connection, row.file_id, "broken") for _ in range(3)][-1]
        keep(platform, DeadLetter("compressed_objects", row.subject, "broken", dataset="things", seq=row.seq))

        assert run("retry", "--dataset", "things", "--all").returncode == 0

        platform.compress()
        platform.pack()
        (row,) = platform.rows().values()
        assert row.state == "packed"

    def test_what_nothing_waits_behind_stays_and_says_so(self, platform: Platform) -> None:
        keep(platform, DeadLetter("listing", "landing/\\x00", "a hostile key"))

        done = run("retry", "--all")

        assert done.returncode == 1
        assert "drop the letter" in done.stdout
        assert len(letters(platform)) == 1


class TestForgetting:
    def test_only_the_named_ones_are_forgotten(self, platform: Platform) -> None:
        first, second, third = keep(platform, *(DeadLetter("queue", name, "why") for name in "abc"))

        assert run("drop", first, third).stdout == "2 dropped\n"
        assert [letter.dead_letter_id for letter in letters(platform)] == [second]

    def test_all_of_a_stage_are_forgotten(self, platform: Platform) -> None:
        keep(platform, DeadLetter("queue", "a", "why"), DeadLetter("listing", "b", "why"))

        assert run("drop", "--all", "--stage", "listing").stdout == "1 dropped\n"
        assert [letter.stage for letter in letters(platform)] == ["queue"]

    @pytest.mark.parametrize("verb", ["drop", "retry"])
    def test_nothing_is_done_without_numbers_or_all(self, platform: Platform, verb: str) -> None:
        keep(platform, DeadLetter("queue", "a", "why"))

        assert "--all" in complaint(run(verb))
        assert len(letters(platform)) == 1
