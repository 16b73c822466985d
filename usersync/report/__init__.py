"""Report rows to people and machines."""

from __future__ import annotations

from usersync.report.report import require_writable_folder, summarize, write_report
from usersync.report.summary import RunFacts, Summary, verify_row_count, write_summary

__all__ = [
    "RunFacts",
    "Summary",
    "require_writable_folder",
    "summarize",
    "verify_row_count",
    "write_report",
    "write_summary",
]
