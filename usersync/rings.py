"""Rings of e-mail addresses in, opened by a placeholder; a ring that did not close is put back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from usersync.dispatch.sender import Sender
from usersync.ledger import Book
from usersync.model import SECRET_FIELDS, UNKNOWN, Change, Code, FieldChange, RingRow, Status

_FAILED = (Status.FAILED, Status.UNKNOWN, Status.CONFLICT)
Ring = tuple[RingRow, ...]
"""Who steps aside, then the others in the order in which they are sent."""


class Rings:
    """The rings of one run."""

    def __init__(self, book: Book, sender: Sender) -> None:
        self._book, self._sender = book, sender

    def closed(self) -> Iterator[Ring]:
        """Give the rings of which nothing was sent, or no more than the stepping aside."""
        for ring in self._book.turns.rings():
            if all(one.status is Status.PLANNED for one in ring):
                yield ring

    def broken(self) -> Iterator[Ring]:
        """Give the rings that began and did not end, because one of their rows failed."""
        self._book.flush()
        for ring in self._book.turns.rings():
            began = ring[0].status is not Status.FAILED or any(one.status is Status.UPDATED for one in ring)
            if began and any(one.status in _FAILED for one in ring):
                yield ring

    async def open(self, ring: Ring) -> None:
        """Let the first user step aside; where that fails, the others are not sent."""
        first = ring[0]
        outcome = await self._sender.update(_moved(first, first.aside))
        if outcome.status not in (Status.UPDATED, Status.NOT_SENT):
            message = f"could not step aside to {first.aside}: {outcome.message}"
            self._book.settle(replace(outcome, message=message))

    async def restore(self, ring: Ring) -> None:
        """Put back what was sent of a ring, the latest first; then its first user comes back."""
        first, *others = ring
        culprit = next(one for one in ring if one.status in _FAILED)
        why = f"put back, because row {culprit.row} of the same ring of e-mail addresses is {culprit.status}"
        for one in reversed(others):
            if one.status is Status.UPDATED:
                await self._put_back(one, _reversed(one.change), why)
        await self._put_back(first, _moved(first, _old_email(first)), "" if first is culprit else why)

    async def _put_back(self, one: RingRow, change: Change, why: str) -> None:
        outcome = await self._sender.update(change)
        if outcome.status is Status.UPDATED and not why:
            return  # it has failed, and says why
        if outcome.status is Status.UPDATED:
            if any(item.field in SECRET_FIELDS for item in one.change.fields) and one.aside is None:
                why += "; but for the password, which cannot be put back"
            self._book.settle(replace(outcome, status=Status.FAILED, code=Code.BLOCKED_BY, message=why))
        else:
            held = one.aside or "the new address"
            message = f"should have been put back, but holds {held} still: {outcome.message}"
            self._book.settle(replace(outcome, status=Status.UNKNOWN, code=Code.SWAP_CYCLE, message=message))


def _old_email(one: RingRow) -> object:
    return next(item.old for item in one.change.fields if item.field == "email")


def _moved(one: RingRow, email: object) -> Change:
    """Give the change of nothing but the e-mail address."""
    return Change(one.change.key, one.change.user_id, (FieldChange("email", UNKNOWN, email),))


def _reversed(change: Change) -> Change:
    back = (FieldChange(item.field, item.new, item.old) for item in change.fields if item.old is not UNKNOWN)
    return replace(change, fields=tuple(back))
