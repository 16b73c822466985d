"""How many updates may go before one looks whether too many of them failed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usersync.models import Status


@dataclass(slots=True)
class CanaryStages:
    """Steps of a run: after `steps[0]` updates in all, then `steps[1]` ..., the share of failures must be small."""

    steps: Sequence[int]
    most: float
    """The share of failures (0..1) that is too large."""
    _done: int = 0
    _failed: int = 0
    _passed: int = 0

    @property
    def room(self) -> int | None:
        """How many updates may go before the next look; None: there is none to come."""
        return next((max(0, step - self._done) for step in sorted(self.steps) if step > self._passed), None)

    def note(self, status: Status) -> None:
        """Count an update."""
        if status is not Status.NOT_SENT:
            self._done += 1
            self._failed += status is not Status.UPDATED

    def refusal(self) -> str | None:
        """Look at a step that is done: why one must not go on, None where one may."""
        self._passed = self._done
        if not self._failed or self._failed < self.most * self._done:
            return None
        return (
            f"ramp: {self._failed} of the first {self._done} updates failed ({self._failed / self._done:.0%}; "
            f"allowed is less than {self.most:.0%}); see the report, then go on with `usersync resume`"
        )
