"""A checked table in, a plan in the ledger out: compared with what is known, put in order, weighed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from usersync.context import Context, iso
from usersync.diff.baseline import known_from_file
from usersync.dispatch.rate_limit import each
from usersync.dispatch.sender import Sender
from usersync.ledger import LedgerRun
from usersync.models import (
    SECRET_FIELDS,
    Code,
    DesiredValues,
    Outcome,
    Place,
    Status,
    Table,
    User,
)
from usersync.planning.plan import Plan
from usersync.planning.rows import Rows, filled, frame, protected_message
from usersync.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame

    from usersync.diff.limits import LimitViolation

READ_TOGETHER = 1000
"""Users that are compared at once while they are read one by one."""
KNOWN_TOGETHER = 20_000
"""Users whose last known values are looked up at once."""


class Planner:
    """Plans one run."""

    def __init__(self, settings: Settings, context: Context, book: LedgerRun, sender: Sender) -> None:
        self._settings, self._around, self._book, self._sender = settings, context, book, sender

    def weigh(self, plan: Plan, wanted: DesiredValues) -> tuple[LimitViolation, ...]:
        """Hold a plan against the limits; overridden ones are told as well."""
        from usersync.diff.limits import PlanStats, same_values, weigh

        alike = {n: found for n in ("name",) if (found := self._book.most_common(n))}
        secret = [n for n in SECRET_FIELDS if n in wanted.values]
        last_rows, had_values = self._book.last or (None, ())
        now = filled(wanted.values)
        weights = PlanStats(
            rows=plan.rows,
            changes=plan.changes,
            fields=plan.fields,
            same_values={**alike, **same_values(wanted.values[secret])},
            last_rows=last_rows,
            blank_columns=tuple(n for n in had_values if n in wanted.values and n not in now),
        )
        return weigh(weights, self._settings.limits)

    def standing(self, rows: Rows) -> Plan:
        """Show what the ledger holds to be sent."""
        plan = Plan(problems=rows.problem_groups())
        for _ in plan.noting(self._book.planned_entries()):
            pass
        self._count(plan)
        if self._book.info.choice.get("limit") is not None:
            plan.beyond_limit = rows.total - plan.rows
        return plan

    def _count(self, plan: Plan) -> None:
        plan.counts.update({Status(name): n for name, n in self._book.counts().items()})
        if any(plan.counts[s] for s in (Status.REJECTED, Status.FAILED, Status.CONFLICT)):
            plan.problems += self._book.reasons(plan.problems)
        sources = self._book.info.sources
        plan.places = {
            e.key: Place(sources[e.source]["file"], sources[e.source]["sheet"], e.row) for e in plan.examples
        }

    async def plan(self, table: Table, wanted: DesiredValues, *, kept: Sequence[int] = ()) -> Plan:
        """Compare every row, enter it into the ledger, and put what is to be sent in order.

        `kept` are the keys of rows that an earlier life of this run has compared already.
        """
        rows = Rows(table, wanted)
        plan = Plan(problems=rows.problem_groups())
        plan.notes = [f"{s.file}: {note}" for s in table.sources for note in s.notes]
        self._book.enter(rows.rejected())
        values = self._unprotected(rows, wanted.values)
        for _ in plan.noting(self._book.planned_entries()):
            pass
        values = values.drop(index=list(kept), errors="ignore")
        source = self._settings.diff.compare_with
        careful = any(f.only_if_blank and name in values for name, f in self._settings.fields.items())
        if source == "nothing" and not careful:
            self._book.enter(plan.noting(rows.compared(values, None, self._settings)))
        else:
            if source not in ("remote", "nothing"):
                values = self._compare_known(rows, values, plan)
            await self._compare_remote(rows, values, plan)
        self.put_in_order(plan)
        before = frozenset(kept)
        self._book.enter(entry for entry in rows.twins() if entry.key not in before)
        self._book.match_twins()
        plan.left_out = table.left_out
        limit = self._book.info.choice.get("limit")
        if limit is not None and limit < plan.changes:
            plan.beyond_limit = self._book.keep_first(limit)
            plan.left_out += plan.beyond_limit
            plan.changes = limit
        self._count(plan)
        if not self._around.stop:
            self._book.planned(iso(self._around.clock.now()))
        return plan

    def _compare_known(self, rows: Rows, values: DataFrame, plan: Plan) -> DataFrame:
        """Compare with what the last run, or a file, says; give the rows of users that have to be read."""
        import pandas as pd

        source, unread = self._settings.diff.compare_with, []
        look_up = self._book.memory.known if source == "last-run" else known_from_file(source, self._settings)
        for start in range(0, len(values), KNOWN_TOGETHER):
            part = values.iloc[start : start + KNOWN_TOGETHER]
            known = look_up(part["id"].tolist())
            here = part.iloc[known.index]
            comparison = rows.comparison(here, known.set_axis(here.index), self._settings)
            self._book.enter_unchanged(rows.stretches(comparison.unchanged_keys))
            if self._settings.diff.verify:
                unread.append(here[comparison.changed])
            else:
                self._book.enter(plan.noting(rows.changes(comparison, self._settings)))
            unread.append(part.drop(index=here.index))
        return pd.concat(unread) if unread else values

    def put_in_order(self, plan: Plan) -> None:
        """See that an e-mail address is given up before another user takes it."""
        from usersync.diff.email_order import Move, opened, order, placeholder

        found = order(Move(*move) for move in self._book.turns.moves())
        turns, after, aside = {**found.turns}, {**found.after}, {}
        template = self._settings.diff.swap_placeholder
        for ring in found.cycles if template else ():
            waiting, needs = opened(ring)
            turns |= waiting
            after |= needs
            aside[ring[0]] = placeholder(template or "", run=self._book.info.run, key=ring[0])
        self._book.turns.set(turns, after, aside)
        stuck = {} if template else {key: ring for ring in found.cycles for key in ring}
        reasons = {
            key: f"{len(ring)} users exchange e-mail addresses in a ring, which the platform does not do in one "
            "step; set diff.swap_placeholder, or give one of them another address first, in a run of its own"
            for key, ring in stuck.items()
        }
        self._book.turns.refuse(reasons, Code.SWAP_CYCLE)
        plan.changes -= len(reasons)

    def _unprotected(self, rows: Rows, values: DataFrame) -> DataFrame:
        from usersync.diff.limits import protected

        reasons = protected(values, self._settings.limits.protect)
        self._book.enter(rows.protected(reasons))
        return values.drop(index=list(reasons)) if reasons else values

    async def _compare_remote(self, rows: Rows, values: DataFrame, plan: Plan) -> None:
        """Read each user, and compare those read in batches, so that memory does not grow with them."""
        from usersync.diff.limits import protects_user

        watch, protect = self._around.watch, self._settings.limits.protect
        known: dict[int, User] = {}
        lost: list[Outcome] = []

        def compare() -> None:
            written = self._book.memory.written([user.id for user in known.values()])
            entries = rows.compared(values.loc[list(known)], frame(known), self._settings, users=known, written=written)
            self._book.enter(plan.noting(entries))
            self._book.enter(map(rows.unread, lost))
            known.clear()
            lost.clear()

        async def look(job: tuple[int, int]) -> None:
            found = await self._sender.read(*job)
            if isinstance(found, User) and (entry := protects_user(protect, found.id, found.email)):
                found = Outcome(job[0], Status.REJECTED, Code.PROTECTED, protected_message(entry))
            if isinstance(found, User):
                known[job[0]] = found
            else:
                lost.append(found)
            watch.row(found.status if isinstance(found, Outcome) else Status.PLANNED)
            if len(known) + len(lost) >= READ_TOGETHER:
                compare()

        jobs = iter(zip(values.index.tolist(), values["id"].tolist(), strict=True))
        watch.begin("reading", len(values))
        await each(jobs, look, concurrency=self._settings.request.concurrency, stop=self._around.stop)
        watch.end()
        compare()
        self._book.enter(rows.unread(Outcome(key, Status.NOT_SENT)) for key, _ in jobs)
