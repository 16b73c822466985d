"""Define what is wrong with rows of the input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from usersync.models.fields import Json
from usersync.models.status import Code

#: Characters of a faulty value that a sentence quotes.
VALUE_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one row may not be sent. A row may have many."""

    key: int
    code: Code
    message: str
    """What is wrong and what to do next; never a secret."""
    column: str = ""
    """The heading as its author wrote it; empty when the whole row is meant."""
    value: str = ""
    """The cell as seen; `***` for a password."""

    def sentence(self) -> str:
        """Name the column and its value, where one column is meant, and what is wrong."""
        if not self.column:
            return self.message
        value = self.value if len(self.value) <= VALUE_SHOWN else f"{self.value[: VALUE_SHOWN - 1]}…"
        return f"{self.column} '{value}': {self.message}" if value else f"{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands."""

    file: str
    sheet: str
    row: int
    name: str = ""
    """Whom the row is about: a name or an e-mail address, where one is known."""


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """All problems of one kind: how many, and the first few."""

    code: str
    count: int
    first: tuple[tuple[Place, Problem], ...]

    def as_json(self) -> Json:
        """Return the group as summaries have it."""
        first = [
            {**asdict(place), "column": p.column, "value": p.value, "message": p.message} for place, p in self.first
        ]
        return {"code": self.code, "count": self.count, "first": first}
