"""The fuzzer's command: ``python -m des_platform_tests.fuzz archive --seconds 600``, or ``codecs``.

The cases run in a process of their own, so that one that crashes, hangs for good or wants all memory is a find, too. A
find ends the run with status 1, and what the case was fed and how to run it again stand in ``--finds``.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from des_platform_tests.fuzz.archive import ArchiveFuzzer
from des_platform_tests.fuzz.codecs import CodecFuzzer
from des_platform_tests.fuzz.watching import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from des_platform_tests.fuzz.watching import Fuzzer

FUZZERS: dict[str, Callable[[int], Fuzzer]] = {"archive": ArchiveFuzzer, "codecs": CodecFuzzer}
_MOST_MEMORY = 4 << 30


def main() -> int:
    options = _options()
    if options.child:
        fuzzer = FUZZERS[options.what](options.seed)
        return _run(fuzzer, options.first, options.seconds, Path(options.child), one=options.case is not None)
    first = options.case if options.case is not None else 0
    command = [sys.executable, "-m", "des_platform_tests.fuzz", options.what, "--seed", str(options.seed)]
    command += ["--seconds", str(options.seconds), "--first", str(first)]
    command += ["--case", str(first)] if options.case is not None else []
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "case"
        current.write_text(str(first))
        status = _watch([*command, "--child", str(current)], current)
        number = int(current.read_text())
    if status == 0:
        return 0
    finds = Path(options.finds)
    finds.mkdir(parents=True, exist_ok=True)
    saved = FUZZERS[options.what](options.seed).save(number, finds / f"{options.seed}-{number}")
    files = ", ".join(map(str, saved))
    _say(f"found something (status {status}): {files}; again with --seed {options.seed} --case {number}")
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m des_platform_tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=list(FUZZERS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--case", type=int, help="run this case alone")
    parser.add_argument("--finds", default="fuzz-finds", help="folder for what was found")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _watch(command: list[str], current: Path) -> int:
    """Run the cases; one that does not end, not even by its own alarm, is killed."""
    process = subprocess.Popen(command)
    seen, since = "", time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        now = current.read_text()
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > 6 * PATIENCE_SECONDS:
            _say("a case hangs for good")
            process.kill()
    return process.returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _run(fuzzer: Fuzzer, first: int, seconds: float, current: Path, *, one: bool) -> int:
    faulthandler.enable()
    logging.disable(logging.WARNING)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    number, end = first, time.monotonic() + seconds
    with current.open("r+") as file:
        while number == first or (time.monotonic() < end and not one):
            file.seek(0)
            file.write(str(number))
            file.flush()
            try:
                fuzzer.run(number)
            except Exception:  # noqa: BLE001 - a find of whatever kind
                traceback.print_exc()
                return 1
            number += 1
    _say(f"{number - first} cases of seed {fuzzer.seed}, nothing found")
    for outcome, count in sorted(fuzzer.outcomes.items()):
        _say(f"{count:8} {outcome}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
