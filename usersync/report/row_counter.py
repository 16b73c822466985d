"""Count the lines of a report by status, and those that need attention by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Final

from usersync.ledger import Cells
from usersync.loader.row_texts import RowTexts, best_name
from usersync.models import Json, Status, owner_of
from usersync.report.columns import CODE, EMAIL, ID, KEY, MESSAGE, NAME, ROW, STATUS, Columns

#: Rows that are kept as examples of each reason.
_EXAMPLES: Final = 3
_ATTENTION: Final = frozenset(status.value for status in Status if status.needs_attention)


@dataclass(frozen=True, slots=True)
class Example:
    """A row that needs attention."""

    row: int
    id: str
    name: str
    """The name that people know the row by."""
    message: str


@dataclass(slots=True)
class Reason:
    """One reason why rows need attention."""

    code: str
    """The status of rows that have no code."""
    owner: str
    """Who has to act."""
    rows: int = 0
    examples: list[Example] = field(default_factory=list)
    """The first few of these rows."""

    def as_json(self) -> dict[str, Json]:
        """Return the reason with its first row, as summaries have it."""
        return {"code": self.code, "rows": self.rows, **asdict(self.examples[0])}


class RowCounter:
    """Counts lines; a row with several codes counts under each of them."""

    def __init__(self, texts: RowTexts) -> None:
        self._texts = texts
        self._reasons: dict[str, Reason] = {}
        self.rows = 0
        self.by_status: Counter[str] = Counter()
        #: Who has to act -> rows.
        self.by_owner: Counter[str] = Counter()

    def add(self, columns: Columns) -> None:
        """Count lines."""
        self.rows += len(columns[STATUS])
        self.by_status.update(columns[STATUS])
        if not _ATTENTION.isdisjoint(columns[STATUS]):
            for line in zip(*columns, strict=True):
                if line[STATUS] in _ATTENTION:
                    self._count_reasons(line)

    def _count_reasons(self, line: Cells) -> None:
        owners = set()
        for code in dict.fromkeys(line[CODE].split(";")):
            label = code or line[STATUS]
            if label not in self._reasons:
                self._reasons[label] = Reason(label, owner_of(code).value)
            reason = self._reasons[label]
            reason.rows += 1
            owners.add(reason.owner)
            if len(reason.examples) < _EXAMPLES:
                name = best_name(line[NAME], line[EMAIL], line[KEY], self._texts.name_of)
                reason.examples.append(Example(line[ROW], line[ID], name, self._message(code, line)))
        self.by_owner.update(owners)

    def _message(self, code: str, line: Cells) -> str:
        """Return what a line says about one of its codes: of several, what belongs to that one."""
        is_one_of_several = line[CODE] != code
        return (self._texts.message_of(line[KEY], code) if is_one_of_several else "") or str(line[MESSAGE])

    @property
    def need_attention(self) -> int:
        """How many rows need attention."""
        return sum(self.by_status[status] for status in _ATTENTION)

    def counts(self) -> dict[str, int]:
        """Return status -> rows in the order of Status, and `rows`: their sum."""
        found = {status.value: self.by_status[status] for status in Status if self.by_status[status]}
        return {**found, "rows": self.by_status.total()}

    def reasons(self) -> list[Reason]:
        """Return why rows need attention, the most frequent reason first."""
        return sorted(self._reasons.values(), key=lambda reason: -reason.rows)
