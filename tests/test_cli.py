"""Test the main commands on real files, against a sandbox on a real socket."""

import html
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PATIENCE, FakeClock, wait_until
from usersync import api
from usersync.context import Context
from usersync.formulas import escape_formula, unescape_formula
from usersync.sandbox import Fault, Faults, Sandbox, StoredUser, running
from usersync.settings import Rate, make_settings

PASSWORD = "Str0ng!secret"
MIXED = f"""Id ,NAME,Email,password,custom_attributes,custom_attributes.seats,Notes
1,Ann Jones,,,,,new name
2,,bea@example.org,,,,
3,,,{PASSWORD},,,
4,,,,"{{""team"": ""Sales""}}",7,
x,Nobody,,,,,
999,Ghost,,,,,
13,Not Ours,,,,,
5,,,,,,
"""


def test_every_row_has_one_report_line_with_its_status(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=50, forbidden={13}, limit=None)) as (box, at):
        at.write("changes.csv", MIXED)
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 1, ran.err
        assert ran.statuses() == {
            "2": "updated", "3": "updated", "4": "updated", "5": "updated", "6": "rejected id-invalid",
            "7": "rejected not-found", "8": "rejected not-permitted", "9": "rejected nothing-to-do",
        }  # fmt: skip
        assert [line["who"] for line in ran.report] == ["nobody"] * 4 + ["sheet", "sheet", "permission", "sheet"]
        assert box.store.users[1].name == "Ann Jones"
        assert box.store.users[2].email == "bea@example.org"
        assert box.store.users[4].custom_attributes["team"] == "Sales"
        assert "ignored column: 'Notes'" in ran.err


def test_json_writes_the_summary_and_nothing_else_to_stdout(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=50, forbidden={13}, limit=None)) as (_, at):
        at.write("changes.csv", MIXED)
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert ran.summary["counts"] == {"updated": 4, "rejected": 4, "rows": 8}
        assert ran.summary["requests"] == {"get": 6, "patch": 4, "retried": 0, "throttled": 0}
        assert (ran.summary["exit_code"], ran.summary["status"]) == (1, "partial")
        assert json.loads(Path(at.folder, ran.summary["files"]["summary"]).read_text()) == ran.summary


