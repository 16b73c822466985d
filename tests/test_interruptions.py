"""Test that an interruption at any step loses no row and leaves no placeholder."""

import asyncio
import csv
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import PATIENCE, TOKEN, wait_until
from tests.kills import Killed, Life
from usersync import api
from usersync.context import Context, RunOptions, SystemClock
from usersync.errors import SourceError, UsageError
from usersync.ledger import Ledger, lock
from usersync.models import Row, Status
from usersync.report import Summary
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser, running
from usersync.sandbox.faults import Fault, FaultInjector
from usersync.settings import FieldSettings, Limits, Settings, make_settings
from usersync.values import same_value

Opened = Callable[..., Any]
PLACEHOLDER = "placeholder@example.org"
SWAP = "id,name,email\n1,Ann,u2@example.org\n2,Ben,u1@example.org\n"
CYCLE = "id,email\n1,u2@example.org\n2,u3@example.org\n3,u1@example.org\n"
CHAIN = "id,email\n1,u2@example.org\n2,u3@example.org\n3,new@example.org\n"
OTHER_ROWS = "id,name\n4,Dora\n"
#: Seconds allowed for a run; they are over when a test says so.
BUDGET = 60.0


@dataclass
class Platform:
    """A sandbox with five users, and what runs on it need."""

    box: Sandbox
    folder: Path

    def settings(self, **diff: Any) -> Settings:
        """Return settings with the sections that these tests need; `diff` is a section of them."""
        return make_settings(
            {
                "platform": {"url": self.box.url, "token_env": "INTERRUPTIONS_TOKEN"},
                "request": {"rate": "off", "concurrency": 1, "retries": 0},
                "diff": {"swap_placeholder": PLACEHOLDER, **diff},
                "ledger": str(self.folder / "usersync.db"),
                "report": {"dir": str(self.folder / "runs"), "formats": ["csv"]},
            }
        )

    def write(self, name: str, text: str) -> Path:
        """Write a file of user changes."""
        path = self.folder / name
        path.write_text(text)
        return path

    def run(
        self, file: Path, *, options: RunOptions | None = None, context: Context | None = None, **diff: Any
    ) -> Summary:
        """Run with a file."""
        return api.run([file], self.settings(**diff), confirm=yes, options=options, context=context)

    def resume(self, name: str | None = None, **diff: Any) -> Summary:
        """Resume a run, by default the latest that was interrupted."""
        return api.resume(name, self.settings(**diff), confirm=yes)

    def undo(self, name: str) -> Summary:
        """Undo a run."""
        return api.undo(name, self.settings(), confirm=yes)

    def interrupted(self) -> str | None:
        """Return the latest run that can be resumed."""
        with Ledger(self.folder / "usersync.db") as ledger:
            return next(iter(ledger.resumable(self.box.url)), None)

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a run as the ledger has them."""
        with Ledger(self.folder / "usersync.db") as ledger:
            found = ledger.find(name)
            return list(found.rows()) if found else []

    def emails(self) -> dict[int, str | None]:
        """Return user -> e-mail address."""
        return {i: user.email for i, user in sorted(self.box.store.users.items())}

    def updates(self) -> list[int | None]:
        """Return the users of all updates that were sent, in order."""
        return [r.user_id for r in self.box.log if r.method == "PATCH"]

    def check(self, summary: Summary, rows: int) -> None:
        """Check that the report has each row once, and that each says what the platform holds."""
        with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(lines) == summary.counts["rows"] == rows
        for line in lines:
            user = self.box.store.users[int(line["id"])]
            new = json.loads(line["new"] or "{}")
            holds = all(same_value(name, value, getattr(user, name)) for name, value in new.items())
            assert holds == (line["status"] in ("updated", "unchanged")), (line, user)
        self.check_placeholders()

    def check_placeholders(self) -> None:
        """Check that nobody holds a placeholder."""
        assert not [email for email in self.emails().values() if email and email.startswith("placeholder")]


def yes(_: object) -> bool:
    return True


@contextmanager
def platform(folder: Path, *, faults: Faults | None = None, users: int = 5) -> Iterator[Platform]:
    people = [StoredUser(i, f"User {i}", f"u{i}@example.org") for i in range(1, users + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    with running(Sandbox(users=people, limit=None, faults=faults or Faults())) as box:
        yield Platform(box, folder)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "INTERRUPTIONS_TOKEN", TOKEN)


def killed(life: Life, work: Callable[[], object]) -> bool:
    """Do `work` as a process that lives so long; returns whether it was killed."""
    with life.lived(), suppress(Killed):
        work()
        return False
    return True


def each_kill(
    folder: Path, work: Callable[[Platform], object], *, refused: tuple[int, int] | None = None
) -> Iterator[Platform]:
    """Kill `work` at each boundary of its updates, each time on a new platform, until it is not killed any more.

    `refused` are a user and n: until the kill, the platform refuses the n-th update of this user.
    """
    for step in count():
        alive = True

        def script(method: str, user: int | None, n: int) -> Answer | None:
            refuses = alive and method == "PATCH" and (user, n) == refused  # noqa: B023 - used in this step only
            return Answer(422, {"message": "no", "attributes": []}) if refuses else None

        with platform(folder / str(step), faults=Faults(script=script)) as at:
            if not killed(Life(step, updates_only=True), lambda at=at: work(at)):  # type: ignore[misc]
                assert step, "nothing was killed"
                return
            alive = False
            yield at


def each_second_kill(
    folder: Path, first: Callable[[Platform], object], first_steps: int | None, then: Callable[[Platform], object]
) -> Iterator[Platform]:
    """Kill `first` after so many boundaries (None: not at all), then `then` at each, each time on a new platform."""
    for step in count():
        with platform(folder / str(step)) as at:
            was_killed = killed(Life(first_steps, updates_only=True), lambda at=at: first(at))  # type: ignore[misc]
            assert was_killed == (first_steps is not None)
            if not killed(Life(step, updates_only=True), lambda at=at: then(at)):  # type: ignore[misc]
                assert step, "nothing was killed"
                return
            yield at


OWN = {i: f"u{i}@example.org" for i in range(1, 6)}
SWAPPED = {**OWN, 1: OWN[2], 2: OWN[1]}
CYCLED = {**OWN, 1: OWN[2], 2: OWN[3], 3: OWN[1]}
CHAINED = {**OWN, 1: OWN[2], 2: OWN[3], 3: "new@example.org"}


def begin(text: str) -> Callable[[Platform], Summary]:
    """Return the work of running with a file."""
    return lambda at: at.run(at.write("changes.csv", text))


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


class Budget(SystemClock):
    """A clock on which the time allowed for a run is over when `spend` is called."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spent = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == BUDGET:
            self._loop = asyncio.get_running_loop()
            await self._spent.wait()
        else:
            await super().sleep(seconds)

    def spend(self) -> None:
        """Let the time be over; may be called from any thread."""
        assert self._loop
        self._loop.call_soon_threadsafe(self._spent.set)


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


