"""`des dead-letters`: what could not be processed, and why; again once its cause is mended, or away with it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.demo.state import demo_environment
from des_platform.settings import ConfigurationError, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dead_letters import DeadLetterRow

app = typer.Typer(no_args_is_help=True, help="What could not be processed, and why.")

_Ids = Annotated[list[int] | None, typer.Argument(help="numbers of dead letters, as `ls` shows them")]
_All = Annotated[bool, typer.Option("--all", help="every dead letter that the filters leave")]
_Limit = Annotated[int, typer.Option(help="most letters to show", min=1)]
_Stage = Annotated[str | None, typer.Option(help="only of this stage, such as queue or raw_files")]
_Dataset = Annotated[str | None, typer.Option(help="only of this dataset")]
_Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]


@app.command("ls")
def list_letters(limit: _Limit = 50, stage: _Stage = None, dataset: _Dataset = None, as_json: _Json = False) -> None:
    """List what could not be processed, the newest first."""
    from des_platform.catalog import dead_letters as letters

    with _catalog() as catalog, catalog.begin() as connection:
        found = letters.newest(connection, limit, dataset=dataset, stage=stage)
        number = letters.count(connection, dataset=dataset, stage=stage)
    if as_json:
        for letter in found:
            print(json.dumps(_fields(letter)))
        return
    _print_list(found, f"{number} dead letters" + (f", the newest {limit}" if number > limit else ""))


@app.command()
def show(number: Annotated[int, typer.Argument(help="number of a dead letter, as `ls` shows it")]) -> None:
    """Show one whole, with its body."""
    with _catalog() as catalog:
        [letter] = _chosen(catalog, [number], everything=False, stage=None, dataset=None)
    for name, value in _fields(letter).items():
        if value is not None and name != "body":
            print(f"{name:<14} {_printable(str(value))}")
    if letter.body is not None:
        print()
        print("\n".join(_printable(line) for line in letter.body.split("\n")))


@app.command()
def retry(ids: _Ids = None, everything: _All = False, stage: _Stage = None, dataset: _Dataset = None) -> None:
    """Process dead letters again; those that succeed are gone."""
    from des_platform.catalog import partitions
    from des_platform.objectstore import Buckets
    from des_platform.sources.config import load_sources
    from des_platform.sources.recording import Recorder
    from des_platform.sources.reprocessing import Reprocessing

    gone = stayed = 0
    with _catalog() as catalog:
        settings = load_settings()
        chosen = _chosen(catalog, ids, everything=everything, stage=stage, dataset=dataset)
        with catalog.begin() as connection:
            datasets = partitions.known_datasets(connection)
        again = Reprocessing(Recorder(catalog, Buckets(settings), datasets), load_sources(settings))
        for letter in chosen:
            reason = again.retry(letter)
            gone, stayed = gone + (reason is None), stayed + (reason is not None)
            if reason is not None:
                print(f"{letter.dead_letter_id} stays: {_printable(reason)}")
    print(f"{gone} processed, {stayed} stay")
    raise SystemExit(1 if stayed else 0)


@app.command()
def drop(ids: _Ids = None, everything: _All = False, stage: _Stage = None, dataset: _Dataset = None) -> None:
    """Forget dead letters; what they are about stays as it is."""
    from des_platform.catalog import dead_letters as letters

    with _catalog() as catalog:
        chosen = _chosen(catalog, ids, everything=everything, stage=stage, dataset=dataset)
        with catalog.begin() as connection:
            number = letters.drop(connection, [letter.dead_letter_id for letter in chosen])
    print(f"{number} dropped")


@contextmanager
def _catalog() -> Iterator[Catalog]:
    from des_platform.catalog.database import Catalog

    demo_environment()
    with Catalog.open(load_settings()) as catalog:
        yield catalog


def _chosen(
    catalog: Catalog, ids: list[int] | None, *, everything: bool, stage: str | None, dataset: str | None
) -> list[DeadLetterRow]:
    from des_platform.catalog import dead_letters as letters

    if bool(ids) == everything:
        raise ConfigurationError(
            "name the dead letters by their numbers, or say --all; `des dead-letters ls` shows them"
        )
    with catalog.begin() as connection:
        if ids:
            found = letters.by_ids(connection, ids)
        else:
            number = letters.count(connection, dataset=dataset, stage=stage)
            found = letters.newest(connection, number, dataset=dataset, stage=stage)
    if missing := sorted(set(ids or ()) - {letter.dead_letter_id for letter in found}):
        raise ConfigurationError(f"there is no dead letter {', '.join(map(str, missing))}")
    return found


def _fields(letter: DeadLetterRow) -> dict[str, str | int | None]:
    from dataclasses import asdict

    seen = letter.last_seen_at
    return {**asdict(letter), "last_seen_at": seen.isoformat(timespec="seconds") if seen else None}


def _print_list(found: list[DeadLetterRow], title: str) -> None:
    """Two lines a letter: which one, and why; a table would fold both into narrow columns."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    for letter in found:
        seen = f"{letter.last_seen_at:%Y-%m-%d %H:%M:%S}" if letter.last_seen_at else ""
        attempts = "once" if letter.attempts == 1 else f"{letter.attempts} times"
        head = Text.assemble(
            (f"{letter.dead_letter_id}  ", "bold"),
            (" ".join(filter(None, (letter.stage, letter.origin, letter.dataset))), "cyan"),
            f"  {_printable(letter.subject)}",
            (f"  {attempts}, last {seen} UTC", "dim"),
        )
        console.print(head)
        console.print(Padding(Text(_printable(letter.reason)), (0, 0, 0, 4)))


def _printable(text: str) -> str:
    # Whoever may write to the queue must not steer the terminal of who reads this.
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