def test_a_second_run_sends_no_updates(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n1,Ann\n2,Bea\n")
        assert at.run("run", "changes.csv", "--yes").code == 0
        again = at.run("run", "changes.csv", "--yes", "--json")
        assert (again.code, again.summary["counts"]) == (0, {"unchanged": 2, "rows": 2})
        assert [r.method for r in box.log].count("PATCH") == 2


def test_compare_with_nothing_sends_every_row_without_reading(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("changes.csv", f"id,name\n1,{box.store.users[1].name}\n")
        assert at.run("run", "changes.csv", "--yes", "--compare-with", "nothing").code == 0
        assert [(r.method, r.user_id) for r in box.log] == [("PATCH", 1)]


def test_plan_shows_old_and_new_and_sends_nothing(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=_users(2), limit=None)) as (box, at):
        at.write("changes.csv", "id,name,email\n1,Ann Jones,\n2,,no address\n")
        ran = at.run("plan", "changes.csv")
        assert ran.code == 1
        assert (
            ran.out
            == """Plan: 1 user to change, 2 rows read

  row  id  user    field  old         new
    2   1  User 1  name   User 1  ->  Ann Jones

  field  users
  name       1

email-invalid: 1 row
  row 3 (no address), email 'no address': not a valid e-mail address: no @-sign

  rejected  1  a cell or the row is wrong; nothing was sent
  planned   1  to be sent
  rows      2

next: usersync run changes.csv
"""
        )
        assert {r.method for r in box.log} == {"GET"}
        assert not list(at.folder.glob("runs/*"))


def _users(count: int) -> list[StoredUser]:
    return [StoredUser(id=i, name=f"User {i}", email=f"user{i}@example.org") for i in range(1, count + 1)]


def test_without_a_terminal_and_without_yes_nothing_is_sent(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        ran = at.run("run", "changes.csv")
        assert ran.code == 3
        assert "Add --yes" in ran.err
        assert not box.log


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["run", "none.csv", "--yes"], "none.csv: there is no such file", id="no such file"),
        pytest.param(["run", "a.pdf", "--yes"], "usersync reads .csv", id="an unsupported file type"),
        pytest.param(["run", "noid.csv", "--yes"], "noid.csv: ", id="no id column"),
        pytest.param(["run", "near.csv", "--yes"], "nearly", id="a misspelled column"),
        pytest.param(["run", "ok.csv", "--rate", "fast", "--yes"], "like 3000/min", id="a malformed rate"),
        pytest.param(
            ["run", "ok.csv", "-c", "none.yaml", "--yes"], "none.yaml: 1 error\n  file not found", id="no settings"
        ),
        pytest.param(["run", "--yes"], "Missing argument", id="no file"),
        pytest.param(["rnu"], "No such command", id="no such command"),
    ],
)
def test_a_usage_error_exits_2_with_a_message(words: list[str], says: str, desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("a.pdf", b"%PDF-1.4")
        at.write("noid.csv", "number,name\n1,Ann\n")
        at.write("near.csv", "id,emial\n1,a@x.org\n")
        at.write("ok.csv", "id,name\n1,Ann\n")
        ran = at.run(*words)
        assert (ran.code, says in ran.err) == (2, True), ran.err
        assert not box.log


def test_an_unwritable_report_folder_is_reported_before_anything_is_sent(desk: Callable[..., Any]) -> None:
    with desk(report={"dir": "changes.csv/runs"}) as (box, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, "name another folder under report.dir" in ran.err) == (2, True), ran.err
        assert not box.log


def test_a_wrong_token_stops_the_run_and_every_row_is_not_sent(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.env["USERSYNC_TOKEN"] = "wrong"
        at.write("changes.csv", "id,name\n" + "".join(f"{i},N{i}\n" for i in range(1, 41)) + "x,bad\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.code == 4
        assert "the platform does not accept the token" in ran.err
        assert sorted(set(ran.statuses().values())) == ["not-sent", "rejected id-invalid"]
        assert len(ran.report) == 41
        assert len(box.log) <= 16


def test_several_files_and_stdin_make_one_run(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("a.csv", "id,name\n1,Ann\n")
        at.write("b.tsv", "ID\temail\n2\tbea@example.org\n1\tann@example.org\n")
        ran = at.run("run", "a.csv", "b.tsv", "-", "--yes", stdin="id;display_name\n3;Cid\n")
        assert ran.code == 1
        places = [(line["file"], line["row"], line["status"], line["code"]) for line in ran.report]
        assert places == [
            ("a.csv", "2", "rejected", "duplicate"), ("b.tsv", "2", "updated", ""),
            ("b.tsv", "3", "rejected", "duplicate"), ("-", "2", "updated", ""),
        ]  # fmt: skip
        assert "other values for user 1 in row 3 of b.tsv" in ran.report[0]["message"]
        assert box.store.users[3].display_name == "Cid"


def test_a_report_cell_that_looks_like_a_formula_is_escaped_and_read_back_unchanged(
    desk: Callable[..., Any],
) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,=1+1\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.report[0]["name"] == "'=1+1"
        assert unescape_formula(ran.report[0]["name"]) == "=1+1"
    for text in ("Ann", "'Ann", "=x", "'=x", "''+", "-", "@a", "\tx", ""):
        assert unescape_formula(escape_formula(text)) == text


def test_no_secret_reaches_a_file_or_the_terminal(desk: Callable[..., Any]) -> None:
    """Neither the token, nor passwords, nor the tokens that the platform echoes."""
    with desk(Sandbox(users=50, forbidden={13}, limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "proxy": None}
        at.write("changes.csv", MIXED + "6,,,weak-Pw1,,,\n7,,,short,,,\n")
        seen = ""
        for words in (["plan", "-vv"], ["run", "-vv", "--yes"], ["run", "--json", "--yes"]):
            ran = at.run(words[0], "changes.csv", *words[1:])
            seen += ran.out + ran.err
        left = b"".join(p.read_bytes() for p in at.folder.rglob("*") if p.is_file() and p.name != "changes.csv")
        user = box.store.read(3).body
        assert isinstance(user, dict)
        for secret in (box.token, PASSWORD, "weak-Pw1", user["access_token"], user["pubsub_token"]):
            assert secret not in seen
            assert secret.encode() not in left


def test_the_ledger_of_a_killed_run_matches_what_was_sent(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=300, limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        at.write("changes.csv", "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 301)))
        box.hold(after=50)
        process = at.start("run", "changes.csv", "--yes", "--compare-with", "nothing", "-q")
        wait_until(lambda: box.in_flight == 4 and len(box.log) == 54, process)
        process.kill()
        process.communicate(timeout=PATIENCE)
        sent = {r.user_id for r in box.log}
        with closing(sqlite3.connect(at.folder / "usersync.db")) as ledger:
            statuses = {int(user): status for user, status in ledger.execute("SELECT id, status FROM row")}
        assert len(statuses) == 300
        assert {user for user, status in statuses.items() if status in ("sending", "updated")} >= sent
        assert {user for user, status in statuses.items() if status == "updated"} <= sent


def test_ctrl_c_finishes_what_is_in_flight_and_writes_the_report(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=300, limit=None)) as (box, at):
        at.settings["request"] = {"rate": "off", "concurrency": 4}
        at.write("changes.csv", "id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 301)))
        words = ("run", "changes.csv", "--yes", "--compare-with", "nothing", "--json")
        ran = at.interrupt(box, *words, answers=20, in_flight=4)
        assert ran.code == 130, ran.err
        counts = ran.summary["counts"]
        assert counts["updated"] == len(box.log)
        assert counts["updated"] + counts["not-sent"] == counts["rows"] == 300


def test_five_thousand_rows_survive_faults_and_a_limit(tmp_path: Path) -> None:
    clock = FakeClock()
    faults = Faults(errors=0.03, resets=0.02, seed=5)
    limit = Rate(3000, 60.0)
    path = tmp_path / "changes.csv"
    path.write_text("id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 5001)))
    with running(Sandbox(users=5000, limit=limit, faults=faults, clock=clock)) as box:
        settings = make_settings(
            {
                "platform": {"url": box.url, "token_command": "echo sandbox-token"},
                "request": {"stop_after": "9d"},  # this clock runs on while sockets are at work
                "diff": {"compare_with": "nothing"},
                "ledger": str(tmp_path / "usersync.db"),
                "report": {"dir": str(tmp_path / "runs")},
            }
        )
        context = Context(clock=clock, random=lambda: 0.5)
        summary = api.run([path], settings, confirm=lambda _: True, context=context)
        assert summary.counts == {"updated": 5000, "rows": 5000}
        assert summary.requests["throttled"] == 0
        assert summary.requests["retried"] > 100
        assert all(user.name == f"New {i}" for i, user in box.store.users.items())


def test_limit_sends_only_the_first_changes(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n1,A\n2,B\n3,C\n")
        ran = at.run("run", "changes.csv", "--yes", "--limit", "2", "--json")
        assert (ran.code, ran.summary["counts"], ran.summary["left_out"]) == (0, {"updated": 2, "rows": 2}, 1)
        assert sorted(r.user_id for r in box.log if r.method == "PATCH") == [1, 2]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        pytest.param((), "2 rows left out by choice", id="by the plan"),
        pytest.param(("-q",), "2 rows left out by choice", id="by the summary of a quiet run"),
    ],
)
def test_a_run_says_once_how_many_rows_were_left_out(
    desk: Callable[..., Any], options: tuple[str, ...], shown: str
) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,A\nx,B\n2,C\n3,D\n")
        assert at.run("run", "changes.csv", "--yes", "--limit", "1", *options).err.count(shown) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("id,name\n", "note: changes.csv: there are no data rows below the header in row 1", id="no rows"),
        pytest.param("id,name\nx,A\n", "id-invalid: 1 row\n  row 2 (A): id 'x': an id is", id="only rejected rows"),
        pytest.param("id,Mail\n1,\n", "note: changes.csv: columns read: 'Mail' as email", id="a renamed column"),
    ],
)
def test_a_run_without_changes_lists_what_its_plan_would(desk: Callable[..., Any], text: str, shown: str) -> None:
    with desk() as (_, at):
        at.write("changes.csv", text)
        assert shown.split("\n")[0] in at.run("plan", "changes.csv").out
        assert at.run("run", "changes.csv", "--yes").err.count(shown) == 1


def test_identical_rows_are_sent_once_and_reported_twice(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("changes.csv", "id,name\n1,A\n1,A\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, list(ran.statuses().values())) == (0, ["updated", "updated"])
        assert [r.method for r in box.log].count("PATCH") == 1
        assert ran.report[1]["message"] == "same values as row 2"


def test_update_changes_one_user_and_prints_it(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        ran = at.run(
            "update", "7", "--name", "Ann", "--email", "ANN@example.org", "--attr", "plan=pro",
            "--attr", "seats:=5", "--password-stdin", stdin=PASSWORD + "\n",
        )  # fmt: skip
        user = json.loads(ran.out)
        assert ran.code == 0
        assert list(user) == ["id", "name", "email", "custom_attributes"]
        assert (user["id"], user["name"], user["email"]) == (7, "Ann", "ann@example.org")
        assert (user["custom_attributes"]["plan"], user["custom_attributes"]["seats"]) == ("pro", 5)
        assert box.log[-1].body["password"] == PASSWORD


def test_update_takes_a_name_without_accents_as_it_is_typed_and_a_file_does_not(desk: Callable[..., Any]) -> None:
    users = [StoredUser(id=n, name="Zo\u00eb", email=f"zoe{n}@example.org") for n in (7, 8)]
    with desk(Sandbox(users=users, limit=None)) as (box, at):
        assert at.run("update", "7", "--name", "Zoe").code == 0
        at.write("changes.csv", "id,name\n8,Zoe\n")
        (line,) = at.run("run", "changes.csv", "--yes").report
        assert (line["status"], line["code"]) == ("rejected", "type-invalid")
        assert [user.name for user in box.store.users.values()] == ["Zoe", "Zo\u00eb"]


@pytest.mark.parametrize(
    ("held", "typed"),
    [("05.01.2026", "2026-01-05"), ("1.0", "1"), ("K\u00f6ln", "Koeln")],
    ids=["day", "number", "city"],
)
def test_update_takes_an_attribute_in_another_form_as_it_is_typed(
    desk: Callable[..., Any], held: str, typed: str
) -> None:
    users = [StoredUser(id=7, name="Ann", email="a@example.org", custom_attributes={"x": held, "seats": 5})]
    with desk(Sandbox(users=users, limit=None)) as (box, at):
        assert at.run("update", "7", "--attr", f"x={typed}", "--attr", "seats=6").code == 0
        assert box.store.users[7].custom_attributes == {"x": typed, "seats": 6}
        assert "not a number" in at.run("update", "7", "--attr", "seats=six").err


def test_update_names_the_settings_that_send_what_looks_damaged(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=_users(7), limit=None)) as (_, at):
        refused = at.run("update", "7", "--name", "4711")
        assert (refused.code, "fields: {NAME: {suspect: accept}}" in refused.err) == (1, True)
    with desk(Sandbox(users=_users(7), limit=None), fields={"name": {"suspect": "accept"}}) as (box, at):
        assert at.run("update", "7", "--name", "4711").code == 0
        assert box.store.users[7].name == "4711"


def test_update_prints_a_user_who_has_the_values_already(desk: Callable[..., Any]) -> None:
    with desk(Sandbox(users=_users(7), limit=None)) as (box, at):
        ran = at.run("update", "7", "--name", "User 7")
        assert (ran.code, json.loads(ran.out)) == (
            0,
            {"id": 7, "name": "User 7", "email": "user7@example.org", "custom_attributes": {}},
        )
        assert [r.method for r in box.log] == ["GET"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["999", "--name", "A"], 1, "there is no user with this id", id="an unknown user"),
        pytest.param(["5/../7", "--name", "A"], 1, "an id is a whole number", id="an id that is no number"),
        pytest.param(["7"], 2, "nothing to change; give --name", id="nothing to change"),
        pytest.param(["7", "--attr", "plan"], 2, "write KEY=VALUE", id="an attribute without a value"),
        pytest.param(["7", "--name", "", "--attr", "plan=a"], 1, "name: must not be blank", id="a blank name"),
        pytest.param(["7", "--name", "A", "--email", " "], 1, "email: must not be blank", id="a blank address"),
        pytest.param(["7", "--name", "A", "--attr", "plan="], 1, "plan: must not be blank", id="a blank attribute"),
        pytest.param(["7", "--name", "A", "--attr", "n:="], 1, "n: must not be blank", id="JSON without a value"),
        pytest.param(["7", "--name", "A", "--password-stdin"], 1, "password: must not be blank", id="no password"),
    ],
)
def test_update_explains_why_a_user_was_not_updated(
    words: list[str], code: int, says: str, desk: Callable[..., Any]
) -> None:
    with desk() as (box, at):
        ran = at.run("update", *words)
        assert (ran.code, says in ran.err, ran.out) == (code, True, ""), ran.err
        assert not [r for r in box.log if r.applied]


def test_help_does_not_import_pandas_pydantic_or_aiohttp() -> None:
    code = "import sys; from usersync.cli import cli; cli.main(['run', '--help'], standalone_mode=False); " \
           "sys.exit('pandas' in sys.modules or 'pydantic' in sys.modules or 'aiohttp' in sys.modules)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0


def test_demo_reports_every_row_of_the_sample(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "usersync", "demo"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (path,) = tmp_path.glob("usersync-demo/runs/*/summary.json")
    counts = json.loads(path.read_text())["counts"]
    assert counts == {"updated": 23, "unchanged": 5, "rejected": 12, "rows": 40}
    assert f"report: usersync-demo/runs/{path.parent.name}/report.csv" in done.stdout


def test_the_sandbox_command_serves_until_sigterm(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        process = at.start("sandbox", "--port", "0", "--users", "3")
        wait_until(lambda: "\n" in process.stderr_so_far(), process)
        at.url = process.stderr_so_far().split()[2].rstrip(",")
        at.write("changes.csv", "id,name\n3,Cid\n4,Dan\n")
        assert at.run("run", "changes.csv", "--yes").statuses() == {"2": "updated", "3": "rejected not-found"}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


def test_a_lost_answer_is_verified_by_a_read(desk: Callable[..., Any]) -> None:
    """The update is carried out, but the connection is reset at every attempt."""

    def cut(method: str, user_id: int | None, nth: int) -> Fault | None:
        return Fault.RESET_AFTER if method == "PATCH" and user_id == 1 else None

    def lost(method: str, user_id: int | None, nth: int) -> Fault | None:
        return cut(method, user_id, nth) or (Fault.RESET_BEFORE if method == "PATCH" and user_id == 2 else None)

    with desk(Sandbox(users=50, limit=None, faults=Faults(script=lost)), request={"rate": "off", "retries": 0}) as (
        _, at,
    ):  # fmt: skip
        at.write("changes.csv", f"id,name,password\n1,A,\n2,B,\n3,C,\n1001,D,{PASSWORD}\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert ran.statuses() == {
            "2": "updated", "3": "failed connection", "4": "updated", "5": "rejected not-found",
        }  # fmt: skip
        assert "holds the new values" in ran.report[0]["message"]


def test_a_closed_port_leaves_the_row_to_resume_without_hanging(desk: Callable[..., Any]) -> None:
    with desk(request={"rate": "off", "retries": 0}) as (_, at):
        at.url = "http://127.0.0.1:1"
        at.write("changes.csv", "id,name\n1,A\n")
        ran = at.run("run", "changes.csv", "--yes")
        assert (ran.code, ran.statuses()) == (4, {"2": "not-sent connection"})
        assert "no connection to the platform" in ran.report[0]["message"]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        pytest.param(["run", "changes.csv"], 3, "there is no terminal to ask on", id="no terminal"),
        pytest.param(["undo", "7", "--yes"], 2, "no run 7 in ", id="no such run"),
        pytest.param(["resume", "--yes"], 2, "no interrupted run to resume", id="nothing to resume"),
        pytest.param(["run", "none.csv", "--yes"], 2, "none.csv", id="no such file"),
        pytest.param(["plan", "none.csv"], 2, "none.csv", id="plan"),
        pytest.param(["show", "7"], 2, "no run 7 in ", id="show"),
        pytest.param(["update", "1", "--name", "Ann"], 4, "does not accept the token", id="update"),
        pytest.param(["update", "999", "--name", "Ann"], 1, "there is no user with this id", id="update nobody"),
        pytest.param(["export", "users.csv"], 2, "account", id="export"),
        pytest.param(["run", "changes.csv", "--limt", "5"], 2, "No such option", id="no such option"),
        pytest.param(["plan"], 2, "Missing argument", id="no file"),
    ],
)
def test_json_of_a_command_without_a_result_says_why(
    desk: Callable[..., Any], words: list[str], code: int, error: str
) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,A\n")
        if words[:2] == ["update", "1"]:
            at.env["USERSYNC_TOKEN"] = "wrong"
        ran = at.run(*words, "--json")
        document = json.loads(ran.out)
        assert (ran.code, document["exit_code"], error in document["error"]) == (code, code, True), ran.out
        assert document["error"] in ran.err


def test_a_file_of_another_kind_is_named_with_what_to_do(desk: Callable[..., Any]) -> None:
    with desk() as (box, at):
        at.write("x.csv", "id,name\n1,A\n2,\n")
        assert at.run("plan", "x.csv", "-o", "plan.json").code == 1
        ran = at.run("run", "x.csv", "--yes", "--json")
        run, rejects = ran.summary["run"], ran.summary["files"]["rejects"]
        before = len(box.log)
        said = {
            words: at.run(*words).err
            for words in (
                ("apply", "x.csv"),
                ("apply", "no.csv"),
                ("apply", rejects),
                ("apply", "runs"),
                *((command, "plan.json") for command in ("run", "plan", "inspect")),
                *((command, f"runs/{run}") for command in ("undo", "resume", "show")),
                ("undo", rejects),
                ("plan", "x.csv", "--base", "plan.json"),
            )
        }
        assert len(box.log) == before
    ours = "not a plan that `usersync plan -o` saved"
    assert list(said.values()) == [
        f"usersync: x.csv: {ours}; to send the rows of a sheet: `usersync run x.csv`\n",
        "usersync: no.csv: there is no such file; make a plan with `usersync plan FILE -o PLAN`\n",
        f"usersync: {rejects}: {ours}; to send the rows of a sheet: `usersync run {rejects}`\n",
        f"usersync: runs: {ours}; make one with `usersync plan FILE -o PLAN`\n",
        *["usersync: plan.json: is a saved plan; send it with `usersync apply plan.json`\n"] * 3,
        *[f"usersync: no run runs/{run} in usersync.db; did you mean {run}?\n"] * 3,
        f"usersync: no run {rejects} in usersync.db; did you mean {run}?\n",
        "usersync: plan.json: is not the base of an export; name its .base.json, or the workbook as exported\n",
    ]


def test_each_reason_of_a_row_says_its_own_part_alone(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("x.csv", "id,email,password\n1,nobody,short\n")
        assert at.run("plan", "x.csv", "--html", "plan.html").code == 1
        ran = at.run("run", "x.csv", "--yes", "--json")
        pages = [(at.folder / "plan.html").read_text(), Path(at.folder / ran.summary["files"]["html"]).read_text()]
        shown = at.run("run", "x.csv", "--yes", "-q").err
        whole = ran.report[0]["message"]
    email, password = (reason["message"] for reason in ran.summary["reasons"])
    assert [reason["code"] for reason in ran.summary["reasons"]] == ["email-invalid", "password-weak"]
    assert whole == f"{email}; {password}"
    assert email.startswith("email 'nobody': ")
    assert password.startswith("password '***': ")
    assert (
        f"email-invalid: 1 row\n  row 2 (nobody): {email}\n\npassword-weak: 1 row\n  row 2 (nobody): {password}\n"
        in shown
    )
    for page in pages:
        assert html.escape(password).replace("&#x27;", "&#39;") in page
        assert html.escape(whole).replace("&#x27;", "&#39;") not in page
