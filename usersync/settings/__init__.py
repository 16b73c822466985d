"""`usersync.yaml` and the environment in, checked `Settings` out."""

from __future__ import annotations

from usersync.settings.load import Settings, load_settings, make_settings
from usersync.settings.outputs import Email, Metrics, Notify, Report
from usersync.settings.platform import Platform, Request
from usersync.settings.source import Diff, FieldLimit, FieldSettings, Limits, SourceSettings
from usersync.settings.values import Rate, is_field, parse_duration, parse_rate

__all__ = [
    "Diff", "Email", "FieldLimit", "FieldSettings", "Limits", "Metrics", "Notify", "Platform", "Rate", "Report",
    "Request", "Settings", "SourceSettings", "is_field", "load_settings", "make_settings", "parse_duration",
    "parse_rate",
]  # fmt: skip
