"""Bulk user updates from spreadsheets: planned, paced, and accounted for row by row.

>>> plan = usersync.plan("changes.xlsx")           # or a DataFrame; nothing is sent
>>> print(plan.counts, plan.fields)
>>> summary = usersync.apply(plan)                 # sends exactly that
>>> summary.report_frame()                         # one line per row
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = (
    "Choice",
    "Context",
    "Outcome",
    "Plan",
    "Settings",
    "Status",
    "Summary",
    "UsersyncError",
    "apply",
    "load_settings",
    "make_settings",
    "plan",
    "resume",
    "run",
    "undo",
    "update",
)
if TYPE_CHECKING:
    from usersync.api import resume, run, undo, update
    from usersync.context import Choice, Context
    from usersync.errors import UsersyncError
    from usersync.face import apply, plan
    from usersync.models import Outcome, Status
    from usersync.planning.plan import Plan
    from usersync.report import Summary
    from usersync.settings import Settings, load_settings, make_settings
else:
    _HOMES = {
        "UsersyncError": "errors",
        "Plan": "planning.plan",
        "Summary": "report",
        **dict.fromkeys(("Outcome", "Status"), "models"),
        **dict.fromkeys(("Settings", "load_settings", "make_settings"), "settings"),
        **dict.fromkeys(("Choice", "Context"), "context"),
        **dict.fromkeys(("resume", "run", "undo", "update"), "api"),
        **dict.fromkeys(("apply", "plan"), "face"),
    }

    def __getattr__(name: str) -> object:
        """Fetch a public name when it is first asked for: `import usersync` alone loads nothing slow."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return found
