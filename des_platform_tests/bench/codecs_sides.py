"""The sides of the codecs bench: our profiles and codecs, command-line tools, libraries, the first version's hybrid.

Tools are used as anyone would: `xz -6 -c FILE`. Ours take two threads, as the tools that can. One that is not installed
is named on standard error and left out.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from shutil import which

from des_platform_tests.bench.codecs_measure import Side

CHILD = (sys.executable, "-m", "des_platform_tests.bench.codecs_child")
_PATHS = ("{source}", "{target}")
_BACK = (*CHILD, "restore", "{codec}", *_PATHS)

_TOOLS = {
    "xz": ("xz", "-d", "-c"),
    "pbzip2": ("pbzip2", "-d", "-c", "-p2"),
    "lbzip2": ("lbzip2", "-d", "-c", "-n2"),
    "pigz": ("pigz", "-d", "-c"),
    "zstd": ("zstd", "-d", "-c", "-q"),
}
"""How each tool decompresses."""

LITERAL = Side("LZMA, base64, BZ2", (*CHILD, "literal", *_PATHS), (*CHILD, "literal_back", *_PATHS))
"""The hybrid as its first version had it."""


def profile(name: str) -> Side:
    """Ours: choosing by sample, then compressing."""
    return Side(f"des {name}", (*CHILD, "profile", name, *_PATHS), _BACK)


def codec(label: str) -> Side:
    """Ours: one codec, such as `zstd-9`."""
    return Side(f"des {label}", (*CHILD, "codec", label, *_PATHS), _BACK)


def tool(command: str) -> Side:
    """A command-line tool with its options, such as `xz -9e -T2`."""
    name, *options = command.split()
    quiet = ("-q",) if name == "zstd" else ()
    return Side(command, (name, *options, *quiet, "-c", "{source}"), _TOOLS[name])


def brotli(quality: int) -> Side:
    """The wheel."""
    return Side(
        f"brotli {quality}",
        (*CHILD, "brotli", str(quality), *_PATHS),
        (*CHILD, "library", "brotli", "decompress", "", *_PATHS),
    )


def isal(level: int) -> Side:
    """The wheel, writing gzip."""
    return Side(
        f"isal {level}",
        (*CHILD, "library", "isal.igzip", "compress", str(level), *_PATHS),
        (*CHILD, "library", "isal.igzip", "decompress", "", *_PATHS),
    )


@cache
def missing(side: Side) -> bool:
    """Whether a side is not installed; tells so on standard error, once."""
    module = {"brotli": "brotli", "isal": "isal"}.get(side.name.split()[0])
    gone = find_spec(module) is None if module else which(side.compress[0]) is None
    if gone:
        sys.stderr.write(f"{side.name} is not installed and not measured\n")
    return gone
