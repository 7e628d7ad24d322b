"""The page of one day: what came in, what it became, what that saves, what failed, and every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from des_platform.compression.report import units
from des_platform.compression.report.day import LISTED_TROUBLES, STAGES, codec_name, rows_of, steps_of
from des_platform.compression.report.figures import figures_of, where_the_bytes_went
from des_platform.compression.report.markup import Markup, element, joined
from des_platform.compression.report.page import Fact, Section, render_page
from des_platform.compression.report.rows import HEADINGS, Row, heading, numbers, steps_table, table

if TYPE_CHECKING:
    from des_platform.catalog.compression_report import ReportedFile
    from des_platform.compression.report.day import Day

_GB = 1e9
_REASON_CHARACTERS = 300
_TROUBLES_UNFOLDED = 12
_ABOUT_TIMES = (
    "Times are those of each file by its own clock, added up: files are worked on side by side, so a day takes less. "
    "Time is reading, compressing and writing; CPU is compressing alone. Reading back is reading the object again, "
    "decompressing it and comparing it with the checksum of what came in."
)
_ABOUT_ARCHIVES = (
    "They are compressed there together; the size shown is that of the archives, with the entries of large files."
)
_ABOUT_OBJECTS = "become objects of their own, by the codec that their own sample chose for the profile"


def day_page(day: Day, *, price: float) -> str:
    """The whole page.

    Args:
        day: what to tell.
        price: dollars that a GB (10^9 bytes) of storage costs a month.
    """

    def dollars_a_month(size: int) -> float:
        return size / _GB * price

    sections = [Section("Step by step", "", steps_table(steps_of(day), dollars_a_month))]
    if day.troubled:
        sections.insert(0, _troubles(day))
    return render_page(
        f"{day.dataset.name}, {units.long_day(day.day)}",
        "Compression report",
        _facts(day, dollars_a_month(day.bytes_in() - day.stored)),
        rows_of(day),
        summary=_summary(day),
        overview=where_the_bytes_went(day) if day.bytes_in() else None,
        figures=figures_of(day, dollars_a_month) if day.files() else (),
        sections=sections if day.files() else (),
        details=[_files(day)] if day.largest else (),
        notes=_notes(day, price),
    )


def _summary(day: Day) -> str:
    if not day.files():
        return "Nothing came in on this day."
    came = f"{units.plural(day.files(), 'file')} of {units.size_text(day.bytes_in())} came in."
    saved = day.bytes_in() - day.stored
    saving = units.saving_of(day.bytes_in(), day.stored)
    now = f"{units.plural(day.objects, 'object')} of {units.size_text(day.stored)} stand for them now"
    if saved > 0:
        now += f": {units.size_text(saved)} or {units.decimal(saving, 1)} % less, at a ratio of "
        now += units.decimal(units.ratio_of(day.bytes_in(), day.stored))
    elif saved < 0:
        now += f": {units.size_text(-saved)} more, since nothing of it shrinks"
    waiting, failed = day.files("waiting"), day.files("failed")
    open_ends = [
        f"{units.plural(waiting, 'file')} still {'waits' if waiting == 1 else 'wait'}" if waiting else "",
        f"{units.plural(failed, 'file')} failed" if failed else "",
    ]
    told = " and ".join(end for end in open_ends if end)
    return f"{came} {now}.{f' {told}.' if told else ''}"


def _facts(day: Day, saved_a_month: float) -> list[Fact]:
    saving = units.saving_of(day.bytes_in(), day.stored)
    failed, waiting = day.files("failed"), day.files("waiting")
    return [
        Fact("Came in", units.size_text(day.bytes_in()), units.plural(day.files(), "file")),
        Fact("Is now", units.size_text(day.stored), units.plural(day.objects, "object")),
        Fact("Ratio", units.decimal(units.ratio_of(day.bytes_in(), day.stored)), "original over stored size"),
        Fact("Saved", units.decimal(saving, 1, " %"), units.size_text(day.bytes_in() - day.stored)),
        Fact("Saves a month", units.dollars(saved_a_month), f"{units.dollars(12 * saved_a_month)} a year"),
        Fact("Failed", units.count(failed), f"{units.count(waiting)} waiting", alarming=failed > 0),
    ]


def _troubles(day: Day) -> Section:
    body = [
        element(
            "tr",
            element("td", _named(file)),
            element("td", units.megabytes(file.size), class_="n"),
            element("td", units.count(file.attempts), class_="n"),
            element("td", _fate(file) if file.fate == "failed" else "Will be tried again"),
            element("td", file.last_error),
        )
        for file in day.troubled
    ]
    header = heading("File", ("Original", "MB", ""), ("Attempts", "", ""), "What now", "Reason")
    command = element("code", "des dead-letters")
    lead = joined(["Nothing of them was removed. What was given up can be tried again: ", command, " tells how."])
    listed = f"{len(body)} or more, of which the first are listed" if len(body) == LISTED_TROUBLES else str(len(body))
    troubles = table(header, body, kind="troubles")
    return Section("What failed", lead, troubles, folded=len(body) > _TROUBLES_UNFOLDED, remark=listed)


def _files(day: Day) -> Section:
    listed, more = len(day.largest), day.files() - len(day.largest)
    remark = f"the largest {units.count(listed)}; {units.count(more)} more are not listed" if more else ""
    header = heading("File", "What it became", *HEADINGS[1:])
    lead = "A click on a heading sorts the table."
    body = [_file(file) for file in day.largest]
    title = f"Every file ({units.count(listed)})" if not more else "Files"
    return Section(title, lead, table(header, body, kind="files"), folded=True, remark=remark)


def _file(file: ReportedFile) -> Markup:
    shown = Row(
        STAGES[file.fate],
        codec_name(file.codec, file.codec_level),
        1,
        file.size,
        file.size if file.stored_size is None else file.stored_size,
        file.compress_seconds,
        file.compress_cpu_seconds,
        file.prove_seconds,
    )
    cells = numbers(shown)
    if file.fate == "packed":  # its share of an archive is nowhere known
        cells[1:] = [element("td", units.UNKNOWN, class_="n")] * (len(cells) - 1)
    reason = (file.codec_reason or "")[:_REASON_CHARACTERS]
    became = element("td", _fate(file), element("small", reason) if reason else None)
    return element("tr", element("td", _named(file)), became, *cells)


def _fate(file: ReportedFile) -> Markup:
    codec = codec_name(file.codec, file.codec_level)
    words = codec if file.fate == "compressed" else STAGES[file.fate]
    return element("span", words, class_="state-failed" if file.fate == "failed" else None)


def _named(file: ReportedFile) -> Markup:
    return element("span", f"{file.bucket}/{file.key}", element("small", file.name))


def _notes(day: Day, price: float) -> list[str]:
    removed = sum(group.removed_files for group in day.groups)
    removed_bytes = sum(group.removed_bytes for group in day.groups)
    policy = {None: "are kept where they arrived", 0: "are removed once their copies are proven"}.get(
        day.dataset.originals_after_days, f"are removed {day.dataset.originals} the proof of their copies"
    )
    gone = f"{units.plural(removed, 'original')} of {units.size_text(removed_bytes)}" if removed else "none"
    originals = f"Originals of this dataset {policy}; removed so far: {gone}. What is not removed costs what it did."
    known = f"at {units.moment(day.changed)}" if day.changed else "when it knew no file of this day"
    small = units.count(day.dataset.small_bytes)
    return [
        "MB are 10⁶ bytes and GB 10⁹; ms are milliseconds. A dash stands for what is not known or does not apply.",
        _ABOUT_TIMES,
        f"Files of up to {small} bytes go into the day's archives. {_ABOUT_ARCHIVES}",
        f"Larger files {_ABOUT_OBJECTS} {day.dataset.profile}.",
        f"Money is storage alone, at ${price:g} for a GB and month. {originals}",
        f"As the catalogue knew it {known}.",
    ]
