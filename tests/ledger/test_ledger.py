"""Test how runs and rows are recorded in the ledger."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from tests.conftest import PATIENCE
from usersync.diff.compare import current_values
from usersync.errors import BusyError, StoppedError, UsageError
from usersync.ledger import Ledger, LedgerRun, RunInfo, UnchangedRange, UnsentRows
from usersync.ledger.lock import one_run_at_a_time
from usersync.ledger.resumption import delete_rows, keep_compared
from usersync.models import UNKNOWN, FieldChange, Json, Result, Row, Status, User
from usersync.planning.rows import with_user

SOURCE = {"file": "a.csv", "sheet": "", "sha256": "0" * 64}
INFO = RunInfo("r1", "run", "http://x", "2026-11-24T12:00:00.000Z", "ann@host", sources=(SOURCE,))


def planned(key: int, **more: Any) -> Row:
    row = Row(key, 0, key + 2, str(key + 1), Status.PLANNED, file="a.csv", **more)
    return row.with_changes(
        [FieldChange("name", "old", f"new {key}"), FieldChange("password", UNKNOWN, "S3cret!")],
    )


def updated(user_id: int, name: str, attributes: dict[str, Any] | None = None) -> Result:
    return Result(Status.UPDATED, http_status=200, attempts=2, user=User(user_id, name, None, "a@x", attributes or {}))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LedgerRun]:
    with Ledger(tmp_path / "usersync.db") as ledger:
        yield ledger.start(INFO)


def remember_update(run: LedgerRun, user_id: int, name: str, *, at: str) -> None:
    run.insert([Row(0, 0, 2, str(user_id), Status.PLANNED).with_changes([FieldChange("name", "old", name)])])
    run.claim(1)
    run.record(0, replace(updated(user_id, name), finished_at=at))
    run.finalize()
    run.snapshots.remember()


def statuses(run: LedgerRun) -> list[str]:
    return [row.status for row in run.rows()]


def test_a_planned_row_keeps_its_result(run: LedgerRun) -> None:
    rejected = Row(1, 0, 3, "2", Status.REJECTED, code="id-invalid", message="bad id", file="a.csv")
    run.insert([planned(0), rejected])
    assert run.claim(10) == [planned(0)]
    run.record(0, updated(1, "new 0", {"k": 1}))
    run.finalize()
    first, second = run.rows()
    assert (first.status, first.http_status, first.attempts) == ("updated", 200, 2)
    assert (first.old, first.new) == ('{"name":"old"}', '{"name":"new 0","password":"***"}')
    assert (first.name, first.email, first.custom_attributes) == ("new 0", "a@x", '{"k":1}')
    assert second == rejected
    assert run.counts() == {"updated": 1, "rejected": 1}


def test_a_claimed_row_is_not_claimed_again(run: LedgerRun) -> None:
    run.insert(planned(key) for key in range(5))
    assert [row.key for row in run.claim(2)] == [0, 1]
    assert [row.key for row in run.claim(9)] == [2, 3, 4]
    assert run.claim(9) == []


def test_only_rows_of_the_wave_are_claimed(run: LedgerRun) -> None:
    run.insert([planned(0), planned(1, wave=1), planned(2)])
    assert [row.key for row in run.claim(9, wave=0)] == [0, 2]
    assert [row.key for row in run.claim(9, wave=1)] == [1]


def test_rows_without_an_answer_are_unknown_and_rows_not_claimed_are_not_sent(run: LedgerRun) -> None:
    run.insert(planned(key) for key in range(4))
    claimed = run.claim(3)
    run.release(claimed[2:])
    run.record(0, Result(Status.UPDATED))
    run.finalize()
    assert statuses(run) == ["updated", "unknown", "not-sent", "not-sent"]


def test_rows_of_a_refused_run_are_not_sent_and_say_why(run: LedgerRun) -> None:
    run.insert([planned(0)])
    run.finalize(not_sent="not sent: not confirmed")
    (row,) = run.rows()
    assert (row.status, row.message) == ("not-sent", "not sent: not confirmed")


def test_a_duplicate_ends_as_the_row_that_it_repeats(run: LedgerRun) -> None:
    run.insert([planned(0), Row(1, 0, 3, "1", Status.PLANNED, note="same values as row 2", duplicate_of=0)])
    assert [row.key for row in run.claim(10)] == [0]
    run.record(0, Result(Status.FAILED, "refused", "no", http_status=422))
    run.finalize()
    assert statuses(run) == ["failed", "failed"]
    first, second = run.rows()
    assert (first.reason, second.reason) == ("no", "no; same values as row 2")
    assert (second.row, second.new, second.code, second.http_status) == (3, first.new, "refused", 422)


@pytest.mark.parametrize(
    "users",
    [
        pytest.param([4, 3, 2, 1], id="nearly all that there are, from the last to the first"),
        pytest.param([2**63 - 1, 7, 2, 3], id="few of many"),
    ],
)
def test_users_that_the_platform_confirmed_are_remembered(run: LedgerRun, users: list[int]) -> None:
    ids = (1, 2, 3, 2**63 - 1)
    run.insert(replace(planned(key), id=str(user)) for key, user in enumerate(ids))
    run.claim(10)
    for key, user in enumerate(ids):
        run.record(key, updated(user, f"new {key}", {"l": [True, 1]}))
    run.finalize()
    run.snapshots.remember()
    fields = ("name", "display_name", "email", "custom_attributes", "custom_attributes.l")
    known = run.snapshots.last_known(users, fields)
    assert known.index.tolist() == [at for at, user in enumerate(users) if user in ids]
    assert known.to_numpy().tolist() == [
        [f"new {ids.index(user)}", None, "a@x", {"l": [True, 1]}, [True, 1]] for user in users if user in ids
    ]
    assert run.snapshots.last_written(users) == {
        user: {"name": f"new {ids.index(user)}"} for user in users if user in ids
    }


texts = st.none() | st.text(max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=2)
)
users_held = st.dictionaries(
    st.integers(1, 9), st.tuples(texts, texts, st.dictionaries(st.sampled_from("ab\n"), json_values)), min_size=1
)


@given(users_held, st.permutations(range(1, 11)))
def test_what_the_platform_confirmed_is_compared_as_it_was(
    held: dict[int, tuple[str | None, str | None, dict[str, Any]]], asked: list[int]
) -> None:
    users = {i: User(i, name, None, email, attributes) for i, (name, email, attributes) in held.items()}
    with Ledger(None) as ledger:
        run = ledger.start(INFO)
        run.insert(with_user(Row(i, 0, i, str(i), Status.UNCHANGED), user) for i, user in users.items())
        run.snapshots.remember()
        fields = ("custom_attributes.a", "email", "custom_attributes", "display_name", "custom_attributes.\n", "name")
        known = run.snapshots.last_known(asked, fields)
    at = [i for i, number in enumerate(asked) if number in users]
    expected = current_values([users[asked[i]] for i in at], fields).set_axis(at)
    assert_frame_equal(known, expected, check_index_type=False)


def test_a_user_whose_update_has_no_answer_is_forgotten(run: LedgerRun) -> None:
    run.insert([planned(0), planned(1)])
    run.claim(2)
    run.record(0, updated(1, "new 0"))
    run.record(1, updated(2, "new 1"))
    run.finalize()
    run.snapshots.remember()
    run.record(1, Result(Status.UNKNOWN, "timeout", "no answer"))
    run.finalize()
    run.snapshots.remember()
    assert run.snapshots.last_known([1, 2], ()).index.tolist() == [0]


def test_an_older_answer_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        runs = [ledger.start(replace(INFO, run=name)) for name in ("older", "newer")]
        remember_update(runs[1], 1, "newer", at="2026-11-24T12:00:09.000Z")
        remember_update(runs[0], 1, "older", at="2026-11-24T12:00:01.000Z")  # resumed
        assert runs[0].snapshots.last_known([1], ("name",)).empty  # it is in doubt, and read again
        assert runs[0].snapshots.last_written([1]) == {1: {"name": "newer"}}


def test_a_resumed_run_brings_nothing_back_that_a_later_run_forgot(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        resumed = ledger.start(replace(INFO, started_at="2026-11-24T12:00:00.000Z"))
        remember_update(resumed, 1, "older", at="2026-11-24T12:00:01.000Z")
        later = ledger.start(replace(INFO, run="r2", started_at="2026-11-24T12:00:02.000Z"))
        later.insert([planned(0)])
        later.claim(1)
        later.record(0, Result(Status.UNKNOWN, "timeout", "no answer"))
        later.flush()
        later.snapshots.remember()
        resumed.insert([planned(1)])
        resumed.claim(1)
        resumed.record(1, replace(updated(2, "new 1"), finished_at="2026-11-24T12:00:03.000Z"))
        resumed.flush()
        resumed.snapshots.remember()
        assert resumed.snapshots.last_known([1, 2], ("name",))["name"].to_dict() == {1: "new 1"}
        assert resumed.snapshots.last_written([1, 2]) == {2: {"name": "new 1"}}


def test_a_later_run_counts_even_if_the_clock_went_back(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        for name, at in (("first", "2026-11-24T12:00:09.000Z"), ("second", "2026-11-24T12:00:01.000Z")):
            run = ledger.start(replace(INFO, run=name))
            remember_update(run, 1, name, at=at)
        assert run.snapshots.last_known([1], ("name",)).empty
        assert run.snapshots.last_written([1]) == {1: {"name": "second"}}


@pytest.mark.parametrize(
    "value",
    [
        1.3333333333333333,
        0.1 + 0.2,
        1e300,
        5e-324,
        2**53 + 1,
        12345678901234567890,
        -(10**30),
        [0.1 + 0.2],
        {"a": 1e22},
    ],
)
def test_a_number_that_was_written_is_remembered_as_it_was(run: LedgerRun, value: Json) -> None:
    change = FieldChange('custom_attributes.a "b"', None, value)
    run.insert([Row(0, 0, 2, "1", Status.UPDATED).with_changes([change])])
    run.snapshots.remember()
    assert repr(run.snapshots.last_written([1])) == repr({1: {change.field: value}})


@pytest.mark.parametrize("kind", ["plan", "run"])
def test_a_plan_remembers_an_interrupted_run_and_leaves_it_to_the_next_run_to_do_so_for_good(
    tmp_path: Path, kind: str
) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        interrupted = ledger.start(INFO)
        interrupted.insert([planned(0), planned(1)])
        interrupted.claim(2)
        interrupted.record(0, updated(1, "new 0"))
        interrupted.flush()
    with Ledger(tmp_path / "usersync.db", temporary_rows=kind == "plan") as ledger:
        snapshots = ledger.start(replace(INFO, run="r2", kind=kind)).snapshots
        assert snapshots.last_known([1, 2], ("name",))["name"].tolist() == ["new 0"]
        assert snapshots.last_written([1, 2]) == {1: {"name": "new 0"}}
    with Ledger(tmp_path / "usersync.db") as ledger:  # it was going on all the time
        found = ledger.find("r1")
        assert found
        found.record(1, updated(2, "new 1"))
        found.flush()
        snapshots = ledger.start(replace(INFO, run="r3")).snapshots
        assert snapshots.last_written([1, 2]) == {
            1: {"name": "new 0"}, **({2: {"name": "new 1"}} if kind == "plan" else {}),
        }  # fmt: skip


def test_a_run_of_another_platform_is_not_taken_for_interrupted(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        going_on = ledger.start(INFO)
        ledger.start(replace(INFO, run="r2", platform="http://y"))
        going_on.insert([planned(0)])
        going_on.claim(1)
        going_on.record(0, updated(1, "new 0"))
        going_on.flush()  # and killed
        assert ledger.start(replace(INFO, run="r3")).snapshots.last_written([1]) == {1: {"name": "new 0"}}


def test_a_row_that_turned_out_unchanged_leaves_what_is_known_of_its_user(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        remember_update(ledger.start(INFO), 1, "Ann", at="2026-11-24T12:00:01.000Z")
        run = ledger.start(replace(INFO, run="r2"))
        run.insert([with_user(Row(0, 0, 2, "1", Status.UNCHANGED), User(1, "Ann", None, "a@x", {}))])
        run.snapshots.remember()
        assert run.snapshots.last_known([1], ("name",))["name"].tolist() == ["Ann"]


def test_ranges_of_unchanged_rows_are_read_as_single_rows_among_the_others(run: LedgerRun) -> None:
    run.insert([planned(2), Row(5, 0, 11, "1", Status.PLANNED, duplicate_of=2)])
    run.insert_unchanged(
        [UnchangedRange(3, 0, 9, "left alone", '["3.0", "4"]'), UnchangedRange(0, 0, 2, "", '["1", " 2"]')]
    )
    rows = list(run.rows())
    assert [(r.key, r.row, r.id, r.status, r.reason, r.new, r.email) for r in rows if not r.new] == [
        (0, 2, "1", "unchanged", "", "", None),
        (1, 3, " 2", "unchanged", "", "", None),
        (3, 9, "3.0", "unchanged", "left alone", "", None),
        (4, 10, "4", "unchanged", "left alone", "", None),
    ]
    assert [row.key for row in rows] == list(range(6))
    assert {row.file for row in rows} == {rows[2].file}
    assert [list(run.rows(only=key)) for key in range(7)] == [*([row] for row in rows), []]
    assert run.counts() == {Status.PLANNED: 2, Status.UNCHANGED: 4}
    assert sorted(keep_compared(run)) == list(range(5))
    delete_rows(run)
    assert run.counts() == {}
    assert not list(run.rows())


def test_a_run_that_found_all_rows_unchanged_usually_changes_nobody(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        assert ledger.usual_changes(replace(INFO, run="next")) is None
        run = ledger.start(replace(INFO, run="all unchanged", rows_read=2))
        run.insert_unchanged([UnchangedRange(0, 0, 2, "", '["1", "2"]')])
        run.finish(finished_at="2026-11-24T12:00:00.000Z", exit_code=0, stopped=None)
        assert ledger.usual_changes(replace(INFO, run="next")) == 0
        ledger.prune("2026-11-25")
        assert list(ledger.runs()) == []
        assert run.counts() == {}


def test_a_claim_is_on_disk_at_once_and_a_result_after_a_flush(tmp_path: Path) -> None:
    with Ledger(tmp_path / "usersync.db") as ledger:
        run = ledger.start(INFO)
        run.insert([planned(0)])
        run.claim(1)
        run.record(0, Result(Status.UPDATED))
        other = sqlite3.connect(tmp_path / "usersync.db")
        assert other.execute("SELECT status FROM row").fetchall() == [("sending",)]
        run.flush()
        assert other.execute("SELECT status FROM row").fetchall() == [("updated",)]
        other.close()


def test_rows_are_inserted_all_or_none(run: LedgerRun) -> None:
    with pytest.raises(StoppedError, match=r"the ledger .*usersync\.db cannot be used"):
        run.insert([planned(0), planned(1), planned(0)])
    assert run.counts() == {}


def test_the_most_common_new_value_is_the_first_of_equals(run: LedgerRun) -> None:
    names = ["Zoe", "Ann", "Bea", "Ann", "Zoe"]
    run.insert(
        Row(key, 0, key + 2, str(key), Status.PLANNED).with_changes([FieldChange("name", "old", name)])
        for key, name in enumerate(names)
    )
    assert UnsentRows(run).most_common("name") == ("Zoe", 2)
    assert UnsentRows(run).most_common("email") is None


def test_the_first_changes_are_kept_and_the_others_dropped_with_their_duplicates(run: LedgerRun) -> None:
    run.insert([planned(key) for key in range(3)])
    run.insert([Row(3, 0, 5, "1", Status.PLANNED, duplicate_of=0), Row(4, 0, 6, "3", Status.PLANNED, duplicate_of=2)])
    unsent = UnsentRows(run)
    unsent.keep_first(1)
    assert unsent.drop_left_out() == run.left_out == 3
    assert [row.key for row in run.rows()] == [0, 3]


def test_a_row_with_two_codes_counts_under_each(run: LedgerRun) -> None:
    codes = ["name-blank;email-invalid", "email-invalid", "email-invalid"]
    run.insert(Row(key, 0, key + 2, str(key), Status.REJECTED, code=code) for key, code in enumerate(codes))
    run.insert([Row(3, 0, 5, "3", Status.CONFLICT)])
    found = [(code, count, row.key) for code, count, row in run.first_by_code(2)]
    assert found == [("", 1, 3), ("email-invalid", 3, 0), ("email-invalid", 3, 1), ("name-blank", 1, 0)]


@pytest.mark.parametrize("name", ["no/folder.db", "text.db"])
def test_a_file_that_cannot_be_a_ledger_is_a_usage_error_with_a_remedy(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, but a text of some length" * 100)
    with pytest.raises(UsageError, match=f"the ledger .*{name} .*; or name another file under ledger:"):
        Ledger(tmp_path / name)


def test_a_new_ledger_can_be_opened_by_several_at_once(tmp_path: Path) -> None:
    def open_ledger(path: Path) -> int:
        ready.wait(timeout=PATIENCE)
        with Ledger(path) as ledger:
            return len(list(ledger.runs()))

    at_once = 4
    ready = Barrier(at_once)
    with ThreadPoolExecutor(at_once) as threads:
        for n in range(10):
            assert list(threads.map(open_ledger, [tmp_path / f"{n}.db"] * at_once)) == [0] * at_once


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "usersync.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UsageError, match="written by a newer usersync"):
        Ledger(tmp_path / "usersync.db")


def test_a_database_of_another_program_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "other.db")
    db.execute("CREATE TABLE person (name TEXT)")
    db.commit()
    with pytest.raises(UsageError, match="not a ledger of usersync"):
        Ledger(tmp_path / "other.db")
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("person",)]
    db.close()


@pytest.mark.parametrize("is_written", [True, False], ids=["just taken", "about to be released"])
def test_a_lock_whose_holder_is_not_named_is_held_by_another_run(is_written: bool, tmp_path: Path) -> None:
    ledger = tmp_path / "usersync.db"
    with one_run_at_a_time(ledger, "http://x", holder="by ann@host"):
        (sign,) = tmp_path.glob("*.holder")
        sign.write_text("") if is_written else sign.unlink()
        with (
            pytest.raises(BusyError, match="the lock of http://x is held by another run; wait for it"),
            one_run_at_a_time(ledger, "http://x", holder="by bob@host"),
        ):
            pass


def test_a_ledger_that_is_reached_by_a_link_has_the_same_lock(tmp_path: Path) -> None:
    ledger, link = tmp_path / "usersync.db", tmp_path / "link.db"
    link.symlink_to(ledger)
    with (
        one_run_at_a_time(ledger, "http://x", holder="by ann@host"),
        pytest.raises(BusyError, match="by ann@host"),
        one_run_at_a_time(link, "http://x", holder="by bob@host"),
    ):
        pass
