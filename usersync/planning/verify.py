"""Check, before rows are sent, that nobody protects or has changed their users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeAlias

from usersync.diff.limits import has_email_patterns, protecting_entry
from usersync.diff.verification import may_hold_new_values, split_changes
from usersync.ledger import LedgerRun
from usersync.ledger.resumption import confirmed_since
from usersync.models import UNKNOWN, Code, FieldChange, Json, Result, Row, Status, User, value_of
from usersync.planning.row_comparison import READ_BATCH
from usersync.planning.rows import revert_if_parked, unread_row, with_user
from usersync.planning.users import UserLookup
from usersync.values import same_email, same_value

#: Takes a user's id and a field; returns the run that wrote it last (blank: none), and the value.
LastWriter: TypeAlias = Callable[[int, str], tuple[str, Json]]


async def verify_rows(
    run: LedgerRun, users: UserLookup, protect: Sequence[str], *, addresses: Mapping[int, str], keep_foreign: bool
) -> None:
    """Read the users of all unsent rows, and revise the rows: a plan may have waited for days.

    A row whose new values stand already is unchanged; one whose old values no longer stand is a conflict, and so is
    one whose user no longer has the address by which it was found: key -> address. With `keep_foreign`, as for an undo,
    only the fields that somebody else changed are left alone. Patterns in `protect` (`limits.protect`) need addresses.
    """
    reject_overtaken_rows(run)
    must_read = bool(addresses) or has_email_patterns(protect)
    unsent = list(run.with_status(Status.PLANNED, Status.PARKED))
    rows = [row for row in unsent if must_read or any(c.old is not UNKNOWN for c in row.changes)]
    revised: list[Row] = []

    def take(row: Row, found: User | Result) -> None:
        if isinstance(found, User):
            address, last_writer = addresses.get(row.key, ""), run.snapshots.last_writer
            verified = verified_row(row, found, last_writer, address=address, keep_foreign=keep_foreign)
            revised.append(_returned_where_parked(row, verified))
        elif found.status is not Status.NOT_SENT:  # else the run stops, and the row stays as it is
            revised.append(_returned_where_parked(row, unread_row(row, found)))
        if len(revised) >= READ_BATCH:
            write()

    def write() -> None:
        run.revise(revised)
        revised.clear()

    asked = ((row, row.user_id, any(c.field == "display_name" for c in row.changes)) for row in rows)
    await users.read_each(asked, len(rows), take)
    write()


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


def reject_overtaken_rows(run: LedgerRun) -> None:
    """Turn rows into conflicts if a later run already wrote another value to their users."""
    rows = run.with_status(Status.PLANNED)
    while batch := list(islice(rows, READ_BATCH)):
        _reject_overtaken(run, batch)


def _reject_overtaken(run: LedgerRun, rows: Sequence[Row]) -> None:
    newer = run.snapshots.last_written([row.user_id for row in rows], by_newer_runs=True)
    overtaken: list[Row] = []
    for row in rows:
        if fields := overtaken_fields(row.changes, newer.get(row.user_id, {})):
            changed_by = {field: f"run {run.snapshots.last_writer(row.user_id, field)[0]} changed" for field in fields}
            in_part = row.was_sent_before and len(fields) < len(row.changes)
            overtaken.append(_changed_since(row, changed_by, in_part=in_part))
    run.revise(overtaken)


def reject_confirmed_rows(run: LedgerRun) -> None:
    """Turn rows into conflicts if the input of a later run asked for the values that their users hold."""
    confirmed = confirmed_since(run)
    rejected: list[Row] = []
    for row in run.by_key(confirmed):
        name, fields = confirmed[row.key]
        if overlap := [c.field for c in row.changes if not fields.isdisjoint((c.field, c.field.partition(".")[0]))]:
            confirmed_by = dict.fromkeys(overlap, f"run {name} confirmed")
            in_part = row.was_sent_before and len(overlap) < len(row.changes)
            rejected.append(_changed_since(row, confirmed_by, in_part=in_part))
    run.revise(rejected)


def overtaken_fields(changes: Sequence[FieldChange], newer: Mapping[str, Json]) -> list[str]:
    """Name the fields for which newer runs wrote another value (`newer`: field -> value)."""
    return sorted(c.field for c in changes if c.field in newer and not same_value(c.field, c.new, newer[c.field]))


def _changed_since(row: Row, changed_by: Mapping[str, str], *, in_part: bool) -> Row:
    """Return a row as it ends where fields were changed or confirmed since it was planned: field -> who did what.

    `in_part`: the row was sent before, and its other fields may hold the new values.
    """
    fields: dict[str, list[str]] = {}
    for field, who in changed_by.items():
        fields.setdefault(who, []).append(field)
    since = "; ".join(f"{who} {', '.join(names)} since" for who, names in fields.items())
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
    changed_by = {field: f"{_who_changed(user, field, last_writer)} changed" for field in stale}
    if stale and not keep_foreign:
        in_part = sent_before and may_hold_new_values(changes, user)
        return _changed_since(row, changed_by, in_part=in_part)
    if stale:
        kept = ", ".join(f"{field} ({who} it since)" for field, who in changed_by.items())
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
