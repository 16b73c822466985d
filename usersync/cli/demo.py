"""Run a sample workbook against the sandbox: the first thing a newcomer does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from usersync.api import run
from usersync.context import Context
from usersync.job import Confirm
from usersync.report import Summary
from usersync.sandbox import Sandbox, running
from usersync.settings import make_settings

WORKBOOK = Path(__file__).parent.parent / "sandbox" / "demo.xlsx"
_TOKEN_ENV = "USERSYNC_DEMO_TOKEN"  # noqa: S105 - a variable's name


def run_demo(folder: Path, *, confirm: Confirm | None, context: Context) -> Summary:
    """Send a copy of the sample workbook to a sandbox on a free port; all files go below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    workbook = shutil.copyfile(WORKBOOK, folder / "agent-changes.xlsx")
    with running(Sandbox(users=60, forbidden={13})) as box:
        os.environ[_TOKEN_ENV] = box.token
        settings = make_settings(
            {
                "platform": {"url": box.url, "token_env": _TOKEN_ENV},
                "columns": {"Agent name": "name", "Mail": "email", "Seats": "custom_attributes.seats"},
                "fields": {"custom_attributes.seats": {"type": "integer"}},
                "ledger": str(folder / "usersync.db"),
                "report": {"dir": str(folder / "runs")},
            }
        )
        return run([workbook], settings, confirm=confirm, context=context)
