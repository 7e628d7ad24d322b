"""What every command has in common, and `des dead-letters`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from des_platform.catalog import dead_letters
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.cli.demo.progress import Progress
from des_platform_tests.cli.commands import bare_environment, complaint, des

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("DES_PG_PORT", "abc", "'abc'"),
        ("DES_STORE_URL", "ftp://x", "'ftp://x'"),
        ("DES_NAME_PREFIX", "a/b", "'a/b'"),
    ],
)
def test_wrong_setting_is_one_line_that_names_it(variable: str, value: str, found: str, tmp_path: Path) -> None:
    done = des("get", "x", env=bare_environment(tmp_path) | {variable: value})
    assert done.returncode == 2
    line = complaint(done)
    assert line.startswith(f"des: {variable} is wrong: ")
    assert found in line


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    wrong = {"DES_PG_PORT": "abc", "DES_STORE_URL": "ftp://x"}
    line = complaint(des("dead-letters", "ls", env=bare_environment(tmp_path) | wrong))
    assert all(variable in line for variable in wrong)


def test_catalogue_out_of_reach_is_one_line_without_the_password(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path) | {"DES_PG_PORT": "1", "DES_PG_PASSWORD": "correct-horse"}
    done = des("dead-letters", "ls", env=environment)
    assert done.returncode == 2
    assert "127.0.0.1:1/des" in complaint(done)
    assert "correct-horse" not in done.stderr


def test_dead_letters_are_listed_with_what_happened_and_why(platform: Platform) -> None:
    letter = DeadLetter("queue", "landing/a.txt", "no dataset takes it", "{}", "things")
    with platform.catalog.begin() as connection:
        dead_letters.add(connection, letter)
        dead_letters.add(connection, letter)
    done = des("dead-letters", "ls", env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0
    _title, head, reason = done.stdout.splitlines()
    assert re.fullmatch(r"\d+  queue things  landing/a.txt  2 times, last [-\d]+ [:\d]+ UTC", head.rstrip())
    assert reason.strip() == "no dataset takes it"


def test_limit_shows_the_newest_letters_and_says_how_many_there_are(platform: Platform) -> None:
    for number in range(5):
        with platform.catalog.begin() as connection:
            dead_letters.add(connection, DeadLetter("queue", f"letter {number}", "because"))
    done = des("dead-letters", "ls", "--limit", "2", env=os.environ | {"COLUMNS": "200"})
    assert "5 dead letters, the newest 2" in done.stdout
    assert [number for number in range(5) if f"letter {number}" in done.stdout] == [3, 4]


def test_markup_in_a_dead_letter_is_shown_literally(platform: Platform) -> None:
    markup = ["[red]x[/red]", "[/no such tag]", "<script>alert(1)</script>", "[link=http://x]y[/link]", ":warning:"]
    with platform.catalog.begin() as connection:
        dead_letters.add(connection, *(DeadLetter("queue", f"subject {text}", f"reason {text}") for text in markup))
    done = des("dead-letters", "ls", env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0
    for text in markup:
        assert f" subject {text} " in done.stdout
        assert f" reason {text}" in done.stdout


def test_dead_letter_cannot_steer_the_terminal(platform: Platform) -> None:
    with platform.catalog.begin() as connection:
        dead_letters.add(connection, DeadLetter("queue", "a\x1b]0;title\x07b", "c\x1b[2Jd\x9b2Je\u202ef"))
    done = des("dead-letters", "ls", env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0
    assert not set(done.stdout) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert "2J" in done.stdout


@pytest.mark.parametrize("hostile", ["lost: documents/[/a].txt", "failed: x: [SQL: SELECT 1]", "[red]not red"])
def test_progress_shows_what_is_no_markup_literally(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.say(hostile)
    assert capsys.readouterr().err == f"{hostile}\n"
