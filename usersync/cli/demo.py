"""Run a sample workbook against the sandbox: the first thing a newcomer does."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import yaml

from usersync.api import run
from usersync.cli.table import table_text
from usersync.context import Context
from usersync.errors import UsageError
from usersync.job import Confirm
from usersync.ledger import Ledger
from usersync.planning.plan import Plan
from usersync.report import Summary
from usersync.sandbox import Sandbox, running, user_token
from usersync.settings import load_settings

WORKBOOK = Path(__file__).parent.parent / "sandbox" / "demo.xlsx"
#: The names of the files that the demo leaves in its folder.
WORKBOOK_NAME = "agent-changes.xlsx"
SETTINGS_NAME = "usersync.yaml"
PEOPLE_NAME = "people.csv"
PEOPLE_RUNS = "people-runs"
_TOKEN_ENV = "USERSYNC_DEMO_TOKEN"  # noqa: S105 - a variable's name
_ACCOUNT_TOKEN_ENV = "USERSYNC_DEMO_ACCOUNT_TOKEN"  # noqa: S105 - a variable's name
#: The file of the second part: a new name, a new address, nothing new, and somebody whom nobody knows.
_PEOPLE = """\
E-mail,Name,New e-mail
Anna.Kowalska@example.org,Anna Nowak,anna.nowak@example.org
bakary.traore@example.org,Bakary Traoré,
nobody@example.org,Somebody Else,
"""
_COMMENT = """\
# The settings of `usersync demo`. Its sandbox is gone; `inspect`, `runs`, `show` and `history` need no platform.
"""


def run_demo(folder: Path, *, confirm: Confirm | None, context: Context) -> Summary:
    """Send a copy of the sample workbook to a sandbox on a free port; all files go below `folder`.

    Raises UsageError where they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workbook = shutil.copyfile(WORKBOOK, folder / WORKBOOK_NAME)
    except OSError as error:
        raise UsageError(
            f"{folder}: no files can be written here: {error.strerror}; name a folder with --dir"
        ) from None
    with running(Sandbox(users=60, forbidden={13})) as box:
        os.environ[_TOKEN_ENV] = box.token
        settings = _write_settings(folder, box.url)
        return run([workbook], load_settings(settings), confirm=confirm, context=context)


def run_people(folder: Path, *, context: Context) -> str:
    """Send a sheet of people who are known by e-mail alone to a sandbox; returns how that went, in a few lines."""
    people = folder / PEOPLE_NAME
    people.write_text(_PEOPLE, "utf-8")
    notes: list[str] = []

    def confirm(plan: Plan) -> bool:
        notes.extend(plan.notes[:1])
        return True

    with running(Sandbox(users=60)) as box:
        os.environ[_TOKEN_ENV], os.environ[_ACCOUNT_TOKEN_ENV] = box.token, user_token(1)
        account = {"url": box.url, "account": 1, "account_token_env": _ACCOUNT_TOKEN_ENV}
        report = {"dir": str(folder / PEOPLE_RUNS)}
        settings = load_settings(folder / SETTINGS_NAME, {"platform": account, "report": report})
        summary = run([people], settings, confirm=confirm, context=context)
    with Ledger(settings.ledger) as ledger:
        done = ledger.find(summary.run)
        rows = [(str(row.row), row.id, row.status, row.name or row.message) for row in done.rows()] if done else []
    reads, updates = summary.requests["get"], summary.requests["patch"]
    return "\n".join([
        f"\nWithout ids: {people} has names and e-mail addresses alone, and is sent to another sandbox.",
        *notes,
        table_text([("row", "id", "status", "user"), *rows], right={0, 1}, status=2),
        f"{reads} read for the whole account, {updates} update",
    ])  # fmt: skip


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
