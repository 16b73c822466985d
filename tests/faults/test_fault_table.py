"""Test that each fault ends as README.md says.

`python -m tests.faults.test_fault_table` writes that page.
"""

import asyncio
import re
import ssl
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import pytest

from tests.conftest import PATIENCE, free_port
from tests.faults import conftest as at
from tests.faults.conftest import NGINX, Act, Aim, Misbehaving, QuickClock, internal_redirect, page, says
from usersync import api
from usersync.context import Context, Stop
from usersync.planning.plan import Plan
from usersync.report import Summary
from usersync.sandbox import Fault, Faults, Sandbox, running, user_token
from usersync.settings import Settings, make_settings

README = Path(__file__).parent / "README.md"
TLS = Path(__file__).parent.parent / "platform" / "files"
ROWS = 9
PLACES = {"first": 1, "middle": 5, "last": 9}
#: The connections of those rows, where each takes two attempts, and then a read.
ACCEPTED = (1, 2, 7, 8, 13, 14)
TABLE = re.compile(r"^(\|---.*\n)((?:\|.*\n)*)", re.M)
Line = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: who makes it, and how."""

    name: str
    source: str
    act: Act | Fault
    #: Whether the platform carries out what gets no proper answer.
    applied: bool = False
    reads_too: bool = False
    #: Whether it happens before a byte is sent, so that requests go one at a time: it is known whose they are.
    at_accept: bool = False

    @property
    def timeout(self) -> float:
        """Seconds: short only where it is waited for, but longer than any other answer takes on a busy machine."""
        return 1.0 if self.act in ("say nothing", "drip", Fault.STALL) and self.source != PROXY else PATIENCE


def break_off(answer: bytes) -> bytes:
    return answer[:-10]


def labelled_as_text(answer: bytes) -> bytes:
    return answer.replace(b"application/json", b"text/plain")


NOTHING = says(b"")
BOMB = zlib.compress(b'{"id": 1, "name": "' + b"x" * 5_000_000 + b'"}')
RAW, PROXY, BOX = "raw server", "nginx", "sandbox"
NO_HOST, CLOSED = "no such host", "nobody listens"
#: Fault -> certificate that the server shows; the platform is reached with another URL or authority afterwards.
CERTIFICATES = {
    "an untrusted certificate": "server.pem",
    "an expired certificate": "expired.pem",
    "a certificate for another host": "other-host.pem",
}
#: Fault -> what every request is answered with.
ANSWERS: dict[str, Act] = {
    "all say nothing": "say nothing",
    "redirect": page("302 Found", b"", more="Location: /login"),
    "403 with a page": page("403 Forbidden"),
    "404 with a page": page("404 Not Found"),
    "400 with a page": page("400 Bad Request"),
    "413 with a page": page("413 Content Too Large"),
    "407": page("407 Proxy Authentication Required", b""),
    "200 with a login page": page("200 OK"),
}
#: Fault -> what the list of an account's users is answered with, and nothing else.
LISTS: dict[str, Act] = {
    "closes without an answer": NOTHING,
    "resets without an answer": "reset",
    "says nothing": "say nothing",
    "breaks the answer off": break_off,
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "302, to a login page": page("302 Found", b"", more="Location: /login"),
    "401, the token is unknown": page("401 Unauthorized", b'{"error": "Invalid Access Token"}', "application/json"),
    "401, the token of another account": page(
        "401 Unauthorized", b'{"error": "You are not authorized to access this account"}', "application/json"
    ),
    "403, no right to list users": page("403 Forbidden", b'{"error": "No"}', "application/json"),
    "404, no such account": page("404 Not Found", b'{"error": "Resource could not be found"}', "application/json"),
    "500 with a page": page("500 Internal Server Error"),
    "503 with a page": page("503 Service Unavailable"),
    "200 with a login page": page("200 OK"),
    "200 with no array": page("200 OK", b'{"payload": []}', "application/json"),
    "200 with an empty array": page("200 OK", b"[]", "application/json"),
    "200 with half an array": page("200 OK", b'[{"id": 1, "name": "A", "email": null},', "application/json"),
    "200 with the first of several pages": page("200 OK", b'[{"id": 1}]', "application/json", 'Link: </x>; rel="next"'),
    "5 MB answer": page("200 OK", b"[" + b" " * 5_000_000 + b"]", "application/json"),
}
UNREACHABLE = (NO_HOST, CLOSED, *CERTIFICATES, *ANSWERS)
REFRESH = "if this is meant: python -m tests.faults.test_fault_table"
CASES = (
    Case("closes at accept", RAW, NOTHING, at_accept=True),
    Case("accepts and says nothing", RAW, "say nothing", at_accept=True),
    Case("closes without an answer", RAW, NOTHING),
    Case("resets without an answer", RAW, "reset"),
    Case("reads and says nothing, to the read afterwards as well", RAW, "say nothing", reads_too=True),
    Case("updates, then resets", RAW, "reset", applied=True),
    Case("updates, then answers byte by byte", RAW, "drip", applied=True),
    Case("updates, then breaks the answer off", RAW, break_off, applied=True),
    Case("updates, and labels its JSON as text", RAW, labelled_as_text, applied=True),
    Case("updates, then 502 with a page", RAW, page("502 Bad Gateway"), applied=True),
    Case("updates, then 503 with a page", RAW, page("503 Service Unavailable"), applied=True),
    Case("updates, and answers 204 without a body", RAW, page("204 No Content", b""), applied=True),
    Case("5 MB answer", RAW, page("200 OK", b" " * 5_000_000)),
    Case("5 MB answer, compressed to 5 KB", RAW, page("200 OK", BOMB, "application/json", "Content-Encoding: deflate")),
    Case("no HTTP", RAW, says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    Case("200 with no user in it", RAW, page("200 OK", b"[]", "application/json")),
    Case("200 with another user", RAW, page("200 OK", b'{"id": 77, "name": "X", "email": null}', "application/json")),
    Case("500 with a page", RAW, page("500 Internal Server Error")),
    Case("503 with a page", RAW, page("503 Service Unavailable")),
    Case("504 with a page", RAW, page("504 Gateway Time-out")),
    Case("upstream is dead: 502", PROXY, internal_redirect("dead")),
    Case("upstream hangs up: 502", PROXY, NOTHING),
    Case("upstream says nothing: 504", PROXY, "say nothing"),
    Case("upstream breaks the answer off", PROXY, break_off, applied=True),
    Case("out of order: 503", PROXY, internal_redirect("down")),
    Case("resets (444)", PROXY, internal_redirect("away")),
    Case("503 with a page", BOX, Fault.ERROR),
    Case("resets before the update", BOX, Fault.RESET_BEFORE),
    Case("updates, then resets", BOX, Fault.RESET_AFTER),
    Case("updates, and never answers", BOX, Fault.STALL),
)


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers between usersync and the sandbox: the raw server, and nginx in front of it."""

    raw: Misbehaving
    nginx_port: int

    @contextmanager
    def platform(self, case: Case, aim: Aim) -> Iterator[tuple[Sandbox, str]]:
        """Yield a fresh sandbox, and the address at which `case` happens to those whom `aim` hits."""

        def script(method: str, user_id: int | None, nth: int) -> Fault | None:
            return case.act if isinstance(case.act, Fault) and aim.hits(method, user_id) else None

        if case.source == PROXY and not NGINX:
            pytest.skip(at.NO_NGINX)
        with running(Sandbox(users=ROWS, limit=None, faults=Faults(script=script))) as box:
            act = None if isinstance(case.act, Fault) else case.act
            self.raw.begin(box.port, act, aim, applied=case.applied)
            port = {RAW: self.raw.port, PROXY: self.nginx_port, BOX: box.port}[case.source]
            yield box, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers_running(tmp_path_factory.mktemp("nginx")) as open_servers:
        yield open_servers


