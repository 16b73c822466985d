"""Validate a table: typed values to set, and every problem of every row."""

from __future__ import annotations

from usersync.validation.validate import validate

__all__ = ["validate"]
