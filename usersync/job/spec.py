"""Define what a command asks for."""

from __future__ import annotations

from dataclasses import dataclass

from usersync.context import Context, RunOptions
from usersync.ledger import RunInfo
from usersync.planning.new_run import new_run_info
from usersync.planning.sources import RowSource
from usersync.settings import Settings


@dataclass(frozen=True, slots=True)
class Job:
    """What a command asks for."""

    source: RowSource
    settings: Settings
    options: RunOptions
    context: Context

    def new_run(self, kind: str) -> RunInfo:
        """Make the head of a new run. Raises UsageError for an override that is no rule."""
        return new_run_info(kind, self.settings, self.options, self.context.clock)
