"""Outcomes in, files for people and machines out."""

from __future__ import annotations

from usersync.report.files import Summary, write_report

__all__ = ["Summary", "write_report"]
