"""Test that `resume` loses no row, and sends none again that was answered."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, numbered_users, wait_until
from tests.interrupted import BUDGET, Budget, platform
from tests.processes import CommandProcess
from usersync.context import Context, RunOptions
from usersync.sandbox import Answer, Fault, Faults, Sandbox, StoredUser, user_token

Opened = Callable[..., Any]
ROWS = 150
PASSWORD = "Str0ng!secret"


def changes(rows: int = ROWS) -> str:
    return "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, rows + 1))


def answered(folder: Path) -> set[int]:
    """Return the users whose answer the ledger holds."""
    db = sqlite3.connect(folder / "usersync.db")
    found = db.execute("SELECT id FROM row WHERE status = 'updated'").fetchall()
    db.close()
    return {int(user) for (user,) in found}


def patched(box: Sandbox) -> Counter[int]:
    return Counter(r.user_id for r in box.log if r.method == "PATCH" and r.user_id)


def wait_for_updates(box: Sandbox, count: int, process: CommandProcess) -> None:
    """Wait until the platform was sent so many updates, or the process is over."""
    wait_until(lambda: sum(patched(box).values()) >= count or process.poll() is not None)


def test_runs_killed_at_random_moments_lose_no_row(desk: Opened, request: pytest.FixtureRequest) -> None:
    kills, chance = request.config.getoption("--kills"), random.Random(7)
    done = 0
    while done < kills:
        with desk(Sandbox(users=ROWS, limit=None, latency=0.005)) as (box, at):
            for old in at.folder.iterdir():
                if old.is_file():
                    old.unlink()
            at.settings["request"] = {"rate": "400/s", "concurrency": 8}
            at.write("changes.csv", changes())
            words = ["run", "changes.csv"]
            for _ in range(5):
                process = at.start(*words, "--yes", "-q", "--compare-with", "nothing")
                wait_for_updates(box, sum(patched(box).values()) + chance.randrange(1, 40), process)
                process.kill()
                _, err = process.communicate(timeout=PATIENCE)
                assert "Traceback" not in err, err
                done += 1
                words = ["resume"]
                before, known = patched(box), answered(at.folder)
                if len(known) == ROWS:
                    break
            ended = at.run("resume", "--yes", "--json") if len(known) < ROWS else None
            if ended:
                assert ended.code == 0, ended.err
                assert ended.summary["counts"] == {"updated": ROWS, "rows": ROWS}
                assert [line["status"] for line in ended.report] == ["updated"] * ROWS
            after = patched(box)
            assert all(after[user] == before[user] for user in known)
            assert all(user.name == f"New {i}" for i, user in box.store.users.items())


def test_a_row_that_was_in_flight_is_looked_up(desk: Opened) -> None:
    """Killed between the platform's update and its answer: the ledger says in flight, a GET says updated."""
    with desk(Sandbox(users=3, limit=None)) as (box, at):
        at.write("changes.csv", f"id,name,password\n1,A,\n2,,{PASSWORD}\n3,C,\n")
        at.settings["request"] = {"rate": "off", "concurrency": 2}
        box.hold()
        process = at.start("run", "changes.csv", "--yes", "-q", "--compare-with", "nothing")
        wait_until(lambda: sum(patched(box).values()) == 2, process)
        process.kill()
        process.communicate(timeout=PATIENCE)
        box.release()
        ran = at.run("resume", "--yes")
        assert ran.code == 0, ran.err
        assert patched(box) == {1: 1, 2: 2, 3: 1}  # a password cannot be read back: sent again
        assert "a later check found the new values" in ran.report[0]["message"]
        assert box.store.users[2].password == PASSWORD


