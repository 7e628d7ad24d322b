from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from des_platform.archive import DesReader, DesWriter
from des_platform.catalog import tables
from des_platform.files.reader import FileReader
from des_platform.packing.verify import ShardProof, prove_shard
from des_platform_tests.damage import flip, path_of
from des_platform_tests.packing.conftest import published, put_all
from des_platform_tests.platform import DAY

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.catalog.containers import Container
    from des_platform_tests.platform import Platform

CONTENTS = {"a.txt": b"a" * 500, "b.txt": bytes(range(200)), "empty": b"", "large.txt": b"abc" * 5000}


def packed(platform: Platform, contents: dict[str, bytes] = CONTENTS) -> Container:
    put_all(platform, contents)
    platform.pack()
    found = published(platform)
    assert found is not None
    return found


def prove(platform: Platform, reader: FileReader | None = None) -> ShardProof:
    reader = reader or FileReader(platform.catalog, platform.buckets)
    return prove_shard(platform.catalog, reader, platform.dataset.name, DAY, 0)


def whole(platform: Platform) -> ShardProof:
    """The proof of a shard that holds CONTENTS and nothing else."""
    return ShardProof(len(CONTENTS), sum(map(len, CONTENTS.values())), [], published(platform))


def substitute(platform: Platform, container: Container, archive: Path) -> None:
    """Put another archive in place of a published one, and into the catalogue too."""
    written = platform.buckets.own.put_file(container.key, archive)
    values = {"size": written.size, "etag": written.etag, "sha256": written.sha256}
    with platform.catalog.begin() as connection:
        connection.execute(sa.update(tables.containers).values(**values))


def test_a_sound_archive_proves_every_member(any_platform: Platform) -> None:
    put_all(any_platform, CONTENTS)
    any_platform.pack()
    name = any_platform.dataset.name
    proofs = [prove_shard(any_platform.catalog, any_platform.reader, name, DAY, shard) for shard in range(4)]
    assert [proof.problems for proof in proofs] == [[]] * 4
    assert sum(proof.members for proof in proofs) == len(CONTENTS)
    assert sum(proof.bytes for proof in proofs) == sum(map(len, CONTENTS.values()))


def test_a_flipped_byte_anywhere_in_the_archive_is_found(one_shard: Platform) -> None:
    path = path_of(one_shard.buckets.own, packed(one_shard).key)
    for number, position in enumerate(range(0, path.stat().st_size, 8)):
        mask = 1 << number % 8
        flip(path, position, mask)
        assert prove(one_shard).problems, f"bit {mask} of byte {position}"
        flip(path, position, mask)
    assert prove(one_shard) == whole(one_shard)


