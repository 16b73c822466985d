"""Kill a run in this process at a chosen step, or stop it after a chosen row.

A step is a request, or a write of the ledger: each counts before and after. What a killed run would still do in its
`finally` blocks raises Killed as well, so that only what was on the disk by then is left.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from usersync.context import Context, Progress
from usersync.ledger import LedgerRun
from usersync.ledger.database import Database
from usersync.platform.client import HttpClient


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Life:
    """The steps that a process has left before it is killed; None: it is not killed."""

    steps: int | None = None
    #: Whether a result is on the disk at once, or with the next claim only.
    flushes: bool = True
    #: Count the boundaries of updates only: before one is sent, after its answer, after the next write.
    updates_only: bool = False
    _answered: bool = False

    def step(self, *, update: bool = False) -> None:
        """Take one step; raises Killed where there is none left, and ever after."""
        if self.steps is None or (self.updates_only and not update and self.steps >= 0):
            return
        self.steps -= 1
        if self.steps < 0:
            raise Killed

    @contextmanager
    def lived(self) -> Iterator[None]:
        """Count the steps of the runs in the block."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HttpClient, "send", self._counted_request(HttpClient.send))
            patch.setattr(Database, "transaction", self._counted_transaction(Database.transaction))
            for name in ("execute", "execute_many", "insert"):
                patch.setattr(Database, name, self._counted_write(getattr(Database, name)))
            patch.setattr(LedgerRun, "record", self._flushed(LedgerRun.record))
            yield

    def _counted_request(self, send: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(client: HttpClient, request: Any) -> Any:
            update = request.method == "PATCH"
            self.step(update=update)
            response = await send(client, request)
            self.step(update=update)
            self._answered = self._answered or update
            return response

        return counted

    def _counted_transaction(self, transaction: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def counted(database: Any) -> Iterator[None]:
            nested = database._connection.in_transaction  # then nothing is committed at its end
            with transaction(database):
                yield
                if not nested:
                    self.step()
            if not nested:
                answered, self._answered = self._answered, False
                self.step(update=answered)

        return counted

    def _counted_write(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(database: Any, *args: Any) -> Any:
            committed = not database._connection.in_transaction
            if committed:
                self.step()
            result = write(database, *args)
            if committed:
                self.step()
            return result

        return counted

    def _flushed(self, record: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(run: Any, *args: Any) -> None:
            record(run, *args)
            if self.flushes:
                run.flush()

        return recorded


class StopAfter(Progress):
    """Stop a run as Ctrl-C does, after so many rows; None: never."""

    def __init__(self, context: Context, rows: int | None) -> None:
        self._context, self._left = context, rows

    def row(self, status: object) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._context.stop.ask(130, "stopped by Ctrl-C")
