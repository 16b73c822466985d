"""Test every command against every safety rule."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import usersync
from tests.conftest import TOKEN, Desk, Ran, numbered_users
from usersync.context import Context
from usersync.errors import RowCountError
from usersync.ledger.lock import one_run_at_a_time
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser, running, user_token

Opened = Callable[..., AbstractContextManager[tuple[Sandbox, Desk]]]
COMMANDS = ("run", "plan", "apply", "resume", "undo", "update")

#: What must happen. A word stands for an outcome, which `outcome_of` reads from the run and the platform:
#:   sent              the change has reached the platform (for `plan`: it would be sent)
#:   refused RULE      exit 3 because of this limit; nothing was sent
#:   STATUS CODE       the row of user 1 ends so; nothing was sent for it
#:   busy              exit 5, because another run holds the lock
#:   notified, silent  whether the webhook was called
#:   -                 the rule does not concern the command
EXPECTED = """
rule               | run                     | plan                    | apply                   | resume                  | undo                 | update
protected          | rejected protected      | rejected protected      | rejected protected      | rejected protected      | rejected protected   | rejected protected
changes            | refused changes         | refused changes         | refused changes         | refused changes         | refused changes      | refused changes
field-changes      | refused name-changes    | refused name-changes    | refused name-changes    | refused name-changes    | refused name-changes | refused name-changes
percent            | refused changes-percent | refused changes-percent | refused changes-percent | refused changes-percent | sent                 | sent
same-value         | refused same-name       | refused same-name       | refused same-name       | refused same-name       | refused same-name    | -
min-rows           | refused min-rows        | refused min-rows        | refused min-rows        | refused min-rows        | sent                 | sent
rows-shrunk        | refused rows-shrunk     | refused rows-shrunk     | refused rows-shrunk     | refused rows-shrunk     | sent                 | sent
lock               | busy                    | sent                    | busy                    | busy                    | busy                 | busy
only-if-blank      | unchanged               | unchanged               | unchanged               | unchanged               | sent                 | unchanged
stale              | -                       | -                       | conflict stale          | conflict stale          | conflict             | -
conflict           | conflict                | conflict                | conflict                | conflict                | conflict             | conflict
e-mail order       | sent                    | sent                    | sent                    | sent                    | sent                 | -
matched            | sent                    | sent                    | sent                    | sent                    | sent                 | -
matched, protected | rejected protected      | rejected protected      | rejected protected      | rejected protected      | rejected protected   | -
notification       | notified                | silent                  | notified                | notified                | notified             | notified
row count          | RowCountError           | -                       | RowCountError           | RowCountError           | RowCountError        | RowCountError
"""  # noqa: E501 - a table is read by its columns


def expectations() -> list[Any]:
    """Return a case for each cell of the table."""
    return [
        pytest.param(rule, command, cell, id=f"{rule}, {command}")
        for line in EXPECTED.strip().splitlines()[1:]
        for rule, *cells in [[cell.strip() for cell in line.split("|")]]
        for command, cell in zip(COMMANDS, cells, strict=True)
        if cell != "-"
    ]


@dataclass
class Rule:
    """A situation in which a rule decides."""

    sheet: str = "id,name\n1,Anna\n2,Beata\n"
    update: tuple[str, ...] = ("1", "--name", "Anna")
    strict: dict[str, Any] = field(default_factory=dict)
    """Settings in force when the command under test runs."""
    always: dict[str, Any] = field(default_factory=dict)
    """Settings in force before that as well."""
    before: Callable[[Desk, Sandbox], object] = lambda _at, _box: None
    """What happens before anything is planned."""
    meanwhile: Callable[[Desk, Sandbox], object] = lambda _at, _box: None
    """What happens just before the command under test."""


def change(user_id: int, **values: str) -> Callable[[Desk, Sandbox], object]:
    """Let somebody else change a user."""
    return lambda _at, box: box.store.update(user_id, values)


def write_before(at: Desk, box: Sandbox) -> None:
    """Let an earlier run write other values, and somebody else change one of them."""
    at.write("earlier.csv", "id,name\n1,Earlier\n")
    assert at.run("run", "earlier.csv", "--yes").code == 0
    box.store.update(1, {"name": "Somebody"})


def run_before(at: Desk, _box: Sandbox) -> None:
    """Let an earlier run of the same file have sixty rows."""
    at.write("changes.csv", "id,name\n" + "".join(f"{i},User {i}\n" for i in range(1, 61)))
    assert at.run("run", "changes.csv", "--yes").code == 0


def limits(**values: Any) -> dict[str, Any]:
    return {"limits": values}


MATCHED_SHEET = "email,name\nu1@example.org,Anna\nu2@example.org,Beata\n"
ACCOUNT = {"platform": {"account": 1, "account_token_env": "ACCOUNT_TOKEN"}}
RULES = {
    "protected": Rule(strict=limits(protect=["1"])),
    "changes": Rule(strict=limits(changes=0)),
    "field-changes": Rule(strict=limits(fields={"name": {"changes": 0}})),
    "percent": Rule(strict=limits(changes_percent=10)),
    "same-value": Rule(
        sheet="id,name\n1,Both\n2,Both\n",
        strict=limits(same_value=1),
        before=lambda _at, box: [box.store.update(i, {"name": "Same"}) for i in (1, 2)],
    ),
    "min-rows": Rule(strict=limits(min_rows=5)),
    "rows-shrunk": Rule(before=run_before, always=limits(rows_percent=None), strict=limits(rows_percent=50)),
    "lock": Rule(),
    "only-if-blank": Rule(always={"fields": {"name": {"only_if_blank": True}}}),
    "stale": Rule(meanwhile=change(1, name="Somebody")),
    "conflict": Rule(before=write_before),
    "e-mail order": Rule(sheet="id,email\n1,u2@example.org\n2,u3@example.org\n3,new@example.org\n"),
    "matched": Rule(sheet=MATCHED_SHEET, always=ACCOUNT),
    "matched, protected": Rule(sheet=MATCHED_SHEET, always=ACCOUNT, strict=limits(protect=["1"])),
    "notification": Rule(),
    "row count": Rule(),
}


@pytest.mark.parametrize(("rule", "command", "expected"), expectations())
def test_every_command_obeys_every_safety_rule(rule: str, command: str, expected: str, desk: Opened) -> None:
    given = RULES[rule]
    with desk(make_box()) as (box, at), webhook() as calls:
        at.env["ACCOUNT_TOKEN"] = user_token(1)
        given.before(at, box)
        command_line = arrange(given, command, at, box)
        given.meanwhile(at, box)
        at.settings = {**given.always, **given.strict}
        if rule == "notification":
            at.settings["notify"] = {"webhook": calls.url, "when": ["done", "partial"]}
        before = dict(box.store.users)
        if rule == "lock":
            with one_run_at_a_time(at.folder / "usersync.db", box.url, holder="by a test"):
                ran = at.run(*command_line)
        elif rule == "row count":
            assert lose_a_row(command_line, at) == expected
            return
        else:
            ran = at.run(*command_line)
        assert outcome_of(rule, command, ran, before, box, calls) == expected, ran.err + ran.out


def make_box() -> Sandbox:
    """Make a platform whose token can be made wrong temporarily, so that a run stops before it sends anything."""
    users = numbered_users(60)
    closed: set[str] = set()

    def script(method: str, _user: int | None, _n: int) -> Answer | None:
        return Answer(401, {"error": "Invalid access_token"}) if method in closed else None

    box = Sandbox(users=users, limit=None, faults=Faults(script=script))
    box.closed = closed  # type: ignore[attr-defined]
    return box


def arrange(rule: Rule, command: str, at: Desk, box: Sandbox) -> tuple[str, ...]:
    """Do what has to be done before a command can be tested, under lenient settings; return its command line."""
    at.settings = dict(rule.always)
    at.write("changes.csv", rule.sheet)
    if command == "apply":
        at.run("plan", "changes.csv", "-o", "plan.json")
        return ("apply", "plan.json", "--yes", "--json")
    if command == "resume":
        closed: set[str] = box.closed  # type: ignore[attr-defined]
        sheet = rule.sheet if "email" in rule.sheet else rule.sheet + "99,Nobody\n"
        at.write("changes.csv", sheet)
        if rule is RULES["only-if-blank"]:
            closed.add("GET")
        closed.add("PATCH")
        stopped = at.run("run", "changes.csv", "--yes", "--json")
        if rule is not RULES["conflict"]:
            assert stopped.code == 4, stopped.err
        closed.clear()
        return ("resume", stopped.summary["run"], "--yes", "--json")
    if command == "undo":
        options = ("--override", "rows-shrunk") if rule is RULES["rows-shrunk"] else ()
        if rule is RULES["only-if-blank"]:
            at.settings = {}
        if rule is RULES["conflict"]:
            at.settings = {"diff": {"on_conflict": "overwrite"}}
        done = at.run("run", "changes.csv", "--yes", "--json", *options)
        if rule is RULES["conflict"]:
            box.store.update(1, {"name": "Somebody else"})
        return ("undo", done.summary["run"], "--yes", "--json")
    if command == "update":
        return ("update", *rule.update)
    return (command, "changes.csv", "--json", *(("--yes",) if command == "run" else ()))


def outcome_of(rule: str, command: str, ran: Ran, before: dict[int, StoredUser], box: Sandbox, calls: "Calls") -> str:
    """Put into the words of the table what has become of user 1."""
    if rule == "notification":
        return "notified" if calls.received else "silent"
    if ran.code == 5:
        return "busy"
    changed = before[1] != box.store.users[1]
    if command == "plan":
        return planned_outcome(ran)
    if ran.code == 3:
        assert not changed
        text = ran.err if command == "update" else ran.summary["stopped"]
        return f"refused {text.split('nothing was sent:')[1].split(':')[0].strip()}"
    if changed:
        return "sent"
    if command == "update":
        words = {"protected": "rejected protected", "somebody": "conflict", "usersync wrote": "conflict"}
        return next((outcome for word, outcome in words.items() if word in ran.err), "unchanged")
    return " ".join(filter(None, next((r["status"], r["code"]) for r in ran.report if r["id"] == "1")))


def planned_outcome(ran: Ran) -> str:
    plan = ran.summary
    if plan["limits"]:
        return f"refused {plan['limits'][0]['rule']}"
    for group in plan["problems"]:
        return "conflict" if group["code"] == "conflict" else f"rejected {group['code']}"
    return "sent" if plan["changes"] else "unchanged"


def lose_a_row(command_line: tuple[str, ...], at: Desk) -> str:
    """Run a command through the library, and delete a row of it from the ledger on the way."""
    at.prepare()
    settings = usersync.make_settings(
        {
            "platform": {"url": at.url, "token_command": f"echo {TOKEN}"},
            "ledger": str(at.folder / "usersync.db"),
            "report": {"dir": str(at.folder / "runs")},
        }
    )

    def delete(row: usersync.Row) -> None:
        with sqlite3.connect(at.folder / "usersync.db") as database:
            database.execute("DELETE FROM row WHERE run = (SELECT max(n) FROM run) AND key = ?", (row.key,))

    context = Context(on_result=delete)
    more: Any = {"confirm": lambda _: True, "context": context}
    command, first = command_line[:2]
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: usersync.run([at.folder / first], settings, **more),
        "apply": lambda: usersync.apply(at.folder / first, settings, **more),
        "resume": lambda: usersync.resume(first, settings, **more),
        "undo": lambda: usersync.undo(first, settings, **more),
        "update": lambda: usersync.update(first, {"name": "Anna"}, settings, **more),
    }
    with pytest.MonkeyPatch.context() as own:
        own.chdir(at.folder)
        with pytest.raises(RowCountError) as raised:
            calls[command]()
    assert "please report it" in str(raised.value)
    return type(raised.value).__name__


@dataclass
class Calls:
    """What a webhook received."""

    url: str
    received: list[dict[str, Any]] = field(default_factory=list)


class webhook:  # noqa: N801 - used as a function
    """Receive notifications on a port of this machine."""

    def __enter__(self) -> Calls:
        received: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return Calls(f"http://127.0.0.1:{self._server.server_port}/", received)

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_two_platforms_with_one_new_ledger_both_run(tmp_path: Path) -> None:
    sheet = tmp_path / "changes.csv"
    sheet.write_text("id,name\n" + "".join(f"{i},New {i}\n" for i in range(1, 21)))
    with running(Sandbox(users=20, limit=None)) as one, running(Sandbox(users=20, limit=None)) as two:
        for attempt in range(8):
            folder = tmp_path / str(attempt)
            settings = [
                usersync.make_settings(
                    {
                        "platform": {"url": box.url, "token_command": f"echo {TOKEN}"},
                        "ledger": str(folder / "usersync.db"),
                        "report": {"dir": str(folder / box.url[-5:])},
                    }
                )
                for box in (one, two)
            ]
            folder.mkdir()
            results = usersync.run_many([sheet], settings, confirm=lambda _: True)
            assert all(isinstance(r, usersync.Summary) and r.exit_code == 0 for r in results), results
