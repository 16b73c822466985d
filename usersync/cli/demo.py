"""Run a sample workbook against the sandbox: the first thing a newcomer does."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import yaml

from usersync.api import run
from usersync.context import Context
from usersync.job import Confirm
from usersync.report import Summary
from usersync.sandbox import Sandbox, running
from usersync.settings import load_settings

WORKBOOK = Path(__file__).parent.parent / "sandbox" / "demo.xlsx"
#: The names of the files that the demo leaves in its folder.
WORKBOOK_NAME = "agent-changes.xlsx"
SETTINGS_NAME = "usersync.yaml"
_TOKEN_ENV = "USERSYNC_DEMO_TOKEN"  # noqa: S105 - a variable's name
_COMMENT = """\
# The settings of `usersync demo`. Its sandbox is gone; `inspect`, `runs`, `show` and `history` need no platform.
"""


def run_demo(folder: Path, *, confirm: Confirm | None, context: Context) -> Summary:
    """Send a copy of the sample workbook to a sandbox on a free port; all files go below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    workbook = shutil.copyfile(WORKBOOK, folder / WORKBOOK_NAME)
    with running(Sandbox(users=60, forbidden={13})) as box:
        os.environ[_TOKEN_ENV] = box.token
        settings = _write_settings(folder, box.url)
        return run([workbook], load_settings(settings), confirm=confirm, context=context)


def _write_settings(folder: Path, url: str) -> Path:
    """Write the settings where the commands that follow find them, and return their path."""
    settings = {
        "platform": {"url": url, "token_env": _TOKEN_ENV},
        "columns": {"Agent name": "name", "Mail": "email", "Seats": "custom_attributes.seats"},
        "fields": {"custom_attributes.seats": {"type": "integer"}},
        "ledger": str(folder / "usersync.db"),
        "report": {"dir": str(folder / "runs")},
    }
    path = folder / SETTINGS_NAME
    path.write_text(_COMMENT + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), "utf-8")
    return path


def closing_text(folder: Path, summary: Summary) -> str:
    """Say what the demo was, which files it leaves, and what to type next."""
    rejects = str(summary.files["rejects"])
    following = [_program(), "inspect", rejects, "-c", str(folder / SETTINGS_NAME)]
    return "\n".join([
        "",
        "This was the sandbox, a platform on this machine that is gone now; no real user was changed.",
        f"  workbook  {folder / WORKBOOK_NAME}",
        f"  page      {summary.files['html']}",
        f"  rejects   {rejects}  (rows to correct, with reasons)",
        "next: correct the rejects, then check them, which needs no platform:",
        f"  {shlex.join(following)}",
    ])  # fmt: skip


def _program() -> str:
    """Return what to type for usersync; in a venv that is not activated its name alone is not found."""
    called = sys.argv[0]
    return called if Path(called).stem == "usersync" and not shutil.which("usersync") else "usersync"