def test_damage_to_one_member_names_it_and_the_others_are_proven(one_shard: Platform) -> None:
    container = packed(one_shard)
    row = one_shard.rows()["b.txt"]
    path = path_of(one_shard.buckets.own, container.key)
    with DesReader(path) as archive:
        entry = archive.get_entry(row.name)
    flip(path, entry.offset + entry.stored_size // 2)
    proof = prove(one_shard)
    assert proof.members == 3
    assert any(problem.startswith(row.subject) for problem in proof.problems)


def test_a_reader_that_has_the_archive_open_finds_its_damage_and_its_loss(one_shard: Platform) -> None:
    container = packed(one_shard, {"large.txt": b"abc" * 5000})
    reader = FileReader(one_shard.catalog, one_shard.buckets)
    assert not prove(one_shard, reader).problems
    path = path_of(one_shard.buckets.own, container.key)
    flip(path, path.stat().st_size - 100)
    assert prove(one_shard, reader).problems
    one_shard.buckets.own.delete(container.key)
    assert prove(one_shard, reader).problems


def test_a_missing_and_a_foreign_member_are_named(one_shard: Platform, tmp_path: Path) -> None:
    container = packed(one_shard)
    missing = one_shard.rows()["b.txt"].name
    other = tmp_path / "other.des"
    with DesReader(path_of(one_shard.buckets.own, container.key)) as archive, DesWriter(other) as writer:
        for entry in archive.iter_entries():
            meta = archive.get_meta(entry.name)
            if entry.is_external:
                writer.add_external(entry.name, entry.size, meta, external_key=meta["external_key"])
            elif entry.name != missing:
                writer.add_file(entry.name, archive.get_file(entry.name), meta)
        writer.add_file("stranger", b"?", {"codec": "store"})
    substitute(one_shard, container, other)

    proof = prove(one_shard)
    assert proof.members == 3
    assert sorted(proof.problems) == sorted(
        [f"{container.key} lacks {missing}", f"{container.key} holds stranger, which is not catalogued there"]
    )


def test_an_archive_with_members_nobody_can_decode_is_a_problem_not_a_crash(
    one_shard: Platform, tmp_path: Path
) -> None:
    one_shard.dataset = one_shard.dataset.model_copy(update={"archive_version": 1})
    container = packed(one_shard, {"a.txt": b"a" * 500, "b.txt": b"b" * 500, "c.txt": b"c" * 500})
    names = {name: row.name for name, row in one_shard.rows().items()}
    other = tmp_path / "other.des"
    with DesWriter(other, format_version=1) as writer:
        writer.add_file(names["a.txt"], b"a" * 500, {})
        writer.add_file(names["b.txt"], b"b" * 500, {"codec": "of tomorrow"})
        writer.add_file(names["c.txt"], b"c" * 500, {"codec": "store"})
    substitute(one_shard, container, other)
    proof = prove(one_shard)
    assert proof.members == 1
    assert len(proof.problems) == 2


def test_an_archive_of_another_version_than_catalogued_is_a_problem(one_shard: Platform, tmp_path: Path) -> None:
    container = packed(one_shard, {"a.txt": b"a" * 500})
    other = tmp_path / "other.des"
    with DesWriter(other, format_version=1) as writer:
        writer.add_file(one_shard.rows()["a.txt"].name, b"a" * 500, {"codec": "store"})
    substitute(one_shard, container, other)
    assert f"{container.key} is of version 1; catalogued is 2" in prove(one_shard).problems


def test_a_file_that_its_archive_has_outside_instead_of_inside_is_a_problem(
    one_shard: Platform, tmp_path: Path
) -> None:
    container = packed(one_shard, {"a.txt": b"a" * 500})
    row = one_shard.rows()["a.txt"]
    one_shard.buckets.bucket(row.bucket).delete(row.key)
    other = tmp_path / "other.des"
    with DesWriter(other) as writer:
        writer.add_external(row.name, 500, {}, external_key="elsewhere")
    substitute(one_shard, container, other)
    assert [problem.startswith(row.subject) for problem in prove(one_shard).problems] == [True]


def test_a_lost_archive_is_found(any_platform: Platform) -> None:
    put_all(any_platform, {"a.txt": b"a" * 500})
    any_platform.pack()
    shard = any_platform.rows()["a.txt"].shard
    container = published(any_platform, shard)
    assert container is not None
    any_platform.buckets.own.delete(container.key)
    proof = prove_shard(any_platform.catalog, any_platform.reader, any_platform.dataset.name, DAY, shard)
    assert proof.members == 0
    assert [container.key in problem for problem in proof.problems] == [True]


def test_an_external_object_that_is_lost_or_damaged_is_found(one_shard: Platform) -> None:
    packed(one_shard)
    row = one_shard.rows()["large.txt"]
    path = path_of(one_shard.buckets.own, row.object_key or "")
    flip(path, path.stat().st_size // 2)
    assert [problem.startswith(row.subject) for problem in prove(one_shard).problems] == [True]
    path.unlink()
    proof = prove(one_shard)
    assert proof.members == 3
    assert [problem.startswith(row.subject) for problem in proof.problems] == [True]


def test_packed_files_without_an_archive_are_found(one_shard: Platform) -> None:
    packed(one_shard)
    with one_shard.catalog.begin() as connection:
        connection.execute(sa.update(tables.containers).values(state="superseded"))
    assert len(prove(one_shard).problems) == len(CONTENTS)


def test_files_that_wait_for_their_archive_are_no_problem(one_shard: Platform) -> None:
    packed(one_shard)
    put_all(one_shard, {"late.txt": b"late"})
    assert prove(one_shard) == whole(one_shard)


def test_the_archive_in_the_store_has_the_catalogued_digest(one_shard: Platform) -> None:
    container = packed(one_shard)
    assert one_shard.reader.archive_sha256(container) == container.sha256
    content = one_shard.buckets.own.get(container.key, max_bytes=1 << 20)
    assert hashlib.sha256(content).hexdigest() == container.sha256
