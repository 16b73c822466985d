"""The ledger's planned rows in, changes to be sent out: each claimed before it goes, secrets put back in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from usersync.ledger import LedgerRun
from usersync.models import SECRET_FIELDS, Change

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST_CLAIMED, MOST_CLAIMED = 32, 4096
"""Rows that are marked as being sent in one durable step: about as many as are sent in half a second."""


class Claims:
    """The planned changes of one turn of a run, each marked in the ledger before it is handed out."""

    def __init__(self, book: LedgerRun, monotonic: Callable[[], float], *, turn: int = 0) -> None:
        self._book = book
        self._turn = turn
        self._monotonic = monotonic
        self._group: list[Change] = []
        self._size = FEWEST_CLAIMED
        self._claimed_at = float("-inf")

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        if not self._group:
            self._fit_size()
            self._group = self._book.claim(self._size, turn=self._turn)[::-1]
            if not self._group:
                raise StopIteration
        return self._group.pop()

    def _fit_size(self) -> None:
        """Claim more at once where rows go fast; what is claimed when the power fails must be looked up."""
        now = self._monotonic()
        if now - self._claimed_at < 0.25:
            self._size = min(2 * self._size, MOST_CLAIMED)
        elif now - self._claimed_at > 1.0:
            self._size = max(self._size // 2, FEWEST_CLAIMED)
        self._claimed_at = now

    def release(self) -> None:
        """Give back what was claimed and never handed out."""
        if self._group:
            self._book.release(self._turn, self._group[-1].key - 1)


class Passwords:
    """The secrets of the source, which neither plan nor ledger hold."""

    def __init__(self, values: DataFrame) -> None:
        self._columns = {name: values[name] for name in SECRET_FIELDS if name in values}

    def fill(self, change: Change) -> Change:
        """Put the secrets into a change that the ledger gave without them."""
        if not any(item.field in SECRET_FIELDS for item in change.fields):
            return change
        return replace(
            change,
            fields=tuple(
                replace(item, new=self._columns[item.field][change.key]) if item.field in SECRET_FIELDS else item
                for item in change.fields
            ),
        )
