"""Outcomes in, files for people and machines out."""

from __future__ import annotations

from usersync.report.files import Summary, make_home, write_report, write_summary

__all__ = ["Summary", "make_home", "write_report", "write_summary"]
