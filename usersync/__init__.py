"""Bring spreadsheets of user changes to a platform, and account for every row.

>>> plan = usersync.plan("changes.xlsx")           # or a DataFrame; nothing is sent
>>> print(plan.counts, plan.fields)
>>> summary = usersync.apply(plan, confirm=lambda plan: True)
>>> summary.report_frame()                         # one line per row
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = (
    "Plan",
    "Row",
    "RunOptions",
    "Settings",
    "Status",
    "Summary",
    "UsersyncError",
    "apply",
    "export",
    "load_settings",
    "make_settings",
    "plan",
    "resume",
    "run",
    "run_many",
    "undo",
    "update",
)
if TYPE_CHECKING:
    from usersync.api import apply, export, plan, resume, run, run_many, undo, update
    from usersync.context import RunOptions
    from usersync.errors import UsersyncError
    from usersync.models import Row, Status
    from usersync.planning.plan import Plan
    from usersync.report import Summary
    from usersync.settings import Settings, load_settings, make_settings
else:
    #: The module that each public name is imported from when it is first used: `import usersync` loads nothing slow.
    _MODULES = {
        "Plan": "planning.plan",
        "RunOptions": "context",
        "Summary": "report",
        "UsersyncError": "errors",
        **dict.fromkeys(("Row", "Status"), "models"),
        **dict.fromkeys(("Settings", "load_settings", "make_settings"), "settings"),
        **dict.fromkeys(("apply", "export", "plan", "resume", "run", "run_many", "undo", "update"), "api"),
    }

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found
