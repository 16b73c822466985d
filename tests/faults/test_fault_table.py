"""Each fault ends as README.md says, wherever it strikes; `python -m tests.faults.test_fault_table` writes that."""

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

from tests.faults import conftest as at
from tests.faults.conftest import NGINX, Act, Aim, Misbehaving, QuickClock, aside, page, says
from usersync import api
from usersync.context import Context
from usersync.dispatch.rate_limit import Stop
from usersync.report import Summary
from usersync.sandbox import Fault, Faults, Sandbox, running
from usersync.settings import Settings

README = Path(__file__).parent / "README.md"
TLS = Path(__file__).parent.parent / "platform" / "files"
ROWS = 9
PLACES = {"first": 1, "middle": 5, "last": 9}
ACCEPTED = (1, 2, 7, 8, 13, 14)
"""The connections of those rows, where each takes two attempts, and then a look."""
TABLE = re.compile(r"^(\|---.*\n)((?:\|.*\n)*)", re.M)
Line = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: who makes it, and how."""

    name: str
    source: str
    act: Act | Fault
    applied: bool = False
    """Whether the platform carries out what gets no proper answer."""
    looks_too: bool = False
    at_accept: bool = False
    """It strikes before a word is said, so requests go one at a time: who is hit is known."""

    @property
    def timeout(self) -> float:
        """Short only where it is waited for, so that a busy machine does no harm."""
        return 0.2 if self.act in ("say nothing", "drip", Fault.STALL) and self.source != PROXY else 5.0


def break_off(answer: bytes) -> bytes:
    return answer[:-10]


def call_it_a_text(answer: bytes) -> bytes:
    return answer.replace(b"application/json", b"text/plain")


NOTHING = says(b"")
BOMB = zlib.compress(b'{"id": 1, "name": "' + b"x" * 5_000_000 + b'"}')
RAW, PROXY, BOX = "raw server", "nginx", "sandbox"
UNREACHABLE = ("no such host", "nobody listens", "a certificate nobody vouches for", "all say nothing")
NO_HOST, CLOSED, UNTRUSTED, SILENT = UNREACHABLE
REFRESH = "is it meant? then: python -m tests.faults.test_fault_table"
CASES = (
    Case("closes at accept", RAW, NOTHING, at_accept=True),
    Case("accepts and says nothing", RAW, "say nothing", at_accept=True),
    Case("closes without an answer", RAW, NOTHING),
    Case("resets without an answer", RAW, "reset"),
    Case("reads and says nothing, to the look as well", RAW, "say nothing", looks_too=True),
    Case("updates, then resets", RAW, "reset", applied=True),
    Case("updates, then answers byte by byte", RAW, "drip", applied=True),
    Case("updates, then breaks the answer off", RAW, break_off, applied=True),
    Case("updates, and calls its JSON a text", RAW, call_it_a_text, applied=True),
    Case("updates, then 502 with a page", RAW, page("502 Bad Gateway"), applied=True),
    Case("updates, and says 204 and nothing more", RAW, page("204 No Content", b""), applied=True),
    Case("5 MB answer", RAW, page("200 OK", b" " * 5_000_000)),
    Case("5 MB answer, packed into 5 KB", RAW, page("200 OK", BOMB, "application/json", "Content-Encoding: deflate")),
    Case("no HTTP", RAW, says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    Case("200 with a login page", RAW, page("200 OK")),
    Case("200 with no user in it", RAW, page("200 OK", b"[]", "application/json")),
    Case("200 with another user", RAW, page("200 OK", b'{"id": 77, "name": "X"}', "application/json")),
    Case("redirect", RAW, page("302 Found", b"", more="Location: /login")),
    Case("500 with a page", RAW, page("500 Internal Server Error")),
    Case("503 with a page", RAW, page("503 Service Unavailable")),
    Case("504 with a page", RAW, page("504 Gateway Time-out")),
    Case("upstream is dead: 502", PROXY, aside("dead")),
    Case("upstream hangs up: 502", PROXY, NOTHING),
    Case("upstream says nothing: 504", PROXY, "say nothing"),
    Case("upstream breaks the answer off", PROXY, break_off, applied=True),
    Case("out of order: 503", PROXY, aside("down")),
    Case("resets (444)", PROXY, aside("away")),
    Case("503 with a page", BOX, Fault.ERROR),
    Case("resets before the update", BOX, Fault.RESET_BEFORE),
    Case("updates, then resets", BOX, Fault.RESET_AFTER),
    Case("updates, and never answers", BOX, Fault.STALL),
)


@dataclass(frozen=True, slots=True)
class Servers:
    """What stands between us and the sandbox: the raw server, and nginx in front of it."""

    raw: Misbehaving
    nginx_port: int

    @contextmanager
    def platform(self, case: Case, aim: Aim) -> Iterator[tuple[Sandbox, str]]:
        """Give a fresh sandbox, and the address under which `case` befalls whom `aim` hits."""

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
    with standing(tmp_path_factory.mktemp("nginx")) as open_servers:
        yield open_servers


@contextmanager
def standing(folder: Path) -> Iterator[Servers]:
    raw: Any = Misbehaving()
    with running(raw), at.nginx_before(raw.port, folder) if NGINX else nullcontext(0) as port:
        yield Servers(raw, port)


def send(settings: Settings, folder: Path, *, again: bool = False, aim: Aim | None = None) -> Summary:
    """Run, or resume; with `aim`, what it hits stops the run."""
    context = Context(clock=QuickClock(40), chance=lambda: 0.0)

    def connect(stop: Stop) -> None:
        loop = asyncio.get_running_loop()
        if aim:
            aim.on_hit = lambda: loop.call_soon_threadsafe(stop.ask, 130, "stopped by Ctrl-C")

    context.on_start = connect
    if again:
        return api.resume(None, settings, confirm=lambda _: True, context=context)
    (folder / "changes.csv").write_text(at.changes(ROWS))
    return api.run([folder / "changes.csv"], settings, confirm=lambda _: True, context=context)


def lines_of(box: Sandbox, summary: Summary, struck: Collection[int | None]) -> list[dict[str, str]]:
    """Read the report: the platform holds what it says, and who was not struck was updated by one request."""
    lines, sent = at.report_of(summary, ROWS), patched(box)
    for line in lines:
        user, status = int(line["id"]), line["status"]
        new = box.world.users[user].name == f"New {user}"
        assert status in ("unknown", "not-sent", "updated" if new else "failed"), line
        assert user in struck or (status, sent[user]) == ("updated", 1), line
    return lines


def ending(line: dict[str, str]) -> Line:
    """Give how a row ended, and its sentence, without the name that the library has for it: that is a race."""
    said = " ".join(filter(None, (line["status"], line["code"], line["http_status"])))
    return said, re.sub(r" \(\w+Error\)", "", line["message"])


def befallen(case: Case, servers: Servers, folder: Path) -> Line:
    """Strike three rows of one run; gives how each of them and the run ended, as the page has it."""
    struck = PLACES.values()
    aim = Aim(connections=ACCEPTED) if case.at_accept else Aim(struck, case.looks_too)
    with servers.platform(case, aim) as (box, url):
        summary = send(settings_of(case, url, folder), folder)
        lines = lines_of(box, summary, struck)
    (found,) = {ending(lines[user - 1]) for user in struck}
    return *found, str(summary.exit_code)


def resumed(case: Case, user: int, servers: Servers, folder: Path) -> Line:
    """Stop the run as soon as a row is struck, mend the fault, and go on; gives both endings."""
    aim = Aim(connections=(user,)) if case.at_accept else Aim((user,))
    with servers.platform(case, aim) as (box, url):
        settings = settings_of(case, url, folder)
        first = send(settings, folder, aim=aim)
        lines = at.report_of(first, ROWS)
        then, before = ending(lines[user - 1])[0], patched(box)
        aim.mended = True
        again = send(settings, folder, again=True)
        now = ending(lines_of(box, again, (user,))[user - 1])[0]
        answered = [int(line["id"]) for line in lines if line["status"] in ("updated", "failed")]
        assert all(patched(box)[user] == before[user] for user in answered), "sent again, though answered"
    return then, str(first.exit_code), now, str(again.exit_code)


def settings_of(case: Case, url: str, folder: Path) -> Settings:
    return at.settings_for(url, folder, timeout=case.timeout, retries=1, concurrency=1 if case.at_accept else 4)


def patched(box: Sandbox) -> Counter[int | None]:
    return Counter(r.user_id for r in box.log if r.method == "PATCH")


def told() -> list[list[Line]]:
    """Give the lines of the page's tables."""
    tables = (found[2].splitlines() for found in TABLE.finditer(README.read_text("utf-8")))
    return [[tuple(map(str.strip, line[1:-1].split("|"))) for line in table] for table in tables]


