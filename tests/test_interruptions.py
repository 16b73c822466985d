"""Test that an interrupted e-mail swap is completed or reverted, whatever comes next."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, wait_until
from tests.interrupted import (
    BUDGET,
    CYCLE,
    CYCLED,
    OTHER_ROWS,
    OWN,
    PLACEHOLDER,
    SWAP,
    SWAPPED,
    Budget,
    Opened,
    Platform,
    begin,
    each_kill,
    each_second_kill,
    killed,
    platform,
    yes,
)
from tests.kills import Life
from usersync import api
from usersync.context import Context, RunOptions
from usersync.errors import SourceError
from usersync.ledger import Ledger
from usersync.models import Status
from usersync.report import Summary
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser
from usersync.settings import Limits

# 1: a swap is interrupted, and the source is overwritten by the next export


def test_resume_completes_a_swap_killed_at_any_update(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(SWAP)):
        summary = at.resume(at.interrupted())
        assert (summary.exit_code, at.emails()) == (0, SWAPPED)
        at.check(summary, 2)


def test_resume_of_an_overwritten_source_reverts_the_open_swap_and_closes_the_run(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(SWAP)):
        run = at.interrupted()
        assert run
        moved, sent = at.emails() == SWAPPED, len(at.updates())
        at.write("changes.csv", OTHER_ROWS)
        summary = at.resume(run)
        assert f"changes.csv has changed since run {run}; run it as it is" in str(summary.stopped)
        assert at.emails() in (OWN, SWAPPED if moved else OWN)
        at.check(summary, 2)
        reverted = len(at.updates()) > sent
        begun = any(summary.counts.get(status) for status in ("updated", "failed", "unknown"))
        done = "nothing more was sent" if begun else "nothing was sent"
        done += ", except to revert interrupted e-mail swaps" if reverted else ""
        assert (summary.exit_code, str(summary.stopped).rpartition("; ")[2]) == (1 if begun or reverted else 3, done)
        assert all(row.message.startswith("not sent: stale: ") for row in at.rows(run) if row.status == "not-sent")
        assert at.interrupted() is None


def test_a_run_that_was_closed_is_resumed_by_name_once_its_source_is_restored(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(SWAP)):
        run = at.interrupted()
        at.write("changes.csv", OTHER_ROWS)
        at.resume(run)
        at.write("changes.csv", SWAP)
        summary = at.resume(run)
        at.check(summary, 2)
        assert not [row for row in at.rows(str(run)) if row.status == "not-sent"]


@pytest.mark.parametrize("text", [None, "name,mail box\nAnn,1\n"], ids=["deleted", "without ids"])
def test_resume_of_a_source_that_cannot_be_read_reverts_the_open_swap_and_leaves_the_run(
    tmp_path: Path, text: str | None
) -> None:
    for at in each_kill(tmp_path, begin(SWAP)):
        run = at.interrupted()
        moved = at.emails() == SWAPPED
        (at.folder / "changes.csv").unlink()
        if text:
            at.write("changes.csv", text)
        with pytest.raises(SourceError, match=r"no such file|no id column"):
            at.resume(run)
        assert at.emails() in (OWN, SWAPPED if moved else OWN)
        at.check_placeholders()
        assert at.interrupted() == run
        at.write("changes.csv", SWAP)
        at.check(at.resume(run), 2)


def test_a_finished_run_whose_source_cannot_be_read_is_not_opened_again(tmp_path: Path) -> None:
    with platform(tmp_path) as at:
        file = at.write("changes.csv", OTHER_ROWS)
        run = at.run(file).run
        file.unlink()
        with pytest.raises(SourceError, match="no such file"):
            at.resume(run)
        assert at.interrupted() is None


def test_resume_of_an_overwritten_source_says_what_it_reverted(desk: Opened) -> None:
    with desk(Sandbox(users=[StoredUser(i, f"User {i}", OWN[i]) for i in OWN], limit=None)) as (box, at):
        at.settings |= {"diff": {"swap_placeholder": PLACEHOLDER}, "request": {"rate": "off", "concurrency": 1}}
        at.write("changes.csv", SWAP + "3,Cem,\n")
        at.interrupt(box, "run", "changes.csv", "--yes", answers=5, in_flight=1, by=signal.SIGKILL)
        (run,) = (entry["run"] for entry in json.loads(at.run("runs", "--json").out))
        at.write("changes.csv", OTHER_ROWS)
        resumed = at.run("resume", "--yes")
        assert resumed.code == 1, resumed.err
        assert "nothing more was sent, except to revert interrupted e-mail swaps" in resumed.err
        assert f"row 2 of run {run}, user 1: reverted, because run {run} was interrupted" in resumed.err
        assert {box.store.users[i].email for i in (1, 2)} == {OWN[1], OWN[2]}
        assert [line["status"] for line in resumed.report] == [row["status"] for row in shown(at, run)]
        summary = json.loads((at.folder / "runs" / run / "summary.json").read_text())
        assert (summary["status"], summary["exit_code"]) == ("partial", 1)
        later = at.run("run", "changes.csv", "--yes")
        assert (later.code, "was interrupted" in later.err) == (0, False)
        assert "unfinished" not in at.run("runs").out


def shown(at: Any, run: str) -> Any:
    return json.loads(at.run("show", run, "--json").out)["rows"]


def test_the_next_run_reverts_a_swap_that_was_killed_at_any_update(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(SWAP)):
        interrupted = at.interrupted()
        assert interrupted
        assert at.run(at.write("changes.csv", OTHER_ROWS)).exit_code == 0
        assert at.emails() in (OWN, SWAPPED)
        at.check_placeholders()
        for row in at.rows(interrupted):
            current = at.box.store.users[row.user_id].email
            assert (current == SWAPPED[row.user_id]) == (row.status in (Status.UPDATED, Status.UNKNOWN)), row


def test_undo_restores_both_users_of_a_swap_that_was_killed_at_any_update(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(SWAP)):
        run = at.interrupted()
        assert run
        at.write("changes.csv", OTHER_ROWS)
        sent = len(at.updates())
        undone = at.undo(run)
        assert undone.exit_code == 0
        assert at.emails() == OWN
        assert at.box.store.users[1].name == "User 1"
        restored = {row.user_id for row in at.rows(undone.run) if row.status is Status.UPDATED}
        assert restored == set(at.updates()[sent:])
        assert at.interrupted() is None


def test_every_command_reports_a_swap_that_is_open(desk: Opened) -> None:
    with desk(Sandbox(users=[StoredUser(i, f"User {i}", OWN[i]) for i in OWN], limit=None)) as (box, at):
        at.settings["diff"] = {"swap_placeholder": PLACEHOLDER}
        at.write("changes.csv", SWAP)
        box.hold(after=2)  # both are read
        process = at.start("run", "changes.csv", "--yes")
        wait_until(lambda: len(box.log) == 3)
        process.kill()
        process.communicate(timeout=PATIENCE)
        box.release()
        assert box.store.users[1].email.startswith("placeholder")
        at.write("changes.csv", OTHER_ROWS)
        planned = at.run("plan", "changes.csv")
        assert "was interrupted; `usersync resume " in planned.out
        assert "unfinished" in at.run("runs").out
        ran = at.run("run", "changes.csv", "--yes", "-q")
        assert (ran.code, "was interrupted; `usersync resume " in ran.err) == (0, True)
        assert [box.store.users[i].email for i in (1, 2)] == [OWN[1], OWN[2]]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_swap_stopped_by_a_signal_is_reverted_by_the_next_run(desk: Opened, name: str, code: int) -> None:
    with desk(Sandbox(users=[StoredUser(i, f"User {i}", OWN[i]) for i in OWN], limit=None)) as (box, at):
        at.settings["diff"] = {"swap_placeholder": PLACEHOLDER}
        at.write("changes.csv", SWAP)
        ran = at.interrupt(box, "run", "changes.csv", "--yes", answers=2, in_flight=1, by=signal.Signals[name])
        assert ran.code == code, ran.err
        assert f"exit {code}: stopped by {name}; continue with: usersync resume" in ran.err
        assert [line["status"] for line in ran.report] == ["not-sent", "not-sent"]
        at.write("changes.csv", OTHER_ROWS)
        assert at.run("run", "changes.csv", "--yes", "-q").code == 0
        assert [box.store.users[i].email for i in (1, 2)] == [OWN[1], OWN[2]]


def test_undo_reports_a_swap_that_cannot_be_reverted(desk: Opened) -> None:
    with desk(Sandbox(users=[StoredUser(i, f"User {i}", OWN[i]) for i in OWN], limit=None)) as (box, at):
        at.settings["diff"] = {"swap_placeholder": PLACEHOLDER}
        at.write("changes.csv", SWAP)
        at.interrupt(box, "run", "changes.csv", "--yes", answers=2, in_flight=1, by=signal.SIGTERM)
        (interrupted,) = (entry["run"] for entry in json.loads(at.run("runs", "--json").out))
        box.store.update(5, {"email": OWN[1]})  # somebody else has the old address now
        undone = at.run("undo", interrupted, "--yes")
        assert undone.code == 1, undone.err
        assert "or enter another one for this user by hand, then run `usersync resume " in undone.err
        assert f"of run {interrupted}, user 1: reverted by run" in undone.err
        assert "not reverted yet: the platform refused it" in undone.err
        assert [(line["id"], line["status"]) for line in undone.report] == [("1", "conflict")]


@pytest.mark.parametrize("command", ["resume", "run", "undo"])
def test_a_swap_that_cannot_be_reverted_is_over_once_a_person_gave_the_user_an_address(
    desk: Opened, command: str
) -> None:
    with desk(Sandbox(users=[StoredUser(i, f"User {i}", OWN[i]) for i in OWN], limit=None)) as (box, at):
        at.settings["diff"] = {"swap_placeholder": PLACEHOLDER}
        at.write("changes.csv", SWAP)
        at.interrupt(box, "run", "changes.csv", "--yes", answers=2, in_flight=1, by=signal.SIGTERM)
        (interrupted,) = (entry["run"] for entry in json.loads(at.run("runs", "--json").out))
        box.store.update(5, {"email": OWN[1]})
        at.write("changes.csv", OTHER_ROWS)
        assert f"of run {interrupted}, user 1: reverted" in at.run("run", "changes.csv", "--yes", "-q").err
        box.store.update(1, {"email": "by.hand@example.org"})
        words = {"resume": ["resume"], "run": ["run", "changes.csv"], "undo": ["undo", interrupted]}[command]
        at.run(*words, "--yes", "-q")
        assert box.store.users[1].email == "by.hand@example.org"
        later = at.run("run", "changes.csv", "--yes", "-q")
        assert (later.code, "user 1" in later.err) == (0, False), later.err
        with Ledger(at.folder / "usersync.db") as ledger:
            assert ledger.open_swaps(box.url) == []


@pytest.mark.parametrize("updates", [1, 2, 3])
@pytest.mark.parametrize("then", ["resume", "run", "undo"])
def test_a_swap_that_runs_out_of_time_is_completed_or_reverted(tmp_path: Path, updates: int, then: str) -> None:
    clock, sent = Budget(), 0

    def script(method: str, user_id: int | None, n: int) -> None:
        nonlocal sent
        sent += method == "PATCH"
        if method == "PATCH" and sent == updates:
            clock.spend()

    with platform(tmp_path, faults=Faults(script=script)) as at:
        file = at.write("changes.csv", SWAP)
        options, context = RunOptions(max_duration=BUDGET), Context(clock=clock)
        summary = api.run([file], at.settings(), confirm=yes, options=options, context=context)
        assert summary.exit_code == 4
        if then == "resume":
            at.check(at.resume(), 2)
            assert at.emails() == SWAPPED
            return
        at.write("changes.csv", OTHER_ROWS)
        if then == "run":
            assert at.run(file).exit_code == 0
            assert at.emails() == (OWN if updates < 3 else SWAPPED)
        else:
            at.undo(summary.run)
            assert at.emails() == OWN


@pytest.mark.parametrize("failing", [{1}, {2}, {1, 2}], ids=str)
def test_a_swap_whose_users_cannot_be_read_by_resume_is_left_for_the_next(tmp_path: Path, failing: set[int]) -> None:
    clock, stage = Budget(), "begin"

    def script(method: str, user_id: int | None, n: int) -> Answer | None:
        if method == "PATCH" and stage == "begin":
            clock.spend()
        return Answer(503, {}) if stage == "down" and method == "GET" and user_id in failing else None

    with platform(tmp_path, faults=Faults(script=script)) as at:
        options, context = RunOptions(max_duration=BUDGET), Context(clock=clock)
        first = at.run(at.write("changes.csv", SWAP), options=options, context=context)
        assert str(at.emails()[1]).startswith("placeholder")
        stage = "down"
        assert at.resume(first.run).exit_code != 0
        stage = "up"
        assert at.interrupted() == first.run or at.emails() in (OWN, SWAPPED)
        if at.interrupted():
            at.check(at.resume(), 2)
        assert at.emails() in (OWN, SWAPPED)


@pytest.mark.parametrize("user", [1, 2])
@pytest.mark.parametrize("reverted_first", [False, True], ids=["before the revert", "after the revert"])
def test_an_address_that_a_person_set_after_an_interrupted_swap_is_a_conflict(
    tmp_path: Path, user: int, reverted_first: bool
) -> None:
    known = 0
    for at in each_kill(tmp_path, begin(SWAP)):
        with Ledger(at.folder / "usersync.db") as ledger:
            run = ledger.find(str(at.interrupted()))
            assert run
            was_moved = user in {row.user_id for row in run.with_status(Status.PARKED, Status.UPDATED)}
        known += was_moved
        if reverted_first:
            assert at.run(at.write("other.csv", OTHER_ROWS)).exit_code == 0
        at.box.store.update(user, {"email": "person@example.org"})
        summary = at.run(at.folder / "changes.csv")
        at.check_placeholders()
        if was_moved:  # else it is not known whether usersync wrote to this user
            assert at.emails()[user] == "person@example.org"
            row = at.rows(summary.run)[user - 1]
            assert (row.status, 'the platform holds "person@example.org"' in row.message) == ("conflict", True), row
    assert known


def test_a_reverted_swap_is_no_conflict_when_it_is_planned_again(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(CYCLE), refused=(1, 2)):
        assert at.run(at.write("other.csv", OTHER_ROWS)).exit_code == 0
        summary = at.run(at.folder / "changes.csv")
        assert (summary.exit_code, at.emails()) == (0, CYCLED)


# 2: a swap is broken, and killed while it is reverted


def test_a_broken_swap_killed_at_any_update_ends_as_the_platform_says(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(CYCLE), refused=(1, 2)):
        summary = at.resume(at.interrupted())
        at.check(summary, 3)
        assert at.emails() in (OWN, CYCLED)  # killed before it was refused, it is completed
        plan = api.plan([at.folder / "changes.csv"], at.settings(compare_with="last-run"))
        assert plan.changes == (3 if at.emails() == OWN else 0)


def test_the_next_run_completes_the_reverting_of_a_broken_swap_killed_at_any_update(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(CYCLE), refused=(1, 2)):
        interrupted = at.interrupted()
        assert interrupted
        assert at.run(at.write("other.csv", OTHER_ROWS)).exit_code == 0
        assert at.emails() == OWN
        assert not [row for row in at.rows(interrupted) if row.status is Status.UPDATED]
        plan = api.plan([at.folder / "changes.csv"], at.settings(compare_with="last-run"))
        assert plan.changes == 3


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_a_resume_killed_at_any_update_is_completed_by_the_next(tmp_path: Path, steps: int) -> None:
    for at in each_second_kill(tmp_path, begin(CYCLE), steps, lambda at: at.resume()):
        summary = at.resume(at.interrupted())
        assert (summary.exit_code, at.emails()) == (0, CYCLED)
        at.check(summary, 3)


@pytest.mark.parametrize("steps", [2, 5, 8])
def test_a_revert_killed_at_any_update_is_completed_by_the_next_run(tmp_path: Path, steps: int) -> None:
    def other_run(at: Platform) -> Summary:
        return at.run(at.write("other.csv", OTHER_ROWS))

    for at in each_second_kill(tmp_path, begin(CYCLE), steps, other_run):
        assert at.run(at.write("other.csv", OTHER_ROWS)).exit_code == 0
        assert at.emails() == OWN


def test_a_row_that_could_not_be_reverted_at_first_ends_with_its_own_reason(tmp_path: Path) -> None:
    """The second update of user 1 and the next one are refused: the last step of the swap, and its revert."""
    refused = [2, 3]

    def script(method: str, user: int | None, n: int) -> Answer | None:
        refuses = (method, user) == ("PATCH", 1) and n in refused
        return Answer(422, {"message": "no", "attributes": []}) if refuses else None

    with platform(tmp_path, faults=Faults(script=script)) as at:
        first = at.run(at.write("changes.csv", SWAP))
        row = at.rows(first.run)[0]
        assert (first.exit_code, row.status, row.code) == (1, "unknown", "refused")
        refusal = "the platform refused it: no"
        by_hand = "this user holds a placeholder: free the old address, or enter another one for this user by hand"
        assert (
            row.message == f"{refusal}; not reverted yet: {refusal}; {by_hand}, then run `usersync resume {first.run}`"
        )
        at.check(at.resume(), 2)
        row = at.rows(first.run)[0]
        assert (row.status, row.code, row.message) == ("failed", "refused", f"{refusal}; reverted")
        assert at.interrupted() is None


def test_a_user_protected_while_holding_a_placeholder_gets_the_own_address_back(tmp_path: Path) -> None:
    with platform(tmp_path) as at:
        file = at.write("changes.csv", CYCLE)
        steps = 3 * 3  # of four updates, all but the one that leaves the placeholder
        assert killed(Life(steps, updates_only=True), lambda: at.run(file))
        settings = at.settings().model_copy(update={"limits": Limits(protect=("1",))})
        summary = api.resume(None, settings, confirm=yes)
        at.check(summary, 3)
        assert (at.emails(), at.rows(summary.run)[0].code) == (OWN, "protected")


# addresses were exchanged by hand while a planned swap waited


def move_by_hand(at: Platform, emails: dict[int, str]) -> None:
    for i in emails:
        at.box.store.update(i, {"email": f"moving{i}@example.org"})
    for i, email in emails.items():
        assert at.box.store.update(i, {"email": email}).status == 200


RING_WITH_NAMES = "id,name,email\n1,Ann,u2@example.org\n2,Ben,u3@example.org\n3,Cid,u1@example.org\n"
NAMES_AND_SWAP = SWAP.replace("\n2,,", "\n2,Ben,")


@pytest.mark.parametrize(
    ("text", "by_hand", "statuses"),
    [
        pytest.param(NAMES_AND_SWAP, {1: OWN[2], 2: OWN[1]}, ["updated", "updated"], id="a swap"),
        pytest.param(RING_WITH_NAMES, {1: OWN[2], 2: OWN[3], 3: OWN[1]}, ["updated"] * 3, id="a ring"),
        pytest.param(NAMES_AND_SWAP, {2: "by.hand@example.org"}, ["updated", "conflict"], id="an address that is free"),
        pytest.param(
            RING_WITH_NAMES, {3: "by.hand@example.org"}, ["updated", "updated", "conflict"], id="a ring that is open"
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before it was resumed", "before it was confirmed"])
def test_addresses_that_were_exchanged_by_hand_need_no_placeholder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, text: str, by_hand: dict[int, str], statuses: list[str]
) -> None:
    down = when == "before it was resumed"

    def script(method: str, user: int | None, n: int) -> Answer | None:
        return Answer(429, "Retry later", {"Retry-After": "99999"}) if down and method == "PATCH" else None

    def confirm(_: object) -> bool:
        if not down:
            move_by_hand(at, by_hand)
        return True

    monkeypatch.setattr("usersync.job.execute.REVERIFY_AFTER", -1.0)
    with platform(tmp_path, faults=Faults(script=script)) as at:
        summary = api.run([at.write("swap.csv", text)], at.settings(), confirm=confirm)
        if down:
            assert summary.exit_code == 4
            down = False
            move_by_hand(at, by_hand)
            summary = at.resume()
        assert [row.status for row in at.rows(summary.run)] == statuses
        at.check_placeholders()


def test_a_row_that_waits_for_one_without_an_answer_is_sent_however_often_the_run_is_resumed(tmp_path: Path) -> None:
    away = True

    def script(method: str, user: int | None, n: int) -> str | None:
        return "reset-after" if away and user == 1 and (method, n) != ("GET", 1) else None

    with platform(tmp_path, faults=Faults(script=script)) as at:
        run = at.run(at.write("chain.csv", "id,email\n1,new@example.org\n2,u1@example.org\n"))
        assert at.resume().counts == run.counts == {"unknown": 1, "rejected": 1, "rows": 2}
        away = False
        assert at.resume().counts == {"updated": 2, "rows": 2}


def test_a_row_is_not_reverted_for_a_swap_that_never_began(tmp_path: Path) -> None:
    refuses = True

    def script(method: str, user: int | None, n: int) -> Answer | str | None:
        if refuses and (method, user) == ("PATCH", 1):
            return Answer(422, {"message": "no", "attributes": []})
        return "reset-after" if refuses and user == 3 and (method, n) != ("GET", 1) else None

    with platform(tmp_path, faults=Faults(script=script)) as at:
        run = at.run(at.write("swap.csv", NAMES_AND_SWAP + "3,Cid,\n"))
        assert run.counts == {"failed": 1, "rejected": 1, "unknown": 1, "rows": 3}
        move_by_hand(at, {1: OWN[2], 2: OWN[1]})
        refuses = False
        assert at.resume().counts == {"failed": 1, "updated": 2, "rows": 3}
        assert at.box.store.users[2].name == "Ben"


def test_a_swap_that_is_open_keeps_its_order_while_other_rows_are_compared(tmp_path: Path) -> None:
    """Another row could not be read, and now the user with the placeholder cannot be read either."""
    away = True

    def script(method: str, user: int | None, n: int) -> Answer | str | None:
        if away and (method, user) == ("PATCH", 2):
            return Answer(429, "Retry later", {"Retry-After": "99999"})
        return "reset-before" if (method, user, n) in (("GET", 4, 1), ("GET", 1, 2)) else None

    with platform(tmp_path, faults=Faults(script=script)) as at:
        assert at.run(at.write("swap.csv", SWAP + "4,Dora,\n")).counts == {"not-sent": 3, "rows": 3}
        away = False
        resumed = at.resume()
        assert resumed.counts == {"failed": 1, "rejected": 1, "updated": 1, "rows": 3}
        assert at.emails() == OWN
