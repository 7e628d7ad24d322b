"""Which names are refused, and that all others mean the same on every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from des_platform.objectstore import Buckets, InvalidKey, ObjectStore, check_bucket, check_key

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = {
    "": "empty",
    "x" * 1025: "1025 bytes",
    "é" * 513: "1026 bytes",
    "/lead": "starts with '/'",
    "trail/": "ends with '/'",
    "a//b": "empty segment",
    "../a": "'..'",
    "a/../b": "'..'",
    "a/..": "'..'",
    "a/./b": "'.'",
    "a\\b": "backslash",
    "a\nb": "control character",
    "a\x00b": "control character",
    "a\x85b": "control character",
    "lone\ud800": "Unicode",
}
ODD = [
    "sp ace/a b",
    "c++/x",
    "100%",
    "p%20q",
    "%2e%2e/x",
    "uni/é日本😀",
    "e\u0301",
    "dt=2026-01-01/x",
    "#/h#x",
    "q?x=1&y",
    "~tilde",
    "n" * 200,
    "a*b|<z>[b]{c}`^\"'",
    "col:on;,@$!()",
    ".hidden/..a/b..",
    "...",
    " lead",
    "trail ",
    "\u202eright-to-left",
]


@pytest.mark.parametrize(("key", "problem"), HOSTILE.items(), ids=range(len(HOSTILE)))
def test_a_hostile_key_is_refused_with_its_problem(key: str, problem: str) -> None:
    with pytest.raises(InvalidKey, match=problem) as caught:
        check_key(key)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=30))
def test_an_accepted_key_stays_inside_its_bucket(key: str) -> None:
    try:
        check_key(key)
    except InvalidKey:
        return
    assert all(segment not in {"", ".", ".."} for segment in key.split("/"))
    assert "\x00" not in key


@pytest.mark.parametrize(
    "verb", ["get", "head", "stream", "get_range", "get_ranges", "delete", "copy", "as_source", "uri"]
)
def test_every_verb_refuses_a_hostile_key(file_store: ObjectStore, verb: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: file_store.get("../x", max_bytes=1),
        "head": lambda: file_store.head("../x"),
        "stream": lambda: file_store.stream("../x"),
        "get_range": lambda: file_store.get_range("../x", 0, 0),
        "get_ranges": lambda: file_store.get_ranges("../x", []),
        "delete": lambda: file_store.delete("../x"),
        "copy": lambda: file_store.copy("x", "../x"),
        "as_source": lambda: file_store.as_source("../x"),
        "uri": lambda: file_store.uri("../x"),
    }
    with pytest.raises(InvalidKey):
        calls[verb]()


def test_odd_keys_survive_put_list_and_get(store: ObjectStore) -> None:
    for key in ODD:
        store.put(key, key.encode())

    listed = [info.key for info in store.list()]

    assert listed == sorted(ODD)
    for key in listed:
        assert store.get(key, max_bytes=2000) == key.encode()
        assert store.head(key).key == key
        assert [info.key for info in store.list(key)] == [key]
    store.copy("c++/x", "100%25 copied")
    assert store.get("100%25 copied", max_bytes=100) == b"c++/x"
    store.delete_many([*ODD, "100%25 copied"])
    assert list(store.list()) == []


@pytest.mark.parametrize("name", ["abc", "a.b-c", "0" * 63])
def test_a_bucket_name_by_the_rule_is_accepted(name: str) -> None:
    assert check_bucket(name) == name


@pytest.mark.parametrize(
    "name", ["", "ab", "0" * 64, "Abc", "a_b", "-ab", "ab-", "a..b", "../x", "a/b", "abc\n", ".uploads"]
)
def test_a_bucket_name_against_the_rule_is_refused(file_buckets: Buckets, name: str) -> None:
    with pytest.raises(InvalidKey, match="bucket name"):
        file_buckets.bucket(name)
    with pytest.raises(InvalidKey, match="bucket name"):
        file_buckets.create(name)