# chains, `apply` and `undo`


def test_a_chain_of_addresses_killed_at_any_update_is_completed_by_resume(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(CHAIN)):
        summary = at.resume(at.interrupted())
        assert (summary.exit_code, at.emails()) == (0, CHAINED)
        at.check(summary, 3)


@pytest.mark.parametrize(("text", "expected"), [(SWAP, SWAPPED), (CYCLE, CYCLED), (CHAIN, CHAINED)])
def test_an_apply_killed_at_any_update_is_completed_by_resume(
    tmp_path: Path, text: str, expected: dict[int, str]
) -> None:
    def apply(at: Platform) -> Summary:
        plan = api.plan([at.write("changes.csv", text)], at.settings(), save_as=at.folder / "plan.json")
        assert plan.saved
        return api.apply(at.folder / "plan.json", at.settings(), confirm=yes)

    for at in each_kill(tmp_path, apply):
        summary = at.resume(at.interrupted())
        assert (summary.exit_code, at.emails()) == (0, expected)
        at.check(summary, len(text.splitlines()) - 1)


@pytest.mark.parametrize("text", [SWAP, CYCLE, CHAIN])
def test_an_undo_killed_at_any_update_is_completed_by_resume(tmp_path: Path, text: str) -> None:
    def undo(at: Platform) -> Summary:
        with Ledger(at.folder / "usersync.db") as ledger:
            return at.undo(next(ledger.runs()).run)

    for at in each_second_kill(tmp_path, begin(text), None, undo):
        summary = at.resume(at.interrupted())
        assert (summary.exit_code, at.emails()) == (0, OWN)
        at.check(summary, len(text.splitlines()) - 1)


