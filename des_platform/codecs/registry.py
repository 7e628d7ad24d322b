"""The codecs there are, in their order: those of the house, and what installed packages add.

A package adds one by an entry point of the group `des_platform.codecs`, whose name is the codec's and whose object is a
function that returns the `Codec`. It is loaded when its name is first asked for, or all are; one that fails is a
`BrokenCodec` for whoever asks for its name, and harms no other. The house's own names cannot be taken.
"""

from __future__ import annotations

import inspect
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from des_platform.codecs import builtin
from des_platform.codecs.codec import Codec
from des_platform.codecs.errors import BrokenCodec, InvalidCodec, UnknownCodec

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

GROUP = "des_platform.codecs"
_SHOWN = 40  # characters of a name that may be a stranger's; none that is right is longer


class Registry:
    """Codecs by name; safe to share between threads.

    Args:
        group: the group of entry points that adds codecs; none if omitted.
    """

    def __init__(self, group: str | None = None) -> None:
        self._group = group
        self._codecs: dict[str, Codec] = {}
        self._broken: dict[str, BrokenCodec] = {}
        self._promised: dict[str, EntryPoint] | None = None
        self._lock = threading.RLock()

    def register(self, name: str, factory: Callable[..., Codec], *, order: int, **options: object) -> Codec:
        """Add a codec.

        Args:
            name: the codec's name.
            factory: makes the codec.
            order: where it stands among the others; names decide where it is the same.
            options: go to the factory, which is called now, so that nothing is wrong with them later.

        Raises:
            InvalidCodec: the name is taken, the factory knows no such option or refuses its value, or what it makes is
                no codec of that name.
        """
        codec = replace(_made(name, factory, options), order=order)
        with self._lock:
            if name in self._codecs:
                raise InvalidCodec(f"codec {name!r} is registered already")
            self._codecs[name] = codec
        return codec

    def get(self, name: str) -> Codec:
        """Return the codec of that name at its usual level; `Codec.at_level` gives the others.

        Raises:
            UnknownCodec: if there is none; the message names the known ones.
            BrokenCodec: a package promises it and does not deliver.
        """
        found = self._codecs.get(name)
        if found is not None:
            return found
        with self._lock:
            promised = self._promises()
            if name not in promised:
                known = ", ".join([*self._codecs, *(other for other in promised if other not in self._codecs)])
                raise UnknownCodec(f"unknown codec {name[:_SHOWN]!r}: the known ones are {known}")
            return self._loaded(promised[name])

    def all(self) -> tuple[Codec, ...]:
        """Return all codecs in their order, without the broken ones."""
        with self._lock:
            for entry_point in self._promises().values():
                try:
                    self.get(entry_point.name)
                except BrokenCodec:
                    continue
            return tuple(sorted(self._codecs.values(), key=lambda codec: (codec.order, codec.name)))

    def broken(self) -> tuple[BrokenCodec, ...]:
        """Return what is wrong with each codec that cannot be had."""
        self.all()
        return tuple(self._broken.values())

    def _promises(self) -> dict[str, EntryPoint]:
        if self._promised is None:
            from importlib.metadata import entry_points  # a third of the time that importing the codecs would take

            found = entry_points(group=self._group) if self._group else ()
            self._promised = {entry_point.name: entry_point for entry_point in found}
        return self._promised

    def _loaded(self, entry_point: EntryPoint) -> Codec:
        name = entry_point.name
        if name in self._broken:
            raise self._broken[name]
        try:
            codec = _made(name, entry_point.load(), {})
        except Exception as error:  # a stranger's code: whatever it raises is its name's trouble alone
            package = entry_point.dist.name if entry_point.dist else "an unknown package"
            self._broken[name] = BrokenCodec(
                f"codec {name!r} of {package} ({entry_point.value}) cannot be loaded: "
                f"{type(error).__name__}: {error}; mend or remove the package"
            )
            raise self._broken[name] from error
        self._codecs[name] = codec
        return codec


def _made(name: str, factory: Callable[..., Codec], options: dict[str, object]) -> Codec:
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise InvalidCodec(f"codec {name!r}: {error}") from error
    codec = factory(**options)
    if not isinstance(codec, Codec) or codec.name != name:
        raise InvalidCodec(f"codec {name!r}: {factory!r} made {codec!r}")
    return codec


_REGISTRY = Registry(GROUP)
_REGISTRY.register("zstd", builtin.zstd, order=10)
_REGISTRY.register("bz2", builtin.bzip2, order=20)
_REGISTRY.register("xz", builtin.xz, order=30)
_REGISTRY.register("gzip", builtin.gzip, order=40)
_REGISTRY.register("records", builtin.records, order=50)
_REGISTRY.register("store", builtin.store, order=60)

register = _REGISTRY.register
get_codec = _REGISTRY.get
all_codecs = _REGISTRY.all
broken_codecs = _REGISTRY.broken


def codec_names() -> tuple[str, ...]:
    """Return the names of all codecs in their order."""
    return tuple(codec.name for codec in all_codecs())


def codec_of(head: bytes) -> Codec:
    """Return the codec that wrote some bytes.

    Args:
        head: their first 16 bytes, or all there are.

    Raises:
        UnknownCodec: they begin like nothing that a codec writes.
    """
    for codec in all_codecs():
        if codec.magic and head.startswith(codec.magic):
            return codec
    known = ", ".join(codec.name for codec in all_codecs() if codec.magic)
    raise UnknownCodec(f"bytes that begin with {head[:8].hex(' ') or 'nothing'} are none of {known}")
