from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from des_platform.codecs import (
    BrokenCodec,
    Codec,
    InvalidCodec,
    Registry,
    UnknownCodec,
    codec_names,
    codec_of,
    compress,
    compress_bytes,
    decompress_bytes,
    get_codec,
)
from des_platform.codecs.builtin import bzip2, xz, zstd
from des_platform.codecs.registry import GROUP

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = """
from des_platform.codecs import Codec

def _reverse(data, level):
    return b"REV" + bytes(data)[::-1]

def _decode(chunks):
    yield b"".join(chunks)[:2:-1]

def good():
    return Codec("reversed", ".rev", 1, range(1, 3), _decode, _reverse, magic=b"REV", order=5)

def liar():
    return Codec("another", ".x", 1, range(1, 3), _decode, _reverse)

def needy(option):
    return good()

def failing():
    raise RuntimeError("no licence")

def thief():
    raise AssertionError("must not be loaded: the name is the house's")

no_function = 7
"""
ENTRY_POINTS = """
[des_platform.codecs]
reversed = stranger:good
liar = stranger:liar
needy = stranger:needy
failing = stranger:failing
missing = stranger:missing
nowhere = no_such_module:codec
number = stranger:no_function
zstd = stranger:thief
"""
BROKEN = ("liar", "needy", "failing", "missing", "nowhere", "number")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that adds codecs, most of them broken."""
    (tmp_path / "stranger.py").write_text(STRANGER)
    about = tmp_path / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)


def house(group: str | None = None) -> Registry:
    registry = Registry(group)
    registry.register("zstd", zstd, order=1)
    return registry


def test_the_codecs_of_the_house_stand_in_their_order() -> None:
    assert codec_names() == ("zstd", "bz2", "xz", "gzip", "records", "store")
    assert [get_codec(name).extension for name in codec_names()] == [".zst", ".bz2", ".xz", ".gz", ".parquet", ""]


def test_order_decides_and_names_where_it_is_the_same() -> None:
    registry = Registry()
    for name, factory, order in (("xz", xz, 2), ("zstd", zstd, 1), ("bz2", bzip2, 2)):
        registry.register(name, factory, order=order)
    assert [codec.name for codec in registry.all()] == ["zstd", "bz2", "xz"]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownCodec, match=r"'brotli'.*zstd, bz2, xz, gzip, records, store"):
        get_codec("brotli")


def test_options_go_to_the_codec() -> None:
    registry = Registry()
    codec = registry.register("bz2", bzip2, order=1, level=1, frame_bytes=100_000)
    assert (codec.level, codec.frame_bytes) == (1, 100_000)
    assert registry.get("bz2") == codec
    stream = compress(codec, [bytes(250_000)])
    assert len(list(stream)) == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"levle": 3}, "levle"),
        ({"level": 99}, "level 99"),
        ({"frame_bytes": 1}, "frame_bytes is 1"),
        ({"frame_bytes": 1 << 30}, "frame_bytes"),
    ],
)
def test_a_wrong_option_is_named_at_registration(options: dict[str, int], problem: str) -> None:
    registry = Registry()
    with pytest.raises(InvalidCodec, match=problem):
        registry.register("zstd", zstd, order=1, **options)
    with pytest.raises(UnknownCodec):
        registry.get("zstd")


def test_a_name_is_taken_once_and_must_be_the_codecs_own() -> None:
    registry = house()
    with pytest.raises(InvalidCodec, match="already"):
        registry.register("zstd", zstd, order=2)
    with pytest.raises(InvalidCodec, match="'fast'"):
        registry.register("fast", zstd, order=2)


def refused(**changes: object) -> str:
    arguments = {
        "name": "mine",
        "extension": ".m",
        "level": 1,
        "levels": range(1, 2),
        "decode": iter,
        "compress_frame": bytes,
    }
    with pytest.raises(InvalidCodec) as found:
        Codec(**(arguments | changes))  # type: ignore[arg-type]
    return str(found.value)


def test_a_codec_that_cannot_work_is_refused() -> None:
    assert "'A/b'" in refused(name="A/b")
    assert "'../x'" in refused(extension="../x")
    assert "compress_whole" in refused(compress_frame=None)
    assert "level 5" in refused(level=5)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_adds_a_codec() -> None:
    registry = house(GROUP)
    codec = registry.get("reversed")
    packed = compress_bytes(codec, b"abc")
    assert packed == b"REVcba"
    assert decompress_bytes(codec, packed, max_size=3) == b"abc"


@pytest.mark.usefixtures("installed")
def test_packages_are_loaded_only_for_what_the_house_has_not() -> None:
    house(GROUP).get("zstd")
    assert "stranger" not in sys.modules


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_named_for_its_codec_alone(name: str) -> None:
    registry = house(GROUP)
    for _ in range(2):
        with pytest.raises(BrokenCodec, match=f"'{name}' of stranger .* cannot be loaded"):
            registry.get(name)
    assert registry.get("reversed").name == "reversed"


@pytest.mark.usefixtures("installed")
def test_the_list_has_what_works_and_tells_what_does_not() -> None:
    registry = house(GROUP)
    assert [codec.name for codec in registry.all()] == ["zstd", "reversed"]
    assert len(registry.broken()) == len(BROKEN)


@pytest.mark.usefixtures("installed")
def test_the_houses_own_names_cannot_be_taken() -> None:
    assert house(GROUP).get("zstd").extension == ".zst"


@pytest.mark.parametrize("name", ["zstd", "bz2", "xz", "gzip"])
def test_bytes_tell_their_codec(name: str) -> None:
    for data in (b"", b"data" * 100):
        assert codec_of(compress_bytes(get_codec(name), data)[:16]).name == name


@pytest.mark.parametrize("head", [b"", b"PK\x03\x04", b"\x28\xb5", b"BZ"])
def test_bytes_of_no_codec_are_refused(head: bytes) -> None:
    with pytest.raises(UnknownCodec, match="zstd, bz2, xz, gzip, records"):
        codec_of(head)


def test_importing_the_codecs_loads_no_arrow_and_no_data_frames() -> None:
    code = "import sys, des_platform.codecs; print({'pyarrow', 'polars', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