def test_an_undo_of_text_that_became_a_number_killed_at_any_update_is_completed_by_resume(tmp_path: Path) -> None:
    def begin_twice(at: Platform) -> Summary:
        file = at.write("changes.csv", "id,custom_attributes.seats\n1,5\n2,7\n")
        at.run(file)
        integer = at.settings().model_copy(
            update={"fields": {"custom_attributes.seats": FieldSettings(type="integer")}}
        )
        return api.run([file], integer, confirm=yes)

    def undo(at: Platform) -> Summary:
        with Ledger(at.folder / "usersync.db") as ledger:
            return at.undo(next(ledger.runs()).run)

    for at in each_second_kill(tmp_path, begin_twice, None, undo):
        summary = at.resume(at.interrupted())
        seats = [at.box.store.users[i].custom_attributes["seats"] for i in (1, 2)]
        assert (summary.exit_code, summary.counts, seats) == (0, {"updated": 2, "rows": 2}, ["5", "7"])


# 3: `apply` is killed while it reads its users


def test_an_apply_killed_while_it_reads_keeps_the_order_of_addresses(tmp_path: Path) -> None:
    for step in count():
        with platform(tmp_path / str(step)) as at:
            api.plan([at.write("changes.csv", CHAIN)], at.settings(), save_as=at.folder / "plan.json")
            planned = len(at.box.log)
            killed(Life(step), lambda at=at: api.apply(at.folder / "plan.json", at.settings(), confirm=yes))  # type: ignore[misc]
            if at.updates():
                assert len(at.box.log) > planned + 3
                return
            if not (run := at.interrupted()):
                continue  # killed before it began
            with Ledger(at.folder / "usersync.db") as ledger:
                found = ledger.find(run)
                assert found
                has_rows = bool(found.counts())
            if not has_rows:
                with pytest.raises(UsageError, match="apply the plan again"):
                    at.resume(run)
                continue
            summary = at.resume(run)
            assert (summary.exit_code, at.emails()) == (0, CHAINED)
            assert at.updates() == [3, 2, 1]


# 4, 5: a newer run wrote to the users of an interrupted one


def names(first: str, rows: int = 10) -> str:
    return "id,name\n" + "".join(f"{i},{first} {i}\n" for i in range(1, rows + 1))


@pytest.mark.parametrize("flushes", [True, False])
def test_resume_leaves_alone_what_a_newer_run_wrote(tmp_path: Path, flushes: bool) -> None:
    with platform(tmp_path, users=10) as at:
        file = at.write("a.csv", names("A"))
        life = Life(3 * 4, flushes=flushes, updates_only=True)
        assert killed(life, lambda: at.run(file, compare_with="nothing"))
        interrupted = at.interrupted()
        newer = at.run(at.write("b.csv", names("B")), compare_with="nothing").run
        sent = len(at.updates())
        summary = at.resume(compare_with="nothing")
        assert (summary.run, summary.exit_code, len(at.updates())) == (interrupted, 1, sent)
        assert {user.name for user in at.box.store.users.values()} == {f"B {i}" for i in range(1, 11)}
        rows = at.rows(summary.run)
        assert {(row.status, row.code) for row in rows} <= {("updated", ""), ("conflict", "stale")}
        left_alone = f"run {newer} changed name since, so it was not changed; plan again to change it anyway"
        assert {row.message for row in rows if row.code == "stale"} == {left_alone}
        assert summary.files["rejects"] is None  # run again, they would bring the older values back
        assert sum(row.status == "conflict" for row in rows) >= 5
        run = at.run(at.write("c.csv", names("C")))
        assert (run.exit_code, run.counts) == (0, {"updated": 10, "rows": 10})


@pytest.mark.parametrize("compare_with", ["remote", "last-run"])
def test_what_a_killed_run_may_have_written_is_no_conflict_for_the_next_run(tmp_path: Path, compare_with: str) -> None:
    killed_run, old = begin(names("New", rows=2)), begin(names("Old", rows=2))
    for at in each_second_kill(tmp_path, old, None, killed_run):
        summary = at.run(at.write("later.csv", names("Later", rows=2)), compare_with=compare_with)
        assert (summary.exit_code, summary.counts) == (0, {"updated": 2, "rows": 2})
        at.check(summary, 2)


