"""Test notifications on real sockets: no values in them, no effect on exit codes."""

import email
import email.policy
import json
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from usersync import notifications
from usersync.context import SystemClock
from usersync.errors import RefusedError, SettingsError, StoppedError, UsageError
from usersync.notifications import notify_run_failed, notify_run_finished, prepare
from usersync.report import Summary, write_summary
from usersync.settings import Settings, make_settings

FINE = "id,name\n1,Ann Quill\n"
PARTIAL = "id,name\n1,Ann Quill\nx,Bo Reed\n9999,Cy Tan\n"
SECRET = "hush-hush"
# apprise imports a module that Python 3.13 removes
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@contextmanager
def listening(server: socketserver.BaseServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Hook(ThreadingHTTPServer):
    """Record (path, body) of every request."""

    def __init__(self, status: int = 200, location: str = "") -> None:
        self.got: list[tuple[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                hook.got.append((self.path, json.loads(self.rfile.read(size)) if size else None))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - named by the library

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class MailServer(socketserver.ThreadingTCPServer):
    """Accept mail, as an SMTP server does."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 mail\r\n")
                for line in self.rfile:
                    word = line.split()[0].upper()
                    self.wfile.write({b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(word, b"250 ok\r\n"))
                    if word == b"DATA":
                        server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                        self.wfile.write(b"250 taken\r\n")

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server, listening(server):
        yield server


@pytest.fixture
def mailbox() -> Iterator[MailServer]:
    server = MailServer()
    with listening(server):
        yield server


def address_of(server: MailServer) -> dict[str, Any]:
    address = {"host": "127.0.0.1", "port": server.server_address[1], "starttls": False}
    return address | {"from": "a@x.org", "to": "ops@x.org"}


def settings_with(**sections: Any) -> Settings:
    platform = {"url": "http://127.0.0.1:9", "token_env": "TOKEN"}
    return make_settings({"platform": platform, **sections}, "the test's settings")


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    made = Summary(
        run="R1",
        status="partial",
        exit_code=1,
        counts={"updated": 1, "rejected": 1, "rows": 2},
        requests={"get": 2, "patch": 1, "retried": 0, "throttled": 0},
        seconds=1.0,
        files={"report": str(tmp_path / "report.csv"), "summary": str(tmp_path / "summary.json")},
        reasons=[{"code": "id-invalid", "rows": 1, "row": 3, "message": "Bo Reed has no number"}],
    )
    write_summary(made)
    return made


def finish(settings: Settings, summary: Summary, *, recovered: bool = False) -> Summary:
    return notify_run_finished(settings, prepare(settings), summary, recovered=recovered, clock=SystemClock())


def verdicts(hook: Hook) -> list[str]:
    return sorted(body["verdict"] if body else path for path, body in hook.got)


def test_a_message_has_verdict_counts_reasons_and_report_but_no_value(hook: Hook, summary: Summary) -> None:
    settings = settings_with(notify={"webhook": f"{hook.url}/hook", "ping_url": f"{hook.url}/ping?x=1"})
    assert finish(settings, summary) == summary
    message = dict(hook.got)["/hook"]
    assert ("/ping/fail?x=1", None) in hook.got
    assert (message["verdict"], message["exit_code"], message["counts"]) == ("partial", 1, summary.counts)
    assert message["reasons"] == [{"code": "id-invalid", "rows": 1, "row": 3}]
    assert message["report"].startswith(str(summary.files["report"]))
    assert "id-invalid: 1, first in row 3" in message["text"]
    assert "Reed" not in json.dumps(message)


@pytest.mark.parametrize(
    ("when", "recovered", "sent"),
    [
        pytest.param(None, False, ["/ping"], id="success is not notified"),
        pytest.param(None, True, ["/ping", "recovered"], id="recovery is"),
        pytest.param(["done"], False, ["/ping", "done"], id="success is where settings ask for it"),
        pytest.param(["done"], True, ["/ping", "recovered"], id="recovery is a success"),
        pytest.param(["failed"], True, ["/ping"], id="recovery is not where settings leave it out"),
    ],
)
def test_success_is_notified_only_where_settings_ask_for_it(
    hook: Hook, summary: Summary, when: list[str] | None, recovered: bool, sent: list[str]
) -> None:
    notify = {"webhook": f"{hook.url}/hook", "ping_url": f"{hook.url}/ping", **({"when": when} if when else {})}
    finish(settings_with(notify=notify), replace(summary, status="done", exit_code=0), recovered=recovered)
    assert verdicts(hook) == sent


def test_a_run_that_exceeds_limits_names_those_not_overridden(hook: Hook, summary: Summary) -> None:
    limits = [{"rule": rule, "sentence": "", "overridden": rule == "changes"} for rule in ("changes", "same-name")]
    refused = replace(summary, status="refused", exit_code=3, limits=limits, stopped="refused")
    finish(settings_with(notify={"webhook": hook.url}), refused)
    assert hook.got[0][1]["error"] == "limits exceeded: same-name"


@pytest.mark.parametrize(
    ("error", "verdict", "exit_code", "reason"),
    [
        pytest.param(UsageError("gone.csv: no such file"), "failed", 2, "gone.csv: no such file", id="wrong use"),
        pytest.param(RefusedError("not confirmed"), "refused", 3, "not confirmed", id="refused"),
        pytest.param(StoppedError("out of time"), "stopped", 4, "out of time", id="stopped"),
        pytest.param(KeyError(SECRET), "failed", 1, "internal error: KeyError; please report it", id="our own error"),
    ],
)
def test_a_run_that_ends_in_an_error_is_notified(
    hook: Hook, error: Exception, verdict: str, exit_code: int, reason: str
) -> None:
    settings = settings_with(notify={"webhook": hook.url})
    notify_run_failed(settings, prepare(settings), error, clock=SystemClock())
    ((_, message),) = hook.got
    assert (message["verdict"], message["exit_code"], message["error"]) == (verdict, exit_code, reason)


def test_mail_and_apprise_say_the_same(
    hook: Hook, mailbox: MailServer, summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("URLS", hook.url.replace("http", "json"))
    settings = settings_with(notify={"email": address_of(mailbox), "urls_env": "URLS"})
    assert finish(settings, summary).notices == []
    ((_, body),) = hook.got
    title = "usersync: partial (exit 1) on http://127.0.0.1:9"
    assert body["title"] == title
    assert f"Subject: {title}" in mailbox.mails[0]
    for text in (mailbox.mails[0], body["message"]):
        assert "id-invalid: 1, first in row 3" in text


def attachments(mail: str) -> dict[str, bytes]:
    parts = email.message_from_string(mail, policy=email.policy.default).iter_attachments()
    return {str(part.get_filename()): part.get_content() for part in parts}


def test_an_e_mail_has_the_files_that_settings_ask_for(mailbox: MailServer, summary: Summary, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>Zoë</p>", encoding="utf-8")
    (tmp_path / "rejects.xlsx").write_bytes(b"PK\x03\x04")
    files = {"html": str(tmp_path / "report.html"), "rejects": str(tmp_path / "rejects.xlsx")}
    done = replace(summary, files=summary.files | files)
    assert finish(settings_with(notify={"email": address_of(mailbox)}), done).notices == []
    asking = settings_with(notify={"email": address_of(mailbox) | {"attach": ["html", "rejects"]}})
    assert finish(asking, done).notices == []
    assert finish(asking, summary).notices == []
    none, both, no_rejects = mailbox.mails
    assert (attachments(none), attachments(no_rejects)) == ({}, {})
    assert attachments(both) == {"rejects.xlsx": b"PK\x03\x04", "report.html": "<p>Zoë</p>"}


def test_a_file_that_is_too_large_for_an_e_mail_is_named_in_it(
    mailbox: MailServer, summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "ATTACHMENTS", 1_000_000)
    (tmp_path / "report.html").write_bytes(b"x" * 1_500_000)
    (tmp_path / "rejects.csv").write_bytes(b"id\n")
    files = {"html": str(tmp_path / "report.html"), "rejects": str(tmp_path / "rejects.csv")}
    asking = settings_with(notify={"email": address_of(mailbox) | {"attach": ["html", "rejects"]}})
    finish(asking, replace(summary, files=summary.files | files))
    (mail,) = mailbox.mails
    assert list(attachments(mail)) == ["rejects.csv"]
    assert "not attached: report.html (1.5 MB is too large for an e-mail)" in mail


def test_what_cannot_be_delivered_is_a_notice_without_the_address(
    summary: Summary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Hook(status=500) as server, listening(server):
        monkeypatch.setenv("WEB", f"{server.url}/{SECRET}")
        notify = {"webhook_env": "WEB", "ping_url": f"{server.url}/{SECRET}", "urls": [f"json://127.0.0.1:1/{SECRET}"]}
        email = {"host": "127.0.0.1", "port": 1, "from": "a@x.org", "to": ["b@x.org"]}
        done = finish(settings_with(notify=notify | {"email": email}, metrics={"file": "gone/m.prom"}), summary)
    assert done.exit_code == summary.exit_code
    assert sorted(done.notices) == [
        "metrics: gone/m.prom: not written: No such file or directory; make sure that its folder exists",
        "notify.email: not delivered: Connection refused",
        "notify.ping_url: not delivered: answered with 500",
        "notify.urls, number 1: not delivered: apprise could not deliver it",
        "notify.webhook: not delivered: answered with 500",
    ]
    assert json.loads(Path(str(summary.files["summary"])).read_text())["notices"] == done.notices
    assert [record.message for record in caplog.records if record.name == "usersync.notifications"] == done.notices
    assert SECRET not in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_message_is_not_lost_on_a_redirect(status: int, hook: Hook, summary: Summary) -> None:
    with Hook(status, location=f"{hook.url}/{SECRET}") as server, listening(server):
        done = finish(settings_with(notify={"webhook": server.url, "ping_url": server.url}), summary)
    reason = f"answered with {status}, a redirect; write the address that it leads to"
    assert done.notices == [f"notify.webhook: not delivered: {reason}"]
    assert hook.got == [(f"/{SECRET}", None)]  # the ping, which has nothing to lose


def test_a_channel_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, summary: Summary) -> None:
    monkeypatch.setattr(notifications, "TIMEOUT", 0.05)
    over = Event()

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            over.wait()

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent)
    with listening(server):
        webhook = f"http://127.0.0.1:{server.server_address[1]}"
        (notice,) = finish(settings_with(notify={"webhook": webhook}), summary).notices
        over.set()
    assert notice.startswith("notify.webhook: not delivered: ")


@pytest.mark.parametrize(
    ("notify", "message"),
    [
        pytest.param({"webhook_env": "NONE"}, "variable NONE is empty", id="a variable that is not set"),
        pytest.param({"urls": ["what://is-this"]}, "does not understand number 1", id="an unknown kind of address"),
        pytest.param({"webhook": "ftp://x"}, "http:// or https://", id="a webhook that is no web address"),
        pytest.param({"webhook_env": "BARE"}, "webhook_env: BARE: write the address with http", id="a bare host"),
        pytest.param({"ping_url_env": "FILE"}, "ping_url_env: FILE: write the address with http", id="a file"),
        pytest.param({"webhook_env": "USER"}, "without user or password", id="a password that urllib does not send"),
        pytest.param({"webhook": "https://x/ü"}, "characters that no address has", id="a letter beyond ASCII"),
        pytest.param({"webhook": "https://x/a b"}, "holds blanks", id="a blank"),
        pytest.param({"when": ["sometimes"]}, "'recovered' or 'done'", id="an unknown verdict"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(
    notify: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, address in (("BARE", "x.org/"), ("FILE", "file:///"), ("USER", "https://me:mine@x.org/")):
        monkeypatch.setenv(name, address + SECRET)
    with pytest.raises(SettingsError, match=message) as caught:
        prepare(settings_with(notify=notify))
    assert SECRET not in str(caught.value)


def test_a_run_notifies_its_end_and_the_recovery_from_it(desk: Callable[..., Any], hook: Hook) -> None:
    with desk(notify={"webhook": f"{hook.url}/{SECRET}"}) as (_, at):
        at.write("partial.csv", PARTIAL)
        at.write("fine.csv", FINE)
        assert at.run("run", "partial.csv", "--yes", "-q").code == 1
        assert at.run("run", "fine.csv", "--yes", "-q").code == 0
        assert at.run("run", "fine.csv", "--yes", "-q").code == 0
        assert [body["verdict"] for _, body in hook.got] == ["partial", "recovered"]
        assert not [name for name in ("Ann", "Reed", "Tan") if name in json.dumps(hook.got)]
        kept = b"".join(p.read_bytes() for p in [*at.folder.rglob("*")] if p.is_file() and p.suffix != ".yaml")
        assert SECRET.encode() not in kept


@pytest.mark.parametrize(
    ("settings", "file", "verdict", "code", "reason"),
    [
        pytest.param({}, "gone.csv", "failed", 2, "no such file", id="an input that does not exist"),
        pytest.param({"limits": {"min_rows": 9}}, "changes.csv", "refused", 3, "min-rows", id="a limit"),
        pytest.param({"platform": {"path": "/gone/{id}"}}, "changes.csv", "partial", 1, "", id="rows that fail"),
    ],
)
def test_a_run_notifies_however_it_ends(
    desk: Callable[..., Any], hook: Hook, settings: Any, file: str, verdict: str, code: int, reason: str
) -> None:
    with desk(notify={"webhook": hook.url}, **settings) as (_, at):
        at.write("changes.csv", FINE)
        assert at.run("run", file, "--yes", "-q").code == code
        ((_, message),) = hook.got
        assert (message["verdict"], message["exit_code"]) == (verdict, code)
        assert reason in message["error"]


def test_a_run_with_wrong_settings_sends_nothing(desk: Callable[..., Any]) -> None:
    with desk(notify={"webhook_env": "NONE"}) as (box, at):
        at.write("changes.csv", FINE)
        done = at.run("run", "changes.csv", "--yes")
        assert (done.code, box.log) == (2, ())
        assert "variable NONE is empty" in done.err
