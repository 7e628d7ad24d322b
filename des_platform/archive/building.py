"""What `DesWriter` drives: a builder for each version, over a sink that it watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from des_platform.archive.models import ArchiveStats
    from des_platform.archive.sink import ByteSink
    from des_platform.archive.source import ByteSource

    Buffer = bytes | bytearray | memoryview
    Item = tuple[str, Buffer] | tuple[str, Buffer, Mapping[str, object] | None]


class Builder(Protocol):
    """Lays out one archive of one version; driven by `DesWriter`, under its lock."""

    def __len__(self) -> int: ...

    def add(self, name: str, data: Buffer, meta: Mapping[str, object] | None) -> None:
        """Add a file."""

    def add_many(self, items: Iterable[Item]) -> None:
        """Add files, up to the first that is refused."""

    def add_external(self, name: str, size: int, meta: dict[str, object]) -> None:
        """Add an entry; ``meta`` has size, is_external and external_key in it."""

    def delete(self, name: str) -> None:
        """Leave out a file of the archive that this one goes on from."""

    def flush(self) -> None:
        """Give the sink what is collected."""

    def stats(self) -> ArchiveStats:
        """What the archive holds so far."""

    def finish(self) -> None:
        """Give the sink everything that is left."""

    def discard(self) -> None:
        """Drop temporary files."""


class WatchedSink:
    """A sink that knows whether it has failed: its errors may be of the kinds that otherwise say a file was refused."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self.failed = False
        self.folder = getattr(sink, "folder", None)
        self.commit = sink.commit
        self.abort = sink.abort

    def __repr__(self) -> str:
        return repr(self._sink)

    def write(self, parts: Sequence[Buffer]) -> None:
        """Add these bytes, one part after the other."""
        try:
            self._sink.write(parts)
        except BaseException:
            self.failed = True
            raise

    def copy(self, source: ByteSource, length: int) -> None:
        """Add the first ``length`` bytes of a source."""
        try:
            self._sink.copy(source, length)
        except BaseException:
            self.failed = True
            raise


def until_failure(items: Iterable[Item], failed: list[BaseException]) -> Iterator[Item]:
    """Pass items on until their source fails, which is no fault of the archive."""
    try:
        yield from items
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 - raised again, when what came before is in the archive
        failed.append(error)


def make_builder(format_version: int, sink: ByteSink, options: Mapping[str, Any]) -> Builder:
    """Return the builder of a version; ``options`` are those of version 2.

    Raises:
        ValueError: there is no such version.
        TypeError: it does not know such an option.
    """
    if format_version not in {1, 2}:
        raise ValueError(f"format_version is {format_version!r}: there are the versions 1 and 2")
    if format_version == 1 and options:
        raise TypeError(f"version 1 knows no options {', '.join(sorted(options))}")
    if format_version == 1:
        from des_platform.archive.v1.builder import V1Builder

        return V1Builder(sink)
    from des_platform.archive.v2.builder import V2Builder

    return V2Builder(sink, **options)
