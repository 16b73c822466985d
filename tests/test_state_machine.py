"""Test that sandbox, ledger and report never disagree.

Hypothesis edits sheets, runs, stops, kills, resumes and undoes, edits the platform as a person does, and lets it fail.
`HYPOTHESIS_PROFILE=long` does more of it.
"""

import asyncio
import csv
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.conftest import TOKEN, FakeClock
from tests.kills import Killed, Life, StopAfter
from usersync import api
from usersync.context import Context
from usersync.dispatch.dispatcher import FLUSH_EVERY
from usersync.formulas import unescape_formula
from usersync.ledger import Ledger, Waves
from usersync.ledger.run import IN_FLIGHT
from usersync.ledger.waves import is_open
from usersync.models import Row, Status
from usersync.report import Summary
from usersync.sandbox import Answer, Fault, Faults, Request, Sandbox, StoredUser, running
from usersync.settings import Settings, make_settings
from usersync.values import same_value

MEMBERS, OUTSIDERS = range(1, 7), (7, 8)
EMAILS = (*(f"u{i}@example.org" for i in MEMBERS), "n1@example.org", "n2@example.org", "n3@example.org")
PLACEHOLDER = "placeholder@example.org"
SENT = {"updated", "failed", "unknown"}
#: What the message says of a row whose answer was lost.
READ_AFTERWARDS = ("a later check found the new values", "read afterwards, holds the new values")
Line = dict[str, str]