@contextmanager
def servers_running(folder: Path) -> Iterator[Servers]:
    raw: Any = Misbehaving()
    with running(raw), at.nginx_before(raw.port, folder) if NGINX else nullcontext(0) as port:
        yield Servers(raw, port)


def send(settings: Settings, folder: Path, *, again: bool = False, aim: Aim | None = None) -> Summary:
    """Run, or resume (`again`); with `aim`, what it hits stops the run."""
    context = Context(clock=QuickClock(40), random=lambda: 0.0)

    def connect(stop: Stop) -> None:
        loop = asyncio.get_running_loop()
        if aim:
            aim.on_hit = lambda: loop.call_soon_threadsafe(stop.ask, 130, "stopped by Ctrl-C")

    context.on_start = connect
    if again:
        return api.resume(None, settings, confirm=lambda _: True, context=context)
    (folder / "changes.csv").write_text(at.changes(ROWS))
    return api.run([folder / "changes.csv"], settings, confirm=lambda _: True, context=context)


def lines_of(box: Sandbox, summary: Summary, affected: Collection[int | None]) -> list[dict[str, str]]:
    """Read the report: the platform holds what it says, and all others were updated by one request."""
    lines, sent = at.report_of(summary, ROWS), patched(box)
    for line in lines:
        user, status = int(line["id"]), line["status"]
        new = box.store.users[user].name == f"New {user}"
        assert status in ("unknown", "not-sent", "updated" if new else "failed"), line
        assert user in affected or (status, sent[user]) == ("updated", 1), line
    return lines


