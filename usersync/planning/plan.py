"""Changes in, a plan that can be looked at out: counted by field, with the first of each kind as examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from usersync.models import SECRET_FIELDS, Change, Entry, Files, Json, Place, ProblemGroup, Status
from usersync.settings import Settings


class LimitViolation(Protocol):
    """A limit that a plan is beyond (`usersync.diff.limits`)."""

    @property
    def rule(self) -> str:
        """The word for `--override`."""

    def sentence(self) -> str:
        """Every number, the rule, and the way to send it all the same."""


EXAMPLES = 10
"""Changes and problems of a kind that are shown; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What `apply` needs of a plan that was not saved as a file."""

    document: Json
    """What the file would hold."""
    files: Files
    """The sources as they were given: DataFrames, and addresses with their credentials."""
    settings: Settings


@dataclass(slots=True)
class Plan:
    """What a run would do, as numbers and examples; the changes themselves are in the ledger."""

    counts: Counter[Status] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    """Field -> users for whom it changes."""
    examples: list[Entry] = field(default_factory=list, repr=False)
    changes: int = 0
    """How many users would be changed."""
    problems: tuple[ProblemGroup, ...] = ()
    places: dict[int, Place] = field(default_factory=dict)
    """Key of an example -> where it stands."""
    notes: list[str] = field(default_factory=list)
    refusals: tuple[LimitViolation, ...] = ()
    """Limits that the plan is beyond, overridden ones too."""
    left_out: int = 0
    """Rows left out by choice: neither sent nor reported."""
    beyond_limit: int = 0
    """Those of them that `--limit` left out."""
    kept: Kept | None = field(default=None, repr=False, compare=False)
    """The whole plan, where `usersync.plan` made it."""

    @property
    def rows(self) -> int:
        """How many rows are accounted for."""
        return self.counts.total()

    def noting(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Pass entries on, counting their changes."""
        for entry in entries:
            if entry.change and entry.status is Status.PLANNED:
                self._note(entry, entry.change)
            yield entry

    def _note(self, entry: Entry, change: Change) -> None:
        self.changes += 1
        for item in change.fields:
            self.fields[item.field] += 1
        if len(self.examples) < EXAMPLES or any(self.fields[i.field] <= 1 for i in change.fields):
            self.examples.append(entry)

    @property
    def sets_passwords(self) -> int:
        """How many passwords would be set; they cannot be taken back."""
        return sum(self.fields[name] for name in SECRET_FIELDS)

    @property
    def exit_code(self) -> int:
        """What `usersync plan` ends with: 3 beyond a limit, 1 where rows need a person."""
        if self.refusals:
            return 3
        return int(any(self.counts[status] for status in (Status.REJECTED, Status.FAILED, Status.CONFLICT)))

    def as_json(self) -> dict[str, Json]:
        """Give the plan's numbers for scripts."""
        return {
            "status": Status.PLANNED.value,
            "exit_code": self.exit_code,
            "counts": {**{s.value: n for s, n in self.counts.items() if n}, "rows": self.rows},
            "changes": self.changes,
            "fields": dict(self.fields),
            "left_out": self.left_out,
            "limits": [{"rule": r.rule, "sentence": r.sentence()} for r in self.refusals],
            "problems": [group.as_json() for group in self.problems],
            "notes": list(self.notes),
        }
