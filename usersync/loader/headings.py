"""Map the headings of a file to fields.

A heading that is only nearly a field's name is an error, never a guess.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from usersync.errors import SourceError
from usersync.models import ATTRIBUTE, FIELDS, Column
from usersync.values import visible

#: As a value under `columns:`, says that a heading has no field.
IGNORE = "ignore"
#: Headings of the rejects file, which come back with it.
OUR_COLUMNS = ("usersync: row", "usersync: why")

_NAMES = ("id", *FIELDS)
#: No heading is longer; such a cell is not compared.
_LONGEST = 200


def normalize(heading: str) -> str:
    """Fold case, width, blanks and invisible characters."""
    return " ".join(visible(heading).split()).casefold()


class Headings:
    """The fields that headings stand for, under the `columns:` of the settings (heading -> field)."""

    def __init__(self, mapping: Mapping[str, str] | None = None) -> None:
        self._mapping = {normalize(heading): name for heading, name in (mapping or {}).items()}

    def field(self, heading: str) -> str | None:
        """Return the field of a heading; None if it has none."""
        text = normalize(heading)
        if text in self._mapping:
            return None if self._mapping[text] == IGNORE else self._mapping[text]
        if text in _NAMES:
            return text
        if text.startswith(ATTRIBUTE) and len(text) > len(ATTRIBUTE):
            written = " ".join(visible(heading).split())
            return ATTRIBUTE + written[len(ATTRIBUTE) :].strip()
        return None

    def is_id(self, cell: str) -> bool:
        """Whether this cell is the heading of the id column."""
        return bool(cell) and len(cell) < _LONGEST and self.field(cell) == "id"

    def is_header(self, cells: Sequence[str]) -> bool:
        """Whether these cells are a header row: one of them heads the id column."""
        return any(map(self.is_id, cells))

    def columns(self, header: Sequence[str], file: str) -> tuple[Column, ...]:
        """Return the field of every heading.

        Raises SourceError listing all headings that are nearly a field's name, and all that share a field.
        """
        found = tuple(Column(heading, self.field(heading)) for heading in header)
        problems = [p for column in found if column.field is None and (p := self._near(column.heading))]
        for name in dict.fromkeys(c.field for c in found if c.field):
            same = [repr(c.heading.strip()) for c in found if c.field == name]
            if len(same) > 1:
                problems.append(f"the columns {' and '.join(same)} both mean {name}; keep one of them")
        if problems:
            raise SourceError(file, "\n  ".join(problems))
        return found

    def _near(self, heading: str) -> str | None:
        text = normalize(heading)
        if not text or text in self._mapping or text in OUR_COLUMNS:
            return None
        meant = _nearest(text)
        stem, dot, key = text.partition(".")
        if dot and _nearest(stem) == "custom_attributes":
            meant = f"{ATTRIBUTE}{key.strip()}"
        if meant is None:
            return None
        return (
            f"the column {heading.strip()!r} is nearly {meant}; write {meant}, "
            f"or map it with columns: {{{heading.strip()}: {meant}}}, or to {IGNORE}"
        )


def _nearest(text: str) -> str | None:
    letters = _squash(text)
    for name in _NAMES:
        if letters == _squash(name):
            return name
    near = difflib.get_close_matches(letters, [_squash(name) for name in FIELDS], 1, 0.8)
    return next((name for name in FIELDS if near and _squash(name) == near[0]), None)


def _squash(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text)
