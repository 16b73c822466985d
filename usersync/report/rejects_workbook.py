"""Write rejects as a workbook of text cells; faulty cells have comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook

from usersync.loader.export_base import base_lines
from usersync.report.rejects_rows import Layout, Reject
from usersync.report.xlsx import BaseSheet, TextSheet, open_workbook
from usersync.tables import Base

#: Excel gets slow beyond so many; further faulty cells are coloured only.
_COMMENTS: Final = 10_000
#: Width of the column `usersync: why`, in characters.
_WHY_WIDTH: Final = 60
#: The narrowest and the widest column of the author's, in characters.
_WIDTHS: Final = (12, 40)
#: Height of a line of text, in points.
_LINE_HEIGHT: Final = 15.0


def write_workbook(layout: Layout, base: Base | None, folder: Path, rejects: Sequence[Reject]) -> Path:
    """Write the file below `folder`, with the `base` of an export where the rows come from one. Raises OSError."""
    path = folder / "rejects.xlsx"
    with open_workbook(path, folder) as workbook:
        _SheetWriter(workbook, layout).write(rejects)
        if base:
            sheet = BaseSheet(workbook)
            for y, line in enumerate(base_lines(base)):
                sheet.write(y, line)
    return path


class _SheetWriter:
    def __init__(self, workbook: Workbook, layout: Layout) -> None:
        name = re.sub(r"[\\*?:/\[\]]", " ", layout.sheet)[:31].strip("'")
        self._sheet = workbook.add_worksheet(name or "Rejects", TextSheet)
        self._layout = layout
        text = {"num_format": "@", "valign": "top"}  # what is typed here next stays as it is typed
        self._text = workbook.add_format(text)
        self._wrapped = workbook.add_format({**text, "text_wrap": True})
        self._faulty = workbook.add_format({**text, "bg_color": "FFC7CE"})
        self._faulty_row = workbook.add_format({**text, "bg_color": "FFC7CE", "text_wrap": True})
        self._heading = workbook.add_format({**text, "bold": True})
        self._number = workbook.add_format({"align": "left", "valign": "top"})
        self._comments = 0

    def write(self, rejects: Sequence[Reject]) -> None:
        header = self._layout.header_row - 1
        last = header + len(rejects)
        self._set_widths(rejects)
        for x, heading in enumerate(self._layout.headings):
            self._write(header, x, heading, self._heading)
        for y, reject in enumerate(rejects, header + 1):
            self._write_row(y, reject)
        self._sheet.freeze_panes(header + 1, 0)
        if not any(reject.hidden for reject in rejects):  # clearing a filter would show hidden rows
            self._sheet.autofilter(header, 0, last, len(self._layout.headings) - 1)
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{last + 1}"})

    def _set_widths(self, rejects: Sequence[Reject]) -> None:
        least, most = _WIDTHS
        self._sheet.set_column(0, 0, 14)
        self._sheet.set_column(1, 1, _WHY_WIDTH, self._wrapped)
        for i, column in enumerate(self._layout.columns):
            longest = max(len(column.heading) + 3, *(len(reject.cells[i]) for reject in rejects))
            self._sheet.set_column(i + 2, i + 2, min(max(longest, least), most), self._text)

    def _write_row(self, y: int, reject: Reject) -> None:
        lines = min(5, -(-len(reject.why) // _WHY_WIDTH))  # not every program makes room for wrapped text by itself
        self._sheet.set_row(y, _LINE_HEIGHT * max(1, lines), None, {"hidden": reject.hidden})
        if isinstance(reject.label, int):
            self._sheet.write_number(y, 0, reject.label, self._number)
        else:
            self._write(y, 0, reject.label, self._text)
        self._write(y, 1, reject.why, self._wrapped if reject.faulty else self._faulty_row)
        for i, text in enumerate(reject.cells):
            reason = reject.faulty.get(i)
            self._write(y, i + 2, text, self._faulty if reason else self._text)
            if reason and self._comments < _COMMENTS:
                self._comments += 1
                self._sheet.write_comment(y, i + 2, reason, {"author": "usersync", "width": 320, "height": 100})

    def _write(self, y: int, x: int, text: str, cell_format: Any) -> None:
        if text:
            self._sheet.write_string(y, x, text, cell_format)
        else:
            self._sheet.write_blank(y, x, None, cell_format)
