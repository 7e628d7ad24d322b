from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from des_platform.archive.v1.layout import FOOTER, FOOTER_MAGIC
from des_platform.catalog.tables import containers, files, inbox
from des_platform.cli.demo.proof import Proof, prove
from des_platform_tests.damage import flip, overwrite, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform_tests.platform import Platform

CONTENTS = {f"{number}.txt": f"small file {number}".encode() for number in range(12)} | {"large.txt": b"large\n" * 1000}


@dataclass
class Fed:
    """A platform that has packed some files, and what they were."""

    platform: Platform
    digests: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> str:
        key = self.platform.put(name, content)
        self.digests[key] = hashlib.sha256(content).digest()
        return key

    def prove(self) -> Proof:
        return prove(self.platform.settings, self.platform.catalog, self.digests, lambda _: None)

    def archive_of(self, name: str) -> Path:
        with self.platform.catalog.begin() as connection:
            statement = sa.select(containers.c.key).where(
                containers.c.container_id == self.platform.rows()[name].container_id
            )
            return path_of(self.platform.buckets.own, str(connection.scalar(statement)))

    def neighbours_of(self, name: str) -> set[str]:
        rows = self.platform.rows()
        return {row.key for row in rows.values() if row.container_id == rows[name].container_id}


@pytest.fixture
def fed(platform: Platform) -> Fed:
    return filled(platform)


def filled(platform: Platform) -> Fed:
    made = Fed(platform)
    for name, content in CONTENTS.items():
        made.put(name, content)
    platform.run_all()
    return made


def lost_keys(proof: Proof) -> set[str]:
    return {problem.split(": ")[0] for problem in proof.lost}


def test_whole_platform_is_proven_file_by_file(fed: Fed) -> None:
    steps: list[int] = []
    proof = prove(fed.platform.settings, fed.platform.catalog, fed.digests, steps.append)
    assert proof == Proof(verified=len(CONTENTS), lost=[], duplicated=0)
    assert steps[-1] == len(CONTENTS)


def test_damaged_bytes_inside_an_archive_are_a_lost_file(fed: Fed) -> None:
    archive = fed.archive_of("3.txt")
    flip(archive, archive.read_bytes().index(CONTENTS["3.txt"]))
    proof = fed.prove()
    assert lost_keys(proof) == {fed.platform.rows()["3.txt"].key}
    assert proof.verified == len(CONTENTS) - 1


@pytest.mark.parametrize(
    ("version", "damage"),
    [(2, "truncated"), (2, "other bytes"), (2, "gone"), (1, "truncated"), (1, "other bytes"), (1, "other version")],
)
def test_archive_that_cannot_be_opened_loses_exactly_its_files(platform: Platform, version: int, damage: str) -> None:
    platform.dataset = platform.dataset.model_copy(update={"archive_version": version})
    fed = filled(platform)
    archive = fed.archive_of("3.txt")
    if damage == "gone":
        archive.unlink()
    elif damage == "other version":
        flip(archive, -FOOTER.size + len(FOOTER_MAGIC))
    else:
        overwrite(archive, archive.read_bytes()[:-1] if damage == "truncated" else b"x" * archive.stat().st_size)
    proof = fed.prove()
    assert lost_keys(proof) == fed.neighbours_of("3.txt")
    assert proof.verified + len(proof.lost) == len(CONTENTS)


@pytest.mark.parametrize("damage", ["bit", "truncated", "gone"])
def test_damaged_object_of_a_large_file_is_a_lost_file(fed: Fed, damage: str) -> None:
    row = fed.platform.rows()["large.txt"]
    assert row.object_key is not None
    path = path_of(fed.platform.buckets.own, row.object_key)
    if damage == "gone":
        path.unlink()
    elif damage == "bit":
        flip(path, path.stat().st_size // 2)
    else:
        overwrite(path, path.read_bytes()[:-3])
    assert lost_keys(fed.prove()) == {row.key}


def test_file_that_was_never_announced_is_lost(fed: Fed) -> None:
    key = fed.put("late.txt", b"late")
    assert fed.prove().lost == [f"{key}: is not catalogued"]


def test_file_that_is_in_no_archive_is_lost(fed: Fed) -> None:
    key = fed.put("late.txt", b"late")
    fed.platform.find()
    fed.platform.take_in()
    (problem,) = fed.prove().lost
    assert problem.startswith(f"{key}: is in no archive; its state is catalogued")


def test_file_that_comes_back_as_another_than_was_fed_is_lost(fed: Fed) -> None:
    key = fed.platform.rows()["3.txt"].key
    fed.digests[key] = hashlib.sha256(b"what was fed").digest()
    assert fed.prove().lost == [f"{key}: came back with other bytes than were fed"]


def test_file_catalogued_twice_is_duplicated(fed: Fed) -> None:
    row = fed.platform.rows()["3.txt"]
    with fed.platform.catalog.begin() as connection:
        again = {"dataset": row.dataset, "day": row.day, "bucket": row.bucket, "key": row.key, "etag": "another"}
        seq = connection.scalar(inbox.insert().values(**again, source="test", state="done").returning(inbox.c.seq))
        same = {"size": row.size, "sha256": row.sha256, "shard": row.shard, "container_id": row.container_id}
        connection.execute(files.insert().values(**again, **same, seq=seq, name=f"{row.name}_again", state="ready"))
    assert fed.prove().duplicated == 1


def test_new_content_under_a_known_key_is_no_duplicate(fed: Fed) -> None:
    fed.put("3.txt", b"another version")
    fed.platform.run_all()
    assert fed.prove() == Proof(verified=len(CONTENTS), lost=[], duplicated=0)


def test_files_whose_archive_is_not_the_published_one_are_counted(fed: Fed) -> None:
    row = fed.platform.rows()["3.txt"]
    with fed.platform.catalog.begin() as connection:
        superseded = containers.update().where(containers.c.container_id == row.container_id)
        connection.execute(superseded.values(state="superseded"))
    assert fed.prove().duplicated == len(fed.neighbours_of("3.txt"))