each_case = pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.source} {c.name}") for c in CASES])


@each_case
def test_first_middle_and_last_row_end_as_the_page_says(case: Case, servers: Servers, tmp_path: Path) -> None:
    assert befallen(case, servers, tmp_path) == told()[0][CASES.index(case)][2:5], REFRESH


@pytest.mark.parametrize("place", PLACES)
@each_case
def test_a_run_stopped_there_goes_on_as_the_page_says(case: Case, place: str, servers: Servers, tmp_path: Path) -> None:
    assert resumed(case, PLACES[place], servers, tmp_path) == told()[0][CASES.index(case)][5:], REFRESH


def unreachable(name: str, folder: Path) -> Line:
    """Run where nothing gets through, mend that, and go on; gives how the first row and the runs ended."""
    aim, everybody = Aim(range(1, ROWS + 1), looks_too=True), range(1, ROWS + 1)
    server: Any = Misbehaving(port=at.free_port())
    if name == UNTRUSTED:
        server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.tls.load_cert_chain(TLS / "server.pem", TLS / "server.key")
    patient: dict[str, Any] = {"timeout": 0.2, "stop_after": 10, "concurrency": 4}
    with running(Sandbox(users=ROWS, limit=None)) as box:
        server.begin(box.port, "say nothing" if name == SILENT else None, aim)
        url = f"http{'s' * (name == UNTRUSTED)}://127.0.0.1:{server.port}"
        settings = at.settings_for("http://a..example" if name == NO_HOST else url, folder, **patient)
        with nullcontext() if name == CLOSED else running(server):
            first = send(settings, folder)
        lines = lines_of(box, first, everybody)
        aim.mended = True
        if name == UNTRUSTED:
            settings = at.settings_for(url, folder, ca_file=str(TLS / "server.pem"), **patient)
        with running(server):
            again = send(settings, folder, again=True)
        lines_of(box, again, everybody)
    stopped, counts = str(first.stopped), " ".join(f"{n} {status}" for status, n in again.counts.items())
    return *ending(lines[0]), str(first.exit_code), stopped, str(again.exit_code), counts