def test_what_an_interrupted_run_wrote_is_known_after_a_plan(tmp_path: Path) -> None:
    with platform(tmp_path) as at:
        old = at.write("old.csv", names("Old", rows=2))
        at.run(old)
        assert killed(Life(9, updates_only=True), lambda: at.run(at.write("new.csv", names("New", rows=5))))
        assert [at.box.store.users[i].name for i in (1, 2)] == ["New 1", "New 2"]
        planned = api.plan([old], at.settings(compare_with="last-run"))
        summary = at.run(old, compare_with="last-run")
        assert (planned.changes, summary.counts) == (2, {"updated": 2, "rows": 2})
        at.check(summary, 2)


def test_resume_leaves_alone_what_a_newer_run_wrote_that_was_deleted_since(tmp_path: Path) -> None:
    with platform(tmp_path) as at:
        old = at.write("a.csv", names("A", rows=5))
        assert killed(Life(3, updates_only=True), lambda: at.run(old, compare_with="nothing"))
        for name in ("B", "C"):
            at.run(at.write(f"{name}.csv", names(name, rows=5)), compare_with="nothing")
        with Ledger(at.folder / "usersync.db") as ledger:
            assert ledger.prune("9") == 2
        assert at.resume(compare_with="nothing").exit_code == 1
        assert {user.name for user in at.box.store.users.values()} == {f"C {i}" for i in range(1, 6)}
        summary = at.run(at.write("d.csv", names("D", rows=5)))
        assert (summary.exit_code, summary.counts) == (0, {"updated": 5, "rows": 5})


def test_plan_run_and_runs_list_an_interrupted_run(desk: Opened) -> None:
    with desk(Sandbox(users=10, limit=None)) as (box, at):
        at.write("a.csv", names("A"))
        at.write("same.csv", f"id,name\n10,{box.store.users[10].name}\n")
        box.hold()
        process = at.start("run", "a.csv", "--yes", "-q", "--compare-with", "nothing")
        wait_until(lambda: box.log)
        process.kill()
        process.communicate(timeout=PATIENCE)
        box.release()
        (run,) = (info["run"] for info in json.loads(at.run("runs", "--json").out))
        note = f"run {run} was interrupted; `usersync resume {run}` completes it"
        assert note in at.run("plan", "same.csv").out
        assert note in at.run("run", "same.csv", "--yes").err
        assert "unfinished" in at.run("runs").out


# 6: `undo` waits for the run that it undoes


def test_undo_with_lock_wait_restores_all_rows_of_a_run_that_was_still_going(
    desk: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Event()

    class WatchedLock(FileLock):
        def acquire(self, *args: Any, **options: Any) -> Any:
            waits.set()
            return super().acquire(*args, **options)

    with desk(Sandbox(users=10, limit=None)) as (box, at), ThreadPoolExecutor(1) as threads:
        before = {i: user.name for i, user in box.store.users.items()}
        at.settings["request"] = {"rate": "off", "concurrency": 2}
        at.write("a.csv", names("A"))
        box.hold(after=13)  # ten are read, three are updated
        going = at.start("run", "a.csv", "--yes", "-q")
        wait_until(lambda: len(box.log) == 15)
        (run,) = (info["run"] for info in json.loads(at.run("runs", "--json").out))
        settings = make_settings(
            {
                "platform": {"url": box.url, "token_env": "INTERRUPTIONS_TOKEN"},
                "ledger": str(at.folder / "usersync.db"),
                "report": {"dir": str(at.folder / "runs")},
            }
        )
        monkeypatch.setattr(lock, "FileLock", WatchedLock)
        undo = threads.submit(api.undo, run, settings, confirm=yes, options=RunOptions(lock_wait=PATIENCE))
        assert waits.wait(PATIENCE)
        box.release()
        assert undo.result(PATIENCE).counts == {"updated": 10, "rows": 10}
        going.communicate(timeout=PATIENCE)
        assert going.returncode == 0
        assert {i: user.name for i, user in box.store.users.items()} == before


# 7: a plan is applied twice


def test_a_plan_applied_twice_sends_nothing_the_second_time(tmp_path: Path) -> None:
    with platform(tmp_path) as at:
        text = "id,name,email\n1,Ann,u2@example.org\n2,Ben,new@example.org\n3,Cem,\n"
        api.plan([at.write("changes.csv", text)], at.settings(), save_as=at.folder / "plan.json")
        first = api.apply(at.folder / "plan.json", at.settings(), confirm=yes)
        sent = len(at.updates())
        again = api.apply(at.folder / "plan.json", at.settings(), confirm=yes)
        assert (first.counts, again.counts) == ({"updated": 3, "rows": 3}, {"unchanged": 3, "rows": 3})
        assert len(at.updates()) == sent
        assert all(row.old == "" for row in at.rows(again.run))


# 8: what usersync wrote last is kept by field, and null is a value


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            [f"id,custom_attributes\n1,{value}\n" for value in ('"{""x"":1}"', '"{""y"":2}"', '"{""z"":3}"')],
            id="keys of all attributes",
        ),
        pytest.param(
            [f"id,custom_attributes.all\n1,{value}\n" for value in ('"{""x"":1}"', '"{""y"":2}"', '"{""z"":3}"')],
            id="one attribute that holds JSON",
        ),
    ],
)
def test_values_written_one_after_the_other_are_no_conflict(tmp_path: Path, files: Sequence[str]) -> None:
    with platform(tmp_path) as at:
        settings = at.settings().model_copy(update={"fields": {"custom_attributes.all": FieldSettings(type="json")}})
        for n, text in enumerate(files):
            done = api.run([at.write(f"{n}.csv", text)], settings, confirm=yes)
            assert (done.exit_code, done.counts) == (0, {"updated": 1, "rows": 1})


