"""What a run takes from the world around it: time, chance, the people who look on, and their choices."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from usersync.clock import Clock, SystemClock
from usersync.dispatch.rate_limit import Stop
from usersync.models import Outcome, Status
from usersync.planning.plan import Plan


class Progress(Protocol):
    """Owner looks on while a run goes its way."""

    def begin(self, doing: str, total: int) -> None:
        """A phase begins: `reading` or `sending`, so many rows."""

    def row(self, status: Status) -> None:
        """A row of this phase is through."""

    def tick(self) -> None:
        """A second has passed, whether or not a row is through."""

    def end(self) -> None:
        """The phase is over."""


class NoProgress:
    """Nobody looks on."""

    def begin(self, doing: str, total: int) -> None:
        """Do nothing."""

    def row(self, status: Status) -> None:
        """Do nothing."""

    def tick(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


@dataclass(slots=True)
class Context:
    """What a run takes from the world: time, chance, and the people around it."""

    clock: Clock = field(default_factory=SystemClock)
    chance: Callable[[], float] = random.random
    watch: Progress = field(default_factory=NoProgress)
    stop: Stop = field(default_factory=Stop)
    on_outcome: Callable[[Outcome], None] = lambda _: None
    """Told each outcome as it is settled, of one row the last counts; its own error ends the run: `resume` it."""
    max_duration: float | None = None
    """Seconds after which the run stops in good order (exit 4)."""
    overrides: tuple[str, ...] = ()
    """Rules of `limits:` that do not stop this run."""
    lock_wait: float = 0.0
    """Seconds to wait for another run to finish."""
    on_start: Callable[[Stop], None] = lambda _: None
    """Called inside the running event loop, before the first request: the place to connect signals."""


Confirm = Callable[[Plan], bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows of the input a person wants: `COLUMN=VALUE` for each, without the first `skip`."""

    where: tuple[str, ...] = ()
    skip: int = 0
    limit: int | None = None
    """The first so many changes only."""