@pytest.mark.parametrize("name", UNREACHABLE)
def test_where_nothing_gets_through_the_run_stops_and_goes_on(name: str, tmp_path: Path) -> None:
    assert unreachable(name, tmp_path) == told()[1][UNREACHABLE.index(name)][1:], REFRESH


def test_the_page_has_each_fault_once() -> None:
    one, every = told()
    assert [line[:2] for line in one] == [(case.name, case.source) for case in CASES]
    assert [line[0] for line in every] == list(UNREACHABLE)


def refresh() -> None:
    """Write the tables of today into the page; its headings and sentences stay."""
    lines: tuple[list[Line], list[Line]] = ([], [])
    with TemporaryDirectory() as home, standing(Path(home)) as servers:
        for case in CASES:
            new, other = (Path(mkdtemp(dir=home)) for _ in range(2))
            ends = (*befallen(case, servers, new), *resumed(case, 5, servers, other))
            lines[0].append((case.name, case.source, *ends))
        lines[1].extend((name, *unreachable(name, Path(mkdtemp(dir=home)))) for name in UNREACHABLE)
    tables = iter(["".join(f"| {' | '.join(line)} |\n" for line in table) for table in lines])
    README.write_text(TABLE.sub(lambda found: found[1] + next(tables), README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    refresh()