def ending(line: dict[str, str]) -> Line:
    """Return how a row ended, and its message without the class of a library's error, which differs by chance."""
    said = " ".join(filter(None, (line["status"], line["code"], line["http_status"])))
    return said, re.sub(r" \(\w+Error\)", "", line["message"])


def affected_rows(case: Case, servers: Servers, folder: Path) -> Line:
    """Run with the fault on three rows; returns how these and the run ended, as the page has it."""
    affected = PLACES.values()
    aim = Aim(connections=ACCEPTED) if case.at_accept else Aim(affected, case.reads_too)
    with servers.platform(case, aim) as (box, url):
        summary = send(settings_of(case, url, folder), folder)
        lines = lines_of(box, summary, affected)
    (found,) = {ending(lines[user - 1]) for user in affected}
    return *found, str(summary.exit_code)


def resumed(case: Case, user: int, servers: Servers, folder: Path) -> Line:
    """Stop the run as soon as a row is affected, repair the fault, and resume; returns both results."""
    aim = Aim(connections=(user,)) if case.at_accept else Aim((user,))
    with servers.platform(case, aim) as (box, url):
        settings = settings_of(case, url, folder)
        first = send(settings, folder, aim=aim)
        lines = at.report_of(first, ROWS)
        then, before = ending(lines[user - 1])[0], patched(box)
        aim.repaired = True
        again = send(settings, folder, again=True)
        now = ending(lines_of(box, again, (user,))[user - 1])[0]
        answered = [int(line["id"]) for line in lines if line["status"] in ("updated", "failed")]
        assert all(patched(box)[user] == before[user] for user in answered), "sent again, though answered"
    return then, str(first.exit_code), now, str(again.exit_code)


def settings_of(case: Case, url: str, folder: Path) -> Settings:
    return at.settings_for(url, folder, timeout=case.timeout, retries=1, concurrency=1 if case.at_accept else 4)


def patched(box: Sandbox) -> Counter[int | None]:
    return Counter(r.user_id for r in box.log if r.method == "PATCH")


def tables_of_page() -> list[list[Line]]:
    """Return the lines of the page's tables."""
    tables = (found[2].splitlines() for found in TABLE.finditer(README.read_text("utf-8")))
    return [[tuple(map(str.strip, line[1:-1].split("|"))) for line in table] for table in tables]


each_case = pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.source} {c.name}") for c in CASES])


@each_case
def test_a_fault_ends_the_first_the_middle_and_the_last_row_as_the_page_says(
    case: Case, servers: Servers, tmp_path: Path
) -> None:
    assert affected_rows(case, servers, tmp_path) == tables_of_page()[0][CASES.index(case)][2:5], REFRESH


@pytest.mark.parametrize("place", PLACES)
@each_case
def test_a_run_stopped_by_a_fault_is_resumed_as_the_page_says(
    case: Case, place: str, servers: Servers, tmp_path: Path
) -> None:
    assert resumed(case, PLACES[place], servers, tmp_path) == tables_of_page()[0][CASES.index(case)][5:], REFRESH


