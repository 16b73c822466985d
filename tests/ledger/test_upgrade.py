"""Test the upgrade of ledgers that former versions wrote.

`files/version-2.db` was written by the version before the redesign: a finished run with duplicates, passwords and an
e-mail swap; a second run with a conflict; a run of `files/killed.csv` that was killed while rows 3 and 4 were in
flight; an undo of the first run.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Desk
from usersync.ledger import Ledger
from usersync.sandbox import Sandbox, StoredUser

Opened = Callable[..., Any]
FILES = Path(__file__).with_name("files")
FIRST, SECOND = "20261128T022926-3b91ecc6", "20261128T022927-085df093"
KILLED, UNDO = "20261128T022928-0a90269f", "20261128T022930-f89abc9d"
#: What version 2 added to version 1.
DOWNGRADE = (
    "ALTER TABLE run DROP COLUMN claimed_turn",
    "ALTER TABLE run DROP COLUMN claimed_key",
    "ALTER TABLE row DROP COLUMN aside",
    "PRAGMA user_version = 1",
)


def copy_ledger(folder: Path, *, platform: str = "", version: int = 2) -> Path:
    """Copy the old ledger, as if it were of another platform, or of version 1."""
    path = folder / "usersync.db"
    shutil.copy(FILES / "version-2.db", path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if platform:
            db.execute("UPDATE run SET platform = ?", (platform,))
            db.execute("UPDATE known SET platform = ?", (platform,))
        for statement in DOWNGRADE if version == 1 else ():
            db.execute(statement)
    return path


@pytest.fixture
def upgraded(desk: Opened) -> Iterator[tuple[Sandbox, Desk]]:
    """Open a desk with the old ledger, and the users as that left them; row 3 of the killed run had arrived."""
    names = {1: "Somebody", 2: "Beata", 3: "Cid", 4: "Dan"}
    users = [
        StoredUser(i, names.get(i, f"User {i}"), f"u{i}@example.org", custom_attributes={"seats": i})
        for i in range(1, 10)
    ]
    with desk(Sandbox(users=users, limit=None)) as (box, at):
        copy_ledger(at.folder, platform=at.url)
        shutil.copy(FILES / "killed.csv", at.folder)
        yield box, at


@contextmanager
def tables(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as db:
        yield db


@pytest.mark.parametrize("version", [1, 2])
def test_an_upgraded_ledger_has_the_tables_of_a_new_one(version: int, tmp_path: Path) -> None:
    def columns(path: Path) -> dict[str, list[tuple[Any, ...]]]:
        with Ledger(path):
            pass
        with tables(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master ORDER BY name")]
            return {name: sorted(c[1:4] for c in db.execute(f"PRAGMA table_info({name})")) for name in names}

    assert columns(copy_ledger(tmp_path, version=version)) == columns(tmp_path / "new.db")


@pytest.mark.parametrize(
    ("version", "killed"),
    [
        pytest.param(1, ["updated", "planned", "planned", "updated"], id="version 1"),
        pytest.param(2, ["updated", "unknown", "unknown", "updated"], id="version 2 knows what was in flight"),
    ],
)
def test_an_upgraded_ledger_keeps_every_row_and_its_status(version: int, killed: list[str], tmp_path: Path) -> None:
    with Ledger(copy_ledger(tmp_path, version=version)) as ledger:
        found = {info.run: list(run.rows()) for info in ledger.runs() if (run := ledger.find(info.run))}
    assert {name: [row.status for row in rows] for name, rows in found.items()} == {
        FIRST: ["updated", "updated", "unchanged", "updated", "failed", "rejected", "updated", "updated"],
        SECOND: ["conflict", "updated"],
        KILLED: killed,
        UNDO: ["updated", "conflict", "updated", "updated"],
    }
    duplicate = found[FIRST][3]
    assert (duplicate.duplicate_of, duplicate.name, duplicate.reason) == (0, "Ann", "says the same as row 2; sent once")
    assert found[FIRST][1].new == '{"name":"Bea","password":"***"}'


def test_an_upgraded_ledger_keeps_the_order_of_an_e_mail_swap(tmp_path: Path) -> None:
    with Ledger(copy_ledger(tmp_path)) as ledger:
        run = ledger.find(FIRST)
        assert run is not None
        assert [(row.wave, row.depends_on, row.placeholder) for row in run.by_key([6, 7])] == [
            (2, 7, f"swap+{FIRST.lower()}+6@example.org"),
            (1, 6, None),
        ]


def test_old_runs_are_listed_and_shown(upgraded: tuple[Sandbox, Desk]) -> None:
    _, at = upgraded
    listed = json.loads(at.run("runs", "--json").out)
    assert [(run["run"], run["kind"], run["exit_code"], run["counts"]) for run in listed] == [
        (UNDO, "undo", 1, {"conflict": 1, "updated": 3}),
        (KILLED, "run", None, {"unknown": 2, "updated": 2}),
        (SECOND, "run", 1, {"conflict": 1, "updated": 1}),
        (FIRST, "run", 1, {"failed": 1, "rejected": 1, "unchanged": 1, "updated": 5}),
    ]
    shown = json.loads(at.run("show", FIRST, "--json").out)
    assert [(row["row"], row["id"], row["code"]) for row in shown["rows"]][4:6] == [
        (6, "99", "not-found"),
        (7, "", "id-missing"),
    ]


def test_the_history_of_a_user_has_the_old_changes(upgraded: tuple[Sandbox, Desk]) -> None:
    _, at = upgraded
    found = json.loads(at.run("history", "2", "--json").out)
    assert [(one["run"], one["row"]["old"], one["row"]["new"]) for one in found] == [
        (FIRST, {"name": "User 2"}, {"name": "Bea", "password": "***"}),
        (SECOND, {"name": "Bea"}, {"name": "Beata"}),
    ]


def test_resume_completes_a_run_that_a_former_version_began(upgraded: tuple[Sandbox, Desk]) -> None:
    box, at = upgraded
    ran = at.run("resume", "--yes", "--json")
    assert (ran.code, ran.summary["run"]) == (0, KILLED)
    assert list(ran.statuses().values()) == ["updated"] * 4
    assert box.store.users[5].name == "Eve"
    assert [request.user_id for request in box.log if request.method == "PATCH"] == [5]


def test_undo_restores_a_run_of_a_former_version(upgraded: tuple[Sandbox, Desk]) -> None:
    box, at = upgraded
    ran = at.run("undo", SECOND, "--yes")
    assert (ran.code, list(ran.statuses().values())) == (0, ["updated"])
    assert box.store.users[2].name == "Bea"


def test_undo_of_a_killed_run_also_restores_users_whose_answer_never_came(upgraded: tuple[Sandbox, Desk]) -> None:
    box, at = upgraded
    ran = at.run("undo", KILLED, "--yes")
    assert (ran.code, ran.statuses()) == (0, {"2": "updated", "3": "updated", "4": "unchanged"})
    assert [box.store.users[user].name for user in (3, 4, 5)] == ["User 3", "User 4", "User 5"]


def test_users_that_a_former_version_knew_are_not_read_again(upgraded: tuple[Sandbox, Desk]) -> None:
    box, at = upgraded
    at.settings["diff"] = {"compare_with": "last-run"}
    at.write("nightly.csv", "id,name\n1,Somebody\n2,Beata\n7,User 7\n9,User 9\n")
    ran = at.run("run", "nightly.csv", "--yes")
    assert (ran.code, set(ran.statuses().values())) == (0, {"unchanged"})
    assert [(request.method, request.user_id) for request in box.log] == [("GET", 9)]


def test_a_value_changed_since_a_former_version_wrote_it_is_a_conflict(upgraded: tuple[Sandbox, Desk]) -> None:
    box, at = upgraded
    box.store.update(2, {"name": "Beatrix"})
    at.write("changes.csv", "id,name\n2,Bea\n")
    ran = at.run("run", "changes.csv", "--yes")
    assert (ran.code, list(ran.statuses().values())) == (1, ["conflict"])
    assert 'usersync wrote "Beata", the platform holds "Beatrix"' in ran.report[0]["message"]
