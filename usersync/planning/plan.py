"""Show what a run would send, derived from the rows in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from usersync.diff.limits import LimitViolation, PlanStats
from usersync.diff.plausibility import PersonChange, find_other_people, find_shifted, find_shifted_attribute
from usersync.errors import RefusedError
from usersync.ledger import LedgerRun, RunInfo, UnsentRows
from usersync.ledger.run import UNSENT
from usersync.loader.row_texts import NameOf, name_of_row
from usersync.models import MASK, SECRET_FIELDS, Code, Json, Place, Problem, ProblemGroup, Row, Status, User
from usersync.planning.input import PROBLEMS_SHOWN, Input
from usersync.tables import Files

if TYPE_CHECKING:
    from usersync.settings import Settings

#: Changes that are shown; the rest is counted.
EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What `apply` needs of a plan that is not saved as a file."""

    document: Callable[[], Json]
    """Returns what the file would hold."""
    files: Files
    """The sources as they were given: DataFrames, and addresses with their credentials."""
    settings: Settings


@dataclass(slots=True)
class Plan:
    """What a run would send, in numbers and examples; the rows themselves are in the ledger."""

    platform: str = ""
    counts: Counter[Status] = field(default_factory=Counter)
    """Rows by status."""
    fields: Counter[str] = field(default_factory=Counter)
    """Field -> users for whom it changes."""
    examples: list[Row] = field(default_factory=list, repr=False)
    """The first rows that would be sent, and the first for each field."""
    changes: int = 0
    """How many users would be changed."""
    problems: tuple[ProblemGroup, ...] = ()
    notes: list[str] = field(default_factory=list)
    violations: tuple[LimitViolation, ...] = ()
    """Limits that the plan exceeds, overridden ones too."""
    left_out: int = 0
    """Rows left out by choice: neither sent nor reported."""
    saved: SavedPlan | None = field(default=None, repr=False, compare=False)
    """The whole plan, where `usersync.plan` made it."""

    @property
    def rows(self) -> int:
        """How many rows the report has."""
        return self.counts.total()

    @property
    def sets_passwords(self) -> int:
        """How many passwords would be set; they cannot be restored."""
        return sum(self.fields[name] for name in SECRET_FIELDS)

    @property
    def exit_code(self) -> int:
        """The exit code of `usersync plan`: 3 beyond a limit, 1 where rows need attention."""
        if self.violations:
            return RefusedError.exit_code
        return int(any(self.counts[status] for status in Status if status.needs_attention))

    def as_json(self) -> dict[str, Json]:
        """Return the plan's numbers for scripts."""
        return {
            "status": Status.PLANNED.value,
            "exit_code": self.exit_code,
            "counts": {**{s.value: n for s, n in self.counts.items() if n}, "rows": self.rows},
            "changes": self.changes,
            "fields": dict(self.fields),
            "left_out": self.left_out,
            "limits": [{"rule": v.rule, "sentence": v.sentence()} for v in self.violations],
            "problems": [group.as_json() for group in self.problems],
            "notes": list(self.notes),
        }


def read_plan(run: LedgerRun, given: Input) -> Plan:
    """Derive the plan of a run from its rows in the ledger, and from its input."""
    plan = Plan(run.info.platform, counts=Counter(run.counts()), notes=given.notes)
    unsent = UnsentRows(run)
    firsts: list[int] = []
    for fields, rows, first in run.changed_fields(*UNSENT):
        plan.changes += rows
        if any(name not in plan.fields for name in fields):
            firsts.append(first)
        plan.fields.update(dict.fromkeys(fields, rows))
    plan.examples = unsent.examples(EXAMPLES, also=firsts)
    name_of = given.name_of
    plan.problems = given.problem_groups(name_of=_names_in_run(run, name_of))
    known = {group.code for group in plan.problems}
    if any(status.needs_attention for status in plan.counts):
        plan.problems += _problems_since(run, known, name_of)
    return plan


def _names_in_run(run: LedgerRun, name_of: NameOf) -> NameOf:
    """Return the function that finds the name of a row as the platform has it, or else as the sheet has it."""

    def name_in_run(key: int) -> str:
        return next((name_of_row(row, name_of) for row in run.by_key([key])), "") or name_of(key)

    return name_in_run


def _problems_since(run: LedgerRun, known: set[str], name_of: NameOf) -> tuple[ProblemGroup, ...]:
    """Group the rows that need attention for another reason than a problem of the input."""
    groups: dict[str, tuple[int, list[tuple[Place, Problem]]]] = {}
    for found, count, row in run.first_by_code(PROBLEMS_SHOWN):
        code = found or row.status
        if code not in known:
            problem = Problem(row.key, Code(found or Code.STALE), row.reason)
            place = Place(row.file, row.sheet, row.row, name_of_row(row, name_of))
            groups.setdefault(code, (count, []))[1].append((place, problem))
    return tuple(ProblemGroup(code, count, tuple(first)) for code, (count, first) in groups.items())


def plan_stats(
    plan: Plan,
    run: LedgerRun,
    given: Input,
    previous: RunInfo | None,
    usual_changes: int | None,
    users: Collection[User] = (),
) -> PlanStats:
    """Collect the numbers that limits are checked against.

    `previous` is the last run of the same files, `usual_changes` the most users whom one of the last runs changed;
    `users` are all users of the platform, where it lists them.
    """
    unsent = UnsentRows(run)
    filled = run.info.filled_fields
    had_values = previous.filled_fields if previous else ()
    columns = given.desired.values.columns
    from_files = run.info.rows_read is not None
    # an undo restores old values, so it may turn users into other people
    people = [PersonChange(*values) for values in unsent.person_changes()] if from_files else []
    attributes = unsent.text_attribute_changes() if from_files else []
    sent = plan.counts[Status.UPDATED]  # before the run was interrupted: addresses that others hold are sent last
    shifted = find_shifted(people, users, sent=sent)
    shifted = shifted or find_shifted_attribute(attributes, users, partial(_rows_with, run, given))
    return PlanStats(
        changes=plan.changes,
        fields=plan.fields,
        same_values=_same_values(unsent, given),
        rows_read=run.info.rows_read,
        shifted=shifted,
        other_people=find_other_people(people, sent=sent),
        last_rows_read=previous.rows_read if previous else None,
        usual_changes=usual_changes if from_files else None,
        blank_columns=tuple(name for name in had_values if name in columns and name not in filled),
    )


def _rows_with(run: LedgerRun, given: Input, field: str) -> int:
    """Return how many rows hold a value, untouched cells of exports included; all rows where that is not known.

    Of a part that `--limit` sends, all rows may be wrong.
    """
    if run.info.options.get("limit") is not None:
        return 0
    if field not in given.table.cells:
        return run.info.rows_read or 0
    return sum(map(bool, given.table.cells[field]))


def _same_values(unsent: UnsentRows, given: Input) -> dict[str, tuple[str, int]]:
    """Return the most frequent new name and password of the rows that would be sent, and how many have it."""
    name = unsent.most_common("name")
    most = {"name": name} if name else {}
    for secret in SECRET_FIELDS.intersection(given.desired.values.columns):
        sent = given.desired.values[secret].reindex(unsent.keys())
        counts = sent.value_counts(sort=False)  # in order of appearance: the first of equals counts
        if len(counts):
            most[secret] = (MASK, int(counts.max()))
    return most
