"""Rows of text in, a table that fits the window out."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import Any, Final, TextIO

import click

_NARROWEST: Final = 3
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "updated": {"fg": "green"},
    "unchanged": {"dim": True},
    "rejected": {"fg": "red"},
    "failed": {"fg": "red"},
    "conflict": {"fg": "yellow"},
    "unknown": {"fg": "yellow"},
    "not-sent": {"fg": "yellow"},
}
"""`click.echo` takes colours out again where the stream is no terminal."""


def window(stream: TextIO | None) -> int | None:
    """Count the columns of the window behind `stream`, or those that COLUMNS tells; None for pipes and files."""
    if (told := os.environ.get("COLUMNS", "")).isdigit() and int(told):
        return int(told)
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
) -> str:
    """Align columns; those in `right` to the right, the words of column `status` in their colours.

    Within `width` columns of a window (None: as wide as it gets); the widest column gives way first, but for those
    in `whole`, which people copy.
    """
    table = [[printable(cell) for cell in row] for row in rows]
    widths = _fitted([max(map(_columns, column)) for column in zip(*table, strict=True)], width, whole)
    lines = []
    for row in table:
        cells = [_cell(t, w, right=i in right) for i, (t, w) in enumerate(zip(row, widths, strict=True))]
        if status is not None and (style := _STYLES.get(row[status])):
            cells[status] = click.style(cells[status], **style)
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def _fitted(widths: list[int], room: int | None, whole: frozenset[int]) -> list[int]:
    if room is None:
        return widths
    widths = [width if i in whole else min(width, room) for i, width in enumerate(widths)]
    while sum(widths) + 2 * len(widths) > room:
        yielding = [i for i, width in enumerate(widths) if i not in whole and width > _NARROWEST]
        if not yielding:
            break
        widths[max(yielding, key=widths.__getitem__)] -= 1
    return widths


def _cell(text: str, width: int, *, right: bool) -> str:
    text = cut(text, width)
    blanks = " " * (width - _columns(text))
    return blanks + text if right else text + blanks


def cut(text: str, width: int) -> str:
    """Keep what fits in `width` columns; an ellipsis stands for the rest."""
    if _columns(text) <= width:
        return text
    text = text[: 2 * width]  # accents take no room of their own; a text of nothing else may lose some
    while _columns(text) >= width:
        text = text[:-1]
    return f"{text}\N{HORIZONTAL ELLIPSIS}"


def printable(text: str) -> str:
    """Replace what would move the cursor or colour the screen."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _columns(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
