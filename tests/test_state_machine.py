"""Whatever happens in whatever order, sandbox, ledger and report never disagree.

Hypothesis plays the ops team: it edits sheets, runs, stops, kills, resumes and undoes, lets a person edit the
platform and lets the platform go away. `HYPOTHESIS_PROFILE=long` plays longer.
"""

import asyncio
import csv
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.conftest import TOKEN, FakeClock
from usersync import api
from usersync.context import Context, NoProgress
from usersync.dispatch.dispatcher import FLUSH_EVERY
from usersync.ledger import Ledger, LedgerRun
from usersync.ledger.snapshots import Memory
from usersync.ledger.waves import Turns
from usersync.platform.client import HttpClient
from usersync.report import Summary
from usersync.report.files import original
from usersync.sandbox import Answer, Fault, Faults, Request, Sandbox, StoredUser, running
from usersync.settings import Settings, make_settings
from usersync.values import same_value

MEMBERS, OUTSIDERS = range(1, 7), (7, 8)
EMAILS = (*(f"u{i}@example.org" for i in MEMBERS), "n1@example.org", "n2@example.org", "n3@example.org")
SENT = {"updated", "failed", "unknown"}
BY_LOOKING = "a look afterwards found the new values"
WRITES = (
    (LedgerRun, "enter", "claim", "settle", "planned", "forget_rows", "reopen", "put_back", "release", "close_rows",
     "match_twins", "finish"),
    (Turns, "set", "refuse", "block"),
    (Memory, "remember"),
)  # fmt: skip
Line = dict[str, str]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Life:
    """Steps that a process has left before it is killed; None: it is not."""

    steps: int | None = None
    flushes: bool = True
    """Whether an answer is on the disk at once, or with the next claim only."""

    def step(self) -> None:
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise Killed

    @contextmanager
    def lived(self) -> Iterator[None]:
        """Count each request and each write of the ledger, before and after."""
        with pytest.MonkeyPatch.context() as patch:
            ask = HttpClient.ask

            async def asked(door: HttpClient, request: Any) -> Any:
                self.step()
                reply = await ask(door, request)
                self.step()
                return reply

            patch.setattr(HttpClient, "ask", asked)
            for room, *names in WRITES:
                for name in names:
                    patch.setattr(room, name, self._counted(getattr(room, name)))
            yield

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(book: Any, *args: Any, **more: Any) -> Any:
            self.step()
            done = write(book, *args, **more)
            if write.__name__ == "settle" and self.flushes:
                book.flush()
            self.step()
            return done

        return counted