def unreachable(name: str, folder: Path) -> Line:
    """Run where every request meets the fault, repair it, and resume; returns how the first row and the runs ended."""
    everybody = range(1, ROWS + 1)
    aim = Aim(everybody, reads_too=True)
    server: Any = Misbehaving(port=free_port())
    if name in CERTIFICATES:
        server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.tls.load_cert_chain(TLS / CERTIFICATES[name], TLS / "server.key")
    timeout = 1.0 if name == "all say nothing" else PATIENCE
    patient: dict[str, Any] = {"timeout": timeout, "stop_after": 10, "concurrency": 4}
    if name in CERTIFICATES and name != "an untrusted certificate":
        patient["ca_file"] = str(TLS / CERTIFICATES[name])
    with running(Sandbox(users=ROWS, limit=None)) as box:
        server.begin(box.port, ANSWERS.get(name), aim)
        url = f"http{'s' * (name in CERTIFICATES)}://127.0.0.1:{server.port}"
        settings = at.settings_for("http://a..example" if name == NO_HOST else url, folder, **patient)
        with nullcontext() if name == CLOSED else running(server):
            first = send(settings, folder)
        lines = lines_of(box, first, everybody)
        aim.repaired = True
        if name in CERTIFICATES:
            server.tls.load_cert_chain(TLS / "server.pem", TLS / "server.key")
            settings = at.settings_for(url, folder, **{**patient, "ca_file": str(TLS / "server.pem")})
        with running(server):
            again = send(settings, folder, again=True)
        lines_of(box, again, everybody)
    counts = " ".join(f"{n} {status}" for status, n in again.counts.items())
    stopped = str(first.stopped).replace(url, "URL")
    return *ending(lines[0]), str(first.exit_code), stopped, str(again.exit_code), counts


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_fault_of_every_request_stops_the_run_and_resume_completes_it(name: str, tmp_path: Path) -> None:
    assert unreachable(name, tmp_path) == tables_of_page()[1][UNREACHABLE.index(name)][1:], REFRESH


def unlisted(name: str, folder: Path) -> Line:
    """Run where the list of users meets the fault; returns why it is not used, the requests, and the ending."""
    timeout = 1.0 if LISTS[name] == "say nothing" else PATIENCE
    server: Any = Misbehaving()
    notes: list[str] = []

    def confirm(plan: Plan) -> bool:
        notes.extend(note.partition(": ")[2] for note in plan.notes if "cannot be listed" in note)
        return True

    with running(Sandbox(users=ROWS, limit=None)) as box, running(server):
        server.begin(box.port, LISTS[name], Aim(("agents",), reads_too=True), applied=LISTS[name] is break_off)
        account = {"account": 1, "account_token_command": f"echo {user_token(1)}", "directory_max_bytes": 1 << 20}
        settings = at.settings_for(f"http://127.0.0.1:{server.port}", folder, timeout=timeout).model_dump()
        settings["platform"] = {k: v for k, v in settings["platform"].items() if not k.startswith("literal")} | account
        settings["diff"]["compare_with"] = "remote"
        (folder / "changes.csv").write_text(at.changes(ROWS))
        context = Context(clock=QuickClock(40), random=lambda: 0.0)
        summary = api.run([folder / "changes.csv"], make_settings(settings), confirm=confirm, context=context)
        lines_of(box, summary, ())
    (note,) = notes
    requests = f"{summary.requests['get']} reads, {summary.requests['patch']} updates"
    counts = " ".join(f"{n} {status}" for status, n in summary.counts.items())
    return re.sub(r" \(\w+Error\)", "", note), requests, str(summary.exit_code), counts


@pytest.mark.parametrize("name", LISTS)
def test_a_fault_of_the_list_of_users_makes_the_run_read_them_singly(name: str, tmp_path: Path) -> None:
    assert unlisted(name, tmp_path) == tables_of_page()[2][list(LISTS).index(name)][1:], REFRESH


def test_the_page_has_each_fault_once() -> None:
    one, every, lists = tables_of_page()
    assert [line[0] for line in lists] == list(LISTS)
    assert [line[:2] for line in one] == [(case.name, case.source) for case in CASES]
    assert [line[0] for line in every] == list(UNREACHABLE)


def refresh() -> None:
    """Write the results of today into the page; its headings and sentences stay."""
    lines: tuple[list[Line], list[Line], list[Line]] = ([], [], [])
    with TemporaryDirectory() as home, servers_running(Path(home)) as servers:
        for case in CASES:
            new, other = (Path(mkdtemp(dir=home)) for _ in range(2))
            ends = (*affected_rows(case, servers, new), *resumed(case, 5, servers, other))
            lines[0].append((case.name, case.source, *ends))
        lines[1].extend((name, *unreachable(name, Path(mkdtemp(dir=home)))) for name in UNREACHABLE)
        lines[2].extend((name, *unlisted(name, Path(mkdtemp(dir=home)))) for name in LISTS)
    tables = iter(["".join(f"| {' | '.join(line)} |\n" for line in table) for table in lines])
    README.write_text(TABLE.sub(lambda found: found[1] + next(tables), README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    refresh()
