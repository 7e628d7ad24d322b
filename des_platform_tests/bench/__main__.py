"""`python -m des_platform_tests.bench NAME [--quick] [--json]`: the product beside its peers, on this machine, now."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from typing import TYPE_CHECKING

from des_platform_tests.bench.results import print_json, print_table
from des_platform_tests.bench.runner import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform_tests.bench.runner import Bench


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one bench; exits with 2, naming the benches there are, for any other name."""
    benches = known()
    parser = argparse.ArgumentParser(
        prog="python -m des_platform_tests.bench",
        description="Measure the product beside its peers: in turn, on the same data; medians are printed.",
        epilog="\n".join(f"{name}: {summary(bench)}" for name, bench in benches.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=benches, metavar="NAME", help=f"one of: {', '.join(benches)}")
    parser.add_argument("--quick", action="store_true", help="less data and fewer rounds: ends within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    chosen = parser.parse_args(arguments)
    sys.stderr.write(machine() + "\n")
    (print_json if chosen.json else print_table)(chosen.name, benches[chosen.name](quick=chosen.quick))


def summary(bench: Bench) -> str:
    """What a bench measures: the first line of its docstring."""
    return (bench.__doc__ or "").partition("\n")[0]


def machine() -> str:
    """What the numbers were measured on: cores that this process may use, memory, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores, {gibibytes:.1f} GiB of memory, {python}, {platform.system()} {platform.machine()}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers and folders go, however a bench ends
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
