"""What a running demo costs this machine, and what the packing saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from des_platform.cli.demo.progress import Stages


def costs(state: Path, stages: Stages) -> str:
    """A few lines for the terminal: processes, memory, CPU, disk; objects and bytes before and after."""
    import psutil

    me = psutil.Process()
    memory = seconds = 0.0
    processes = [me, *me.children(recursive=True)]
    for process in processes:
        try:
            memory += process.memory_info().rss
            used = process.cpu_times()
        except psutil.Error:
            continue
        seconds += used.user + used.system + used.children_user + used.children_system
    disk = sum(file.stat().st_size for file in state.rglob("*") if file.is_file() and not file.is_symlink())
    found = stages.files
    objects = stages.archives + found.compressed
    stored = stages.archive_bytes + found.compressed_bytes_out
    return (
        f"It costs {len(processes)} processes, {memory / 1e6:,.0f} MB of memory, {seconds:,.0f} CPU seconds so far and "
        f"{disk / 1e6:,.0f} MB on disk; no account, no container.\n"
        f"Packed: {found.packed:,} files of {found.bytes / 1e6:,.1f} MB are now {objects:,} objects "
        f"of {stored / 1e6:,.1f} MB."
    )
