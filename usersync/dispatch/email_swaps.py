"""Rings of e-mail addresses in, opened by a placeholder; a ring that did not close is put back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from usersync.diff.inversion import reverse
from usersync.dispatch.sender import Sender
from usersync.ledger import LedgerRun
from usersync.models import UNKNOWN, Change, Code, FieldChange, Outcome, RingRow, Status, User
from usersync.values import same_value

_FAILED = (Status.FAILED, Status.UNKNOWN, Status.CONFLICT)
Ring = tuple[RingRow, ...]
"""Owner steps aside, then the others in the order in which they are sent."""


class Rings:
    """The rings of one run."""

    def __init__(self, book: LedgerRun, sender: Sender) -> None:
        self._book, self._sender = book, sender

    def closed(self) -> Iterator[Ring]:
        """Give the rings of which nothing was sent, or no more than the stepping aside."""
        for ring in self._book.turns.rings():
            if all(one.status is Status.PLANNED for one in ring):
                yield ring

    def broken(self) -> Iterator[Ring]:
        """Give the rings of which a row failed: whoever moved already is to be put back."""
        self._book.flush()
        for ring in self._book.turns.rings():
            if any(one.status in _FAILED for one in ring):
                yield ring

    async def open(self, ring: Ring) -> None:
        """Let the first user step aside; where that fails, the others are not sent."""
        first = ring[0]
        found = await self._sender.read(first.change.key, first.change.user_id)
        if isinstance(found, User) and _is(found, first.aside):
            return  # in an earlier life of this run
        outcome = await self._sender.update(_moved(first, first.aside)) if isinstance(found, User) else found
        if outcome.status in (Status.UPDATED, Status.NOT_SENT):
            return
        message = f"could not step aside to {first.aside}: {outcome.message}"
        if outcome.code == Code.ECHO_DIFFERS and outcome.user:
            back = await self._sender.update(_moved(first, _old_email(first)))
            message += "; put back" if back.status is Status.UPDATED else f"; holds {outcome.user.email} now"
        self._book.settle(replace(outcome, message=message))

    async def restore(self, ring: Ring) -> None:
        """Put back what was sent of a ring, the latest first; then its first user comes back.

        Only where our own values still stand: what a person changed since stays as it is.
        """
        first, *others = ring
        culprit = next(one for one in ring if one.status in _FAILED)
        why = f"put back, because row {culprit.row} of the same ring of e-mail addresses is {culprit.status}"
        for one in reversed(others):
            if one.status is Status.UPDATED:
                await self._put_back(one, why)
        found = await self._sender.read(first.change.key, first.change.user_id)
        if isinstance(found, User) and not _is(found, first.aside):
            return  # it never stepped aside, or is somewhere else by now
        back = await self._sender.update(_moved(first, _old_email(first)))
        self._tell(first, back, "" if first is culprit else why, f"holds {first.aside} still")

    async def _put_back(self, one: RingRow, why: str) -> None:
        found = await self._sender.read(one.change.key, one.change.user_id)
        if isinstance(found, Outcome):
            return self._tell(one, found, why, "may hold the new values still")
        old = {item.field: item.old for item in one.change.fields if item.old is not UNKNOWN}
        fields, kept = reverse(old, {item.field: item.new for item in one.change.fields}, found)
        if fields:
            back = await self._sender.update(Change(one.change.key, one.change.user_id, fields))
            told = f"{why}; kept: {', '.join(kept)}" if kept else why
            self._tell(one, back, told, "holds the new values still")
        return None

    def _tell(self, one: RingRow, back: Outcome, why: str, held: str) -> None:
        if back.status is not Status.UPDATED:
            message = f"should have been put back, but {held}: {back.message}"
            self._book.settle(replace(back, status=Status.UNKNOWN, code=Code.SWAP_CYCLE, message=message))
        elif why:  # else it has failed, and says why
            self._book.settle(replace(back, status=Status.FAILED, code=Code.BLOCKED_BY, message=why))


def _is(user: User, email: str | None) -> bool:
    return same_value("email", email, user.email)


def _old_email(one: RingRow) -> object:
    return next(item.old for item in one.change.fields if item.field == "email")


def _moved(one: RingRow, email: object) -> Change:
    """Give the change of nothing but the e-mail address."""
    return Change(one.change.key, one.change.user_id, (FieldChange("email", UNKNOWN, email),))
