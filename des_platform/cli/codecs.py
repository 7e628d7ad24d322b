"""`des codecs`: which codecs there are, and what they cost on this machine."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from des_platform.cli.archive.outcome import Problems, Unusable, reporting

if TYPE_CHECKING:
    from des_platform.codecs.costs import Cost

app = typer.Typer(no_args_is_help=True, help="The codecs there are, and what they cost.")


@app.command("ls")
def ls() -> None:
    """List the codecs in their order: name, extension, usual level, levels."""
    from des_platform.codecs import all_codecs, broken_codecs

    for codec in all_codecs():
        levels = f"{codec.levels[0]}-{codec.levels[-1]}" if len(codec.levels) > 1 else str(codec.levels[0])
        print(f"{codec.name:<12} {codec.extension or '-':<9} {codec.level:>2} of {levels}")
    problems = Problems()
    for broken in broken_codecs():
        problems.add(broken)
    problems.end()


@app.command("sql")
def sql(
    file: Annotated[str, typer.Argument(metavar="FILE", help="what the codec `records` has written")],
) -> None:
    """Print the DuckDB query that gives a file of records as a table, with the columns that follow from others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from des_platform.codecs.records import table_query

    with reporting():
        try:
            metadata = pq.read_metadata(file).metadata or {}
            print(table_query(metadata, file))
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise Unusable(f"{file} is no file of records: {error}") from error


@app.command("calibrate")
def calibrate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="what to measure on; generated text if omitted")
    ] = None,
) -> None:
    """Measure what each codec costs here, and print the table that choices are made by; takes half a minute."""
    from des_platform.codecs.calibration import SAMPLE_BYTES, as_source, measured_costs, typical_samples
    from des_platform.codecs.costs import COSTS

    with reporting():
        samples = [_beginning(file, SAMPLE_BYTES) for file in files] if files else typical_samples()
        found: list[tuple[tuple[str, int], Cost]] = []
        for measured in measured_costs(samples):
            found.append(measured)
            if sys.stderr.isatty():
                (name, level), cost = measured
                print(f"{len(found)}/{len(COSTS)} {name}-{level}: {cost.compress_ns:.1f} ns a byte", file=sys.stderr)
        print(as_source(found))


def _beginning(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        sample = opened.read(size)
    if not sample:
        raise Unusable(f"{file} is empty: nothing can be measured on it")
    return sample
