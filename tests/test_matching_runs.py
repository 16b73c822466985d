"""Run sheets of people who are known by e-mail alone: matched, planned, sent, resumed and undone."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from usersync.sandbox import Answer, Faults, Sandbox, StoredUser, running, user_token

Desk = Callable[..., Any]
ACCOUNT = {"account": 1, "account_token_env": "ACCOUNT_TOKEN"}
USERS = (
    StoredUser(1, "Ann", "ann@example.org"),
    StoredUser(2, "Ben", "ben@example.org"),
    StoredUser(3, "Cy", "cy@example.org"),
    StoredUser(4, "Dan", "dan@example.org", accounts=(2,)),
)
STAFF = "E-mail,Name\nann@example.org,New Ann\n BEN@example.org ,Ben\nnobody@example.org,X\n,Y\n"


def open_desk(desk: Desk, box: Sandbox | None = None, **settings: Any) -> Any:
    return desk(box or Sandbox(users=USERS, limit=None), **{"platform": ACCOUNT, **settings})


def ids(ran: Any) -> dict[str, str]:
    return {line["row"]: line["id"] for line in ran.report}


def with_token(at: Any) -> Any:
    at.env["ACCOUNT_TOKEN"] = user_token(1)
    return at


def test_a_sheet_of_names_and_e_mails_alone_is_updated(desk: Desk) -> None:
    with open_desk(desk) as (box, at):
        with_token(at).write("staff.csv", STAFF)
        ran = at.run("run", "staff.csv", "--yes", "--json")
        assert ran.code == 1
        assert ran.statuses() == {
            "2": "updated",
            "3": "unchanged",
            "4": "rejected no-match",
            "5": "rejected id-missing",
        }
        assert ids(ran) == {"2": "1", "3": "2", "4": "", "5": ""}
        assert [line["who"] for line in ran.report][2:] == ["sheet", "sheet"]
        assert ran.summary["requests"]["get"] == 1
        assert box.store.users[1].name == "New Ann"
        assert box.store.users[1].email == "ann@example.org"


def test_the_first_note_of_a_plan_says_how_rows_are_matched(desk: Desk) -> None:
    with open_desk(desk) as (_, at):
        with_token(at).write("staff.csv", STAFF)
        notes = at.run("plan", "staff.csv", "--json").summary["notes"]
    assert notes[0] == ("rows are matched by e-mail address with the 3 users of account 1: 2 of 4 rows found")


def test_a_column_new_email_is_the_address_to_set(desk: Desk) -> None:
    with open_desk(desk) as (box, at):
        with_token(at).write("staff.csv", "Mail,New e-mail\nann@example.org,ann@new.org\nben@example.org,\n")
        ran = at.run("run", "staff.csv", "--yes")
        assert ran.statuses() == {"2": "updated", "3": "rejected nothing-to-do"}
        assert "the row names a user, but no values; fill in" in ran.report[1]["message"]
        assert (box.store.users[1].email, box.store.users[2].email) == ("ann@new.org", "ben@example.org")


def test_rows_of_one_user_are_duplicates(desk: Desk) -> None:
    with open_desk(desk) as (_, at):
        text = "email,name\nann@example.org,A\nANN@example.org,B\nben@example.org,B2\nBen@example.org,B2\n"
        with_token(at).write("staff.csv", text)
        ran = at.run("run", "staff.csv", "--yes")
        assert list(ran.statuses().values()) == ["rejected duplicate"] * 2 + ["updated"] * 2
        assert ran.report[0]["message"].startswith(
            "email 'ann@example.org': other values for user ann@example.org in row 3 (name)"
        )
        assert ids(ran) == {"2": "1", "3": "1", "4": "2", "5": "2"}


def test_a_workbook_of_names_and_e_mails_is_matched(desk: Desk) -> None:
    book = Workbook()
    assert isinstance(book.active, Worksheet)
    for row in (["Mail", "Name"], ["cy@example.org", "New Cy"]):
        book.active.append(row)
    with open_desk(desk) as (box, at):
        book.save(at.folder / "staff.xlsx")
        assert with_token(at).run("run", "staff.xlsx", "--yes").code == 0
        assert box.store.users[3].name == "New Cy"


def test_files_with_ids_and_files_with_e_mails_make_one_run(desk: Desk) -> None:
    with open_desk(desk) as (box, at):
        with_token(at).write("a.csv", "id,name,email\n1,A,ann@new.org\n")
        at.write("b.csv", "email,name\nben@example.org,B\nann@example.org,C\n")
        ran = at.run("run", "a.csv", "b.csv", "--yes")
        assert [(line["id"], line["status"], line["code"]) for line in ran.report] == [
            ("1", "rejected", "duplicate"), ("2", "updated", ""), ("1", "rejected", "duplicate"),
        ]  # fmt: skip
        assert box.store.users[2].email == "ben@example.org"


@pytest.mark.parametrize("option", [["--match-by", "email"], []])
def test_match_by_email_leaves_an_id_column_aside(desk: Desk, option: list[str]) -> None:
    with open_desk(desk, source={} if option else {"match_by": "email"}) as (box, at):
        with_token(at).write("staff.csv", "id,email,name\n3,ann@example.org,A\n")
        ran = at.run("run", "staff.csv", "--yes", *option)
        assert (ran.code, ids(ran)) == (0, {"2": "1"})
        assert box.store.users[1].name == "A"


def test_match_by_id_refuses_a_sheet_without_ids(desk: Desk) -> None:
    with open_desk(desk) as (box, at):
        with_token(at).write("staff.csv", STAFF)
        ran = at.run("run", "staff.csv", "--yes", "--match-by", "id")
        assert ran.code == 2
        assert "has e-mail addresses, but no ids" in ran.err
        assert not box.log


def test_the_rejects_come_back_once_they_are_corrected(desk: Desk) -> None:
    with open_desk(desk) as (_, at):
        with_token(at).write("staff.csv", STAFF)
        rejects = at.run("run", "staff.csv", "--yes", "--json").summary["files"]["rejects"]
        again = at.run("plan", rejects, "--json")
        assert again.summary["counts"] == {"rejected": 2, "rows": 2}
        text = (at.folder / rejects).read_text("utf-8-sig").replace("nobody@", "cy@")
        at.write("corrected.csv", text)
        assert at.run("plan", "corrected.csv", "--json").summary["counts"] == {"planned": 1, "rejected": 1, "rows": 2}


class TestWhereTheAddressesComeFrom:
    """The list of the account, else a file, else the ledger, else nothing."""

    def test_a_file_of_ids_and_addresses(self, desk: Desk) -> None:
        with open_desk(desk, platform={}, source={"directory": "people.csv"}) as (box, at):
            at.write("people.csv", "User id,Mail\n1,Ann@example.org\n2,ben@example.org\n3,\n")
            at.write("staff.csv", STAFF)
            ran = at.run("run", "staff.csv", "--yes", "--json")
            assert list(ran.statuses().values())[:3] == ["updated", "unchanged", "rejected no-match"]
            assert box.store.users[1].name == "New Ann"

    def test_a_user_who_has_another_address_than_the_file_says_is_not_changed(self, desk: Desk) -> None:
        with open_desk(desk, platform={}, source={"directory": "people.csv"}, diff={"compare_with": "nothing"}) as (
            box,
            at,
        ):
            at.write("people.csv", "id,email\n2,ann@example.org\n")
            at.write("staff.csv", "email,name\nann@example.org,New Ann\n")
            ran = at.run("run", "staff.csv", "--yes")
            assert ran.statuses() == {"2": "rejected no-match"}
            assert "user 2 had this e-mail address, and has another one now" in ran.report[0]["message"]
            assert box.store.users[2].name == "Ben"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            pytest.param("id,name\n1,Ann\n", "has no e-mail column", id="no addresses"),
            pytest.param("id,email\nx,ann@example.org\n", "row 2: an id is a whole number", id="an id that is none"),
            pytest.param("id,email\n1,a@x.org\n2,A@x.org\n", "row 3: the address is that of user 1", id="one for two"),
        ],
    )
    def test_a_file_that_is_not_sound_is_refused(self, desk: Desk, text: str, said: str) -> None:
        with open_desk(desk, platform={}, source={"directory": "people.csv"}) as (box, at):
            at.write("people.csv", text)
            at.write("staff.csv", STAFF)
            ran = at.run("run", "staff.csv", "--yes")
            assert (ran.code, said in ran.err) == (2, True), ran.err
            assert not box.log

    def test_what_the_ledger_last_saw(self, desk: Desk) -> None:
        with open_desk(desk, platform={}) as (_, at):
            at.write("first.csv", "id,name\n1,Ann\n2,Ben\n")
            assert at.run("run", "first.csv", "--yes").code == 0
            at.write("staff.csv", STAFF)
            ran = at.run("run", "staff.csv", "--yes", "--json")
            note = at.run("plan", "staff.csv", "--json").summary["notes"][0]
            assert list(ran.statuses().values())[:3] == ["updated", "unchanged", "rejected no-match"]
            assert "the 2 users that usersync.db knows from earlier runs, the oldest seen just now" in note

    def test_nothing_at_all_says_what_to_configure(self, desk: Desk) -> None:
        with open_desk(desk, platform={}) as (box, at):
            at.write("staff.csv", STAFF)
            for command in (["run", "--yes"], ["plan"]):
                ran = at.run(command[0], "staff.csv", *command[1:])
                assert ran.code == 2
                assert "set platform.account and platform.account_token_env" in ran.err
            assert not box.log
            assert at.run("runs", "--json").out.strip() in ("[]", ""), "the run has not begun"

    def test_a_list_that_is_not_available_leaves_the_file(self, desk: Desk) -> None:
        with open_desk(desk, source={"directory": "people.csv"}) as (_, at):
            at.env["ACCOUNT_TOKEN"] = "nobody"
            at.write("people.csv", "id,email\n1,ann@example.org\n")
            at.write("staff.csv", "email,name\nann@example.org,New Ann\n")
            assert at.run("run", "staff.csv", "--yes").code == 0

    def test_a_list_that_is_not_available_is_named_where_there_is_nothing_else(self, desk: Desk) -> None:
        with open_desk(desk) as (_, at):
            at.env["ACCOUNT_TOKEN"] = "nobody"
            at.write("staff.csv", STAFF)
            ran = at.run("run", "staff.csv", "--yes")
            assert ran.code == 2
            assert "does not accept the account's token" in ran.err


@pytest.mark.parametrize(
    ("text", "statuses"),
    [
        pytest.param(
            "id,email\n1,ben@example.org\n3,c@x.org\n", ["rejected id-mismatch", "updated"], id="the other has no row"
        ),
        pytest.param(
            "id,email,name\n1,ben@example.org,\n2,,B\n", ["rejected id-mismatch", "updated"], id="the other keeps it"
        ),
        pytest.param("id,email\n1,ben@example.org\n2,b@x.org\n", ["updated", "updated"], id="the other gives it up"),
        pytest.param(
            "id,email\n1,ben@example.org\n2,cy@example.org\n",
            ["rejected blocked-by", "rejected id-mismatch"],
            id="the other cannot give it up",
        ),
        pytest.param("id,email\n1,free@x.org\n2,b@x.org\n", ["updated", "updated"], id="nobody has it"),
        pytest.param(
            "email,new_email\nann@example.org,ben@example.org\ncy@example.org,c@x.org\n",
            ["rejected blocked-by", "updated"],
            id="a new address that is taken",
        ),
        pytest.param(
            "id,email,new_email\n1,ben@example.org,a@x.org\n3,cy@example.org,c@x.org\n",
            ["rejected id-mismatch", "updated"],
            id="an address that only says who is meant",
        ),
    ],
)
def test_an_address_of_somebody_else_is_not_taken(desk: Desk, text: str, statuses: list[str]) -> None:
    with open_desk(desk) as (_, at):
        with_token(at).write("staff.csv", text)
        ran = at.run("run", "staff.csv", "--yes")
        assert list(ran.statuses().values()) == statuses


MOVES = "email,new_email,password\nann@example.org,a@new.org,Secret-1!\nben@example.org,b@new.org,Secret-2!\n"


def test_a_saved_plan_is_applied_to_the_users_that_it_named(desk: Desk) -> None:
    with open_desk(desk) as (box, at):
        with_token(at).write("staff.csv", MOVES)
        assert at.run("plan", "staff.csv", "-o", "plan.json").code == 0
        ran = at.run("apply", "plan.json", "--yes", "--json")
        assert ran.summary["counts"] == {"updated": 2, "rows": 2}
        assert ids(ran) == {"2": "1", "3": "2"}
        assert (box.store.users[2].email, box.store.users[2].password) == ("b@new.org", "Secret-2!")
        undone = at.run("undo", ran.summary["run"], "--yes", "--json")
        assert undone.summary["counts"]["updated"] == 2
        assert box.store.users[2].email == "ben@example.org"


@pytest.mark.parametrize("column", ["name", "password"])
def test_a_plan_is_not_applied_to_a_user_whose_address_is_somebody_elses_by_now(desk: Desk, column: str) -> None:
    with open_desk(desk) as (box, at):
        with_token(at).write("staff.csv", f"email,{column}\nann@example.org,Secret-1!\nben@example.org,Secret-2!\n")
        assert at.run("plan", "staff.csv", "-o", "plan.json").code == 0
        before = box.store.users[2]
        box.store.update(2, {"email": "former@example.org"})
        box.store.update(3, {"email": "ben@example.org"})
        ran = at.run("apply", "plan.json", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (1, ["updated", "conflict stale"])
        assert ran.report[1]["message"].startswith("somebody changed email since, so it was not changed")
        assert (box.store.users[2].name, box.store.users[2].password) == (before.name, before.password)


def test_a_stopped_run_is_not_resumed_for_a_user_whose_address_is_somebody_elses_by_now(desk: Desk) -> None:
    down = [True]

    def script(method: str, user_id: int | None, _: int) -> Answer | None:
        return Answer(401, {"error": "Invalid access_token"}) if method == "PATCH" and user_id == 2 and down else None

    box = Sandbox(users=USERS, limit=None, faults=Faults(script=script))
    with open_desk(desk, box, request={"rate": "off", "concurrency": 1}) as (_, at):
        with_token(at).write("staff.csv", "email,name\nann@example.org,A\nben@example.org,B\ncy@example.org,C\n")
        assert at.run("run", "staff.csv", "--yes").code == 4
        down.clear()
        name = box.store.users[2].name
        box.store.update(2, {"email": "former@example.org"})
        ran = at.run("resume", "--yes")
        assert list(ran.statuses().values()) == ["updated", "conflict stale", "updated"]
        assert box.store.users[2].name == name


def test_a_stopped_run_goes_on_with_the_same_users_though_their_addresses_are_new(desk: Desk) -> None:
    down = [True]

    def script(method: str, user_id: int | None, _: int) -> Answer | None:
        return Answer(401, {"error": "Invalid access_token"}) if method == "PATCH" and user_id == 2 and down else None

    box = Sandbox(users=USERS, limit=None, faults=Faults(script=script))
    with open_desk(desk, box, request={"rate": "off", "concurrency": 1}) as (_, at):
        with_token(at).write("staff.csv", MOVES + "nobody@example.org,c@new.org,Secret-3!\n")
        ran = at.run("run", "staff.csv", "--yes")
        assert ran.code == 4
        assert list(ran.statuses().values()) == ["updated", "not-sent", "rejected no-match"]
        down.clear()
        at.run("resume", "--yes")
        assert (box.store.users[2].email, box.store.users[2].password) == ("b@new.org", "Secret-2!")
        assert box.store.users[1].password == "Secret-1!"


def test_a_limit_and_a_protected_user_hold_for_matched_rows(desk: Desk) -> None:
    text = "email,name\nann@example.org,A\nben@example.org,B\ncy@example.org,C\n"
    with open_desk(desk, limits={"protect": [1]}) as (_, at):
        with_token(at).write("staff.csv", text)
        ran = at.run("run", "staff.csv", "--yes", "--limit", "1")
        assert ran.statuses() == {"2": "rejected protected", "3": "updated"}


def test_inspect_needs_no_platform_to_show_a_sheet_without_ids(desk: Desk) -> None:
    with open_desk(desk) as (_, at):
        at.write("staff.csv", STAFF + "ann@example.org,Z\n")
        found = json.loads(at.run("inspect", "staff.csv", "--json").out)
    assert found["counts"] == {"rows": 5, "ready": 2, "rejected": 3, "repeated": 0}
    assert [group["code"] for group in found["problems"]] == ["duplicate", "id-missing"]


def test_several_platforms_find_their_own_users(desk: Desk) -> None:
    other = Sandbox(users=(StoredUser(70, "Ann", "ann@example.org"), StoredUser(71, "Zoe", "zoe@x.org")), limit=None)
    with open_desk(desk) as (box, at), running(other):
        at.write("staff.csv", "email,name\nann@example.org,New Ann\n")
        at.env |= {"ACCOUNT_TOKEN": user_token(1), "OTHER_TOKEN": user_token(71)}
        platform = {"token_env": "USERSYNC_TOKEN", "account": 1}
        for name, url, token in (("a", box.url, "ACCOUNT_TOKEN"), ("b", other.url, "OTHER_TOKEN")):
            own = {"platform": {**platform, "url": url, "account_token_env": token}, "ledger": f"{name}.db"}
            at.write(f"{name}.yaml", json.dumps({**own, "report": {"dir": f"runs-{name}"}}))
        ran = at.run("run", "staff.csv", "--yes", "-c", "a.yaml", "-c", "b.yaml")
        assert ran.code == 0, ran.err
        assert (box.store.users[1].name, other.store.users[70].name) == ("New Ann", "New Ann")


def test_a_plan_that_was_never_complete_is_completed_with_the_same_users(desk: Desk) -> None:
    down = [True]

    def script(method: str, user_id: int | None, _: int) -> Answer | None:
        return Answer(401, {"error": "Invalid access_token"}) if user_id == 2 and down else None

    box = Sandbox(users=USERS, limit=None, faults=Faults(script=script))
    settings = {"platform": {}, "source": {"directory": "people.csv"}, "request": {"rate": "off", "concurrency": 1}}
    with open_desk(desk, box, **settings) as (_, at):
        at.write("people.csv", "id,email\n1,ann@example.org\n2,ben@example.org\n3,cy@example.org\n")
        at.write("staff.csv", "email,name\nann@example.org,A\nben@example.org,B\ncy@example.org,C\nno@x.org,N\n")
        ran = at.run("run", "staff.csv", "--yes")
        assert ran.code == 4
        assert list(ran.statuses().values()) == ["not-sent", "not-sent", "not-sent", "rejected no-match"]
        down.clear()
        again = at.run("resume", "--yes", "--json")
        assert again.summary["counts"] == {"updated": 3, "rejected": 1, "rows": 4}
        assert [box.store.users[i].name for i in (1, 2, 3)] == ["A", "B", "C"]


def test_a_run_that_never_began_leaves_no_folder(desk: Desk) -> None:
    with desk(Sandbox(users=USERS, limit=None)) as (_, at):
        at.write("staff.csv", STAFF)
        assert at.run("run", "staff.csv", "--yes").code == 2  # nothing says whose addresses they are
        assert list((at.folder / "runs").iterdir()) == []