class Clock(FakeClock):
    """A clock without the timer that flushes: `Life` decides when that happens, so that examples can be repeated."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if seconds == FLUSH_EVERY:
            await super().sleep(0)
            await asyncio.Event().wait()


@dataclass
class Story:
    """What the test knows of a run."""

    #: None for an undo.
    sheet: "list[Line] | None"
    #: The run that it undoes.
    parent: str = ""
    finished: bool = False
    #: Its own updates, those after it was resumed too.
    patches: list[Request] = field(default_factory=list)
    #: Users whom somebody else changed after it began: a person, or another run.
    edited: set[int] = field(default_factory=set)
    #: Users whom it may have reverted, because an interrupted run left their e-mail swap open.
    reverted: set[int] = field(default_factory=set)


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
    match draw(st.sampled_from(["", "", "", "repeat", "contradiction", "bad id", "bad email", "nobody", "taken"])):
        case "repeat":
            rows.append(dict(rows[0]))
        case "contradiction":
            rows.insert(0, {**rows[0], "name": "Other"})
        case "bad id":
            rows.append(cells(id="x", name="Ann"))
        case "bad email":
            rows[0]["email"] = "no-mail"
        case "nobody":
            rows.append(cells(id="99", name="Ann"))
        case "taken":
            rows[0]["email"] = "u7@example.org"
    return rows


@st.composite
def swaps(draw: st.DrawFn) -> list[Line]:
    """Draw a sheet in which two or three users exchange their first addresses."""
    ids = draw(st.permutations(MEMBERS))[: draw(st.integers(2, 3))]
    return [
        cells(id=str(i), name=draw(st.sampled_from(["", "Ann"])), email=f"u{other}@example.org")
        for i, other in zip(ids, [*ids[1:], ids[0]], strict=True)
    ]


WRONG_TOKEN = Answer(401, {"error": "Invalid access_token"})
some_faults = st.lists(st.sampled_from([None, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER]), max_size=12)
wrong_tokens = st.sampled_from([[WRONG_TOKEN], [None, None, WRONG_TOKEN], [Fault.RESET_AFTER, WRONG_TOKEN]])
lives = st.builds(Life, st.none() | st.integers(1, 80), st.booleans())
stops = st.none() | st.integers(1, 8)
#: Seconds without a good answer after which a run stops.
patience = st.sampled_from([1e9, 1e9, 0.1])


class Team(RuleBasedStateMachine):
    """People who use usersync, a platform, and all that can happen between them."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="usersync-machine-"))
        self._stack.callback(shutil.rmtree, self.folder)
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MACHINE_TOKEN", TOKEN)
        users = [StoredUser(id=i, name=f"User {i}", email=f"u{i}@example.org") for i in (*MEMBERS, *OUTSIDERS)]
        self.faults_ahead: deque[Fault | Answer | None] = deque()
        faults = Faults(script=lambda *_: self.faults_ahead.popleft() if self.faults_ahead else None)
        self.box = self._stack.enter_context(running(Sandbox(users=users, limit=None, faults=faults)))
        self.clock = Clock()
        self.started: dict[str, Story] = {}
        self.sheet: list[Line] = []
        self.file = self.folder / "none.csv"
        #: Users whom a person changed since they were last read.
        self.changed_since: set[int] = set()
        #: Users whom a person ever changed.
        self.edited_by_person: set[int] = set()
        self.placeholder: str | None = None

    def teardown(self) -> None:
        try:
            self._complete_interrupted_runs()
        finally:
            self._stack.close()

    def _complete_interrupted_runs(self) -> None:
        """Resume until nothing is left: nobody keeps a placeholder whose old address is free."""
        self.faults_ahead.clear()
        for _ in range(2 * len(self.started)):
            if name := self._stopped():
                self._carry_out(self._resuming(self._settings()), self.started[name], Life(), None, name)
        taken = {user.email for user in self.box.store.users.values()}
        for user in self._holders_of_placeholders():
            assert f"u{user}@example.org" in taken or user in self.changed_since, self.box.store.users[user]

    # events

    @initialize(sheet=sheets() | swaps(), placeholder=st.sampled_from([PLACEHOLDER, PLACEHOLDER, None]))
    def begin(self, sheet: list[Line], placeholder: str | None) -> None:
        self.placeholder = placeholder
        self.edit_sheet(sheet)

    @rule(sheet=sheets() | swaps())
    def edit_sheet(self, sheet: list[Line]) -> None:
        self.sheet, self.file = sheet, self.folder / f"sheet-{len(list(self.folder.glob('*.csv')))}.csv"
        with self.file.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, cells())
            writer.writeheader()
            writer.writerows(sheet)

    @rule(user=st.sampled_from(MEMBERS), name=st.sampled_from(["Pia", "Pit"]), email=st.sampled_from(["", *EMAILS]))
    def a_person_edits_the_platform(self, user: int, name: str, email: str) -> None:
        sent = {"name": name, **({"email": email} if email else {})}
        if self.box.store.update(user, sent).status == 200:
            self.edited_by_person.add(user)
            self._changed_by_person({user})

    @rule(faults=some_faults | wrong_tokens)
    def the_platform_goes_away(self, faults: list[Fault | Answer | None]) -> None:
        self.faults_ahead = deque(faults)

    @rule()
    def the_platform_comes_back(self) -> None:
        self.faults_ahead.clear()

    @rule(
        source=st.sampled_from(["remote", "remote", "last-run", "nothing"]),
        life=lives, stop=stops, patience=patience,
    )  # fmt: skip
    def run(self, source: str, life: Life, stop: int | None, patience: float) -> None:
        story = Story(self.sheet)
        options = self._settings(compare_with=source, stop_after=patience)
        summary = self._carry_out(
            lambda context: api.run([self.file], options, confirm=lambda _: True, context=context), story, life, stop
        )

        if summary:
            conflicts = {int(line["id"]) for line in self._report(summary) if line["status"] == "conflict"}
            assert conflicts <= self.edited_by_person
        if summary and source != "nothing":
            self._check_unchanged(summary, trusting=source == "last-run")

    @rule()
    def plan(self) -> None:
        before = self._patches(0)
        self.faults_ahead.clear()
        plan = api.plan([self.file], self._settings(), context=Context(clock=self.clock))
        assert plan.rows == len(self.sheet)
        assert self._patches(0) == before

    @rule(life=lives, stop=stops, patience=patience)
    def resume(self, life: Life, stop: int | None, patience: float) -> None:
        if not (name := self._stopped()):  # no precondition: sockets are not the same in every replay
            return
        since, story = len(self.box.log), self.started[name]
        lines = self._ledger(name)
        answered = {int(line["id"]) for line in lines if line["status"] in ("updated", "failed")}
        exchanging = self._users_in_swaps()  # who has to be reverted if another row of the swap fails
        self._carry_out(self._resuming(self._settings(stop_after=patience)), story, life, stop, name)
        assert not {r.user_id for r in self._patches(since)} & (answered - exchanging)

    @rule(life=lives, stop=stops)
    def undo(self, life: Life, stop: int | None) -> None:
        if not (name := self._last_finished()):
            return
        exchanging = self._users_in_swaps(only_open=True)
        ours = {line["id"]: line for line in self._ledger(name) if line["status"] == "updated"}
        ours = {user: line for user, line in ours.items() if int(user) not in exchanging}
        before = dict(self.box.store.users)
        story = Story(None, parent=name)
        summary = self._carry_out(
            lambda context: api.undo(name, self._settings(), confirm=lambda _: True, context=context),
            story, life, stop,
        )  # fmt: skip
        if summary and summary.exit_code in (0, 1):
            self._check_undone(ours, before, self._report(summary))

    # what must hold

    @invariant()
    def every_address_belongs_to_one_user(self) -> None:
        emails = [user.email for user in self.box.store.users.values() if user.email]
        assert len(emails) == len(set(emails))

    @invariant()
    def the_ledger_knows_who_holds_a_placeholder(self) -> None:
        assert self._holders_of_placeholders() <= self._users_in_swaps(only_open=True) | self.changed_since

    @invariant()
    def nobody_outside_the_sheet_is_changed(self) -> None:
        assert all(r.user_id in {*MEMBERS, 99} for r in self._patches(0))
        assert all(self.box.store.users[i].name == f"User {i}" for i in OUTSIDERS)

    def _check(self, summary: Summary, story: Story) -> None:
        lines = self._report(summary)
        rows = self._rows_to_undo(story.parent) if story.sheet is None else len(story.sheet)
        assert len(lines) == rows == summary.counts["rows"]
        assert sum(n for name, n in summary.counts.items() if name != "rows") == rows
        assert lines == self._ledger(summary.run)
        if summary.exit_code in (0, 1):
            assert "not-sent" not in {line["status"] for line in lines}, lines
        sent = {line["id"] for line in lines if line["status"] in SENT}
        for line in lines:
            mine = [r for r in story.patches if str(r.user_id) == line["id"]]
            if line["status"] == "updated" and not any(words in line["message"] for words in READ_AFTERWARDS):
                assert any(r.applied and _holds(line, r.body) for r in mine), line
            if line["status"] not in SENT and line["id"] not in sent:  # another row may be that user's as well
                applied = [r for r in mine if r.applied and not _is_placeholder(r.body.get("email"))]
                # an answer was lost, and a newer run has written another value since: nobody can know
                overwritten = line["code"] == "stale" and int(line["id"]) in story.edited
                assert not applied or overwritten or int(line["id"]) in story.reverted, (line, applied)
            if line["new"] and line["status"] in ("updated", "failed") and int(line["id"]) not in story.edited:
                stands = self._stands(line, "new")
                if line["status"] == "updated" or line["old"] not in ("", "{}"):  # else it may have stood before
                    assert stands == (line["status"] == "updated"), line

    def _check_unchanged(self, summary: Summary, *, trusting: bool) -> None:
        """A row that is unchanged wants nothing that the platform does not hold."""
        for sent, line in zip(self.started[summary.run].sheet or (), self._report(summary), strict=True):
            if line["status"] == "unchanged" and not (trusting and int(line["id"]) in self.changed_since):
                new = {name: value for name, value in sent.items() if value and name != "id"}
                assert self._stands({**line, "new": json.dumps(new)}, "new"), line
            if line["status"] in ("updated", "unchanged") and not trusting:
                self.changed_since.discard(int(line["id"]))

    def _check_undone(self, ours: dict[str, Line], before: dict[int, StoredUser], lines: list[Line]) -> None:
        owners = {user.email: user.id for user in self.box.store.users.values()}
        for line in lines:
            if line["id"] not in ours:  # its answer had been lost, or its e-mail swap was reverted
                continue
            former, user = ours[line["id"]], before[int(line["id"])]
            old, new = (json.loads(former[side] or "{}") for side in ("old", "new"))
            email = old.get("email")
            if line["status"] in ("failed", "rejected") and owners.get(email, user.id) != user.id:
                continue  # the address that it had is somebody else's now
            if line["status"] in ("failed", "unknown") and line["code"] != "refused":
                continue  # the platform was away
            now = self.box.store.users[user.id]
            for name, value in new.items():
                if name in old and same_value(name, value, _value(user, name)):
                    assert same_value(name, old[name], _value(now, name)), (former, line)

    # helpers

    def _settings(self, *, compare_with: str = "remote", stop_after: float = 1e9) -> Settings:
        return make_settings({
            "platform": {"url": self.box.url, "token_env": "MACHINE_TOKEN"},
            "request": {"rate": "off", "concurrency": 1, "retries": 1, "stop_after": stop_after},
            "diff": {"compare_with": compare_with, "swap_placeholder": self.placeholder},
            "limits": {"blank_column": False, "shifted": False},
            "ledger": str(self.folder / "usersync.db"),
            "report": {"dir": str(self.folder / "runs")},
        })  # fmt: skip

    def _carry_out(
        self,
        go: Callable[[Context], Summary],
        story: Story,
        life: Life,
        stop: int | None,
        name: str | None = None,
    ) -> Summary | None:
        """Let a run go on until it ends or is killed, and check what it left."""
        context = Context(clock=self.clock, random=lambda: 0.5)
        context.progress = StopAfter(context, stop)
        story.reverted |= self._users_in_swaps(only_open=True)
        since, summary = len(self.box.log), None
        with life.lived(), suppress(Killed):
            summary = go(context)
        if name is None:
            with Ledger(self.folder / "usersync.db") as ledger:
                name = next((info.run for info in ledger.runs()), "")
            if name not in self.started:  # else it was killed before it began
                self.started[name] = story
        story.patches += self._patches(since)
        touched = {r.user_id for r in self._patches(since) if r.user_id}
        for other in self.started.values():
            if other is not story:
                other.edited |= touched
        if summary:
            story.finished = summary.exit_code in (0, 1)
            self._check(summary, story)
        return summary

    def _changed_by_person(self, users: set[int]) -> None:
        self.changed_since |= users
        for story in self.started.values():
            story.edited |= users

    def _stopped(self) -> str | None:
        with Ledger(self.folder / "usersync.db") as ledger:
            return next(iter(ledger.resumable(self.box.url)), None)

    def _resuming(self, options: Settings) -> Callable[[Context], Summary]:
        return lambda context: api.resume(None, options, confirm=lambda _: True, context=context)

    def _rows_to_undo(self, name: str) -> int:
        with Ledger(self.folder / "usersync.db") as ledger:
            found = ledger.find(name)
            assert found
            return len(list(found.with_status(Status.UPDATED, *IN_FLIGHT)))

    def _users_in_swaps(self, *, only_open: bool = False) -> set[int]:
        with Ledger(self.folder / "usersync.db") as ledger:
            swaps = [
                swap
                for info in ledger.runs()
                if (found := ledger.find(info.run))
                for swap in Waves(found).swaps()
                if is_open(swap) or not only_open
            ]
        return {row.user_id for swap in swaps for row in swap}

    def _holders_of_placeholders(self) -> set[int]:
        return {user.id for user in self.box.store.users.values() if _is_placeholder(user.email)}

    def _last_finished(self) -> str | None:
        return next((name for name, story in reversed(self.started.items()) if story.finished), None)

    def _patches(self, since: int) -> list[Request]:
        return [r for r in self.box.log[since:] if r.method == "PATCH"]

    def _report(self, summary: Summary) -> list[Line]:
        with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
            return [{name: unescape_formula(line[name]) for name in SHOWN} for line in csv.DictReader(file)]

    def _ledger(self, run: str) -> list[Line]:
        with Ledger(self.folder / "usersync.db") as ledger:
            found = ledger.find(run)
            assert found
            return [dict(zip(SHOWN, map(str, _shown(row)), strict=True)) for row in found.rows()]

    def _stands(self, line: Line, side: str) -> bool:
        user = self.box.store.users.get(int(line["id"]))
        values = json.loads(line[side] or "{}").items()
        return user is not None and all(same_value(name, value, _value(user, name)) for name, value in values)


SHOWN = ("row", "id", "status", "changed", "old", "new", "code", "message", "finished_at")


def _shown(row: Row) -> tuple[object, ...]:
    return tuple(row.reason if name == "message" else getattr(row, name) for name in SHOWN)


def _is_placeholder(email: str | None) -> bool:
    return (email or "").startswith("placeholder+")


def _value(user: StoredUser, name: str) -> Any:
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
    max_examples=80, stateful_step_count=14, derandomize=True, print_blob=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LONG = settings(QUICK, max_examples=1000, stateful_step_count=40, derandomize=False)
TestTeam = Team.TestCase
TestTeam.settings = LONG if os.environ.get("HYPOTHESIS_PROFILE") == "long" else QUICK