class Clock(FakeClock):
    """A clock without the timer that flushes: `Life` says when that was, so that each game can be played again."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if seconds == FLUSH_EVERY:
            await super().sleep(0)
            await asyncio.Event().wait()


class Hand(NoProgress):
    """A hand on Ctrl-C, which comes down after so many rows."""

    def __init__(self, context: Context, rows: int) -> None:
        self._around, self._left = context, rows

    def row(self, status: object) -> None:
        self._left -= 1
        if self._left <= 0:
            self._around.stop.ask(130, "stopped by Ctrl-C")


@dataclass
class Tale:
    """What the test itself remembers of a run."""

    rows: int
    sheet: "list[Line] | None"
    """None for an undo."""
    finished: bool = False
    patches: list[Request] = field(default_factory=list)
    """Its own, over all its lives."""
    edited: set[int] = field(default_factory=set)
    """Users whom somebody else changed after it began: a person, or another run."""


def cells(**more: str) -> Line:
    return {"id": "", "name": "", "email": "", "custom_attributes.seats": "", **more}


@st.composite
def sheets(draw: st.DrawFn) -> list[Line]:
    ids = draw(st.permutations(MEMBERS))[: draw(st.integers(1, 6))]
    emails = draw(st.permutations(EMAILS))
    with_email = draw(st.sets(st.sampled_from(ids)))
    rows = [
        cells(
            id=str(i),
            name=draw(st.sampled_from(["", "Ann", "Bea", "Cid"])),
            email=email if i in with_email else "",
            **{"custom_attributes.seats": draw(st.sampled_from(["", "1", "2"]))},
        )
        for i, email in zip(ids, emails, strict=False)
    ]
    match draw(st.sampled_from(["", "", "", "twin", "rival", "bad id", "bad email", "nobody", "taken"])):
        case "twin":
            rows.append(dict(rows[0]))
        case "rival":
            rows.insert(0, {**rows[0], "name": "Rival"})
        case "bad id":
            rows.append(cells(id="x", name="Ann"))
        case "bad email":
            rows[0]["email"] = "no-mail"
        case "nobody":
            rows.append(cells(id="99", name="Ann"))
        case "taken":
            rows[0]["email"] = "u7@example.org"
    return rows


WRONG_TOKEN = Answer(401, {"error": "Invalid access_token"})
weather = st.lists(st.sampled_from([None, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER]), max_size=12)
storms = st.sampled_from([[WRONG_TOKEN], [None, None, WRONG_TOKEN], [Fault.RESET_AFTER, WRONG_TOKEN]])
lives = st.builds(Life, st.none() | st.integers(1, 70), st.booleans())
stops = st.none() | st.integers(1, 8)
patience = st.sampled_from([1e9, 1e9, 0.1])
"""Seconds without a good answer after which a run stops."""


class Team(RuleBasedStateMachine):
    """An ops team, a platform, and all that can happen between them."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="usersync-machine-"))
        self._stack.callback(shutil.rmtree, self.folder)
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MACHINE_TOKEN", TOKEN)
        users = [StoredUser(id=i, name=f"User {i}", email=f"u{i}@example.org") for i in (*MEMBERS, *OUTSIDERS)]
        self.weather: deque[Fault | Answer | None] = deque()
        faults = Faults(script=lambda *_: self.weather.popleft() if self.weather else None)
        self.box = self._stack.enter_context(running(Sandbox(users=users, limit=None, faults=faults)))
        self.clock = Clock()
        self.tales: dict[str, Tale] = {}
        self.sheet: list[Line] = []
        self.file = self.folder / "none.csv"
        self.strange: set[int] = set()
        """Users whom a person changed since we last had a look at them."""

    def teardown(self) -> None:
        self._stack.close()

    # what happens

    @initialize(sheet=sheets())
    def first_sheet(self, sheet: list[Line]) -> None:
        self.edit_sheet(sheet)

    @rule(sheet=sheets())
    def edit_sheet(self, sheet: list[Line]) -> None:
        self.sheet, self.file = sheet, self.folder / f"sheet-{len(list(self.folder.glob('*.csv')))}.csv"
        with self.file.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, cells())
            writer.writeheader()
            writer.writerows(sheet)

    @rule(user=st.sampled_from(MEMBERS), name=st.sampled_from(["Pia", "Pit"]), email=st.sampled_from(["", *EMAILS]))
    def a_person_edits_the_platform(self, user: int, name: str, email: str) -> None:
        wanted = {"name": name, **({"email": email} if email else {})}
        if self.box.world.update(user, wanted).status == 200:
            self._strange({user})

    @rule(faults=weather | storms)
    def the_platform_goes_away(self, faults: list[Fault | Answer | None]) -> None:
        self.weather = deque(faults)

    @rule()
    def the_platform_comes_back(self) -> None:
        self.weather.clear()

    @rule(
        source=st.sampled_from(["remote", "remote", "last-run", "nothing"]),
        life=lives, stop=stops, patience=patience,
    )  # fmt: skip
    def run(self, source: str, life: Life, stop: int | None, patience: float) -> None:
        tale = Tale(len(self.sheet), self.sheet)
        options = self._settings(compare_with=source, stop_after=patience)
        summary = self._live(
            lambda context: api.run([self.file], options, confirm=lambda _: True, context=context), tale, life, stop
        )

        if summary and source != "nothing":
            self._see_unchanged(summary, trusting=source == "last-run")

    @rule()
    def plan(self) -> None:
        before = self._patches(0)
        self.weather.clear()
        plan = api.plan([self.file], self._settings(), context=Context(clock=self.clock))
        assert plan.rows == len(self.sheet)
        assert self._patches(0) == before

    @rule(life=lives, stop=stops, patience=patience)
    def resume(self, life: Life, stop: int | None, patience: float) -> None:
        if not (name := self._stopped()):  # no precondition: sockets are not the same in every replay
            return
        since, tale = len(self.box.log), self.tales[name]
        answered = {line["id"] for line in self._ledger(name) if line["status"] in ("updated", "failed")}
        options = self._settings(stop_after=patience)
        self._live(
            lambda context: api.resume(None, options, confirm=lambda _: True, context=context),
            tale,
            life,
            stop,
            name,
        )
        assert not {r.user_id for r in self._patches(since)} & {int(i) for i in answered if i.isdigit()}

    @rule(life=lives, stop=stops)
    def undo(self, life: Life, stop: int | None) -> None:
        if not (name := self._last_finished()):
            return
        ours = {line["id"]: line for line in self._ledger(name) if line["status"] == "updated"}
        before = dict(self.box.world.users)
        tale = Tale(len(ours), None)
        summary = self._live(
            lambda context: api.undo(name, self._settings(), confirm=lambda _: True, context=context),
            tale, life, stop,
        )  # fmt: skip
        if summary and summary.exit_code in (0, 1):
            self._see_undone(ours, before, self._report(summary))

    # what must be

    @invariant()
    def every_address_belongs_to_one_user(self) -> None:
        emails = [user.email for user in self.box.world.users.values() if user.email]
        assert len(emails) == len(set(emails))

    @invariant()
    def nobody_outside_the_sheet_is_changed(self) -> None:
        assert all(r.user_id in {*MEMBERS, 99} for r in self._patches(0))
        assert all(self.box.world.users[i].name == f"User {i}" for i in OUTSIDERS)

    def _see(self, summary: Summary, tale: Tale) -> None:
        lines = self._report(summary)
        assert len(lines) == tale.rows == summary.counts["rows"]
        assert sum(n for name, n in summary.counts.items() if name != "rows") == tale.rows
        assert lines == self._ledger(summary.run)
        if summary.exit_code in (0, 1):
            assert "not-sent" not in {line["status"] for line in lines}, lines
        sent = {line["id"] for line in lines if line["status"] in SENT}
        for line in lines:
            mine = [r for r in tale.patches if str(r.user_id) == line["id"]]
            if line["status"] == "updated" and BY_LOOKING not in line["message"]:
                assert any(r.applied and _holds(line, r.body) for r in mine), line
            if line["status"] not in SENT and line["id"] not in sent:  # another row may be that user's as well
                assert not [r for r in mine if r.applied], (line, mine)
            if line["new"] and line["status"] in ("updated", "failed") and int(line["id"]) not in tale.edited:
                stands = self._stands(line, "new")
                if line["status"] == "updated" or line["old"] not in ("", "{}"):  # else it may have stood before
                    assert stands == (line["status"] == "updated"), line

    def _see_unchanged(self, summary: Summary, *, trusting: bool) -> None:
        """A row that is unchanged wants nothing that the platform does not hold."""
        for wanted, line in zip(self.tales[summary.run].sheet or (), self._report(summary), strict=True):
            if line["status"] == "unchanged" and not (trusting and int(line["id"]) in self.strange):
                new = {name: value for name, value in wanted.items() if value and name != "id"}
                assert self._stands({**line, "new": json.dumps(new)}, "new"), line
            if line["status"] in ("updated", "unchanged") and not trusting:
                self.strange.discard(int(line["id"]))

    def _see_undone(self, ours: dict[str, Line], before: dict[int, StoredUser], lines: list[Line]) -> None:
        owners = {user.email: user.id for user in self.box.world.users.values()}
        for line in lines:
            former, user = ours[line["id"]], before[int(line["id"])]
            old, new = (json.loads(former[side] or "{}") for side in ("old", "new"))
            email = old.get("email")
            if line["status"] in ("failed", "rejected") and owners.get(email, user.id) != user.id:
                continue  # the address that it had is somebody else's now
            if line["status"] in ("failed", "unknown") and line["code"] != "refused":
                continue  # the platform was away
            now = self.box.world.users[user.id]
            for name, value in new.items():
                if name in old and same_value(name, value, _held(user, name)):
                    assert same_value(name, old[name], _held(now, name)), (former, line)

    # how it is done

    def _settings(self, *, compare_with: str = "remote", stop_after: float = 1e9) -> Settings:
        return make_settings({
            "platform": {"url": self.box.url, "token_env": "MACHINE_TOKEN"},
            "request": {"rate": "off", "concurrency": 1, "retries": 1, "stop_after": stop_after},
            "diff": {"compare_with": compare_with},
            "limits": {"blank_column": False},
            "ledger": str(self.folder / "usersync.db"),
            "report": {"dir": str(self.folder / "runs")},
        })  # fmt: skip

    def _live(
        self,
        go: Callable[[Context], Summary],
        tale: Tale,
        life: Life,
        stop: int | None,
        name: str | None = None,
    ) -> Summary | None:
        """Let a run live until it ends or is killed, and look at what it left."""
        context = Context(clock=self.clock, chance=lambda: 0.5)
        if stop:
            context.watch = Hand(context, stop)
        since, summary = len(self.box.log), None
        with life.lived():
            try:
                summary = go(context)
            except Killed:
                pass
            except BaseExceptionGroup as group:
                if group.split(Killed)[1]:
                    raise
        if name is None:
            with Ledger(self.folder / "usersync.db") as ledger:
                name = next(ledger.runs()).run
            self.tales[name] = tale
        tale.patches += self._patches(since)
        touched = {r.user_id for r in self._patches(since) if r.user_id}
        for other in self.tales.values():
            if other is not tale:
                other.edited |= touched
        if summary:
            tale.finished = summary.exit_code in (0, 1)
            self._see(summary, tale)
        return summary

    def _strange(self, users: set[int]) -> None:
        self.strange |= users
        for tale in self.tales.values():
            tale.edited |= users

    def _stopped(self) -> str | None:
        with Ledger(self.folder / "usersync.db") as ledger:
            return ledger.stopped(self.box.url)

    def _last_finished(self) -> str | None:
        return next((name for name, tale in reversed(self.tales.items()) if tale.finished), None)

    def _patches(self, since: int) -> list[Request]:
        return [r for r in self.box.log[since:] if r.method == "PATCH"]

    def _report(self, summary: Summary) -> list[Line]:
        with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
            return [{name: original(line[name]) for name in SHOWN} for line in csv.DictReader(file)]

    def _ledger(self, run: str) -> list[Line]:
        with Ledger(self.folder / "usersync.db") as ledger:
            book = ledger.find(run)
            assert book
            return [{name: str(getattr(line, name)) for name in SHOWN} for line in book.lines()]

    def _stands(self, line: Line, side: str) -> bool:
        user = self.box.world.users.get(int(line["id"]))
        values = json.loads(line[side] or "{}").items()
        return user is not None and all(same_value(name, value, _held(user, name)) for name, value in values)


SHOWN = ("row", "id", "status", "changed", "old", "new", "code", "message", "finished_at")


def _held(user: StoredUser, name: str) -> Any:
    if name.startswith("custom_attributes."):
        return user.custom_attributes.get(name.partition(".")[2])
    return getattr(user, name)


def _holds(line: Line, body: Any) -> bool:
    """Whether a body asks for all new values of a line."""
    for name, value in json.loads(line["new"] or "{}").items():
        first, _, key = name.partition(".")
        sent = body.get(first, {}).get(key) if key else body.get(first)
        if not same_value(name, value, sent):
            return False
    return True


QUICK = settings(
    max_examples=80, stateful_step_count=14, deadline=None, derandomize=True, print_blob=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LONG = settings(QUICK, max_examples=1000, stateful_step_count=40, derandomize=False)
TestTeam = Team.TestCase
TestTeam.settings = LONG if os.environ.get("HYPOTHESIS_PROFILE") == "long" else QUICK
