"""What the demo's servers share: started once, watched, stopped; a lock holds their folder as long as they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, Generic, TypeVar

from des_platform.cli.demo.processes import Child, DemoError

if TYPE_CHECKING:
    from pathlib import Path

Address = TypeVar("Address")


class Server(ABC, Generic[Address]):
    """A server in a child process; gives its address in `with`.

    Args:
        name: what messages call it.
        place: the folder that it keeps its files in.
        stop_seconds: how long a stop may take before the process is killed.
    """

    def __init__(self, name: str, place: Path, stop_seconds: float) -> None:
        self._name = name
        self._place = place
        self._stop_seconds = stop_seconds
        self._lock: IO[str] | None = None
        self._child: Child | None = None

    def __enter__(self) -> Address:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> Address:
        """Start the server and wait until it answers.

        Returns:
            Where it answers.

        Raises:
            DemoError: its programs are not installed, its folder is in use or unusable, or it does not answer, with the
                end of its log.
        """
        if self._child is not None:
            raise DemoError(f"{self._name} of {self._place} was started already.")
        try:
            return self._start()
        except OSError as error:
            self.stop()
            raise DemoError(
                f"{self._name} cannot use {self._place}: {error}. Correct that, or choose another."
            ) from error
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Make sure that the server did not end by itself.

        Raises:
            DemoError: it did.
        """
        if self._child is not None:
            self._child.check()

    def stop(self) -> None:
        """Stop the server, ending its sessions; harmless when it is not running."""
        if self._child is not None:
            self._child.stop(self._stop_seconds)
            self._child = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @abstractmethod
    def _start(self) -> Address:
        """Take the lock, start the child, and wait until it answers."""
