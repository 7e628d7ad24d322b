"""The raw_files stage: from the inbox to the file catalogue, a partition at a time.

Each batch is one transaction: claim inbox rows, read each file once for its size and SHA-256, mint its name, insert it,
settle the row. The batch that leaves nothing pending also writes the day's manifest, in the same transaction. Killed
anywhere, the batch in hand is undone and its rows are pending again; running again changes nothing that is catalogued.

A name that the file's source has given is used as it is, if it is a name and no other file bears it. All others are
minted, on a node leased for the run. A node's names repeat after 49.7 days where they carry the same day, as those of
late files do; so whatever was minted is looked up among the files, and minted anew where it is in use.

A bad file goes to the dead letters and its neighbours go on; a store that is out of reach stops the run, and no file is
blamed for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from des_platform.catalog import dead_letters, files, inbox, partitions
from des_platform.catalog.dead_letters import DeadLetter
from des_platform.catalog.files import NewFile
from des_platform.catalog.nodes import leased_node
from des_platform.naming import NameMinter, parse_name, shard_of
from des_platform.objectstore import IntegrityError, InvalidKey, ObjectNotFound, PreconditionFailed, StoreUnavailable
from des_platform.sources.manifest import write_manifest

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    import sqlalchemy as sa

    from des_platform.catalog.database import Catalog
    from des_platform.catalog.dataset import Dataset
    from des_platform.catalog.inbox import InboxRow
    from des_platform.objectstore import Buckets

_BATCH = 500


@dataclass(slots=True)
class IntakeReport:
    """What one intake did: files and bytes catalogued now, files given up, files to try again."""

    files: int = 0
    bytes: int = 0
    dead: int = 0
    postponed: int = 0


@dataclass(frozen=True, slots=True)
class _Examined:
    row: InboxRow
    size: int = 0
    sha256: str = ""
    problem: str | None = None
    transient: bool = False


def take_in(
    catalog: Catalog, buckets: Buckets, dataset: Dataset, day: date, *, name_prefix: str, scratch: Path, threads: int
) -> IntakeReport:
    """Catalogue every pending file of one partition and write its manifest.

    Args:
        catalog: inbox and files.
        buckets: where the files are.
        dataset: the partition's dataset.
        day: the partition's day (UTC).
        name_prefix: first part of the names to mint.
        scratch: folder for the manifest while it is built.
        threads: files to read at once.

    Raises:
        StoreUnavailable: the store itself is out of reach; the pending rows stay pending.
        NoFreeNode: all naming nodes are taken.
        NodeLost: the database ended the session that held the naming node.
    """
    report = IntakeReport()
    last_seq = 0
    with leased_node(catalog) as leased, ThreadPoolExecutor(threads) as pool:
        minter = NameMinter(name_prefix, leased.node, reserve=leased.reserve)
        while True:
            with catalog.begin() as connection:
                rows = inbox.claim(connection, dataset.name, day, after=last_seq, limit=_BATCH)
                last_seq = rows[-1].seq if rows else last_seq
                examined = list(pool.map(lambda row: _examine(buckets, row), rows))
                examined = _check_given_names(connection, examined)
                sound = [found for found in examined if found.problem is None]
                _catalogue(connection, dataset, day, minter, sound, report)
                _give_up(connection, [found for found in examined if found.problem is not None], report)
                # Without rows, what is left is in the hands of another run, whose manifest will list it.
                if not rows or not inbox.more_after(connection, dataset.name, day, last_seq):
                    partitions.lock_day(
                        connection, dataset.name, day
                    )  # two runs: the later manifest lists both's files
                    write_manifest(connection, buckets.own, dataset.name, day, scratch)
                    return report


def _examine(buckets: Buckets, row: InboxRow) -> _Examined:
    store = buckets.bucket(row.bucket)
    try:
        found = store.digest(row.key, if_match=row.etag)
    except (ObjectNotFound, InvalidKey) as error:
        return _Examined(row, problem=f"vanished before it was read: {error}")
    except PreconditionFailed:
        return _Examined(
            row, problem="replaced before it was read; the version there now is announced or listed by itself"
        )
    except IntegrityError as error:
        return _Examined(row, problem=str(error), transient=True)
    except StoreUnavailable as error:
        # Raises where the whole store is out of reach or the bucket is gone: then no single file is to blame.
        next(store.list("probe"), None)
        return _Examined(row, problem=str(error), transient=True)
    return _Examined(row, found.size, found.sha256)


def _check_given_names(connection: sa.Connection, examined: list[_Examined]) -> list[_Examined]:
    """The same, where a name from outside that cannot be used is a problem."""
    given = [found.row.name for found in examined if found.row.name is not None]
    if not given:
        return examined
    files.lock_names(connection)
    in_use = files.names_in_use(connection, given)
    checked = []
    for found in examined:
        name = found.row.name
        if name is None or found.problem is not None:
            checked.append(found)
            continue
        problem = _problem_of_name(name, in_use)
        in_use.add(name)
        checked.append(found if problem is None else replace(found, problem=problem))
    return checked


def _problem_of_name(name: str, in_use: set[str]) -> str | None:
    if name in in_use:
        return f"its source has named it {name}, and another file bears that name: correct the name there"
    try:
        parse_name(name)
    except ValueError as error:
        return f"its source has named it, but {error}: correct the name there, or give none"
    return None


def _new_names(connection: sa.Connection, minter: NameMinter, day: date, count: int, given: set[str]) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        minted = minter.mint_many(day, count - len(names))
        repeated = files.names_in_use(connection, minted) | given
        names += [name for name in minted if name not in repeated]
    return names


def _catalogue(
    connection: sa.Connection,
    dataset: Dataset,
    day: date,
    minter: NameMinter,
    examined: list[_Examined],
    report: IntakeReport,
) -> None:
    given = {found.row.name for found in examined if found.row.name is not None}
    minted = iter(_new_names(connection, minter, day, len(examined) - len(given), given))
    new = []
    for found in examined:
        row = found.row
        name = next(minted) if row.name is None else row.name
        shard = shard_of(name, dataset.shard_bits)
        new.append(
            NewFile(
                row.seq,
                row.dataset,
                row.day,
                row.bucket,
                row.key,
                row.etag,
                found.size,
                found.sha256,
                name,
                shard,
                meta=row.meta,
            )
        )
        if row.claimed_size is not None and row.claimed_size != found.size:
            reason = f"announced with {row.claimed_size} bytes, but the store holds {found.size}: catalogued as it is"
            dead_letters.add(
                connection,
                DeadLetter("raw_files", f"{row.bucket}/{row.key}", reason, dataset=row.dataset, seq=row.seq),
            )
        report.bytes += found.size
    files.insert_new(connection, new)
    inbox.settle(connection, [row.seq for row in new], "done")
    report.files += len(new)


def _give_up(connection: sa.Connection, examined: list[_Examined], report: IntakeReport) -> None:
    letters = []
    for found in examined:
        row = found.row
        if found.transient and not inbox.record_failure(connection, row.seq):
            report.postponed += 1
            continue
        inbox.settle(connection, [row.seq], "dead")
        subject = f"{row.bucket}/{row.key}"
        letters.append(DeadLetter("raw_files", subject, found.problem or "", dataset=row.dataset, seq=row.seq))
    dead_letters.add(connection, *letters)
    report.dead += len(letters)
