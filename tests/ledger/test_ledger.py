"""What was planned, sent and answered."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from usersync.errors import UsageError
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.models import UNKNOWN, Change, Entry, FieldChange, Outcome, Status, User

INFO = RunInfo("r1", "run", "http://x", "2026-11-24T12:00:00.000Z", "ann@host", {}, ({"file": "a.csv", "sheet": ""},))


def entry(key: int, status: Status = Status.PLANNED, **more: Any) -> Entry:
    change = Change(
        key, key + 1, (FieldChange("name", "old", f"new {key}"), FieldChange("password", UNKNOWN, "S3cret!"))
    )
    return Entry(key, 0, key + 2, str(key + 1), status, change if status is Status.PLANNED else None, **more)


@pytest.fixture
def book(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "usersync.db") as ledger:
        yield ledger.start(INFO)


def statuses(book: LedgerRun) -> list[str]:
    return [line.status for line in book.lines()]


def test_a_row_goes_from_planned_to_answered(book: LedgerRun) -> None:
    book.enter([entry(0), entry(1, Status.REJECTED, code="id-invalid", message="bad id")])
    (change,) = book.claim(10)
    assert change == Change(0, 1, (FieldChange("name", "old", "new 0"), FieldChange("password", UNKNOWN, "***")))
    book.settle(Outcome(0, Status.UPDATED, http_status=200, attempts=2, user=User(1, "new 0", None, "a@x", {"k": 1})))
    book.close_rows(planned_as=Status.NOT_SENT)
    first, second = book.lines()
    assert (first.file, first.row, first.id, first.status, first.http_status, first.attempts) == (
        "a.csv", 2, "1", "updated", 200, 2,
    )  # fmt: skip
    assert (first.old, first.new) == ('{"name":"old"}', '{"name":"new 0","password":"***"}')
    assert (first.name, first.email, first.custom_attributes) == ("new 0", "a@x", '{"k":1}')
    assert (second.status, second.code, second.message) == ("rejected", "id-invalid", "bad id")
    assert book.counts() == {"updated": 1, "rejected": 1}


def test_a_claimed_row_is_not_claimed_again(book: LedgerRun) -> None:
    book.enter(entry(key) for key in range(5))
    assert [c.key for c in book.claim(2)] == [0, 1]
    assert [c.key for c in book.claim(9)] == [2, 3, 4]
    assert book.claim(9) == []


def test_rows_without_an_answer_are_unknown_and_rows_without_a_claim_not_sent(book: LedgerRun) -> None:
    book.enter(entry(key) for key in range(4))
    book.claim(3)
    book.release(0, 1)
    book.settle(Outcome(0, Status.UPDATED))
    book.close_rows(planned_as=Status.NOT_SENT)
    assert statuses(book) == ["updated", "unknown", "not-sent", "not-sent"]


def test_a_twin_shares_the_ending_of_its_row(book: LedgerRun) -> None:
    book.enter([entry(0), Entry(1, 0, 3, "1", Status.PLANNED, message="says the same as row 2", twin_of=0)])
    assert [c.key for c in book.claim(10)] == [0]
    book.settle(Outcome(0, Status.FAILED, "refused", "no"))
    book.close_rows(planned_as=Status.NOT_SENT)
    assert statuses(book) == ["failed", "failed"]
    assert [line.message for line in book.lines()] == ["no", "no; says the same as row 2"]


@pytest.mark.parametrize(
    "users",
    [
        pytest.param([4, 3, 2, 1], id="nearly all that there are, from the last to the first"),
        pytest.param([2**63 - 1, 7, 2, 3], id="few of many"),
    ],
)
def test_what_the_platform_confirmed_is_known_of_every_user_asked_for(book: LedgerRun, users: list[int]) -> None:
    ids = (1, 2, 3, 2**63 - 1)
    book.enter(replace(entry(key), user=str(user)) for key, user in enumerate(ids))
    for key, user in enumerate(ids):
        book.settle(Outcome(key, Status.UPDATED, user=User(user, f"new {key}", None, "a@x", {"l": [True, 1]})))
    book.close_rows(planned_as=Status.NOT_SENT)
    book.memory.remember()
    known = book.memory.known(users)
    assert known.index.tolist() == [at for at, user in enumerate(users) if user in ids]
    assert known.to_numpy().tolist() == [
        [f"new {ids.index(user)}", None, "a@x", {"l": [True, 1]}] for user in users if user in ids
    ]
    assert book.memory.written(users) == {
        user: {"name": f"new {ids.index(user)}", "password": "***"} for user in users if user in ids
    }


def test_stretches_of_unchanged_rows_are_lines_like_any_other(book: LedgerRun) -> None:
    book.enter_unchanged([(0, 0, 2, "", ["1", " 2"]), (2, 0, 9, "id '3.0' read as 3", ["3.0"])])
    assert [(n.key, n.row, n.id, n.status, n.message, n.new, n.email) for n in book.lines()] == [
        (0, 2, "1", "unchanged", "", "", None),
        (1, 3, " 2", "unchanged", "", "", None),
        (2, 9, "3.0", "unchanged", "id '3.0' read as 3", "", None),
    ]


def test_what_is_settled_is_on_disk_after_a_flush(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        book = ledger.start(INFO)
        book.enter([entry(0)])
        book.claim(1)
        book.settle(Outcome(0, Status.UPDATED))
        other = sqlite3.connect(tmp_path / "usersync.db")
        claimed = "SELECT status, claimed_key FROM row JOIN run ON run.n = row.run"
        assert other.execute(claimed).fetchall() == [("planned", 0)]
        book.flush()
        assert other.execute("SELECT status, sent FROM row").fetchall() == [("updated", 1)]
        other.close()


def test_an_entry_that_fails_leaves_nothing_of_its_group(book: LedgerRun) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        book.enter([entry(0), entry(1), entry(0)])
    assert book.counts() == {}


def test_a_ledger_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, but a text of some length" * 100)
    for path in (tmp_path / "no" / "folder.db", tmp_path / "text.db"):
        with pytest.raises(UsageError, match="the ledger cannot be used"):
            Ledger(path)


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "usersync.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UsageError, match="written by a newer usersync"):
        Ledger(tmp_path / "usersync.db")
