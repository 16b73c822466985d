"""Run against a sandbox whose account is listed in one request; its failures change no status."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Ran
from usersync.sandbox import Answer, Fault, Faults, Sandbox, StoredUser, user_token

Desk = Callable[..., Any]
ACCOUNT = {"account": 1, "account_token_env": "ACCOUNT_TOKEN"}


def open_account(
    desk: Desk, box: Sandbox | None = None, *, account: dict[str, Any] | None = None, **settings: Any
) -> Any:
    """Open a sandbox and a desk whose settings name the account of the sandbox."""
    return desk(box or Sandbox(users=50, limit=None), platform=account or ACCOUNT, **settings)


def prepare(at: Any, token: str = user_token(1)) -> None:
    at.env["ACCOUNT_TOKEN"] = token


def reads(box: Sandbox) -> Counter[int | None]:
    return Counter(request.user_id for request in box.log if request.method == "GET" and not request.listing)


def lists(box: Sandbox) -> int:
    return sum(request.listing == "agents" for request in box.log)


def sheet(box: Sandbox, *, changed: int) -> str:
    """Return a file with all users, of whom the first ones get another name."""
    users = box.store.users.values()
    lines = (f"{u.id},{'New ' if u.id <= changed else ''}{u.name},{u.email}" for u in users)
    return "\n".join(["id,name,email", *lines, ""])


def test_5000_rows_with_50_changes_take_at_most_60_requests(desk: Desk) -> None:
    with open_account(desk, Sandbox(users=5000, limit=None)) as (box, at):
        prepare(at)
        at.write("staff.csv", sheet(box, changed=50))
        ran = at.run("run", "staff.csv", "--yes", "--json")
    assert ran.code == 0, ran.err
    assert ran.summary["counts"] == {"updated": 50, "unchanged": 4950, "rows": 5000}
    assert ran.summary["requests"]["get"] == 1
    assert ran.summary["requests"]["get"] + ran.summary["requests"]["patch"] <= 60
    assert len(box.log) <= 60


USERS = (
    StoredUser(1, "Ann", "ann@example.org"),
    StoredUser(2, "Ben", "ben@example.org", "Benny"),
    StoredUser(3, "Cy", "cy@example.org", "Cy"),
    StoredUser(4, "Dan", "dan@example.org", accounts=(2,)),
    StoredUser(5, "Eve", "eve@example.org", None, {"seats": 5}),
)


@pytest.mark.parametrize(
    ("text", "singly"),
    [
        pytest.param("id,name\n1,New\n2,Ben\n3,Cy\n5,Eve\n", [], id="all are listed"),
        pytest.param("id,name\n1,New\n4,Dan\n", [4], id="one belongs to another account"),
        pytest.param("id,name\n1,New\n99,Nobody\n", [99], id="one does not exist"),
        pytest.param("id,display_name\n1,A\n2,Benny\n3,Cy\n", [1, 3], id="display names that the list does not tell"),
        pytest.param("id,name,display_name\n1,New,\n3,Cy,Cy\n", [3], id="display names that are not asked for"),
        pytest.param("id,name\n1,New\n", [1], id="a single user is cheaper to read"),
    ],
)
def test_only_users_of_whom_the_list_cannot_tell_are_read_singly(desk: Desk, text: str, singly: list[int]) -> None:
    with open_account(desk, Sandbox(users=USERS, limit=None)) as (box, at):
        prepare(at)
        at.write("staff.csv", text)
        at.run("plan", "staff.csv")
        assert sorted(str(user) for user in reads(box)) == [str(user) for user in singly]
        assert lists(box) == (text.count("\n") > 2)


@pytest.mark.parametrize("command", [["run", "staff.csv", "--yes"], ["plan", "staff.csv", "-o", "plan.json"]])
def test_a_report_is_the_same_with_and_without_the_list(desk: Desk, command: list[str]) -> None:
    rows = ("1,Ann,A,,", "2,Ben,Benny,,3", "3,Cy,Cy,new@example.org,", "4,Dan,,,2", "5,Eve,,,5", "9,X,,,")
    reports = []
    for account in (ACCOUNT, {"token_env": "USERSYNC_TOKEN"}):
        with open_account(desk, Sandbox(users=USERS, limit=None), account=account) as (_, at):
            prepare(at)
            at.write("staff.csv", "\n".join(["id,name,display_name,email,custom_attributes.seats", *rows, ""]))
            at.run(*command)
            if command[0] == "plan":
                at.run("apply", "plan.json", "--yes")
            reports.append([{k: v for k, v in line.items() if k != "finished_at"} for line in ran_last(at)])
    assert reports[0] == reports[1]
    assert [line["status"] for line in reports[0]][:2] == ["updated", "updated"]


def ran_last(at: Any) -> list[dict[str, str]]:
    return list(Ran(0, "", "", at.folder).report)


def failing(answer: Answer | Fault) -> Sandbox:
    """Return a sandbox that answers every list with a fault, and everything else well."""

    def script(method: str, user_id: int | None, _: int) -> Answer | Fault | None:
        return answer if method == "GET" and user_id is None else None

    return Sandbox(users=9, limit=None, faults=Faults(script=script))


@pytest.mark.parametrize(
    ("box", "token", "said"),
    [
        pytest.param(failing(Answer(403, {"error": "no"})), None, "may not list users (no)", id="no right"),
        pytest.param(failing(Answer(500, "<html>")), None, "answered 500 with an HTML page", id="a server error"),
        pytest.param(failing(Fault.STALL), None, "no answer within 1 s", id="too slow"),
        pytest.param(failing(Answer(200, {"id": 1})), None, "not a whole list", id="not an array"),
        pytest.param(failing(Answer(200, [])), None, "an empty list", id="an empty list"),
        pytest.param(Sandbox(users=9, limit=None), "nobody", "does not accept the account's token", id="a wrong token"),
    ],
)
def test_a_list_that_cannot_be_used_gives_a_note_and_single_reads(
    desk: Desk, box: Sandbox, token: str | None, said: str
) -> None:
    timeout = {"timeout": 1.0} if said.startswith("no answer within") else {}
    with open_account(desk, box, request={"rate": "off", **timeout}) as (_, at):
        prepare(at, token or user_token(1))
        at.write("staff.csv", sheet(box, changed=2))
        planned = at.run("plan", "staff.csv", "--json")
        ran = at.run("run", "staff.csv", "--yes", "--json")
    (note,) = [note for note in planned.summary["notes"] if "cannot be listed" in note]
    assert said in note
    assert ran.code == 0, ran.err
    assert ran.summary["counts"] == {"updated": 2, "unchanged": 7, "rows": 9}
    assert ran.summary["requests"]["get"] == 10
    assert reads(box) == Counter(dict.fromkeys(range(1, 10), 2)), "the plan and the run"


def test_a_used_up_limit_is_waited_for_instead_of_reading_singly(desk: Desk) -> None:
    answers = iter([Answer(429, "Retry later", {"Retry-After": "1"})])
    box = Sandbox(users=9, limit=None, faults=Faults(script=lambda *_: next(answers, None)))
    with open_account(desk, box) as (_, at):
        prepare(at)
        at.write("staff.csv", sheet(box, changed=0))
        ran = at.run("run", "staff.csv", "--yes", "--json")
    assert ran.summary["requests"] == {"get": 2, "patch": 0, "retried": 1, "throttled": 1}


def test_undo_and_resume_read_the_list_as_well(desk: Desk) -> None:
    with open_account(desk, Sandbox(users=9, limit=None)) as (box, at):
        prepare(at)
        at.write("staff.csv", sheet(box, changed=5))
        ran = at.run("run", "staff.csv", "--yes", "--json")
        undone = at.run("undo", ran.summary["run"], "--yes", "--json")
    assert undone.summary["counts"] == {"updated": 5, "rows": 5}
    assert undone.summary["requests"]["get"] == 1


def test_a_user_whose_display_name_the_list_does_not_tell_is_not_remembered_as_having_none(desk: Desk) -> None:
    """Otherwise a later run with `last-run` would take a display name that equals the name for a change."""
    with open_account(desk, Sandbox(users=USERS, limit=None)) as (box, at):
        prepare(at)
        at.write("staff.csv", "id,name\n2,Ben\n3,Cy\n")
        assert at.run("run", "staff.csv", "--yes").code == 0
        at.write("names.csv", "id,display_name\n2,Benny\n3,Cy\n")
        ran = at.run("run", "names.csv", "--yes", "--json", "--compare-with", "last-run")
        assert ran.summary["counts"] == {"unchanged": 2, "rows": 2}
        assert reads(box) == {3: 1}


def test_update_reads_its_one_user(desk: Desk) -> None:
    with open_account(desk) as (box, at):
        prepare(at)
        assert at.run("update", "7", "--name", "Ann").code == 0
        assert (lists(box), reads(box)) == (0, {7: 1})


def test_rejected_rows_are_shown_with_the_names_of_the_list(desk: Desk) -> None:
    with open_account(desk, Sandbox(users=USERS, limit=None), report={"formats": ["csv", "html"]}) as (_, at):
        prepare(at)
        at.write("staff.csv", "id,password\n1,An0ther-passw0rd!\n2,weak\n3,Thi1rd-passw0rd!\n4,weak\n")
        planned = at.run("plan", "staff.csv", "--html", "plan.html")
        ran = at.run("run", "staff.csv", "--yes")
        done = at.run("run", "staff.csv", "--yes", "--json")
        summary, report = done.summary, done.report
        shown = at.run("show", summary["run"]).out
    assert "row 3 (Ben), password '***'" in planned.out
    assert "row 5, password '***'" in planned.out, "a user of another account, of whom nothing was read"
    assert "row 3 (Ben), password '***'" in ran.err
    assert [group["first"][0]["name"] for group in summary["problems"]] == ["Ben"]
    assert [reason["name"] for reason in summary["reasons"]] == ["Ben"]
    assert [line["name"] for line in report] == ["Ann", "Ben", "Cy", ""]
    for page in (at.folder / "plan.html", at.folder / "runs" / summary["run"] / "report.html"):
        assert "row 3 (<bdi>Ben</bdi>): password" in page.read_text()
    assert ["3", "2", "Ben", "rejected"] in [line.split() for line in shown.splitlines()]
