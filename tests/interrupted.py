"""Interrupt runs against a sandbox at any update, in this process."""

import asyncio
import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TOKEN, numbered_users
from tests.kills import Killed, Life
from usersync import api
from usersync.context import Context, RunOptions, SystemClock
from usersync.ledger import Ledger
from usersync.models import Row
from usersync.report import Summary
from usersync.sandbox import Answer, Faults, Sandbox, running
from usersync.settings import Settings, make_settings
from usersync.values import same_value

Opened = Callable[..., Any]
PLACEHOLDER = "placeholder@example.org"
SWAP = "id,name,email\n1,Ann,u2@example.org\n2,Ben,u1@example.org\n"
CYCLE = "id,email\n1,u2@example.org\n2,u3@example.org\n3,u1@example.org\n"
CHAIN = "id,email\n1,u2@example.org\n2,u3@example.org\n3,new@example.org\n"
OTHER_ROWS = "id,name\n4,Dora\n"
#: Seconds allowed for a run; they are over when a test says so.
BUDGET = 60.0


class Budget(SystemClock):
    """A clock that stands still, and on which the time allowed for a run is over when `spend` is called.

    Were it to run, the seconds of the confirmation would be allowed on top, and the run might end within them.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spent = asyncio.Event()

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        if seconds == BUDGET:
            self._loop = asyncio.get_running_loop()
            await self._spent.wait()
        else:
            await super().sleep(seconds)

    def spend(self) -> None:
        """Let the time be over; may be called from any thread."""
        assert self._loop
        self._loop.call_soon_threadsafe(self._spent.set)


@dataclass
class Platform:
    """A sandbox with five users, and what runs on it need."""

    box: Sandbox
    folder: Path

    def settings(self, **diff: Any) -> Settings:
        """Return settings with the sections that these tests need; `diff` is a section of them."""
        return make_settings(
            {
                "platform": {"url": self.box.url, "token_env": "INTERRUPTIONS_TOKEN"},
                "request": {"rate": "off", "concurrency": 1, "retries": 0},
                "diff": {"swap_placeholder": PLACEHOLDER, **diff},
                "ledger": str(self.folder / "usersync.db"),
                "report": {"dir": str(self.folder / "runs"), "formats": ["csv"]},
            }
        )

    def write(self, name: str, text: str) -> Path:
        """Write a file of user changes."""
        path = self.folder / name
        path.write_text(text)
        return path

    def run(
        self, file: Path, *, options: RunOptions | None = None, context: Context | None = None, **diff: Any
    ) -> Summary:
        """Run with a file."""
        return api.run([file], self.settings(**diff), confirm=yes, options=options, context=context)

    def resume(self, name: str | None = None, **diff: Any) -> Summary:
        """Resume a run, by default the latest that was interrupted."""
        return api.resume(name, self.settings(**diff), confirm=yes)

    def undo(self, name: str) -> Summary:
        """Undo a run."""
        return api.undo(name, self.settings(), confirm=yes)

    def interrupted(self) -> str | None:
        """Return the latest run that can be resumed."""
        with Ledger(self.folder / "usersync.db") as ledger:
            return next(iter(ledger.resumable(self.box.url)), None)

    def rows(self, name: str) -> list[Row]:
        """Return the rows of a run as the ledger has them."""
        with Ledger(self.folder / "usersync.db") as ledger:
            found = ledger.find(name)
            return list(found.rows()) if found else []

    def emails(self) -> dict[int, str | None]:
        """Return user -> e-mail address."""
        return {i: user.email for i, user in sorted(self.box.store.users.items())}

    def updates(self) -> list[int | None]:
        """Return the users of all updates that were sent, in order."""
        return [r.user_id for r in self.box.log if r.method == "PATCH"]

    def check(self, summary: Summary, rows: int) -> None:
        """Check that the report has each row once, and that each says what the platform holds."""
        with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(lines) == summary.counts["rows"] == rows
        for line in lines:
            user = self.box.store.users[int(line["id"])]
            new = json.loads(line["new"] or "{}")
            holds = all(same_value(name, value, getattr(user, name)) for name, value in new.items())
            assert holds == (line["status"] in ("updated", "unchanged")), (line, user)
        self.check_placeholders()

    def check_placeholders(self) -> None:
        """Check that nobody holds a placeholder."""
        assert not [email for email in self.emails().values() if email and email.startswith("placeholder")]


def yes(_: object) -> bool:
    return True


@contextmanager
def platform(folder: Path, *, faults: Faults | None = None, users: int = 5) -> Iterator[Platform]:
    people = numbered_users(users)
    folder.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(users=people, limit=None, faults=faults or Faults())
    with running(sandbox) as box, pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "INTERRUPTIONS_TOKEN", TOKEN)
        yield Platform(box, folder)


def killed(life: Life, work: Callable[[], object]) -> bool:
    """Do `work` as a process that lives so long; returns whether it was killed."""
    with life.lived(), suppress(Killed):
        work()
        return False
    return True


def each_kill(
    folder: Path, work: Callable[[Platform], object], *, refused: tuple[int, int] | None = None
) -> Iterator[Platform]:
    """Kill `work` at each boundary of its updates, each time on a new platform, until it is not killed any more.

    `refused` are a user and n: until the kill, the platform refuses the n-th update of this user.
    """
    for step in count():
        alive = True

        def script(method: str, user: int | None, n: int) -> Answer | None:
            refuses = alive and method == "PATCH" and (user, n) == refused  # noqa: B023 - used in this step only
            return Answer(422, {"message": "no", "attributes": []}) if refuses else None

        with platform(folder / str(step), faults=Faults(script=script)) as at:
            if not killed(Life(step, updates_only=True), lambda at=at: work(at)):  # type: ignore[misc]
                assert step, "nothing was killed"
                return
            alive = False
            yield at


def each_second_kill(
    folder: Path, first: Callable[[Platform], object], first_steps: int | None, then: Callable[[Platform], object]
) -> Iterator[Platform]:
    """Kill `first` after so many boundaries (None: not at all), then `then` at each, each time on a new platform."""
    for step in count():
        with platform(folder / str(step)) as at:
            was_killed = killed(Life(first_steps, updates_only=True), lambda at=at: first(at))  # type: ignore[misc]
            assert was_killed == (first_steps is not None)
            if not killed(Life(step, updates_only=True), lambda at=at: then(at)):  # type: ignore[misc]
                assert step, "nothing was killed"
                return
            yield at


OWN = {i: f"u{i}@example.org" for i in range(1, 6)}
SWAPPED = {**OWN, 1: OWN[2], 2: OWN[1]}
CYCLED = {**OWN, 1: OWN[2], 2: OWN[3], 3: OWN[1]}
CHAINED = {**OWN, 1: OWN[2], 2: OWN[3], 3: "new@example.org"}


def begin(text: str) -> Callable[[Platform], Summary]:
    """Return the work of running with a file."""
    return lambda at: at.run(at.write("changes.csv", text))
