"""What a sheet says about its cells beside their values, whatever format it is written in."""

from __future__ import annotations

from dataclasses import dataclass, field

Place = tuple[int, int]
"""Row and column, both from 0, as the sheet counts."""


@dataclass(slots=True)
class Marks:
    """Filled by the scan of one sheet."""

    errors: dict[Place, str] = field(default_factory=dict)
    """Cells that hold an error, such as #N/A."""
    unsaved: set[Place] = field(default_factory=set)
    """Formulas whose result is not in the file."""
    texts: dict[Place, str] = field(default_factory=dict)
    """Cells whose text is known better than from their value."""
    formats: dict[Place, str] = field(default_factory=dict)
    """Numbers with a format that says how they are shown."""
    negative: set[Place] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)
    """Rows that are not shown."""
    filtered: bool = False
    """Whether the sheet has a filter."""
    merged: list[tuple[Place, Place]] = field(default_factory=list)


def letters(column: int) -> str:
    """0 -> A, 27 -> AB."""
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def place(ref: str) -> Place | None:
    """B4 -> (3, 1); None where it is not a cell's name."""
    head = ref.rstrip("0123456789")
    if not ref[len(head) :] or not head.isascii() or not head.isalpha() or len(head) > 3:
        return None
    column = 0
    for letter in head.upper():
        column = column * 26 + ord(letter) - 64
    return int(ref[len(head) :]) - 1, column - 1
