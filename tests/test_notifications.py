"""Owner is told how a run ended: over real sockets, with the real command line."""

import json
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from usersync import notifications as notify
from usersync.notifications import Ending, deliver

FINE, PARTIAL = "id,name\n1,Ann Quill\n", "id,name\n1,Ann Quill\nx,Bo Reed\n9999,Cy Tan\n"
SECRET = "hush-hush"


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
    """Notes what it is sent: (path, body) of every request."""

    def __init__(self, answer: int = 200) -> None:
        self.got: list[tuple[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                hook.got.append((self.path, json.loads(self.rfile.read(size)) if size else None))
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - named by the library

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Post(socketserver.ThreadingTCPServer):
    """Takes mail in, as an SMTP server does."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        post = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 post\r\n")
                for line in self.rfile:
                    word = line.split()[0].upper()
                    self.wfile.write({b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(word, b"250 ok\r\n"))
                    if word == b"DATA":
                        post.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                        self.wfile.write(b"250 taken\r\n")

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server, listening(server):
        yield server


def test_tells_verdict_counts_reasons_and_the_report_and_no_value(desk: Callable[..., Any], hook: Hook) -> None:
    with desk(notify={"webhook": f"{hook.url}/{SECRET}", "ping_url": f"{hook.url}/ping?x=1"}) as (_, at):
        at.write("changes.csv", PARTIAL)
        assert at.run("run", "changes.csv", "--yes", "-q").code == 1
        ((_, told),) = (one for one in hook.got if one[0] == f"/{SECRET}")
        assert ("/ping/fail?x=1", None) in hook.got
        assert (told["verdict"], told["exit_code"]) == ("partial", 1)
        assert told["counts"] == {"updated": 1, "rejected": 1, "failed": 1, "rows": 3}
        assert {r["code"]: r["row"] for r in told["reasons"]} == {"id-invalid": 3, "not-found": 4}
        assert Path(told["report"].partition(" on ")[0]).read_bytes()
        assert "not-found: 1, first in row 4" in told["text"]
        assert not [name for name in ("Ann", "Reed", "Tan") if name in json.dumps(told)]


def test_success_is_told_only_if_asked_and_recovery_by_itself(desk: Callable[..., Any], hook: Hook) -> None:
    def verdicts() -> list[str]:
        return [body["verdict"] if body else path for path, body in sorted(hook.got, key=lambda one: one[0])]

    with desk(notify={"webhook": f"{hook.url}/a", "ping_url": f"{hook.url}/ping"}) as (_, at):
        at.write("fine.csv", FINE)
        at.write("partial.csv", PARTIAL)
        assert at.run("run", "fine.csv", "--yes", "-q").err == ""
        assert verdicts() == ["/ping"]
        at.run("run", "partial.csv", "--yes", "-q")
        hook.got.clear()
        at.run("run", "fine.csv", "--yes", "-q")
        assert verdicts() == ["recovered", "/ping"]
        hook.got.clear()
        at.settings["notify"]["when"] = ["done"]
        at.run("run", "fine.csv", "--yes", "-q")
        assert verdicts() == ["done", "/ping"]


@pytest.mark.parametrize(
    ("settings", "words", "verdict", "code", "said"),
    [
        pytest.param({}, ["gone.csv"], "failed", 2, "no such file", id="an input that is not there"),
        pytest.param({"limits": {"min_rows": 9}}, ["changes.csv"], "refused", 3, "min-rows", id="a limit"),
        pytest.param({"platform": {"path": "/gone/{id}"}}, ["changes.csv"], "partial", 1, "", id="rows that fail"),
    ],
)
def test_whatever_ends_a_run_is_told(
    desk: Callable[..., Any], hook: Hook, settings: Any, words: list[str], verdict: str, code: int, said: str
) -> None:
    with desk(notify={"webhook": hook.url}, **settings) as (_, at):
        at.write("changes.csv", FINE)
        assert at.run("run", *words, "--yes", "-q").code == code
        ((_, told),) = hook.got
        assert (told["verdict"], told["exit_code"]) == (verdict, code)
        assert said in told["error"]


def test_mail_and_apprise_say_the_same(desk: Callable[..., Any], hook: Hook) -> None:
    post = Post()
    email = {"host": "127.0.0.1", "port": post.server_address[1], "from": "a@x.org", "to": "ops@x.org"}
    told = {"email": email | {"starttls": False}, "urls_env": "URLS"}
    with listening(post), desk(notify=told) as (_, at):
        at.write("changes.csv", PARTIAL)
        at.env["URLS"] = hook.url.replace("http", "json")
        done = at.run("run", "changes.csv", "--yes", "--json", "-vv")
        assert done.summary["notices"] == []
        ((_, body),) = hook.got
        assert body["title"] == f"usersync: partial (exit 1) on {at.url}"
        assert "Subject: usersync: partial (exit 1)" in post.mails[0]
        assert "not-found: 1, first in row 4" in post.mails[0]
        assert "not-found: 1, first in row 4" in body["message"]


def test_what_cannot_be_delivered_is_a_notice_and_no_other_exit_code(desk: Callable[..., Any]) -> None:
    with Hook(answer=500) as server, listening(server):
        web = f"{server.url}/{SECRET}"
        told = {"when": ["done"], "webhook_env": "WEB", "ping_url": web, "urls": [f"json://127.0.0.1:1/{SECRET}"]}
        email = {"host": "127.0.0.1", "port": 1, "from": "a@x.org", "to": ["b@x.org"]}
        with desk(notify=told | {"email": email}, metrics={"file": "gone/m.prom"}) as (_, at):
            at.env["WEB"] = web
            at.write("changes.csv", FINE)
            done = at.run("run", "changes.csv", "--yes", "-vv")
            assert done.code == 0
            (summary,) = at.folder.glob("runs/*/summary.json")
            notices = json.loads(summary.read_text())["notices"]
            assert sorted(notices) == [
                "metrics: gone/m.prom: not written: No such file or directory; see that its folder is there",
                "notify.email: not delivered: Connection refused",
                "notify.ping_url: not delivered: answered with 500",
                "notify.urls, number 1: not delivered: apprise could not hand it over",
                "notify.webhook: not delivered: answered with 500",
            ]
            assert all(notice in done.err for notice in notices)
            kept = b"".join(p.read_bytes() for p in [*at.folder.rglob("*")] if p.is_file() and p.suffix != ".yaml")
            assert SECRET.encode() not in kept + done.err.encode()


def test_who_never_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "WAIT", 0.05)

    class Silent(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            over.wait()

    over = Event()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent)
    with listening(server):
        ending = Ending("failed", 2, "http://x", error="x")
        settings = notify.Notify.model_validate({"webhook": f"http://127.0.0.1:{server.server_address[1]}"})
        told = deliver(notify.channels(settings), ending)
        over.set()
    assert told[0].startswith("notify.webhook: not delivered: ")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        pytest.param({"webhook_env": "NONE"}, "variable NONE is empty", id="a variable that is not set"),
        pytest.param({"urls": ["what://is-this"]}, "no sense of number 1", id="an address that apprise does not know"),
        pytest.param({"webhook": "ftp://x"}, "http:// or https://", id="a webhook that is no web address"),
        pytest.param({"when": ["sometimes"]}, "'recovered' or 'done'", id="a verdict that there is not"),
    ],
)
def test_refuses_settings_before_anything_is_sent(desk: Callable[..., Any], told: Any, said: str) -> None:
    with desk(notify=told) as (box, at):
        at.write("changes.csv", FINE)
        done = at.run("run", "changes.csv", "--yes")
        assert (done.code, box.log) == (2, ())
        assert said in done.err
