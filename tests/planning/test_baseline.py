"""Test comparison with the last run or a file, conflicts, and e-mail order."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import numbered_box
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser

Opened = Callable[..., Any]


def methods(open_box: Sandbox, since: int = 0) -> list[str]:
    return [f"{r.method} {r.user_id}" for r in open_box.log[since:]]


def test_last_run_reads_only_users_it_does_not_know(desk: Opened) -> None:
    with desk(numbered_box(5), diff={"compare_with": "last-run"}) as (open_box, at):
        at.write("nightly.csv", "id,name,custom_attributes.seats\n1,Ann,5\n2,User 2,\n")
        assert at.run("run", "nightly.csv", "--yes").code == 0
        assert sorted(methods(open_box)) == ["GET 1", "GET 2", "PATCH 1"]  # never seen: read first
        before = len(open_box.log)
        assert at.run("run", "nightly.csv", "--yes").statuses() == {"2": "unchanged", "3": "unchanged"}
        at.write("nightly.csv", "id,name,custom_attributes.seats\n1,Ann,6\n2,User 2,\n3,User 3,\n")
        ran = at.run("run", "nightly.csv", "--yes")
        assert list(ran.statuses().values()) == ["updated", "unchanged", "unchanged"]
        assert sorted(methods(open_box, before)) == ["GET 3", "PATCH 1"]


def test_last_run_knows_what_was_written_to_users_whose_display_name_is_blank(desk: Opened) -> None:
    users = [StoredUser(id=1, name="Ann", email="u1@example.org", display_name="A")]
    with desk(Sandbox(users=users, limit=None), diff={"compare_with": "last-run"}) as (open_box, at):
        at.write("nightly.csv", "id,name\n1,Bea\n")
        at.run("run", "nightly.csv", "--yes")
        open_box.store.update(1, {"display_name": ""})
        for name in ("Cid", "Bea", "Cid"):
            at.write("nightly.csv", f"id,name\n1,{name}\n")
            before = len(open_box.log)
            assert at.run("run", "nightly.csv", "--yes").statuses() == {"2": "updated"}
            assert (open_box.store.users[1].name, methods(open_box, before)) == (name, ["PATCH 1"])


def test_unchanged_rows_keep_their_row_number_their_id_as_written_and_their_note(desk: Opened) -> None:
    with desk(numbered_box(5), diff={"compare_with": "last-run"}) as (_, at):
        at.write("a.csv", "id,name\n1,Ann\n2,Bea\n3,Cid\n4,Dan\n")
        at.run("run", "a.csv", "--yes")
        at.write("b.csv", "id,name\n\n4,Dan\n3,Cid\n\n2.0,Bea\n1,Anna\n1,Anna\n3,Cid\n")
        report = at.run("run", "b.csv", "--yes").report
        assert [(n["row"], n["id"], n["status"], n["message"]) for n in report] == [
            ("3", "4", "unchanged", ""),
            ("4", "3", "unchanged", "same values as row 9"),
            ("6", "2.0", "unchanged", "id '2.0' read as 2"),
            ("7", "1", "updated", "same values as row 8"),
            ("8", "1", "updated", "same values as row 7"),
            ("9", "3", "unchanged", "same values as row 4"),
        ]


def test_last_run_with_verify_reads_the_users_that_would_change(desk: Opened) -> None:
    with desk(numbered_box(5), diff={"compare_with": "last-run", "verify": True}) as (open_box, at):
        at.write("nightly.csv", "id,name\n1,Ann\n2,Bea\n")
        at.run("run", "nightly.csv", "--yes")
        before = len(open_box.log)
        at.write("nightly.csv", "id,name\n1,Ann\n2,Beatrice\n")
        assert list(at.run("run", "nightly.csv", "--yes").statuses().values()) == ["unchanged", "updated"]
        assert methods(open_box, before) == ["GET 2", "PATCH 2"]


def test_a_plan_compares_with_the_last_run_and_is_not_listed_as_a_run(desk: Opened) -> None:
    with desk(numbered_box(5), diff={"compare_with": "last-run"}) as (open_box, at):
        at.write("nightly.csv", "id,name\n1,Ann\n2,Bea\n")
        at.run("run", "nightly.csv", "--yes")
        before = len(open_box.log)
        at.write("nightly.csv", "id,name\n1,Ann\n2,Beatrice\n")
        ran = at.run("plan", "nightly.csv", "--json")
        assert ran.summary["counts"] == {"unchanged": 1, "planned": 1, "rows": 2}
        assert methods(open_box, before) == []
        assert len(json.loads(at.run("runs", "--json").out)) == 1


def test_users_missing_from_a_baseline_file_are_read(desk: Opened) -> None:
    with desk(numbered_box(5)) as (open_box, at):
        at.write("yesterday.csv", 'id,name,custom_attributes\n1,User 1,"{""seats"": 5}"\n2,User 2,\n')
        at.write("today.csv", "id,name,custom_attributes.seats\n1,User 1,5\n2,Bea,\n3,User 3,\n")
        ran = at.run("run", "today.csv", "--yes", "--compare-with", "yesterday.csv")
        assert list(ran.statuses().values()) == ["unchanged", "updated", "unchanged"]
        assert sorted(methods(open_box)) == ["GET 3", "PATCH 2"]


@pytest.mark.parametrize(("rows", "more"), [("x,Ann\n", ""), ("x,Ann\ny,Bea\nz,Cid\n", "; and 2 more")])
def test_a_baseline_file_with_problems_is_refused_with_the_first_one(rows: str, more: str, desk: Opened) -> None:
    with desk(numbered_box(5)) as (open_box, at):
        at.write("yesterday.csv", f"id,name\n1,User 1\n{rows}")
        at.write("today.csv", "id,name\n1,Ann\n")
        ran = at.run("run", "today.csv", "--yes", "--compare-with", "yesterday.csv")
        assert ran.code == 2
        assert f"yesterday.csv, row 3: an id is a whole number written in digits only, such as 1042{more}\n" in ran.err
        assert not open_box.log


def test_a_value_changed_since_usersync_wrote_it_is_a_conflict(desk: Opened) -> None:
    with desk(numbered_box(5)) as (open_box, at):
        at.write("a.csv", "id,name\n1,Ann\n2,Bea\n")
        at.run("run", "a.csv", "--yes")
        open_box.store.update(1, {"name": "Anna"})
        open_box.store.update(3, {"name": "Cidney"})
        at.write("b.csv", "id,name\n1,Annie\n2,Beatrice\n3,Cid\n")
        planned = at.run("plan", "b.csv")
        assert planned.code == 1
        assert re.search('\nconflict: 1 row\n  row 2.*: name: usersync wrote "Ann", the platform holds', planned.out)
        ran = at.run("run", "b.csv", "--yes")
        assert list(ran.statuses().values()) == ["conflict", "updated", "updated"]  # usersync never wrote user 3
        assert ran.report[0]["message"] == (
            'name: usersync wrote "Ann", the platform holds "Anna", the file wants "Annie"; '
            "resolve it by hand, or set diff.on_conflict: overwrite"
        )
        at.settings["diff"] = {"on_conflict": "overwrite"}
        assert at.run("run", "b.csv", "--yes").code == 0
        assert open_box.store.users[1].name == "Annie"


def test_a_row_that_frees_an_address_is_sent_before_the_row_that_takes_it(desk: Opened) -> None:
    with desk(numbered_box(5)) as (open_box, at):
        at.write("chain.csv", "id,email\n1,u2@example.org\n2,u3@example.org\n3,new@example.org\n4,other@example.org\n")
        ran = at.run("run", "chain.csv", "--yes")
        assert ran.code == 0, ran.report
        order = [r.user_id for r in open_box.log if r.method == "PATCH"]
        assert order.index(3) < order.index(2) < order.index(1)


def test_rows_that_wait_for_a_failed_row_are_not_sent(desk: Opened) -> None:
    def refuse(method: str, user_id: int | None, nth: int) -> Answer | None:
        return Answer(422, {"message": "no", "attributes": []}) if (method, user_id) == ("PATCH", 3) else None

    with desk(numbered_box(5, faults=Faults(script=refuse))) as (open_box, at):
        at.write("chain.csv", "id,email\n1,u2@example.org\n2,u3@example.org\n3,new@example.org\n")
        ran = at.run("run", "chain.csv", "--yes")
        assert list(ran.statuses().values()) == ["rejected blocked-by", "rejected blocked-by", "failed refused"]
        assert "row 4 has to give up this e-mail address first, and is failed" in ran.report[1]["message"]
        assert open_box.store.users[1].email == "u1@example.org"


def test_a_cycle_of_addresses_is_rejected_with_a_remedy(desk: Opened) -> None:
    with desk(numbered_box(5)) as (_, at):
        at.write("cycle.csv", "id,email\n1,u2@example.org\n2,u1@example.org\n3,c@example.org\n")
        ran = at.run("run", "cycle.csv", "--yes")
        assert list(ran.statuses().values()) == ["rejected swap-cycle"] * 2 + ["updated"]
        assert "give one of them another address first" in ran.report[0]["message"]


def test_an_export_is_compared_with_what_it_held_before_formulas_were_guarded(desk: Opened) -> None:
    users = [StoredUser(i, f"User {i}", f"+u{i}@example.org", None, {"phone": f"+491{i}"}) for i in (1, 2)]
    with desk(Sandbox(users=users, limit=None)) as (open_box, at):
        at.write("ids.txt", "1\n2\n")
        assert at.run("export", "users.csv", "--ids", "ids.txt").code == 0
        at.settings = {"diff": {"compare_with": "users.csv"}, "source": {"directory": "users.csv"}}
        at.write("new.csv", "email,custom_attributes.phone\n+u1@example.org,+491\n+u2@example.org,+4999\n")
        ran = at.run("run", "new.csv", "--yes", "--json")
        assert (ran.code, list(ran.statuses().values())) == (0, ["updated", "updated"])
        at.write("same.csv", "id,custom_attributes.phone\n1,+4911\n2,+4912\n")
        assert list(at.run("run", "same.csv", "--yes").statuses().values()) == ["unchanged", "unchanged"]
        at.run("undo", ran.summary["run"], "--yes")
        assert [user.custom_attributes["phone"] for user in open_box.store.users.values()] == ["+4911", "+4912"]


def test_an_export_that_is_matched_by_email_finds_addresses_that_were_guarded(desk: Opened) -> None:
    users = [StoredUser(1, "Ann", "+ann@example.org", role="administrator"), StoredUser(2, "Bob", "bob@example.org")]
    with desk(Sandbox(users=users, limit=None), platform={"account": 1, "account_token_env": "T"}) as (open_box, at):
        at.env["T"] = "sandbox-access-token-1"
        at.run("export", "users.csv", "--columns", "email,name")
        at.write("users.csv", (at.folder / "users.csv").read_bytes().replace(b"Ann", b"Anna"))
        assert at.run("run", "users.csv", "--yes", "--match-by", "email").code == 0
        assert open_box.store.users[1].name == "Anna"


def test_what_a_file_does_not_say_of_a_user_is_read_and_can_be_undone(desk: Opened) -> None:
    """A blank cell is no value, a column may be missing, and text has no type."""
    users = [StoredUser(i, f"User {i}", f"u{i}@example.org", "D", {"seats": i, "team": "Ops"}) for i in range(1, 8)]
    with desk(Sandbox(users=users, limit=None), diff={"compare_with": "yesterday.csv"}) as (open_box, at):
        head = "id,name,custom_attributes.seats"
        at.write("yesterday.csv", f"{head}\n1,,1\n2,User 2,2\n3,User 3,\n4,User 4,4\n5,User 5,5\n6,U,\n7,U,#CLEAR\n")
        today = "1,Ann,1,\n2,User 2,7,\n3,User 3,3,\n4,User 4,4,Dan\n5,Eve,5,\n6,,#CLEAR,\n7,,#CLEAR,\n"
        at.write("today.csv", f"{head},display_name\n{today}")
        before = dict(open_box.store.users)
        ran = at.run("run", "today.csv", "--yes", "--json")
        changed = (1, 2, 4, 5, 6)
        assert [int(line["id"]) for line in ran.report if line["status"] == "updated"] == list(changed)
        assert sorted(methods(open_box)) == [*(f"GET {i}" for i in (1, 2, 3, 4, 6)), *(f"PATCH {i}" for i in changed)]
        assert open_box.store.users[2].custom_attributes == {"seats": 7, "team": "Ops"}
        assert at.run("undo", ran.summary["run"], "--yes").code == 0
        assert open_box.store.users == before


@pytest.mark.parametrize("match_by", ["auto", "email"])
def test_a_file_without_ids_cannot_be_compared_with(desk: Opened, match_by: str) -> None:
    with desk(numbered_box(10), diff={"compare_with": "yesterday.csv"}, source={"match_by": match_by}) as (_, at):
        at.write("directory.csv", "id,email\n1,u1@example.org\n")
        at.settings["source"]["directory"] = "directory.csv"
        at.write("yesterday.csv", "email,name\nu1@example.org,User 1\n")
        at.write("today.csv", "email,name\nu1@example.org,Ann\n")
        ran = at.run("run", "today.csv", "--yes")
        assert ran.code == 2
        assert "yesterday.csv: row 1 looks like the header and has e-mail addresses, but no ids" in ran.err