def test_a_value_that_a_person_set_after_usersync_cleared_it_is_a_conflict(tmp_path: Path) -> None:
    with platform(tmp_path) as at:
        fields = {"custom_attributes.seats": FieldSettings(type="integer", blank="clear")}
        settings = at.settings().model_copy(update={"fields": fields})
        for value in ("3", ""):
            done = api.run(
                [at.write("seats.csv", f"id,name,custom_attributes.seats\n1,Ann,{value}\n")],
                settings,
                confirm=yes,
                options=RunOptions(overrides=("blank-custom_attributes.seats",)),
            )
            assert done.exit_code == 0
        at.box.store.update(1, {"custom_attributes": {"seats": 9}})
        done = api.run([at.write("seats.csv", "id,name,custom_attributes.seats\n1,Ann,5\n")], settings, confirm=yes)
        assert (done.exit_code, done.counts) == (1, {"conflict": 1, "rows": 1})
        assert at.box.store.users[1].custom_attributes["seats"] == 9


# an answer was lost, and the platform kept what was sent in part, or nobody can read whether it did


def carries_out(*fields: str, reads: int = 0) -> Callable[[Platform], Faults]:
    """Carry out the first update of user 1 in these fields, and answer neither it nor the read with number `reads`."""

    def script_of(at: Platform) -> Faults:
        def script(method: str, user: int | None, n: int) -> Answer | str | None:
            if (method, user, n) == ("PATCH", 1, 1):
                at.box.store.update(1, {field: SENT[field] for field in fields})
                return "reset-before"
            return "reset-before" if (method, user, n) == ("GET", 1, reads) else None

        return Faults(script=script)

    return script_of


SENT = {"name": "New", "display_name": "N.", "password": "Str0ng!secret"}
ONE_ROW = "id,name,display_name\n1,New,N.\n"
WITH_PASSWORD = "id,name,password\n1,New,Str0ng!secret\n"


@contextmanager
def losing(folder: Path, faults: Callable[[Platform], Faults]) -> Iterator[Platform]:
    with platform(folder) as at:
        at.box._fault_injector = FaultInjector(faults(at))
        yield at


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(WITH_PASSWORD, carries_out("name", "password"), id="nothing proves the password"),
        pytest.param(ONE_ROW, carries_out("name", reads=2), id="one field of two was carried out"),
    ],
)
def test_undo_restores_what_was_sent_before_a_row_was_resumed(
    tmp_path: Path, text: str, faults: Callable[[Platform], Faults]
) -> None:
    with losing(tmp_path, faults) as at:
        run = at.run(at.write("changes.csv", text))
        assert run.counts == {"unknown": 1, "rows": 1}
        assert at.resume().counts == {"updated": 1, "rows": 1}
        assert at.rows(run.run)[0].changed == text.partition("\n")[0].removeprefix("id,").replace(",", ";")
        undone = at.undo(run.run)
        assert (undone.exit_code, at.box.store.users[1].name) == (0, "User 1")
        assert not at.box.store.users[1].display_name


def test_undo_restores_what_a_row_changed_that_could_not_be_resumed(tmp_path: Path) -> None:
    with losing(tmp_path, carries_out("name", "password")) as at:
        run = at.run(at.write("changes.csv", WITH_PASSWORD))
        at.write("changes.csv", OTHER_ROWS)
        assert at.resume().counts == {"not-sent": 1, "rows": 1}
        assert at.rows(run.run)[0].message.startswith("sent before, and the answer was lost; not sent: stale")
        assert at.undo(run.run).counts == {"updated": 1, "rows": 1}
        assert at.box.store.users[1].name == "User 1"


