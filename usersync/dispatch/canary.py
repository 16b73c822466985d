"""Decide how many updates may go before too many of them have failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usersync.models import Status


@dataclass(slots=True)
class CanaryStages:
    """Stages of a run: after `stages[0]` updates in all, then `stages[1]` ..., few enough must have failed."""

    stages: Sequence[int]
    #: The share of failures (0..1) that is too large.
    max_failures: float
    _done: int = 0
    _failed: int = 0
    _passed: int = 0

    @property
    def room(self) -> int | None:
        """How many updates may go before the next check; None: there is none to come."""
        return next((max(0, stage - self._done) for stage in sorted(self.stages) if stage > self._passed), None)

    def record(self, status: Status) -> None:
        """Count an update."""
        if self.stages and status is not Status.NOT_SENT:
            self._done += 1
            self._failed += status is not Status.UPDATED

    def check(self) -> str | None:
        """End a stage; returns why the run may not go on, None where it may."""
        self._passed = self._done
        if not self._failed or self._failed < self.max_failures * self._done:
            return None
        return (
            f"ramp: {self._failed} of the first {self._done} updates failed ({self._failed / self._done:.0%}; "
            f"allowed is less than {self.max_failures:.0%}); read the report, then run `usersync resume`"
        )
