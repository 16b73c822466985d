"""Take rows out of a plan that may not be sent, and put e-mail changes in order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from usersync.diff.email_order import Holder, open_cycle, order, placeholder_address
from usersync.diff.limits import protecting_entry
from usersync.ledger import LedgerRun, Waves
from usersync.models import Code, Row, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from usersync.settings import Diff


def reject_protected(run: LedgerRun, protect: Sequence[str]) -> None:
    """Reject the unsent rows of users whom `limits.protect` covers, by id or by an old, present or new address."""
    if protect:
        run.revise(
            rejected
            for row in run.with_status(Status.PLANNED, Status.PARKED)
            if (rejected := _protected_row(row, protect)) is not row
        )


def _protected_row(row: Row, protect: Sequence[str]) -> Row:
    emails = [value for c in row.changes if c.field == "email" for value in (c.old, c.new) if isinstance(value, str)]
    entry = protecting_entry(protect, row.user_id, row.email, *emails)
    if entry is None:
        return row
    message = f"this user is protected (limits.protect: {entry}); nothing was sent"
    status = Status.REVERTING if row.status is Status.PARKED else Status.REJECTED  # a placeholder is no place to stay
    return replace(row, status=status, code=Code.PROTECTED, message=message)


def order_emails(run: LedgerRun, settings: Diff) -> None:
    """Let each row wait for the one that gives up its address; reject rows whose address nobody gives up."""
    waves = Waves(run)
    holders = (
        Holder(key, held, wanted if status == Status.PLANNED else None) for key, status, held, wanted in waves.holders()
    )
    found = order(holders)
    turns, depends_on = dict(found.waves), dict(found.depends_on)
    placeholders = {}
    for cycle in found.cycles if settings.swap_placeholder else ():
        cycle_waves, cycle_depends_on = open_cycle(cycle)
        turns |= cycle_waves
        depends_on |= cycle_depends_on
        placeholders[cycle[0]] = placeholder_address(settings.swap_placeholder or "", run=run.info.run, key=cycle[0])
    waves.set(turns, depends_on, placeholders)
    numbers = run.row_numbers(found.blocked.values())
    waves.reject({key: _blocked_message(numbers[first]) for key, first in found.blocked.items()}, Code.BLOCKED_BY)
    if not settings.swap_placeholder:
        waves.reject({key: _cycle_message(cycle) for cycle in found.cycles for key in cycle}, Code.SWAP_CYCLE)


def _blocked_message(row: int) -> str:
    return f"not sent: the user of row {row} holds this e-mail address, and does not give it up in this run"


def _cycle_message(cycle: Sequence[int]) -> str:
    return (
        f"{len(cycle)} users exchange e-mail addresses in a cycle, which the platform does not do in one step; set "
        "diff.swap_placeholder, or give one of them another address first, in a run of its own"
    )
