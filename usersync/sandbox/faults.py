"""Decide which requests to the sandbox fail, and how."""

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

    #: 503 and a proxy's page; the request is not carried out.
    ERROR = "error"
    #: The connection is reset and the request not carried out.
    RESET_BEFORE = "reset-before"
    #: The request is carried out, and the connection reset instead of an answer.
    RESET_AFTER = "reset-after"
    #: The request is carried out, and the answer comes `stall` seconds late, or never.
    STALL = "stall"


#: (method, user id, n) -> what goes wrong with the n-th such request for this user, counted from 1: a fault, an
#: answer to give instead of the platform's, or None. Requests refused by the limit are not counted.
Script = Callable[[str, int | None, int], Fault | str | Answer | None]


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of requests (0 to 1) that fail at random; `seed` makes them repeatable, `script` replaces them."""

    errors: float = 0.0
    #: Half of them before, half after the request is carried out.
    resets: float = 0.0
    timeouts: float = 0.0
    #: Seconds by which a stalled answer is late; None: it never comes.
    stall: float | None = None
    seed: int = 0
    script: Script | None = None

    def __post_init__(self) -> None:
        total = self.errors + self.resets + self.timeouts
        if min(self.errors, self.resets, self.timeouts) < 0 or total > 1:
            raise UsageError(
                f"shares of faults must be between 0 and 1 and add up to at most 1; these add up to {total:g}"
            )


NO_FAULTS: Final = Faults()


class FaultInjector:
    """Chooses the fault of each request, in the order in which they arrive."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._random = Random(faults.seed)  # noqa: S311 - repeatable on purpose
        self._requests: Counter[tuple[str, int | None]] = Counter()

    def next_fault(self, method: str, user_id: int | None) -> Fault | Answer | None:
        """Return what goes wrong with this request: a fault, an answer to give instead, or None."""
        if self._faults.script:
            self._requests[method, user_id] += 1
            scripted = self._faults.script(method, user_id, self._requests[method, user_id])
            return Fault(scripted) if isinstance(scripted, str) else scripted
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
