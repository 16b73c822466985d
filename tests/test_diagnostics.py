"""Test `usersync check`: every failed check has a remedy and an exit code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from usersync.context import Clock, SystemClock
from usersync.diagnostics import CheckResult, run_diagnostics
from usersync.sandbox import Answer, Faults, Sandbox, StoredUser, running, user_token
from usersync.settings import make_settings

Opened = Callable[..., Any]


def failed_checks(document: Mapping[str, Any]) -> dict[str, str]:
    for check in document["checks"]:
        assert bool(check["remedy"]) is not check["ok"], check
    return {check["name"]: f"{check['message']}; {check['remedy']}" for check in document["checks"] if not check["ok"]}


def test_with_everything_in_place_all_checks_pass_and_no_patch_is_sent(desk: Opened) -> None:
    with desk(Sandbox(users=9, quota_headers="X-RateLimit")) as (box, at):
        ran = at.run("check", "--json")
        names = [check["name"] for check in ran.summary["checks"]]
        assert (ran.code, failed_checks(ran.summary), ran.summary["exit_code"]) == (0, {}, 0)
        assert names == [
            "versions", "settings", "platform", "token", "permission", "proxy", "TLS", "clock", "limit", "account",
            "ledger", "ledger disk", "report disk", "notify",
        ]  # fmt: skip
        assert "X-RateLimit-Limit: 3000" in ran.out
        checked = at.run("check")
        assert (checked.code, checked.err, "ok      permission   user 1 can be read" in checked.out) == (0, "", True)
        assert dict(box.tally) == {("GET", 200): 2}
        assert not (at.folder / "usersync.db").exists()


def test_the_channels_of_notifications_are_named_and_not_used(desk: Opened) -> None:
    notify = {"webhook": "http://127.0.0.1:9/hook", "ping_url": "http://127.0.0.1:9/ping"}
    with desk(Sandbox(users=9), notify=notify, metrics={"file": "usersync.prom"}) as (_, at):
        checked = at.run("check")
        assert (checked.code, checked.err) == (0, "")
        assert "ok      notify       notify.webhook, notify.ping_url\n" in checked.out
        assert "ok      metrics      usersync.prom, written after every run\n" in checked.out


def test_the_user_that_is_read_is_the_lowest_in_the_ledger(desk: Opened) -> None:
    with desk(Sandbox(users=9)) as (box, at):
        at.write("changes.csv", "id,name\n7,Ann\n5,Bea\n")
        at.run("run", "changes.csv", "--yes")
        assert at.run("check").code == 0
        assert box.log[-1].user_id == 5


@dataclass(frozen=True)
class Case:
    """A fault, and what the check reports about it."""

    code: int
    name: str
    says: str
    box: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()


def says(answer: Answer) -> Faults:
    return Faults(script=lambda *_: answer)


MEMBERS = (StoredUser(1, "Ann", "ann@example.org"), StoredUser(2, "Bo", "bo@example.org", accounts=(2,)))
CASES = {
    "an unknown setting": Case(2, "settings", "did you mean rate?", settings={"request": {"rat": 1}}),
    "no token": Case(2, "token", "there is no token in", env={"USERSYNC_TOKEN": ""}),
    "a refused token": Case(4, "token", "ask the operator", env={"USERSYNC_TOKEN": "wrong"}),
    "a user who may not be managed": Case(1, "permission", "platform app may not", box={"forbidden": {1}}),
    "a platform that answers 503": Case(4, "platform", "answered 503", box={"faults": Faults(errors=1.0)}),
    "an address that is not the API": Case(
        4, "platform", "check platform.url", {"faults": says(Answer(404, "<html>Nothing here</html>"))}
    ),
    "a limit that is used up": Case(1, "limit", "who else", {"faults": says(Answer(429, "Retry later"))}),
    "an unreachable proxy": Case(4, "proxy", "request.proxy", words=("--proxy", "http://127.0.0.1:9")),
    "a ca_file without certificates": Case(
        2, "TLS", "request.ca_file", settings={"request": {"ca_file": "usersync.yaml"}}
    ),
    "a ledger that is not a database": Case(2, "ledger", "under ledger:", settings={"ledger": "usersync.yaml"}),
    "a report folder below a file": Case(
        2, "report disk", "report.dir", settings={"report": {"dir": "usersync.yaml/runs"}}
    ),
    "a variable with a webhook that is not set": Case(
        2, "notify", "variable NO_HOOK is empty; set it", settings={"notify": {"webhook_env": "NO_HOOK"}}
    ),
    "an address that apprise does not know": Case(
        2, "notify", "does not understand number 1; correct it", settings={"notify": {"urls": ["what://is-this"]}}
    ),
    "a folder of metrics that is not there": Case(
        1, "metrics", "gone is no folder; create it", settings={"metrics": {"file": "gone/usersync.prom"}}
    ),
}


def account(token: str, number: int = 1) -> dict[str, Any]:
    return {"platform": {"account": number, "account_token_command": f"echo {token}"}}


CASES |= {
    "an account without a token": Case(
        1, "account", "platform.account_token_env", settings={"platform": {"account": 1}}
    ),
    "an unknown token of an account": Case(1, "account", "a user's own access token", settings=account("nobody")),
    "the platform app's token for an account": Case(1, "account", "profile page", settings=account("sandbox-token")),
    "a token of another account": Case(
        1, "account", "does not belong to account 2", box={"users": MEMBERS}, settings=account(user_token(1), 2)
    ),
    "an unknown account": Case(1, "account", "there is no account 9", settings=account(user_token(1), 9)),
    "an account's token that is missing": Case(2, "account", "there is no token", settings=account("")),
    "a list of an account that is too large": Case(
        1,
        "account",
        "raise platform.directory_max_bytes",
        settings={"platform": {**account(user_token(1))["platform"], "directory_max_bytes": 99}},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_failed_check_has_a_remedy_and_an_exit_code(case: Case, desk: Opened) -> None:
    with desk(Sandbox(**{"users": 9, **case.box}), **case.settings) as (_, at):
        at.env |= case.env
        ran = at.run("check", "--json", *case.words)
        found = failed_checks(ran.summary)
        assert (ran.code, list(found), case.says in found[case.name]) == (case.code, [case.name], True), found
        assert "sandbox-token" not in ran.out


def test_an_unknown_user_confirms_platform_and_token(desk: Opened) -> None:
    with desk(Sandbox(users=9)) as (_, at):
        ran = at.run("check", "--user", "77")
        assert ran.code == 0
        assert "there is no user 77" in ran.out
        assert "ok      token        accepted" in ran.out


@pytest.mark.parametrize(("users", "counted"), [(9, "9 users"), (1, "1 user")])
def test_the_users_of_an_account_are_counted(users: int, counted: str, desk: Opened) -> None:
    with desk(Sandbox(users=users), **account(user_token(1))) as (box, at):
        ran = at.run("check")
        assert ran.code == 0
        assert f"ok      account      {counted} of account 1 can be listed in one request" in ran.out
        assert [request.listing for request in box.log] == ["", "agents"]


def test_without_an_account_check_says_that_users_are_read_one_by_one(desk: Opened) -> None:
    with desk(Sandbox(users=9)) as (_, at):
        assert "ok      account      none is configured" in at.run("check").out


def results(url: str, home: Path, clock: Clock) -> dict[str, CheckResult]:
    (home / "token").write_text("sandbox-token")
    raw = {
        "platform": {"url": url, "token_file": str(home / "token")}, "request": {"timeout": 30},
        "ledger": str(home / "u.db"), "report": {"dir": str(home / "runs")},
    }  # fmt: skip
    return {found.name: found for found in run_diagnostics(lambda: make_settings(raw), clock)}


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, ""), (-4, ""), (60, "60 s ahead of"), (-3600, "3,600 s behind")],
    ids=["right", "nearly right", "fast", "slow"],
)
def test_a_clock_that_is_wrong_is_reported(seconds: int, says: str, tmp_path: Path) -> None:
    class Off(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=seconds)

    with running(Sandbox(users=3)) as box:
        found = results(box.url, tmp_path, Off())["clock"]
    assert (found.exit_code, says in found.message, bool(found.remedy)) == (int(bool(says)), True, bool(says))
