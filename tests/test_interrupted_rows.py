"""Test that what an interrupted run sent is never lost, repeated or taken for somebody else's."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from filelock import FileLock

from tests.conftest import PATIENCE, TOKEN, wait_until
from tests.interrupted import (
    CHAIN,
    CHAINED,
    CYCLE,
    CYCLED,
    OTHER_ROWS,
    OWN,
    SWAP,
    SWAPPED,
    Opened,
    Platform,
    begin,
    each_kill,
    each_second_kill,
    killed,
    platform,
    yes,
)
from tests.kills import Life, StopAfter
from usersync import api
from usersync.context import Context, RunOptions
from usersync.errors import UsageError
from usersync.ledger import Ledger, lock
from usersync.report import Summary
from usersync.sandbox import Answer, Faults, Sandbox
from usersync.sandbox.faults import Fault, FaultInjector
from usersync.settings import FieldSettings, make_settings

# chains, `apply` and `undo`


def test_a_chain_of_addresses_killed_at_any_update_is_completed_by_resume(tmp_path: Path) -> None:
    for at in each_kill(tmp_path, begin(CHAIN)):
        summary = at.resume(at.interrupted())
        assert (summary.exit_code, at.emails()) == (0, CHAINED)
        at.check(summary, 3)


def test_resume_completes_a_run_whose_last_rows_take_addresses_of_others(tmp_path: Path) -> None:
    moves = [f"{i},User {i},u{i + 1}@example.org" for i in range(1, 7)]
    names = [f"{i},Renamed {i},u{i}@example.org" for i in range(8, 32)]
    with platform(tmp_path, users=31) as at:
        file = at.write("changes.csv", "\n".join(["id,name,email", *moves, "7,User 7,new@example.org", *names]))
        context = Context()
        context.progress = StopAfter(context, 31 + 20)  # all are read, most are sent
        assert at.run(file, context=context).exit_code == 130
        summary = at.resume()
        assert summary.exit_code == 0
        at.check(summary, 31)


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
        monkeypatch.setenv("INTERRUPTIONS_TOKEN", TOKEN)
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
