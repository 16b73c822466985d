"""One run, from its plan to its report: asked for, sent, recorded, reported, in this order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from usersync.context import Confirm, Context, iso
from usersync.diff.inversion import reverse
from usersync.diff.verification import any_known, stale
from usersync.dispatch.claims import Passwords
from usersync.dispatch.connection import connected
from usersync.dispatch.dispatcher import Sending
from usersync.dispatch.email_swaps import Rings
from usersync.dispatch.rate_limit import Job, StopReason, each
from usersync.dispatch.sender import Sender
from usersync.errors import RefusedError, StoppedError
from usersync.ledger import LedgerRun
from usersync.logs import event, run_name
from usersync.models import (
    Change,
    Code,
    DesiredValues,
    Entry,
    Json,
    Outcome,
    Status,
    Table,
)
from usersync.planning.plan import Plan
from usersync.planning.planner import Planner
from usersync.planning.rows import Rows
from usersync.report import Summary, make_home
from usersync.report.account import Accounts, prove
from usersync.settings import Settings

if TYPE_CHECKING:
    pass


class Run:
    """One run, from a checked table to its report."""

    def __init__(self, settings: Settings, context: Context, book: LedgerRun) -> None:
        self._settings = settings
        self._around = context
        self._clock = context.clock
        self._book = book
        book.on_outcome = context.on_outcome
        self._began = context.clock.monotonic()
        self._sent_by: Sender | None = None
        run_name.set(book.info.run)
        event("begin", kind=book.info.kind)

    def _planner(self, sender: Sender) -> Planner:
        return Planner(self._settings, self._around, self._book, sender)

    async def whole(self, table: Table, wanted: DesiredValues, confirm: Confirm) -> Summary:
        """Plan, ask, send, report."""
        async with self._sender() as sender:
            plan = await self._planner(sender).plan(table, wanted)
            return await self._confirmed(table, wanted, plan, sender=sender, confirm=confirm)

    async def resumed(self, table: Table, wanted: DesiredValues, confirm: Confirm) -> Summary:
        """Look up what was in flight, and send what was not."""
        async with self._sender() as sender:
            if self._book.info.planned_at is None:  # nothing was sent: go on with planning
                kept = self._book.keep_compared()
                await self._refuse_stale(sender)
                plan = await self._planner(sender).plan(table, wanted, kept=kept)
            else:
                self._book.reopen()
                await self._look_up(sender)
                rings = Rings(self._book, sender)
                await self._each(rings.broken(), rings.restore)
                await self._refuse_stale(sender)
                plan = self._planner(sender).standing(Rows(table, wanted))
            return await self._confirmed(table, wanted, plan, sender=sender, confirm=confirm)

    async def applied(self, table: Table, wanted: DesiredValues, confirm: Confirm) -> Summary:
        """Send exactly the plan that was restored into the ledger, but for rows whose user changed meanwhile."""
        self._book.planned(iso(self._clock.now()))
        async with self._sender() as sender:
            await self._refuse_stale(sender)
            planner = self._planner(sender)
            plan = planner.standing(Rows(table, wanted))
            planner.put_in_order(plan)
            return await self._confirmed(table, wanted, plan, sender=sender, confirm=confirm)

    async def _refuse_stale(self, sender: Sender) -> None:
        """Leave those alone whose old values no longer stand: a plan may have waited for days."""
        aside = self._book.turns.asides()

        async def look(entry: Entry) -> None:
            assert entry.change is not None  # noqa: S101 - planned entries have one
            found = await sender.read(entry.key, entry.change.user_id)
            if isinstance(found, Outcome):
                self._book.settle(found)
                return
            fields = set(stale(entry.change, found))
            if found.email and found.email == aside.get(entry.key):
                fields.discard("email")  # they stepped aside for us
            if fields:
                message = f"the platform no longer holds the old value of {', '.join(sorted(fields))}; plan again"
                self._book.settle(Outcome(entry.key, Status.CONFLICT, Code.STALE, message))

        known = [e for e in self._book.planned_entries() if e.change and any_known(e.change)]
        await self._each(known, look)
        self._book.flush()

    async def _each(self, jobs: Iterable[Job], work: Callable[[Job], Awaitable[None]]) -> None:
        await each(jobs, work, concurrency=self._settings.request.concurrency, stop=self._around.stop)

    async def undone(self, table: Table, wanted: DesiredValues, former: LedgerRun, confirm: Confirm) -> Summary:
        """Put the old values of a former run back, where ours still stand."""
        jobs = iter(list(former.changed_rows()))
        entries: list[Entry] = []

        async def look(job: tuple[Entry, dict[str, Json], dict[str, Json]]) -> None:
            entry, old, new = job
            found = await sender.read(entry.key, int(entry.user))
            if isinstance(found, Outcome):
                code, message = found.code, found.message
                entries.append(replace(entry, status=found.status, code=code, message=message, outcome=found))
                return
            fields, kept = reverse(old, new, found)
            status = Status.PLANNED if fields else Status.CONFLICT if kept else Status.UNCHANGED
            note = f"undoes run {former.info.run}" if fields else "" if kept else "the old values stand already"
            note = "; ".join(part for part in (note, f"kept: {', '.join(kept)}" if kept else "") if part)
            change = Change(entry.key, int(entry.user), fields) if fields else None
            entries.append(replace(entry, status=status, change=change, message=note))

        async with self._sender() as sender:
            await self._each(jobs, look)
            entries.extend(replace(entry, status=Status.NOT_SENT) for entry, _, _ in jobs)
            self._book.enter(entries)  # in one step: a commit for each row waits for the disk each time
            planner = self._planner(sender)
            plan = planner.standing(Rows(table, wanted))
            planner.put_in_order(plan)
            if not self._around.stop:
                self._book.planned(iso(self._clock.now()))
            return await self._confirmed(table, wanted, plan, sender=sender, confirm=confirm)

    async def _confirmed(
        self, table: Table, wanted: DesiredValues, plan: Plan, *, sender: Sender, confirm: Confirm
    ) -> Summary:
        confirmed = False
        event("plan", **{status.value: n for status, n in plan.counts.items()})
        make_home(self._settings.report.dir, self._book.info.run)
        if not self._around.stop and plan.changes:
            plan.refusals = self._planner(sender).weigh(plan, wanted)
            standing = [r for r in plan.refusals if r.rule not in self._book.info.overrides]
            if standing:
                sentences = "\n  ".join(refusal.sentence() for refusal in standing)
                self._around.stop.ask(RefusedError.exit_code, f"beyond the limits, nothing was sent:\n  {sentences}")
                return self._account(table, wanted, plan, refused=True)
            confirmed = confirm(plan) and not self._around.stop
            if confirmed:
                sending = Sending(self._settings, self._around, self._book, sender, Passwords(wanted.values))
                await sending.all(plan.changes, table.places["row"])
        return self._account(
            table, wanted, plan, refused=bool(plan.changes) and not confirmed and not self._around.stop
        )

    async def planned_only(self, table: Table, wanted: DesiredValues) -> Plan:
        """Plan, and no more. A stop on the way is a StoppedError: half a plan is none."""
        async with self._sender() as sender:
            plan = await self._planner(sender).plan(table, wanted)
            if self._around.stop.reason:
                raise StoppedError(self._around.stop.reason.message)
            plan.refusals = self._planner(sender).weigh(plan, wanted)
            return plan

    async def _look_up(self, sender: Sender) -> None:
        """Learn with a GET what became of changes whose answer never came in."""
        again: list[int] = []

        async def look(change: Change) -> None:
            outcome = await sender.look_up(change)
            if outcome is None:
                again.append(change.key)
            elif outcome.status is not Status.NOT_SENT:
                self._book.settle(outcome)

        jobs = iter(self._book.in_flight())
        await self._each(jobs, look)
        self._book.flush()
        self._book.put_back(again)

    async def single(self, table: Table, wanted: DesiredValues) -> Outcome:
        """Send the one row of a table, without reading the user first and without a report."""
        rows = Rows(table, wanted)
        entries = list(rows.compared(wanted.values, None, self._settings))
        self._book.enter(entries)
        async with self._sender() as sender:
            (change,) = self._book.claim(1)
            outcome = await sender.update(Passwords(wanted.values).fill(change))
        self._book.settle(outcome)
        self._book.flush()
        stop = self._around.stop.reason
        if stop:
            outcome = replace(outcome, message=stop.message)
        code = stop.exit_code if stop else int(outcome.status is not Status.UPDATED)
        self._book.finish(finished_at=iso(self._clock.now()), exit_code=code, stopped=stop.message if stop else None)
        return outcome

    @asynccontextmanager
    async def _sender(self) -> AsyncIterator[Sender]:
        async with connected(self._settings, self._around) as sender:
            self._sent_by = sender
            yield sender

    def _account(self, table: Table, wanted: DesiredValues, plan: Plan, *, refused: bool) -> Summary:
        stop = self._around.stop.reason
        if refused and stop is None:
            stop = StopReason(RefusedError.exit_code, "not confirmed; nothing was sent")
        self._book.close_rows(planned_as=Status.PLANNED if refused else Status.NOT_SENT)
        account = Accounts(self._settings, self._book, self._around.clock.monotonic() - self._began)
        summary = account.write(plan, self._sent_by, stop, rejects=account.rejects(table, wanted))
        now = iso(self._clock.now())
        self._book.finish(finished_at=now, exit_code=summary.exit_code, stopped=stop.message if stop else None)
        if stop:
            event("stop", code=stop.exit_code)
        event("end", status=summary.status, code=summary.exit_code, seconds=summary.seconds, **summary.counts)
        prove(len(table.cells) - plan.beyond_limit, summary)
        return summary
