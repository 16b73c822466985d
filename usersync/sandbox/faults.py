"""How unreliable the platform should be in, the fault of each request out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from usersync.errors import UsageError
from usersync.sandbox.store import Answer


class Fault(StrEnum):
    """What goes wrong with one request."""

    ERROR = "error"
    """503 and a proxy's page; the request is not carried out."""
    RESET_BEFORE = "reset-before"
    """The connection is cut and the request not carried out."""
    RESET_AFTER = "reset-after"
    """The request is carried out, and the connection cut instead of an answer."""
    STALL = "stall"
    """The request is carried out, and the answer comes `stall` seconds late, or never."""


Script = Callable[[str, int | None, int], Fault | str | Answer | None]
"""(method, user id, n) -> what goes wrong with the n-th such request for this user, from 1 on: a fault, an
answer to give instead of the platform's, or None. Requests refused by the limit are not counted."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of requests (0 to 1) that go wrong, repeatable by `seed`; `script` orders exact faults instead."""

    errors: float = 0.0
    resets: float = 0.0
    """Half of them before, half after the request is carried out."""
    timeouts: float = 0.0
    stall: float | None = None
    """Seconds that an answer is late by; None: it never comes."""
    seed: int = 0
    script: Script | None = None

    def __post_init__(self) -> None:
        total = self.errors + self.resets + self.timeouts
        if min(self.errors, self.resets, self.timeouts) < 0 or total > 1:
            raise UsageError(f"shares of faults lie between 0 and 1 and add up to 1 at most; these make {total:g}")


NO_FAULTS: Final = Faults()


class FaultInjector:
    """Decides the fault of one request after the other."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = Random(faults.seed)  # noqa: S311 - repeatable on purpose
        self._asked: Counter[tuple[str, int | None]] = Counter()

    def roll(self, method: str, user_id: int | None) -> Fault | Answer | None:
        """Say what goes wrong with this request, if anything."""
        if self._faults.script:
            self._asked[method, user_id] += 1
            ordered = self._faults.script(method, user_id, self._asked[method, user_id])
            return Fault(ordered) if isinstance(ordered, str) else ordered
        point = self._random.random()
        for share, fault in (
            (self._faults.errors, Fault.ERROR),
            (self._faults.resets / 2, Fault.RESET_BEFORE),
            (self._faults.resets / 2, Fault.RESET_AFTER),
            (self._faults.timeouts, Fault.STALL),
        ):
            if point < share:
                return fault
            point -= share
        return None
