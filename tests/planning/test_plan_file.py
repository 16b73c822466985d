"""Test saved plans: applied, refused by limits, undone."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import numbered_box
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser

Opened = Callable[..., Any]
PASSWORD = "Str0ng!secret"
SHEET = f"id,name,password,custom_attributes.seats\n1,Ann,,5\n2,,{PASSWORD},\nx,bad,,\n3,User 3,,\n"


def changed_name(at: Any, name: str) -> str:
    """Give user 1 a name in a run of its own, and return the run."""
    at.write("name.csv", f"id,name\n1,{name}\n")
    return str(at.run("run", "name.csv", "--yes", "--json").summary["run"])


def test_a_saved_plan_has_sorted_rows_and_counts_and_no_secrets(desk: Opened) -> None:
    with desk(numbered_box(10)) as (_, at):
        at.write("changes.csv", SHEET)
        assert at.run("plan", "changes.csv", "-o", "plan.json").code == 1
        text = (at.folder / "plan.json").read_text()
        plan = json.loads(text)
        assert PASSWORD not in text
        assert plan["counts"] == {"unchanged": 1, "rejected": 1, "planned": 2, "rows": 4}
        assert [row["row"] for row in plan["rows"]] == [2, 3, 4, 5]
        assert plan["rows"][0]["old"] == {"name": "User 1", "custom_attributes.seats": None}
        assert plan["rows"][0]["new"] == {"name": "Ann", "custom_attributes.seats": "5"}
        assert plan["rows"][1]["new"] == {"password": "set, from row 3 of the file"}


def test_apply_sends_exactly_the_plan(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", SHEET)
        at.run("plan", "changes.csv", "-o", "plan.json")
        ran = at.run("apply", "plan.json", "--yes")
        assert ran.code == 1, ran.err
        assert list(ran.statuses().values()) == ["updated", "updated", "rejected id-invalid", "unchanged"]
        users = open_box.store.users
        assert (users[1].name, users[1].custom_attributes, users[2].password) == ("Ann", {"seats": "5"}, PASSWORD)


def test_apply_reports_a_conflict_for_a_user_changed_since_the_plan(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n2,Bea\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        open_box.store.update(1, {"name": "Anna"})
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (1, ["conflict stale", "updated"])
        assert open_box.store.users[1].name == "Anna"
        left_alone = "somebody changed name since, so it was not changed; plan again to change it anyway"
        assert (ran.report[0]["message"], ran.report[0]["who"]) == (left_alone, "nobody")


def test_apply_gives_users_without_an_address_or_a_name_their_first(desk: Opened) -> None:
    users = [StoredUser(id=1, name="Ann", email=None), StoredUser(id=2, name=None, email="")]
    with desk(Sandbox(users=users, limit=None)) as (open_box, at):
        at.write("changes.csv", "id,email,display_name,name\n1,ann@example.org,A,\n2,bea@example.org,,Bea\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (0, ["updated", "updated"]), ran.report
        assert [(user.email, user.name) for user in open_box.store.users.values()] == [
            ("ann@example.org", "Ann"), ("bea@example.org", "Bea"),
        ]  # fmt: skip


def test_a_plan_is_applied_after_all_earlier_runs_were_deleted(desk: Opened) -> None:
    with desk(numbered_box(10)) as (_, at):
        for name in ("Ann", "Bea", "Cid"):
            at.write("changes.csv", f"id,name\n1,{name}\n")
            at.run("run", "changes.csv", "--yes")
        assert "3 runs deleted" in at.run("runs", "--prune", "0s", "--yes").err
        at.write("changes.csv", "id,name\n1,Dan\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (0, ["updated"]), ran.report


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_run_that_changed_a_user_since_is_named(desk: Opened, command: str) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", "id,name,custom_attributes.seats\n1,Ann,5\n2,Bea,\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        words = ["apply", "plan.json"]
        if command == "undo":
            words = ["undo", at.run("run", "changes.csv", "--yes", "--json").summary["run"]]
        at.write("newer.csv", "id,name\n1,Anna\n")
        newer = at.run("run", "newer.csv", "--yes", "--json").summary["run"]
        open_box.store.update(2, {"name": "Beatrice"})
        ran = at.run(*words, "--yes")
        first, second = ran.report
        if command == "undo":
            assert first["message"].endswith(f"kept: name (run {newer} changed it since)")
            assert second["message"].endswith("kept: name (somebody changed it since)")
        else:
            assert first["message"].startswith(f"run {newer} changed name since, so it was not changed")
            assert second["message"].startswith("somebody changed name since")
        assert not list(at.folder.glob("runs/*/rejects*"))
        assert (open_box.store.users[1].name, open_box.store.users[2].name) == ("Anna", "Beatrice")


@pytest.mark.parametrize("what", ["source", "platform"])
def test_apply_refuses_a_stale_plan(what: str, desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        if what == "source":
            at.write("changes.csv", "id,name\n1,Bob\n")
        else:
            at.url = at.url.replace("127.0.0.1", "localhost")
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, "stale" in ran.err) == (3, True), ran.err
        assert open_box.store.users[1].name == "User 1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{", "plan.json: not a plan that `usersync plan -o` saved; make one", id="no JSON"),
        pytest.param("[]", "plan.json: not a plan that `usersync plan -o` saved", id="another JSON"),
        pytest.param('{"usersync_plan": 1}', "plan.json: not a plan of version 2", id="a plan of a former version"),
        pytest.param('{"usersync_plan": 2}', "plan.json: the plan is damaged or was edited", id="a plan without rows"),
    ],
)
def test_apply_rejects_a_file_that_is_not_a_whole_plan(text: str, says: str, desk: Opened) -> None:
    with desk(numbered_box(10)) as (_, at):
        at.write("plan.json", text)
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, says in ran.err) == (2, True), ran.err


def test_undo_restores_old_values_and_keeps_those_changed_by_others(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", f"id,name,display_name,password,custom_attributes.seats\n1,Ann,A,,5\n2,Bea,,,\n"
                 f"3,,,{PASSWORD},\n4,Dan,,,\n")  # fmt: skip
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        open_box.store.update(2, {"name": "Beatrice"})
        undone = at.run("undo", run, "--yes", "--json")
        assert undone.code == 1
        assert undone.summary["counts"] == {"updated": 2, "conflict": 2, "rows": 4}
        users = open_box.store.users
        assert (users[1].name, users[1].display_name, users[1].custom_attributes) == ("User 1", "", {"seats": None})
        assert (users[2].name, users[4].name, users[3].password) == ("Beatrice", "User 4", PASSWORD)
        messages = {line["row"]: line["message"] for line in undone.report}
        assert messages == {
            "2": f"undo of run {run}", "3": f"undo of run {run}; kept: name (somebody changed it since)",
            "4": f"undo of run {run}; kept: password (cannot be restored)", "5": f"undo of run {run}",
        }  # fmt: skip


def test_undo_of_a_first_display_name_is_confirmed_by_a_platform_that_answers_null_for_blank(desk: Opened) -> None:
    cleared = Answer(200, {"id": 1, "name": "User 1", "display_name": None, "email": "u1@example.org"})
    faults = Faults(script=lambda method, _, nth: cleared if (method, nth) == ("PATCH", 2) else None)
    with desk(numbered_box(1, faults=faults)) as (_, at):
        at.write("changes.csv", "id,display_name\n1,A\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        undone = at.run("undo", run, "--yes")
        assert (undone.code, list(undone.statuses().values())) == (0, ["updated"]), undone.report


def test_undo_restores_what_the_platform_kept_of_a_row_that_failed(desk: Opened) -> None:
    """User 1 keeps the name only, user 2 nothing."""
    partly = Answer(200, {"id": 1, "name": "Ann", "email": "u1@example.org"})
    nothing = Answer(200, {"id": 2, "name": "User 2", "email": "u2@example.org"})
    answers = {1: partly, 2: nothing}
    faults = Faults(script=lambda method, user, nth: answers.get(user or 0) if (method, nth) == ("PATCH", 1) else None)
    with desk(numbered_box(3, faults=faults)) as (open_box, at):
        at.write("changes.csv", "id,name,custom_attributes.seats\n1,Ann,5\n2,Bea,\n3,Cid,\n")
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert list(ran.statuses().values()) == ["failed echo-differs", "failed echo-differs", "updated"]
        open_box.store.update(1, {"name": "Ann"})  # a scripted answer carries nothing out
        undone = at.run("undo", ran.summary["run"], "--yes")
        assert (undone.code, list(undone.statuses().values())) == (0, ["updated", "unchanged", "updated"])
        assert [user.name for user in open_box.store.users.values()] == ["User 1", "User 2", "User 3"]
        assert open_box.store.users[1].custom_attributes == {}


def test_undo_leaves_out_rows_that_were_not_sent_because_another_user_was_answered(desk: Opened) -> None:
    other = Answer(200, {"id": 2, "name": "User 2", "email": "u2@example.org"})
    faults = Faults(script=lambda method, user, _: other if (method, user) == ("GET", 1) else None)
    with desk(numbered_box(3, faults=faults)) as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\n3,Cid\n")
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert list(ran.statuses().values()) == ["not-sent echo-differs", "updated"]
        undone = at.run("undo", ran.summary["run"], "--yes")
        assert (undone.code, undone.statuses()) == (0, {"3": "updated"})


def test_an_undo_sends_a_row_that_frees_an_address_before_the_row_that_takes_it(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", "id,email\n2,new@example.org\n1,u2@example.org\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        assert at.run("undo", run, "--yes").code == 0
        assert [open_box.store.users[i].email for i in (1, 2)] == ["u1@example.org", "u2@example.org"]


def test_undo_keeps_a_value_that_a_later_run_wrote_again(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        runs = [changed_name(at, name) for name in ("Ann", "Anna", "Ann")]
        undone = at.run("undo", runs[0], "--yes")
        kept = f"undo of run {runs[0]}; kept: name (run {runs[2]} changed it since)"
        assert (undone.code, undone.report[0]["status"], undone.report[0]["message"]) == (1, "conflict", kept)
        assert open_box.store.users[1].name == "Ann"


def test_runs_can_be_undone_from_the_last_to_the_first(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        runs = [changed_name(at, name) for name in ("Ann", "Anna", "Ann")]
        for run, name in zip(reversed(runs), ("Anna", "Ann", "User 1"), strict=True):
            assert at.run("undo", run, "--yes").code == 0
            assert open_box.store.users[1].name == name


def test_an_undo_can_be_undone(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        back = at.run("undo", run, "--yes", "--json").summary["run"]
        assert open_box.store.users[1].name == "User 1"
        assert at.run("undo", back, "--yes").code == 0
        assert open_box.store.users[1].name == "Ann"


def test_a_plan_beyond_a_limit_sends_nothing_until_it_is_overridden(desk: Opened) -> None:
    with desk(numbered_box(10), limits={"fields": {"email": {"changes": 1}}}) as (open_box, at):
        at.write("changes.csv", "id,email\n1,a@x.org\n2,b@x.org\n")
        assert at.run("plan", "changes.csv").code == 3
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 3
        assert "--override email-changes" in ran.err
        assert list(ran.statuses().values()) == ["not-sent", "not-sent"]
        assert not [r for r in open_box.log if r.method == "PATCH"]
        ran = at.run("run", "changes.csv", "--yes", "--override", "email-changes", "--json")
        assert (ran.code, ran.summary["limits"][0]["overridden"]) == (0, True)
        assert at.run("run", "changes.csv", "--yes", "--override", "emial-changes").code == 2


def test_a_run_that_gives_many_users_one_name_is_refused(desk: Opened) -> None:
    with desk(numbered_box(30)) as (open_box, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},Ann\n" for i in range(1, 31)))
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "--override same-name" in ran.err) == (3, True)
        assert {r.method for r in open_box.log} == {"GET"}


def test_protected_users_are_never_sent(desk: Opened) -> None:
    with desk(numbered_box(10), limits={"protect": [1, "*@boss.example", "u3@*"]}) as (open_box, at):
        at.write("changes.csv", "id,name,email\n1,A,\n2,B,me@boss.example\n3,C,\n4,D,\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert list(ran.statuses().values()) == ["rejected protected"] * 3 + ["updated"]
        assert [r.user_id for r in open_box.log if r.method == "PATCH"] == [4]


def test_a_saved_plan_that_was_edited_is_not_sent(desk: Opened) -> None:
    with desk(numbered_box(10)) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        path = at.folder / "plan.json"
        edited = path.read_text("utf-8").replace('"id": "1"', '"id": "2"')
        assert edited != path.read_text("utf-8")
        path.write_text(edited, "utf-8")
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, "the plan is damaged or was edited" in ran.err) == (2, True)
        assert not [r for r in open_box.log if r.method == "PATCH"]
