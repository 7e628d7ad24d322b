"""The report's page: one HTML file that asks nobody for anything.

Style, script and plots stand inside; the page's own security policy forbids every request, and any script or style but
these two, by their hashes. The same content gives the same bytes: what time it is the page learns from nobody.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from des_platform.compression.report.markup import Content, Markup, element, joined
from des_platform.compression.report.rows import rows_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from des_platform.compression.report.rows import Row


@dataclass(frozen=True, slots=True)
class Fact:
    """A key figure: what it is, its value, a line that explains it, and whether it is bad news."""

    label: str
    value: str
    detail: str = ""
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its heading, a sentence on how to read it, and the colours' meanings: (class, name)."""

    title: str
    lead: str
    plot: Markup
    legend: Sequence[tuple[str, str]] = ()
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its heading; folded away where it is long, with a word on what is in it."""

    title: str
    lead: Content
    table: Markup
    folded: bool = False
    remark: str = field(default="", kw_only=True)


def render_page(  # noqa: PLR0913 - the parts of a page, each with its name
    title: str,
    subtitle: str,
    facts: Sequence[Fact],
    rows: Sequence[Row],
    *,
    summary: str = "",
    overview: Figure | None = None,
    figures: Sequence[Figure] = (),
    sections: Sequence[Section] = (),
    details: Sequence[Section] = (),
    notes: Sequence[str] = (),
) -> str:
    """A whole page.

    Args:
        title: what the report is about.
        subtitle: which report it is; above the title.
        facts: key figures, at most about six.
        rows: what became of the files; they get a total.
        summary: the report in a sentence or two.
        overview: one figure above the table.
        figures: further figures, below the tables.
        sections: further tables, below the table of rows.
        details: tables for whoever wants to know it exactly, after the figures.
        notes: how to read the numbers; at the end.
    """
    body = [
        element(
            "header",
            element("p", subtitle, class_="kicker"),
            element("h1", title),
            element("p", summary, class_="summary") if summary else None,
            element("dl", *map(_fact, facts), class_="facts"),
        ),
        _figure(overview) if overview else None,
        element("section", element("h2", "What it became"), rows_table(rows)),
        *map(_section, sections),
        element("div", *map(_figure, figures), class_="plots") if figures else None,
        *map(_section, details),
        element("section", element("h2", "How to read this"), _notes(notes)) if notes else None,
    ]
    script = element("script", Markup(_asset("page.js"))) if details else None
    return document(f"{title} – {subtitle}", joined([*body, script]))  # noqa: RUF001 - a dash


def document(title: str, body: Markup) -> str:
    """A page of the reports' style.

    Args:
        title: as browsers show it.
        body: its content; no script runs but the reports' own.
    """
    page = element("html", _head(title), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _head(title: str) -> Markup:
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash('page.css')}'; script-src '{_hash('page.js')}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("link", rel="icon", href="data:,"),  # else a browser asks for /favicon.ico
        element("style", Markup(_asset("page.css"))),
    )


def _fact(fact: Fact) -> Markup:
    return element(
        "div",
        element("dt", fact.label),
        element("dd", fact.value, class_="value"),
        element("dd", fact.detail, class_="detail"),
        class_="alarm" if fact.alarming else None,
    )


def _figure(figure: Figure) -> Markup:
    legend = [element("li", element("i", class_=f"swatch {kind}"), name) for kind, name in figure.legend]
    return element(
        "section",
        element("h2", figure.title),
        element("p", figure.lead, class_="lead") if figure.lead else None,
        element("figure", figure.plot, element("ul", *legend, class_="legend") if legend else None),
        class_="wide" if figure.wide else None,
    )


def _section(section: Section) -> Markup:
    lead = element("p", section.lead, class_="lead") if section.lead else None
    if not section.folded:
        return element("section", element("h2", section.title), lead, section.table)
    remark = element("small", section.remark) if section.remark else None
    return element(
        "section", element("details", element("summary", section.title, remark), joined([lead, section.table]))
    )


def _notes(notes: Sequence[str]) -> Markup:
    return element("ul", *(element("li", note) for note in notes), class_="notes")


@cache
def _asset(name: str) -> str:
    return (files("des_platform.compression.report") / name).read_text("utf-8")


@cache
def _hash(name: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()}"
