"""Reject the rows of users whom settings protect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from usersync.diff.limits import protecting_entry
from usersync.ledger import LedgerRun
from usersync.models import Code, Row, Status
from usersync.planning.rows import revert_if_parked

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    rejected = replace(row, status=Status.REJECTED, code=Code.PROTECTED, message=message)
    return revert_if_parked(row, rejected)
