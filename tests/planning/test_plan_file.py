"""A plan as data, limits on it, and the way back."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from usersync.sandbox import Sandbox, StoredUser

Opened = Callable[..., Any]
PASSWORD = "Str0ng!secret"
SHEET = f"id,name,password,custom_attributes.seats\n1,Ann,,5\n2,,{PASSWORD},\nx,bad,,\n3,User 3,,\n"


def box(count: int = 10) -> Sandbox:
    users = [StoredUser(id=i, name=f"User {i}", email=f"u{i}@example.org") for i in range(1, count + 1)]
    return Sandbox(users=users, limit=None)


def test_a_saved_plan_is_sorted_counted_and_holds_no_secret(desk: Opened) -> None:
    with desk(box()) as (_, at):
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
    with desk(box()) as (open_box, at):
        at.write("changes.csv", SHEET)
        at.run("plan", "changes.csv", "-o", "plan.json")
        ran = at.run("apply", "plan.json", "--yes")
        assert ran.code == 1, ran.err
        assert list(ran.statuses().values()) == ["updated", "updated", "rejected id-invalid", "unchanged"]
        users = open_box.world.users
        assert (users[1].name, users[1].custom_attributes, users[2].password) == ("Ann", {"seats": "5"}, PASSWORD)


def test_apply_leaves_a_user_alone_whom_somebody_changed(desk: Opened) -> None:
    with desk(box()) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n2,Bea\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        open_box.world.update(1, {"name": "Anna"})
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (1, ["conflict stale", "updated"])
        assert open_box.world.users[1].name == "Anna"


@pytest.mark.parametrize("what", ["source", "platform"])
def test_apply_refuses_a_stale_plan(what: str, desk: Opened) -> None:
    with desk(box()) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        if what == "source":
            at.write("changes.csv", "id,name\n1,Bob\n")
        else:
            at.url = at.url.replace("127.0.0.1", "localhost")
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, "stale" in ran.err) == (3, True), ran.err
        assert open_box.world.users[1].name == "User 1"


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "no saved plan"), ("[]", "no plan of version"), ('{"usersync_plan": 1}', "the plan is damaged")],
)
def test_what_is_no_plan_is_told(text: str, says: str, desk: Opened) -> None:
    with desk(box()) as (_, at):
        at.write("plan.json", text)
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, says in ran.err) == (2, True), ran.err


def test_undo_puts_back_what_is_still_ours(desk: Opened) -> None:
    with desk(box()) as (open_box, at):
        at.write("changes.csv", f"id,name,display_name,password,custom_attributes.seats\n1,Ann,A,,5\n2,Bea,,,\n"
                 f"3,,,{PASSWORD},\n4,Dan,,,\n")  # fmt: skip
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        open_box.world.update(2, {"name": "Beatrice"})
        undone = at.run("undo", run, "--yes", "--json")
        assert undone.code == 1
        assert undone.summary["counts"] == {"updated": 2, "conflict": 2, "rows": 4}
        users = open_box.world.users
        assert (users[1].name, users[1].display_name, users[1].custom_attributes) == ("User 1", "", {"seats": None})
        assert (users[2].name, users[4].name, users[3].password) == ("Beatrice", "User 4", PASSWORD)
        messages = {line["row"]: line["message"] for line in undone.report}
        assert messages == {
            "2": f"undoes run {run}", "3": "kept: name (somebody changed it since)",
            "4": "kept: password (it cannot be put back)", "5": f"undoes run {run}",
        }  # fmt: skip


def test_an_undo_gives_addresses_up_before_they_are_taken(desk: Opened) -> None:
    with desk(box()) as (open_box, at):
        at.write("changes.csv", "id,email\n2,new@example.org\n1,u2@example.org\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        assert at.run("undo", run, "--yes").code == 0
        assert [open_box.world.users[i].email for i in (1, 2)] == ["u1@example.org", "u2@example.org"]


def test_an_undo_can_be_undone(desk: Opened) -> None:
    with desk(box()) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        run = at.run("run", "changes.csv", "--yes", "--json").summary["run"]
        back = at.run("undo", run, "--yes", "--json").summary["run"]
        assert open_box.world.users[1].name == "User 1"
        assert at.run("undo", back, "--yes").code == 0
        assert open_box.world.users[1].name == "Ann"


def test_a_plan_beyond_a_limit_sends_nothing_until_it_is_overridden(desk: Opened) -> None:
    with desk(box(), limits={"fields": {"email": {"changes": 1}}}) as (open_box, at):
        at.write("changes.csv", "id,email\n1,a@x.org\n2,b@x.org\n")
        assert at.run("plan", "changes.csv").code == 3
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 3
        assert "--override email-changes" in ran.err
        assert list(ran.statuses().values()) == ["planned", "planned"]
        assert not [r for r in open_box.log if r.method == "PATCH"]
        ran = at.run("run", "changes.csv", "--yes", "--override", "email-changes", "--json")
        assert (ran.code, ran.summary["limits"][0]["overridden"]) == (0, True)
        assert at.run("run", "changes.csv", "--yes", "--override", "emial-changes").code == 2


def test_a_fill_down_of_one_name_is_refused(desk: Opened) -> None:
    with desk(box(30)) as (open_box, at):
        at.write("changes.csv", "id,name\n" + "".join(f"{i},Ann\n" for i in range(1, 31)))
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "--override same-name" in ran.err) == (3, True)
        assert {r.method for r in open_box.log} == {"GET"}


def test_protected_users_are_never_sent(desk: Opened) -> None:
    with desk(box(), limits={"protect": [1, "*@boss.example", "u3@*"]}) as (open_box, at):
        at.write("changes.csv", "id,name,email\n1,A,\n2,B,me@boss.example\n3,C,\n4,D,\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert list(ran.statuses().values()) == ["rejected protected"] * 3 + ["updated"]
        assert [r.user_id for r in open_box.log if r.method == "PATCH"] == [4]


def test_a_plan_that_was_changed_by_hand_is_not_sent(desk: Opened) -> None:
    with desk(box()) as (open_box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        at.run("plan", "changes.csv", "-o", "plan.json")
        path = at.folder / "plan.json"
        path.write_text(path.read_text("utf-8").replace('"user": "1"', '"user": "2"'), "utf-8")
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, "changed by hand" in ran.err) == (2, True)
        assert not [r for r in open_box.log if r.method == "PATCH"]