def test_a_run_stopped_by_sigterm_and_resumed_sends_every_row_once(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        at.write("changes.csv", changes())
        words = ("run", "changes.csv", "--yes", "--compare-with", "nothing")
        stopped = at.interrupt(box, *words, answers=20, in_flight=4, by=signal.SIGTERM)
        assert stopped.code == 143
        assert "exit 143: stopped by SIGTERM; continue with: usersync resume 2026" in stopped.err
        at.settings["request"] = {"rate": "off"}
        ran = at.run("resume", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": ROWS, "rows": ROWS})
        assert set(patched(box).values()) == {1}


def test_a_run_stopped_while_reading_is_completed_by_resume(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        at.write("changes.csv", changes() + "x,bad\n")
        assert at.interrupt(box, "run", "changes.csv", "--yes", answers=20, in_flight=4).code == 130
        read = [r.user_id for r in box.log]
        at.settings["request"] = {"rate": "off"}
        ran = at.run("resume", "--yes", "--json")
        assert ran.summary["counts"] == {"updated": ROWS, "rejected": 1, "rows": ROWS + 1}
        again = [r.user_id for r in box.log[len(read) :] if r.method == "GET"]
        assert sorted(again) == list(range(1, ROWS + 1))  # those read before too: what they hold may have changed


@pytest.mark.parametrize(
    ("tuesday", "name"),
    [
        pytest.param("id,name\n3,User 3\n4,Four\n", "User 3", id="it wants the name that the user has"),
        pytest.param("id,email\n3,u3@example.org\n", "Wrong", id="it says nothing of names"),
        pytest.param("id,name\n4,Four\n", "Wrong", id="it says nothing of the user"),
    ],
)
def test_resume_leaves_alone_what_a_newer_run_confirmed(tuesday: str, name: str, desk: Opened) -> None:
    refused = Answer(401, {"error": "Invalid access_token"})
    faults = Faults(script=lambda method, user, nth: refused if (method, user, nth) == ("PATCH", 3, 1) else None)
    with desk(Sandbox(users=numbered_users(4), limit=None, faults=faults)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 1}
        at.write("monday.csv", "id,name\n3,Wrong\n4,Four\n")
        assert at.run("run", "monday.csv", "--yes").code == 4
        at.write("tuesday.csv", tuesday)
        newer = at.run("run", "tuesday.csv", "--yes", "--json").summary["run"]
        resumed = at.run("resume", "--yes")
        assert box.store.users[3].name == name
        ends = {line["id"]: (line["status"], line["message"]) for line in resumed.report}
        if name == "Wrong":
            assert ends["3"] == ("updated", "")
        else:
            message = f"run {newer} confirmed name since, so it was not changed; plan again to change it anyway"
            assert (resumed.code, ends["3"]) == (1, ("conflict", message))


@pytest.mark.parametrize("name", ["Newer", "User 30"])
def test_a_plan_that_is_completed_leaves_alone_what_a_newer_run_asked_for(name: str, desk: Opened) -> None:
    with desk(Sandbox(users=numbered_users(ROWS), limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        at.write("changes.csv", changes())
        assert at.interrupt(box, "run", "changes.csv", "--yes", answers=20, in_flight=4).code == 130
        at.settings["request"] = {"rate": "off"}
        at.write("newer.csv", f"id,name\n30,{name}\n")
        newer = at.run("run", "newer.csv", "--yes", "--json").summary["run"]
        resumed = at.run("resume", "--yes", "--json")
        assert resumed.summary["counts"] == {"updated": ROWS - 1, "conflict": 1, "rows": ROWS}
        (left,) = (line for line in resumed.report if line["status"] == "conflict")
        assert (left["id"], left["message"].split(" since")[0]) == (
            "30", f"run {newer} {'changed' if name == 'Newer' else 'confirmed'} name",
        )  # fmt: skip
        assert box.store.users[30].name == name


def test_resume_does_not_read_unchanged_users_again(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        rows = (f"{i},{user.name}\n" for i, user in box.store.users.items())
        at.write("same.csv", "id,name\n" + "".join(rows) + "1,Other\n999,Nobody\n")
        assert at.interrupt(box, "run", "same.csv", "--yes", answers=20, in_flight=4).code == 130
        at.settings["request"] = {"rate": "off"}
        ran = at.run("resume", "--yes", "--json")
        expected = {"unchanged": ROWS - 1, "rejected": 3, "rows": ROWS + 2}
        assert ran.summary["counts"] == expected
        assert len(box.log) == ROWS  # user 1 is in two rows that contradict each other: never asked for


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_stopped_undo_is_resumed_as_an_undo(method: str, desk: Opened) -> None:
    """Whether it was reading or sending: it must never send the file of the run that it undoes."""
    with desk(Sandbox(users=ROWS, limit=None)) as (box, at):
        names = {i: user.name for i, user in box.store.users.items()}
        at.write("changes.csv", changes())
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        answers = 20 if method == "GET" else ROWS + 20
        assert at.interrupt(box, "undo", run, "--yes", answers=answers, in_flight=4).code == 130
        assert box.log[-1].method == method
        at.settings["request"] = {"rate": "off"}
        ran = at.run("resume", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": ROWS, "rows": ROWS})
        assert {i: user.name for i, user in box.store.users.items()} == names


def test_a_killed_undo_is_resumed_though_the_run_that_it_undoes_was_deleted(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "off", "concurrency": 4}) as (box, at):
        names = {i: user.name for i, user in box.store.users.items()}
        at.write("changes.csv", changes())
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        at.interrupt(box, "undo", run, "--yes", answers=ROWS + 20, in_flight=4, by=signal.SIGKILL)
        assert "1 run deleted" in at.run("runs", "--prune", "0s", "--yes").err
        ran = at.run("resume", "--yes", "--json")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": ROWS, "rows": ROWS})
        assert {i: user.name for i, user in box.store.users.items()} == names


def test_max_duration_stops_a_run_with_a_full_report(tmp_path: Path) -> None:
    clock = Budget()
    faults = Faults(script=lambda method, user, _: clock.spend() if (method, user) == ("PATCH", 20) else None)
    with platform(tmp_path, faults=faults, users=ROWS) as at:
        options, context = RunOptions(max_duration=BUDGET), Context(clock=clock)
        ran = at.run(at.write("changes.csv", changes()), options=options, context=context, compare_with="nothing")
        assert (ran.exit_code, ran.stopped) == (4, "the time limit of 60 s is reached")
        assert ran.counts == {"updated": 20, "not-sent": ROWS - 20, "rows": ROWS}
        at.check(ran, ROWS)


def test_max_duration_is_given_in_seconds(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "50/s"}) as (_, at):
        at.write("changes.csv", changes())
        ran = at.run("run", "changes.csv", "--yes", "--compare-with", "nothing", "--max-duration", "0.5", "--json")
        assert (ran.code, ran.summary["stopped"]) == (4, "the time limit of 0.5 s is reached")
        assert ran.summary["counts"].get("updated", 0) < ROWS


@pytest.mark.parametrize("failing", [1, 2])
def test_a_limited_run_changes_the_first_users_and_no_more_once_it_is_resumed(desk: Opened, failing: int) -> None:
    is_away = True
    faults = Faults(script=lambda method, user, _: Fault.ERROR if is_away and user == failing else None)
    with desk(Sandbox(users=ROWS, limit=None, faults=faults), request={"rate": "off", "retries": 0}) as (box, at):
        at.write("changes.csv", changes())
        ran = at.run("run", "changes.csv", "--yes", "--json", "--limit", "2")
        assert (ran.code, ran.summary["counts"]) == (4, {"updated": 1, "not-sent": 1, "rows": 2})
        is_away = False
        again = at.run("resume", "--yes", "--json")
        assert (again.code, again.summary["counts"]) == (0, {"updated": 2, "rows": 2})
        assert patched(box) == {1: 1, 2: 1}


def test_a_limited_run_does_not_wait_for_users_beyond_its_limit_who_cannot_be_read(desk: Opened) -> None:
    faults = Faults(script=lambda method, user, _: Fault.ERROR if user == 3 else None)
    with desk(Sandbox(users=ROWS, limit=None, faults=faults), request={"rate": "off", "retries": 0}) as (_, at):
        at.write("changes.csv", changes())
        ran = at.run("run", "changes.csv", "--yes", "--json", "--limit", "2")
        assert (ran.code, ran.summary["counts"]) == (0, {"updated": 2, "rows": 2})


def test_a_limited_run_stopped_while_reading_changes_the_first_users_once_it_is_resumed(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "off", "concurrency": 4}) as (box, at):
        at.write("changes.csv", changes())
        ran = at.interrupt(box, "run", "changes.csv", "--yes", "--json", "--limit", "2", answers=20, in_flight=4)
        assert (ran.code, ran.summary["counts"]["rows"], patched(box)) == (130, ROWS, {})
        again = at.run("resume", "--yes", "--json")
        assert (again.code, again.summary["counts"], patched(box)) == (0, {"updated": 2, "rows": 2}, {1: 1, 2: 1})


def test_a_resume_that_is_declined_leaves_the_run_unfinished(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), diff={"compare_with": "nothing"}) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        at.write("changes.csv", changes())
        stopped = at.interrupt(box, "run", "changes.csv", "--yes", answers=20, in_flight=4, by=signal.SIGTERM)
        sent = len(patched(box))
        at.write("declined.py", (
            "import sys, usersync\n"
            "summary = usersync.resume(confirm=lambda plan: False)\n"
            "print(summary.exit_code, summary.status, summary.stopped)\n"
        ))  # fmt: skip
        done = subprocess.run(
            [sys.executable, "declined.py"], cwd=at.folder, env=at.prepare(), capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("4 stopped ")
        assert "not confirmed; nothing more was sent; `usersync resume" in done.stdout
        assert len(patched(box)) == sent
        (run,) = json.loads(at.run("runs", "--json").out)
        assert run["resumable"]
        ran = at.run("resume", "--yes", "--json")
        assert (stopped.code, ran.code, ran.summary["counts"]) == (143, 0, {"updated": ROWS, "rows": ROWS})


def test_an_undo_that_is_declined_leaves_the_run_to_resume(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "off", "concurrency": 4}) as (box, at):
        at.write("changes.csv", changes())
        stopped = at.interrupt(box, "run", "changes.csv", "--yes", "--json", answers=ROWS + 20, in_flight=4)
        run = stopped.summary["run"]
        at.settings["limits"] = {"changes": 1}
        assert at.run("undo", run, "--yes").code == 3
        at.settings["limits"] = {}
        ran = at.run("resume", "--yes", "--json")
        assert (ran.code, ran.summary["run"], ran.summary["counts"]) == (0, run, {"updated": ROWS, "rows": ROWS}), (
            ran.err
        )


@pytest.mark.parametrize(
    ("then", "now"),
    [
        pytest.param({"only_if_blank": True}, {}, id="values that users had stayed"),
        pytest.param({}, {"only_if_blank": True}, id="values that users had were replaced"),
        pytest.param({"blank": "clear"}, {"type": "text"}, id="a text was a number where there was one"),
        pytest.param({"type": "text"}, {}, id="a text stayed one where there was a number"),
    ],
)
def test_a_run_stopped_while_reading_is_completed_with_the_fields_that_it_began_with(
    desk: Opened, then: dict[str, Any], now: dict[str, Any]
) -> None:
    people = [StoredUser(i, f"User {i}", None, custom_attributes={"seats": 1}) for i in range(1, 31)]
    with desk(Sandbox(users=people, limit=None), request={"rate": "off", "concurrency": 4}) as (box, at):
        at.settings["fields"] = {"custom_attributes.seats": then}
        at.write("changes.csv", "id,custom_attributes.seats\n" + "".join(f"{user.id},2\n" for user in people))
        assert at.interrupt(box, "run", "changes.csv", "--yes", answers=10, in_flight=4).code == 130
        at.settings["fields"] = {"custom_attributes.seats": now}
        assert at.run("resume", "--yes").code == 0
        expected = 1 if "only_if_blank" in then else "2" if "type" in then else 2
        assert [user.custom_attributes["seats"] for user in box.store.users.values()] == [expected] * 30


def test_resume_refuses_a_source_that_has_changed(desk: Opened) -> None:
    with desk() as (box, at):
        at.env["USERSYNC_TOKEN"] = "wrong"
        at.write("changes.csv", "id,name\n1,A\n")
        assert at.run("run", "changes.csv", "--yes").code == 4
        at.env["USERSYNC_TOKEN"] = "sandbox-token"
        at.write("changes.csv", "id,name\n1,B\n")
        ran = at.run("resume", "--yes")
        assert ran.code == 3
        assert "stale: changes.csv has changed since run" in ran.err
        assert box.store.users[1].name not in ("A", "B")


def test_a_run_that_was_undone_is_not_resumed(desk: Opened) -> None:
    """Its report would go on to say `updated` of users who hold their old values."""
    with desk(Sandbox(users=ROWS, limit=None), request={"rate": "off", "concurrency": 4}) as (box, at):
        at.write("changes.csv", changes())
        stopped = at.interrupt(box, "run", "changes.csv", "--yes", "--json", answers=ROWS + 20, in_flight=4)
        run = stopped.summary["run"]
        undo = at.run("undo", run, "--yes", "--json").summary["run"]
        before = dict(box.store.users)
        ran = at.run("resume", run, "--yes")
        assert (ran.code, f"run {run} was undone by run {undo}" in ran.err) == (2, True), ran.err
        assert at.run("resume", "--yes").code == 2
        assert dict(box.store.users) == before


def test_resume_without_an_interrupted_run_is_an_error(desk: Opened) -> None:
    with desk() as (_, at):
        assert "no interrupted run to resume" in at.run("resume", "--yes").err
        assert "no run 7 in " in at.run("resume", "7", "--yes").err


def test_resume_refuses_an_override_that_is_no_rule(desk: Opened) -> None:
    with desk() as (_, at):
        at.env["USERSYNC_TOKEN"] = "wrong"
        at.write("changes.csv", "id,name\n1,A\n")
        assert at.run("run", "changes.csv", "--yes").code == 4
        at.env["USERSYNC_TOKEN"] = "sandbox-token"
        ran = at.run("resume", "--yes", "--override", "same-valu")
        assert (ran.code, "did you mean same_value?" in ran.err) == (2, True), ran.err


def test_resuming_all_is_a_success_where_nothing_was_interrupted(desk: Opened) -> None:
    with desk() as (box, at):
        ran = at.run("resume", "--all", "--yes")
        assert (ran.code, ran.out, ran.err) == (0, "", "no interrupted run to resume\n")
        assert at.run("resume", "--all", "7", "--yes").code == 2
        assert at.run("resume", "--all", "--yes", "--json").code == 2
        assert box.log == ()


def test_one_run_at_a_time(desk: Opened) -> None:
    with desk(Sandbox(users=ROWS, limit=None)) as (box, at):
        at.write("changes.csv", changes())
        box.hold()
        first = at.start("run", "changes.csv", "--yes", "--compare-with", "nothing", "-q")
        wait_until(lambda: box.log, first)
        second = at.run("run", "changes.csv", "--yes")
        assert second.code == 5
        assert "is held by " in second.err
        assert f"process {first.pid}" in second.err
        first.kill()
        first.communicate(timeout=PATIENCE)
        box.release()
        assert at.run("resume", "--yes", "--lock-wait", f"{PATIENCE:.0f}s").code == 0  # the lock died with its process


def test_runs_show_and_history_list_what_was_done(desk: Opened) -> None:
    with desk() as (box, at):
        before = box.store.users[1].name
        at.write("changes.csv", f"id,name,password\n1,Ann,{PASSWORD}\nx,,\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        listed = json.loads(at.run("runs", "--json").out)
        assert [(r["run"], r["kind"], r["exit_code"]) for r in listed] == [(run, "run", 1)]
        assert run in at.run("runs").out
        shown = json.loads(at.run("show", run, "--json").out)
        assert [row["status"] for row in shown["rows"]] == ["updated", "rejected"]
        (change,) = json.loads(at.run("history", "1", "--json").out)
        assert (change["row"]["old"], change["row"]["new"]) == (
            {"name": before},
            {"name": "Ann", "password": "***"},
        )
        assert "nothing was ever sent for user 2" in at.run("history", "2").out
        assert "1 run deleted" in at.run("runs", "--prune", "0s", "--yes").err
        assert json.loads(at.run("runs", "--json").out) == []


# a user cannot be read, because the platform is in trouble

TROUBLE = [
    pytest.param(Answer(500, ""), "platform-error", id="500"),
    pytest.param(Fault.ERROR, "platform-error", id="503 with a page"),
    pytest.param(Answer(504, ""), "timeout", id="504"),
    pytest.param(Fault.RESET_BEFORE, "connection", id="connection lost"),
    pytest.param(Answer(200, "<html>Sorry</html>"), "platform-error", id="a page"),
    pytest.param(Answer(403, "<html>Sorry</html>"), "platform-error", id="403 with a page"),
    pytest.param(Answer(200, {"id": 77, "name": "X"}), "echo-differs", id="another user"),
]


def unreadable(user: int, ends_as: Any) -> tuple[Sandbox, Callable[[], None]]:
    """Return a platform on which a user cannot be read, and the way to repair it."""
    broken = [True]

    def script(method: str, user_id: int | None, n: int) -> Any:
        return ends_as if broken and (method, user_id) == ("GET", user) else None

    people = numbered_users(5)
    return Sandbox(users=people, limit=None, faults=Faults(script=script)), broken.clear


@pytest.mark.parametrize(("ends_as", "code"), TROUBLE)
def test_a_row_whose_user_cannot_be_read_is_not_sent_and_resume_sends_it(desk: Opened, ends_as: Any, code: str) -> None:
    box, repair = unreadable(2, ends_as)
    with desk(box, request={"rate": "off", "retries": 0}) as (_, at):
        at.write("changes.csv", changes(3))
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (4, ["updated", f"not-sent {code}", "updated"])
        assert "row 3 is not sent: the user could not be read: " in ran.err
        assert [line["who"] for line in ran.report] == ["nobody", "platform", "nobody"]
        assert at.run("resume", "--yes").code == 4
        repair()
        ran = at.run("resume", "--yes")
        assert (ran.code, set(ran.statuses().values())) == (0, {"updated"}), ran.err
        assert patched(box) == {1: 1, 2: 1, 3: 1}


def test_a_plan_for_which_a_user_cannot_be_read_is_none(desk: Opened) -> None:
    box, repair = unreadable(2, Answer(500, ""))
    with desk(box, request={"rate": "off", "retries": 0}) as (_, at):
        at.write("changes.csv", changes(3))
        ran = at.run("plan", "changes.csv", "-o", "plan.json")
        assert (ran.code, (at.folder / "plan.json").exists()) == (4, False)
        assert "the user could not be read: answered 500; plan again" in ran.err
        repair()
        assert at.run("plan", "changes.csv", "-o", "plan.json").code == 0


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_user_who_cannot_be_read_for_a_plan_or_an_undo_is_left_to_resume(desk: Opened, command: str) -> None:
    broken: list[bool] = []
    people = numbered_users(5)
    faults = Faults(script=lambda method, user, _: Answer(500, "") if broken and (method, user) == ("GET", 2) else None)
    with desk(Sandbox(users=people, limit=None, faults=faults), request={"rate": "off", "retries": 0}) as (box, at):
        at.write("changes.csv", changes(3))
        assert at.run("plan", "changes.csv", "-o", "plan.json").code == 0
        words = ["apply", "plan.json"]
        if command == "undo":
            words = ["undo", at.run("apply", "plan.json", "--yes", "--json").summary["run"]]
        broken.append(True)
        ran = at.run(*words, "--yes")
        assert (ran.code, list(ran.statuses().values())) == (4, ["updated", "not-sent platform-error", "updated"])
        broken.clear()
        ran = at.run("resume", "--yes")
        assert (ran.code, set(ran.statuses().values())) == (0, {"updated"}), ran.err
        assert patched(box)[2] == (2 if command == "undo" else 1)


CHAIN, SWAP = "1,u2@example.org\n2,new@example.org\n", "1,u2@example.org\n2,u1@example.org\n"
CYCLE = "1,u2@example.org\n2,u4@example.org\n4,u1@example.org\n"


@pytest.mark.parametrize(
    ("command", "sheet"),
    [
        pytest.param("apply", CHAIN, id="apply, chain"),
        pytest.param("resume", CHAIN, id="resume, chain"),
        pytest.param("apply", SWAP, id="apply, swap"),
        pytest.param("resume", SWAP, id="resume, swap"),
        pytest.param("undo", SWAP, id="undo, swap"),
        pytest.param("apply", CYCLE, id="apply, cycle"),
        pytest.param("resume", CYCLE, id="resume, cycle"),
        pytest.param("undo", CYCLE, id="undo, cycle"),
    ],
)
def test_rows_that_wait_for_an_address_of_a_user_who_cannot_be_read_are_not_sent_either(
    desk: Opened, command: str, sheet: str
) -> None:
    broken: list[bool] = []
    people = numbered_users(5)
    users = [int(line[0]) for line in sheet.splitlines()]
    own, wanted = [f"u{i}@example.org" for i in users], [line[2:] for line in sheet.splitlines()]

    def script(method: str, user: int | None, n: int) -> Answer | None:
        return Answer(500, "") if broken and (method, user) == ("GET", 2) else None

    with desk(Sandbox(users=people, limit=None, faults=Faults(script=script))) as (box, at):
        at.settings |= {"request": {"rate": "off", "retries": 0}, "diff": {"swap_placeholder": "placeholder@x.org"}}
        at.write("changes.csv", f"id,email\n{sheet}3,other@example.org\n")
        assert at.run("plan", "changes.csv", "-o", "plan.json").code == 0
        words = ["apply", "plan.json"]
        if command == "undo":
            words = ["undo", at.run("apply", "plan.json", "--yes", "--json").summary["run"]]
        if command == "resume":
            at.env["USERSYNC_TOKEN"] = "wrong"
            assert at.run("apply", "plan.json", "--yes").code == 4
            at.env["USERSYNC_TOKEN"] = "sandbox-token"
            words = ["resume"]
        before = [box.store.users[i].email for i in (1, 2, 4)]
        broken.append(True)
        ran = at.run(*words, "--yes")
        *waiting, last = ran.statuses().values()
        assert (ran.code, last) == (4, "updated"), ran.err
        assert sorted(waiting) == ["not-sent blocked-by"] * (len(waiting) - 1) + ["not-sent platform-error"]
        assert [box.store.users[i].email for i in (1, 2, 4)] == before
        broken.clear()
        ran = at.run("resume", "--yes")
        assert (ran.code, set(ran.statuses().values())) == (0, {"updated"}), ran.err
        assert [box.store.users[i].email for i in users] == (own if command == "undo" else wanted)


def test_addresses_move_in_order_once_a_user_who_could_not_be_read_is_read(desk: Opened) -> None:
    """The rows of a swap and a chain are left, in part not even compared; another row was sent before."""
    box, repair = unreadable(2, Answer(500, ""))
    with desk(box, request={"rate": "off", "retries": 0}, diff={"swap_placeholder": "placeholder@x.org"}) as (_, at):
        at.write("changes.csv", "id,email\n2,u3@example.org\n3,u4@example.org\n4,new@example.org\n5,u2@example.org\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 4
        assert list(ran.statuses().values()) == ["not-sent platform-error", "updated", "updated", "failed refused"]
        repair()
        ran = at.run("resume", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (1, ["updated", "updated", "updated", "failed refused"])
        assert [box.store.users[i].email for i in (2, 3, 4)] == [
            "u3@example.org",
            "u4@example.org",
            "new@example.org",
        ]


@pytest.mark.parametrize("applied", [True, False])
def test_rows_that_wait_for_a_row_without_an_answer_are_sent_once_resume_has_looked_it_up(
    desk: Opened, applied: bool
) -> None:
    is_away = True

    def script(method: str, user: int | None, nth: int) -> Fault | None:
        lost = Fault.RESET_AFTER if applied else Fault.RESET_BEFORE
        return (lost if method == "PATCH" else Fault.ERROR if nth > 1 else None) if is_away and user == 1 else None

    people = numbered_users(4)
    box = Sandbox(users=people, limit=None, faults=Faults(script=script))
    with desk(box, request={"rate": "off", "retries": 0}) as (_, at):
        at.write("changes.csv", "id,email\n2,u1@example.org\n1,new@example.org\n3,u2@example.org\n4,x\n")
        ran = at.run("run", "changes.csv", "--yes")
        blocked = "rejected blocked-by"
        assert list(ran.statuses().values()) == [blocked, "unknown connection", blocked, "rejected email-invalid"]
        is_away = False
        again = at.run("resume", "--yes")
        assert (again.code, list(again.statuses().values())) == (1, [*["updated"] * 3, "rejected email-invalid"])
        assert [box.store.users[i].email for i in (1, 2, 3)] == ["new@example.org", "u1@example.org", "u2@example.org"]


def test_rows_that_wait_for_a_row_that_failed_are_not_sent_by_resume_either(desk: Opened) -> None:
    is_away = True

    def script(method: str, user: int | None, nth: int) -> Fault | Answer | None:
        if method == "PATCH" and user == 1:
            return Answer(422, {"message": "No"})
        lost = Fault.RESET_AFTER if method == "PATCH" else Fault.ERROR if nth > 1 else None
        return lost if is_away and user == 3 else None

    with desk(Sandbox(users=5, limit=None, faults=Faults(script=script))) as (box, at):
        at.settings["request"] = {"rate": "off", "retries": 0}
        taken = box.store.users[1].email
        at.write("changes.csv", f"id,name,email\n1,,new@example.org\n2,,{taken}\n3,Cid,\n")
        for command, third in (("run", "unknown connection"), ("resume", "updated")):
            ran = at.run(command, *["changes.csv"] * (command == "run"), "--yes")
            assert list(ran.statuses().values()) == ["failed refused", "rejected blocked-by", third]
            is_away = False
        assert "the user of row 2 has this e-mail address and keeps it" in ran.report[1]["message"]


def test_while_nothing_answers_no_row_is_failed(desk: Opened) -> None:
    with desk(request={"rate": "off", "retries": 0}) as (_, at):
        at.write("changes.csv", changes(10))
        real, at.url = at.url, "http://127.0.0.1:9"
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, {*ran.statuses().values()} <= {"not-sent", "not-sent connection"}) == (4, True)
        assert at.url != real


@pytest.mark.parametrize("status", [200, 400, 404, 418])
def test_rows_answered_by_a_page_before_the_run_stops_are_not_failed(desk: Opened, status: int) -> None:
    """The API answers the first row; then something else is at its address, until it is repaired."""
    broken = [True]

    def script(method: str, user: int | None, n: int) -> Answer | None:
        return Answer(status, "<html>Sorry</html>") if broken and method == "PATCH" and user != 1 else None

    box = Sandbox(users=ROWS, limit=None, faults=Faults(script=script))
    with desk(box, request={"rate": "off", "retries": 0, "concurrency": 1}) as (_, at):
        at.write("changes.csv", changes(9))
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "which is not the platform's API" in ran.err) == (4, True), ran.err
        assert sum(patched(box).values()) == 4
        expected = {200: {"not-sent", "unknown platform-error"}}.get(status, {"not-sent"})
        first, *others = ran.statuses().values()
        assert first == "updated"
        assert {*others} <= expected
        broken.clear()
        ran = at.run("resume", "--yes")
        assert (ran.code, set(ran.statuses().values())) == (0, {"updated"}), ran.err


def test_a_row_matched_by_email_whose_user_cannot_be_read_is_sent_by_resume(desk: Opened) -> None:
    box, repair = unreadable(2, Answer(500, ""))
    account = {"account": 1, "account_token_env": "ACCOUNT_TOKEN"}
    with desk(box, request={"rate": "off", "retries": 0}, platform=account) as (_, at):
        at.env["ACCOUNT_TOKEN"] = user_token(1)
        at.write("changes.csv", "email,display_name\nu1@example.org,A\nu2@example.org,B\nu3@example.org,C\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (4, ["updated", "not-sent platform-error", "updated"])
        repair()
        ran = at.run("resume", "--yes")
        assert (ran.code, set(ran.statuses().values())) == (0, {"updated"}), ran.err
        assert [box.store.users[i].display_name for i in (1, 2, 3)] == ["A", "B", "C"]
        assert patched(box) == {1: 1, 2: 1, 3: 1}
