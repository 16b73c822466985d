"""Check, before planned rows are sent, that their old values still stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeAlias

from usersync.context import Context, run_concurrently
from usersync.diff.limits import has_email_patterns
from usersync.diff.verification import may_hold_new_values, split_changes
from usersync.ledger import LedgerRun
from usersync.models import UNKNOWN, Code, FieldChange, Json, Result, Row, Status, User, value_of
from usersync.planning.matching import Matching
from usersync.planning.row_comparison import READ_BATCH
from usersync.planning.rows import revert_if_parked, unread_row, with_user
from usersync.planning.users import UserLookup
from usersync.settings import Settings
from usersync.values import same_email, same_value

#: Takes a user's id and a field; returns the run that wrote it last (blank: none), and the value.
LastWriter: TypeAlias = Callable[[int, str], tuple[str, Json]]


async def verify_rows(
    run: LedgerRun,
    settings: Settings,
    context: Context,
    users: UserLookup,
    *,
    matching: Matching | None = None,
    keep_foreign: bool = False,
) -> None:
    """Read the users of all unsent rows, and revise the rows: a plan may have waited for days.

    A row whose new values stand already is unchanged; one whose old values no longer stand is a conflict, and so is
    one whose user no longer has the address by which `matching` found that user. With `keep_foreign`, as for an undo,
    only the fields that somebody else changed are left alone.
    """
    reject_overtaken_rows(run)
    addresses = matching.addresses if matching else {}
    must_read = bool(addresses) or has_email_patterns(settings.limits.protect)
    unsent = list(run.with_status(Status.PLANNED, Status.PARKED))
    rows = [row for row in unsent if must_read or any(c.old is not UNKNOWN for c in row.changes)]
    verification = _Verification(run, context, users, addresses, keep_foreign=keep_foreign)
    await users.expect(len(rows))
    context.progress.begin("reading", len(rows))
    await run_concurrently(rows, verification.verify, concurrency=settings.request.concurrency, stop=context.stop)
    context.progress.end()
    verification.write()


class _Verification:
    """Revises rows, a batch at a time, as their users are read."""

    def __init__(
        self, run: LedgerRun, context: Context, users: UserLookup, addresses: Mapping[int, str], *, keep_foreign: bool
    ) -> None:
        """`addresses` are those by which users were found, by row key."""
        self._run, self._context, self._users = run, context, users
        self._addresses, self._keep_foreign = addresses, keep_foreign
        self._revised: list[Row] = []

    async def verify(self, row: Row) -> None:
        """Read the user of a row; one that cannot be read because the run stops leaves the row as it is."""
        with_display_name = any(change.field == "display_name" for change in row.changes)
        found = await self._users.read(row.user_id, with_display_name=with_display_name)
        if isinstance(found, User):
            self._revised.append(_returned_where_parked(row, self._verified(row, found)))
        elif found.status is not Status.NOT_SENT:
            self._revised.append(_returned_where_parked(row, unread_row(row, found)))
        self._context.progress.row(found.status if isinstance(found, Result) else Status.PLANNED)
        if len(self._revised) >= READ_BATCH:
            self.write()

    def _verified(self, row: Row, user: User) -> Row:
        address, last_writer = self._addresses.get(row.key, ""), self._run.snapshots.last_writer
        return verified_row(row, user, last_writer, address=address, keep_foreign=self._keep_foreign)

    def write(self) -> None:
        """Write the rows that were revised since the last time."""
        self._run.revise(self._revised)
        self._revised.clear()


def reject_overtaken_rows(run: LedgerRun) -> None:
    """Turn rows into conflicts if a later run already wrote another value to their users."""
    rows = run.with_status(Status.PLANNED)
    while batch := list(islice(rows, READ_BATCH)):
        _reject_overtaken(run, batch)


def _reject_overtaken(run: LedgerRun, rows: Sequence[Row]) -> None:
    newer = run.snapshots.last_written([row.user_id for row in rows], by_newer_runs=True)
    overtaken: list[Row] = []
    for row in rows:
        if fields := _overtaken_fields(row.changes, newer.get(row.user_id, {})):
            changed_by = {field: f"run {run.snapshots.last_writer(row.user_id, field)[0]}" for field in fields}
            in_part = row.was_sent_before and len(fields) < len(row.changes)
            overtaken.append(_changed_since(row, changed_by, in_part=in_part))
    run.revise(overtaken)


def _overtaken_fields(changes: Sequence[FieldChange], newer: Mapping[str, Json]) -> list[str]:
    return sorted(c.field for c in changes if c.field in newer and not same_value(c.field, c.new, newer[c.field]))


def _changed_since(row: Row, changed_by: Mapping[str, str], *, in_part: bool) -> Row:
    """Return a row as it ends where fields were changed since it was planned: field -> by whom.

    `in_part`: the row was sent before, and its other fields may hold the new values.
    """
    fields: dict[str, list[str]] = {}
    for field, who in changed_by.items():
        fields.setdefault(who, []).append(field)
    since = "; ".join(f"{who} changed {', '.join(names)} since" for who, names in fields.items())
    if in_part:
        message = f"the answer was lost; {since}, and the other fields may hold the new values"
        return replace(row, status=Status.FAILED, code=Code.ECHO_DIFFERS, message=message)
    message = f"{since}, so it was not changed; plan again to change it anyway"
    return replace(row, status=Status.CONFLICT, code=Code.STALE, message=message)


def verified_row(
    row: Row, user: User, last_writer: LastWriter, *, address: str = "", keep_foreign: bool = False
) -> Row:
    """Return a planned row as it is to be sent to `user`, as the platform holds it now.

    `address` is the one by which the user was found; blank where the row has an id.
    """
    row = with_user(row, user)
    if row.placeholder and same_email(user.email, row.placeholder):
        user = replace(user, email=row.old_email)  # this run has moved the user there
    sent_before = row.was_sent_before
    changes, stale = split_changes(row.changes, user, sent_before=sent_before)
    if address and not any(same_email(user.email, own) for own in (address, row.new_values.get("email"))):
        stale = sorted({*stale, "email"})
    changed_by = {field: _who_changed(user, field, last_writer) for field in stale}
    if stale and not keep_foreign:
        in_part = sent_before and may_hold_new_values(changes, user)
        return _changed_since(row, changed_by, in_part=in_part)
    if stale:
        kept = ", ".join(f"{field} ({who} changed it since)" for field, who in changed_by.items())
        row = replace(row, note="; ".join(part for part in (row.note, f"kept: {kept}") if part))
    if changes:
        return row.with_changes(changes)
    status = Status.CONFLICT if stale else Status.UNCHANGED
    message = "" if stale else "the platform holds these values already"
    return replace(row, status=status, message=message, changed="", old="", new="")


def _who_changed(user: User, field: str, last_writer: LastWriter) -> str:
    """Name the run that wrote the user's current value, or "somebody" if no run did."""
    run, value = last_writer(user.id, field)
    return f"run {run}" if run and same_value(field, value, value_of(user, field)) else "somebody"


def _returned_where_parked(row: Row, revised: Row) -> Row:
    """Revert the placeholder of a row that will not be sent, unless its user has another address now or is gone."""
    ended = revised.status not in (Status.PLANNED, Status.PARKED)
    moved_on = revised.email is not None and not same_email(revised.email, row.placeholder)
    if not ended or moved_on or revised.code == Code.NOT_FOUND:
        return revised
    return revert_if_parked(row, revised)
