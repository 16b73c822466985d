"""Test that a stopped and resumed run ends as one without interruption."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import numbered_users
from tests.kills import Killed, Life, StopAfter
from usersync import api
from usersync.context import Context, RunOptions
from usersync.ledger import Ledger
from usersync.planning import row_comparison, verify
from usersync.report import Summary
from usersync.sandbox import Sandbox, StoredUser, running
from usersync.settings import Settings, make_settings

#: Repeats, a contradiction, a chain and a swap of addresses, a protected user, unchanged and unknown ones.
SHEET = """id,name,email
1,Ann,
1,Ann,
2,Ben,
2,Bob,
3,,boss@example.org
4,User 4,
999,No,
5,,u6@example.org
6,,u7@example.org
7,,new@example.org
8,,u9@example.org
9,,u8@example.org
10,Protected,
11,Kim,
x,bad,
12,User 12,
13,Mia,u13@example.org
"""
SHOWN = ("row", "id", "status", "code", "changed", "new")
Ending = tuple[int, list[tuple[str, ...]], dict[int, tuple[str | None, str | None]]]


@contextmanager
def desk(folder: Path) -> Iterator[tuple[Sandbox, Settings, Path]]:
    users = numbered_users(15)
    users[9] = StoredUser(10, "User 10", "ceo@board.example.org")
    (folder / "changes.csv").write_text(SHEET)
    with running(Sandbox(users=users, limit=None)) as box:
        yield box, make_settings({
            "platform": {"url": box.url, "token_env": "INTERRUPTED_TOKEN"},
            "request": {"rate": "off", "concurrency": 1},
            "diff": {"swap_placeholder": "placeholder@example.org"},
            "limits": {"protect": ["*@board.example.org"]},
            "ledger": str(folder / "usersync.db"),
            "report": {"dir": str(folder / "runs"), "formats": ["csv"]},
        }), folder / "changes.csv"  # fmt: skip


def ending(summary: Summary, box: Sandbox) -> Ending:
    with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
        lines = [tuple(line[name] for name in SHOWN) for line in csv.DictReader(file)]
    return summary.exit_code, lines, {i: (user.name, user.email) for i, user in box.store.users.items()}


def yes(_: Any) -> bool:
    return True


def stopped(folder: Path, *moments: int, limit: int | None = None) -> Ending:
    with desk(folder) as (box, settings, sheet):
        summary = None
        for rows in (*moments, None):
            context = Context()
            context.progress = StopAfter(context, rows)
            if summary is None:
                summary = api.run([sheet], settings, confirm=yes, options=RunOptions(limit=limit), context=context)
            elif summary.exit_code == 130:
                summary = api.resume(summary.run, settings, confirm=yes, context=context)
        assert summary
        return ending(summary, box)


def killed(folder: Path, *steps: int, flushes: bool) -> Ending:
    with desk(folder) as (box, settings, sheet):
        for life in (*(Life(n, flushes) for n in steps), Life()):
            with Ledger(settings.ledger) as ledger:
                name = next((head.run for head in ledger.runs()), None)
            try:
                with life.lived():
                    if name is None:
                        return ending(api.run([sheet], settings, confirm=yes), box)
                    return ending(api.resume(name, settings, confirm=yes), box)
            except Killed:
                pass
        raise AssertionError("the last life is not killed")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "INTERRUPTED_TOKEN", "sandbox-token")
    for module in (row_comparison, verify):
        monkeypatch.setattr(module, "READ_BATCH", 3)  # as if the sheet had a million rows


@pytest.mark.parametrize("moments", [(1,), (2, 3), (5,), (9, 1), (13,), (14, 6), (16,), (18, 3), (21,), (24,)])
@pytest.mark.parametrize("limit", [None, 4])
def test_a_run_stopped_at_any_row_and_resumed_ends_as_one_without_a_stop(
    tmp_path: Path, moments: tuple[int, ...], limit: int | None
) -> None:
    for name in ("plain", "stopped"):
        (tmp_path / name).mkdir()
    assert stopped(tmp_path / "stopped", *moments, limit=limit) == stopped(tmp_path / "plain", limit=limit)


@pytest.mark.parametrize("flushes", [True, False])
@pytest.mark.parametrize(
    "steps", [(3,), (11, 7), (23,), (35, 9), (47,), (59, 23), (71,), (83,), (95, 9), (107, 30), (121,)]
)
def test_a_run_killed_at_any_step_and_resumed_ends_as_one_without_a_kill(
    tmp_path: Path, steps: tuple[int, ...], flushes: bool
) -> None:
    for name in ("plain", "killed"):
        (tmp_path / name).mkdir()
    assert killed(tmp_path / "killed", *steps, flushes=flushes) == killed(tmp_path / "plain", flushes=True)
