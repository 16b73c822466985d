"""Exchange e-mail addresses among users by way of a placeholder.

The steps of a swap are statuses of its rows: the first user moves to the placeholder (`parked`), the others follow
in their waves, at last the first one leaves the placeholder. Each status is written after the fact, and each step
done twice ends the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from usersync.diff.inversion import invert_row
from usersync.diff.verification import split_changes
from usersync.dispatch.sender import Sender
from usersync.ledger import LedgerRun, Waves
from usersync.ledger.waves import Swap, is_open
from usersync.models import Code, Json, Result, Row, Status, User
from usersync.values import same_email

_BROKEN = (Status.FAILED, Status.UNKNOWN, Status.CONFLICT, Status.REJECTED, Status.REVERTING)
#: Rows of a broken swap that may hold new values.
_MAY_HAVE_MOVED = (Status.UPDATED, Status.UNKNOWN, Status.REVERTING)
#: After a reason of its own, what became of a row.
_REVERTED = "; reverted"
#: Between the reason why a row is reverted and the error that prevented it.
_NOT_REVERTED = "; not reverted yet: "
#: Before what stays of a row that is reverted.
_KEPT = "; kept: "
#: What ends a swap whose first user holds the placeholder, and whose old address the platform does not take back.
_BY_HAND = "this user holds a placeholder: free the old address, or enter another one for this user by hand, then "


class EmailSwaps:
    """The e-mail swaps of one run."""

    def __init__(self, run: LedgerRun, sender: Sender) -> None:
        self._run, self._sender = run, sender

    def ready(self) -> Iterator[Swap]:
        """Return the swaps that can begin: all of their rows are still to be sent, and change the address."""
        for swap in Waves(self._run).swaps():
            if all(row.status is Status.PLANNED and "email" in row.new_values for row in swap):
                yield swap

    def hold_back(self) -> None:
        """Leave for `usersync resume` the swaps that cannot begin, because a user of them could not be read."""
        for swap in Waves(self._run).swaps():
            planned = [row for row in swap if row.status is Status.PLANNED]
            waiting = [row for row in swap if row.status is Status.NOT_SENT]
            if waiting and len(planned) + len(waiting) == len(swap):
                message = f"not sent: row {waiting[0].row} of the same e-mail swap is not sent"
                self._run.revise(
                    replace(row, status=Status.NOT_SENT, code=Code.BLOCKED_BY, message=message) for row in planned
                )

    def broken(self) -> list[Swap]:
        """Return the swaps that cannot be completed, and of which some user has moved."""
        self._run.flush()
        return [
            swap for swap in Waves(self._run).swaps() if any(map(_is_broken, swap)) and any(map(_has_to_return, swap))
        ]

    def open(self) -> list[Swap]:
        """Return the swaps that were interrupted."""
        return [swap for swap in Waves(self._run).swaps() if is_open(swap)]

    async def park(self, swap: Swap) -> None:
        """Move the first user of a swap to the placeholder; where that fails, the others are not sent."""
        first = swap[0]
        self._run.set_status([replace(first, status=Status.SENDING)])
        result = await self._sender.update(first.user_id, _move(first.placeholder))
        if result.status is Status.UPDATED:
            self._record(first, parked(first, result))
        elif result.status is Status.NOT_SENT:
            self._run.set_status([first])
        else:
            status = Status.REVERTING if result.code == Code.ECHO_DIFFERS else result.status
            message = f"could not move to the placeholder {first.placeholder}: {result.message}"
            self._record(first, replace(result, status=status, message=message))

    async def revert(self, swap: Swap, *, reason: str = "") -> None:
        """Return the users of a swap to their old values, the latest first, then the first one.

        Only where the values of this run still stand: what somebody else changed since stays as it is.
        """
        for row in reversed(swap):
            must_return = row.status is Status.PARKED if row.placeholder else row.code == Code.ECHO_DIFFERS
            if must_return or row.status in _MAY_HAVE_MOVED:
                await self._revert_row(row, reason or _reason(swap, row))

    async def _revert_row(self, row: Row, reason: str) -> None:
        row = self._mark_reverting(row, reason)
        found = await self._sender.read(row.user_id)
        if isinstance(found, Result):
            self._keep_reverting(row, found)
        elif row.placeholder and (same_email(found.email, row.placeholder) or row.code == Code.ECHO_DIFFERS):
            await self._return(row, _move(row.old_email), found, {})
        else:
            inverted, not_restored = invert_row(row)
            changes, kept = split_changes(inverted, found)
            values = {change.field: change.new for change in changes}
            if row.placeholder:
                written = _move(row.placeholder) if "email" in kept else {}
                row = _with_kept(row, not_restored)
            else:
                written = {field: row.new_values[field] for field in kept}
                row = _with_kept(row, [*kept, *not_restored])
            await self._return(row, values, found, written)

    def _mark_reverting(self, row: Row, reason: str) -> Row:
        """Record that a row is being reverted; a row that failed itself keeps its own reason."""
        if not row.code:
            row = replace(row, code=Code.BLOCKED_BY, message=reason)
        row = replace(row, status=Status.REVERTING, message=row.message.partition(_NOT_REVERTED)[0])
        self._run.revise([row])
        return row

    async def _return(self, row: Row, values: Mapping[str, Json], user: User, written: Mapping[str, Json]) -> None:
        """Send the old values; `written` are those of this run that somebody else changed since, and that stay so."""
        result = Result(Status.UPDATED, user=user)
        if values:
            result = await self._sender.update(row.user_id, values)
        if result.status is Status.UPDATED:
            sent_at = result.finished_at or row.finished_at
            self._run.snapshots.keep_written(row.user_id, {**written, **values}, sent_at=sent_at)
            message = row.message.removesuffix(_REVERTED) + (_REVERTED if row.code != Code.BLOCKED_BY else "")
            ended = replace(result, status=Status.FAILED, code=row.code, message=message)
            self._record(row, replace(ended, http_status=result.http_status or row.http_status))
        else:
            self._keep_reverting(row, result)

    def _keep_reverting(self, row: Row, result: Result) -> None:
        """Leave a row that could not be reverted for `usersync resume`; a user who is gone holds nothing."""
        if result.code == Code.NOT_FOUND:
            self._record(row, result)
            return
        by_hand = "" if result.code != Code.REFUSED or row.placeholder is None else _BY_HAND
        remedy = f"{by_hand}run `usersync resume {self._run.info.run}`"
        message = f"{row.message}{_NOT_REVERTED}{result.message}; {remedy}"
        self._record(row, replace(result, status=Status.REVERTING, code=row.code, message=message, user=None))

    def _record(self, row: Row, result: Result) -> None:
        """Write a step at once: the next one depends on it."""
        self._run.record(row.key, result)
        self._run.flush()


def reverted_rows(run: LedgerRun) -> Iterator[Row]:
    """Yield the rows of reverted e-mail swaps with their last status, which differs from that of their request."""
    for swap in Waves(run).swaps():
        if any(row.status in (Status.FAILED, Status.REVERTING) for row in swap):
            rows = (row for one in swap for row in run.rows(only=one.key))
            yield from (row for row in rows if row.status in (Status.FAILED, Status.UNKNOWN))


def parked(row: Row, result: Result) -> Result:
    """Return the result of a row whose user holds the placeholder now."""
    message = f"this user holds {row.placeholder} until `usersync resume` completes the e-mail swap"
    return replace(result, status=Status.PARKED, code="", message=message)


def has_moved(row: Row, user: User | None) -> bool:
    """Tell whether a user, as answered, has the new address of a row, whatever else of it the platform did not take."""
    return user is not None and same_email(user.email, row.new_values.get("email"))


def _is_broken(row: Row) -> bool:
    return row.status in _BROKEN and not (row.status is Status.FAILED and has_moved(row, row.user))


def _has_to_return(row: Row) -> bool:
    may_hold_placeholder = row.placeholder is not None and row.status is Status.UNKNOWN
    return row.status in (Status.UPDATED, Status.PARKED, Status.REVERTING) or may_hold_placeholder


def _reason(swap: Swap, row: Row) -> str:
    cause = next((one for one in swap if one.status in _BROKEN and one.key != row.key), row)
    return f"reverted, because row {cause.row} of the same e-mail swap is {cause.status}"


def _with_kept(row: Row, kept: Sequence[str]) -> Row:
    """Return a row that names what is not reverted."""
    if not kept or _KEPT in row.message:
        return row
    return replace(row, message=f"{row.message}{_KEPT}{', '.join(kept)}")


def _move(email: object) -> dict[str, Json]:
    """Return the values of a change of nothing but the e-mail address."""
    return {"email": email}
