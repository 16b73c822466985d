"""Align rows of text as a table that fits the window."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final, TextIO

import click

#: A column is never made narrower than so many characters.
_NARROWEST: Final = 3
_ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"
#: Status -> its colour; `click.echo` removes colours where the stream is no terminal.
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "updated": {"fg": "green"},
    "unchanged": {"dim": True},
    "rejected": {"fg": "red"},
    "failed": {"fg": "red"},
    "conflict": {"fg": "yellow"},
    "unknown": {"fg": "yellow"},
    "not-sent": {"fg": "yellow"},
}


def window_width(stream: TextIO | None) -> int | None:
    """Return the columns of the window behind `stream`, or those that COLUMNS sets; None for pipes and files."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream else None
    except (OSError, ValueError):
        return None


def table_text(
    rows: Sequence[Sequence[str]],
    *,
    right: set[int],
    width: int | None = None,
    status: int | None = None,
    whole: frozenset[int] = frozenset(),
    pair: tuple[int, int] | None = None,
) -> str:
    """Align columns; those in `right` to the right, the words of column `status` in their colours.

    The table fits `width` columns of a window (None: as wide as it gets); the widest column is cut first, but never
    those in `whole`, which people copy. The two columns of `pair` are cut so that their first difference is seen.
    """
    table = [[printable(cell) for cell in row] for row in rows]
    widths = _fitted([max(map(text_width, column)) for column in zip(*table, strict=True)], width, whole)
    lines = []
    for row in table:
        if pair:
            _cut_pair(row, pair, widths)
        cells = [_padded(text, widths[i], right=i in right) for i, text in enumerate(row)]
        if status is not None and row[status] in _STYLES:
            cells[status] = click.style(cells[status], **_STYLES[row[status]])
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def _fitted(widths: list[int], room: int | None, whole: frozenset[int]) -> list[int]:
    if room is None:
        return widths
    widths = [width if i in whole else min(width, room) for i, width in enumerate(widths)]
    while sum(widths) + 2 * len(widths) > room:
        shrinkable = [i for i, width in enumerate(widths) if i not in whole and width > _NARROWEST]
        if not shrinkable:
            break
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    return widths


def _padded(text: str, width: int, *, right: bool) -> str:
    text = cut(text, width)
    blanks = " " * (width - text_width(text))
    return blanks + text if right else text + blanks


def _cut_pair(row: list[str], pair: tuple[int, int], widths: Sequence[int]) -> None:
    """Cut two cells around their first difference, at the same place where their columns are equally wide."""
    old, new = (row[i] for i in pair)
    first = next((i for i, letters in enumerate(zip(old, new, strict=False)) if letters[0] != letters[1]), None)
    column = text_width(old[: min(len(old), len(new)) if first is None else first])
    for i in pair:
        row[i] = cut_around(row[i], widths[i], column)


def cut(text: str, width: int) -> str:
    """Keep what fits in `width` columns; an ellipsis stands for the rest."""
    return cut_around(text, width, 0)


def cut_around(text: str, width: int, column: int) -> str:
    """Keep what fits in `width` columns and shows `column`; ellipses stand for the rest."""
    length = text_width(text)
    if length <= width:
        return text
    start = min(max(0, column - width // 3), length - width) if width >= _NARROWEST else 0
    head = _ELLIPSIS if start else ""
    tail = _ELLIPSIS if start + width < length else ""
    return head + _clip(text, start + len(head), start + width - len(tail)) + tail


def printable(text: str) -> str:
    """Replace what would move the cursor or colour the screen."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def text_width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from wcwidth import width  # its tables are slow to load, and most text is ASCII

    return width(text)


def _clip(text: str, start: int, end: int) -> str:
    """Return what stands from one column to another; half of a wide letter is a blank."""
    if text.isascii():
        return text[start:end]
    from wcwidth import clip

    return clip(text, start, end).rstrip()
