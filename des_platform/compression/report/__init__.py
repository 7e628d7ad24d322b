"""The compression report: what came in, what it became, what that saves and what failed, as one HTML page."""

from des_platform.compression.report.page import Fact, Figure, Section, render_page
from des_platform.compression.report.rows import Row, Step
from des_platform.compression.report.run_page import run_page
from des_platform.compression.report.writing import (
    REPORTS,
    ReportObject,
    put_report,
    report_key,
    report_link,
    report_page,
    write_report,
)

__all__ = [
    "REPORTS",
    "Fact",
    "Figure",
    "ReportObject",
    "Row",
    "Section",
    "Step",
    "put_report",
    "render_page",
    "report_key",
    "report_link",
    "report_page",
    "run_page",
    "write_report",
]
