"""Load and validate the settings: `usersync.yaml`, the environment and overrides."""

from __future__ import annotations

from usersync.settings.load import OfflineSettings, Settings, load_offline_settings, load_settings, make_settings
from usersync.settings.parsing import Rate, is_field, parse_duration, parse_rate
from usersync.settings.platform import Request
from usersync.settings.reporting import Email, Metrics, Notify
from usersync.settings.source import Diff, FieldLimit, FieldSettings, Limits, SourceSettings

__all__ = [
    "Diff", "Email", "FieldLimit", "FieldSettings", "Limits", "Metrics", "Notify", "OfflineSettings", "Rate",
    "Request", "Settings", "SourceSettings", "is_field", "load_offline_settings", "load_settings", "make_settings",
    "parse_duration", "parse_rate",
]  # fmt: skip