@pytest.mark.parametrize("reads", [2, 3])
def test_a_row_that_was_sent_before_stays_unknown_where_the_user_cannot_be_read_again(
    tmp_path: Path, reads: int
) -> None:
    def script_of(at: Platform) -> Faults:
        first = carries_out("name", "password")(at).script
        assert first

        def script(method: str, user: int | None, n: int) -> Fault | str | Answer | None:
            return "reset-before" if method == "GET" and n == reads + 1 else first(method, user, n)

        return Faults(script=script)

    with losing(tmp_path, script_of) as at:
        run = at.run(at.write("changes.csv", WITH_PASSWORD))
        assert at.resume().counts == run.counts == {"unknown": 1, "rows": 1}
        assert at.resume().counts == {"updated": 1, "rows": 1}
        assert at.rows(run.run)[0].changed == "name;password"


def test_undo_restores_a_row_that_was_sent_before_and_refused_when_it_was_sent_again(tmp_path: Path) -> None:
    def script_of(at: Platform) -> Faults:
        first = carries_out("name", "password")(at).script
        assert first

        def script(method: str, user: int | None, n: int) -> Fault | str | Answer | None:
            again = (method, n) == ("PATCH", 2)
            return Answer(422, {"message": "no", "attributes": []}) if again else first(method, user, n)

        return Faults(script=script)

    with losing(tmp_path, script_of) as at:
        run = at.run(at.write("changes.csv", WITH_PASSWORD)).run
        assert at.resume().counts == {"failed": 1, "rows": 1}
        says = "sent before, and the answer was lost; the platform refused it: no"
        assert [(row.code, row.message) for row in at.rows(run)] == [("echo-differs", says)]
        assert at.undo(run).counts == {"updated": 1, "rows": 1}
        assert at.box.store.users[1].name == "User 1"


@pytest.mark.parametrize("by_run", [False, True])
def test_a_row_without_an_answer_that_others_changed_in_part_since_is_no_conflict(tmp_path: Path, by_run: bool) -> None:
    with losing(tmp_path, carries_out("name", "display_name", reads=2)) as at:
        run = at.run(at.write("changes.csv", ONE_ROW))
        if by_run:
            at.run(at.write("newer.csv", "id,name\n1,Newer\n"))
        else:
            at.box.store.update(1, {"name": "Newer"})
        assert at.resume(run.run).counts == {"failed": 1, "rows": 1}
        row = at.rows(run.run)[0]
        assert row.code == "echo-differs"
        assert "changed name since, and the other fields may hold the new values" in row.message
        at.undo(run.run)
        assert at.box.store.users[1].name == "Newer"
        assert not at.box.store.users[1].display_name


def test_a_user_who_could_not_be_read_was_not_sent_before(tmp_path: Path) -> None:
    """What somebody else entered meanwhile is theirs: the run takes no credit for it, and undo leaves it alone."""
    faults = Faults(script=lambda method, user, n: "reset-before" if (method, user, n) == ("GET", 1, 1) else None)
    with platform(tmp_path, faults=faults) as at:
        run = at.run(at.write("changes.csv", ONE_ROW))
        at.box.store.update(1, {"name": "New"})
        at.resume()
        assert at.rows(run.run)[0].changed == "display_name"


def test_a_run_that_left_a_user_with_a_placeholder_is_not_deleted(tmp_path: Path) -> None:
    def script(method: str, user: int | None, n: int) -> Answer | None:
        too_long = (method, user, n) == ("PATCH", 2, 1)
        return Answer(429, "Retry later", {"Retry-After": "99999"}) if too_long else None

    with platform(tmp_path, faults=Faults(script=script)) as at:
        assert at.run(at.write("swap.csv", SWAP)).exit_code == 4
        assert at.emails()[1] not in SWAPPED.values()
        with Ledger(at.folder / "usersync.db") as ledger:
            assert (ledger.prunable("9"), ledger.prune("9")) == ([], 0)
        at.run(at.write("other.csv", OTHER_ROWS))
        assert at.emails() == OWN  # reverted by the other run
        with Ledger(at.folder / "usersync.db") as ledger:
            assert ledger.prune("9") == 2


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
