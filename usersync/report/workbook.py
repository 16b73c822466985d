"""The lines of a run and what it came to in, `report.xlsx` out: typed, filtered, coloured, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.worksheet import Worksheet

from usersync.models import Json, Line
from usersync.report.files import COLUMNS, cells

_MOST: Final = 1_048_575
"""Lines that a sheet has room for below its header."""
_FILLS: Final[dict[str, str]] = {
    "updated": "D9EAD3", "unchanged": "EFEFEF", "rejected": "F4CCCC", "failed": "EA9999", "conflict": "FCE5CD",
    "unknown": "FFE599", "planned": "CFE2F3", "not-sent": "D9D2E9",
}  # fmt: skip
_WIDTHS: Final = (22, 14, 7, 12, 11, 22, 32, 32, 12, 10, 16, 50, 12, 22, 26, 32, 20)
_NUMBERS: Final = ("row", "http_status", "attempts")
_STATUS, _TIME = COLUMNS.index("status"), COLUMNS.index("finished_at")


class _Sheet(Worksheet):  # type: ignore[misc]
    def _xml_rich_inline_string(self, string: str, attributes: Sequence[Any] = ()) -> None:
        """Write a name that reads `<r>...</r>` as a name; XlsxWriter takes it for XML of its own."""
        self._xml_inline_string(string, preserve=True, attributes=attributes)


def write_workbook(
    path: Path, lines: Iterable[Line], *, told: Mapping[str, Json], head: Mapping[str, Json], most: int = _MOST
) -> None:
    """Write a sheet `summary` and sheets `rows`, `rows 2`, ... of at most `most` lines, with report.csv's columns.

    `row`, `http_status` and `attempts` are numbers, `finished_at` is a time (UTC), all else is text. `told` is
    what a summary gives as JSON, `head` what the ledger keeps of the run's head. Raises OSError.
    """
    fresh, rest, number = path.with_suffix(".new"), iter(lines), 1
    try:
        with Workbook(fresh, {"constant_memory": True, "tmpdir": str(path.parent), "use_zip64": True}) as book:
            _write_facts(book, _facts(told, head))
            _write_rows(book, "rows", islice(rest, most))
            while first := next(rest, None):
                number += 1
                _write_rows(book, f"rows {number}", islice(chain([first], rest), most))
    except XlsxWriterException as error:
        raise OSError(0, str(error)) from error
    fresh.replace(path)


def _facts(told: Mapping[str, Json], head: Mapping[str, Json]) -> Iterator[tuple[str, str | float | None]]:
    """Give names and values; a name without a value is a heading."""
    yield f"usersync run {told['run']}", None
    yield "verdict", f"{told['status']} (exit {told['exit_code']})"
    yield from [("stopped", told["stopped"])] if told["stopped"] else []
    yield "platform", head.get("platform", "")
    yield "started", f"{head.get('started_at', '')} by {head.get('started_by', '')}"
    yield "seconds", told["seconds"]
    yield from (("file", ", ".join(filter(None, (s["file"], s["sheet"])))) for s in head.get("sources", ()))
    yield "overrides", ", ".join(head.get("overrides", ())) or "none"
    yield "rows by status", None
    yield from told["counts"].items()
    yield "requests", None
    yield from ((name, n) for name, n in told["requests"].items() if isinstance(n, int))


def _write_facts(book: Workbook, facts: Iterable[tuple[str, str | float | None]]) -> None:
    sheet, bold = book.add_worksheet("summary", _Sheet), book.add_format({"bold": True})
    fills = {status: book.add_format({"bg_color": fill}) for status, fill in _FILLS.items()}
    left = book.add_format({"align": "left", "num_format": "#,##0.###"})
    whole = book.add_format({"align": "left", "num_format": "#,##0"})
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 80)
    for at, (name, value) in enumerate(facts):
        sheet.write_string(at, 0, name, bold if value is None else fills.get(name))
        if isinstance(value, str):
            sheet.write_string(at, 1, _text(value))
        elif value is not None:
            sheet.write_number(at, 1, value, whole if isinstance(value, int) else left)


def _write_rows(book: Workbook, name: str, lines: Iterable[Line]) -> None:
    sheet, time = book.add_worksheet(name, _Sheet), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    head = book.add_format({"bold": True, "bg_color": "434343", "font_color": "FFFFFF"})
    middle = book.add_format({"align": "center"})
    for at, (column, width) in enumerate(zip(COLUMNS, _WIDTHS, strict=True)):
        sheet.write_string(0, at, column, head)
        sheet.set_column(at, at, width, middle if column in _NUMBERS else None)
    last = 0
    for last, line in enumerate(lines, 1):
        for at, cell in enumerate(cells(line, str)):
            if at == _TIME and cell:
                sheet.write_datetime(last, at, datetime.fromisoformat(str(cell)).replace(tzinfo=None), time)
            elif isinstance(cell, str):
                sheet.write_string(last, at, _text(cell))
            elif cell is not None:
                sheet.write_number(last, at, cell)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, last, len(COLUMNS) - 1)
    sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{last + 1}"})
    for status, fill in _FILLS.items():
        rule = {
            "type": "cell",
            "criteria": "==",
            "value": f'"{status}"',
            "format": book.add_format({"bg_color": fill}),
        }
        sheet.conditional_format(1, _STATUS, max(last, 1), _STATUS, rule)


def _text(text: str) -> str:
    """Show halves of a character, which no file can hold, as a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
