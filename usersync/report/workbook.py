"""Write `report.xlsx`: typed, filtered and coloured, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from usersync.ledger import Cells
from usersync.models import Json
from usersync.report.columns import COLUMNS, FINISHED_AT, STATUS
from usersync.report.xlsx import TextSheet, encodable, open_workbook

#: Rows that a sheet has room for below its header.
_SHEET_ROWS: Final = 1_048_575
#: Status -> colour of its cells.
_FILLS: Final[dict[str, str]] = {
    "updated": "D9EAD3", "unchanged": "EFEFEF", "rejected": "F4CCCC", "failed": "EA9999", "conflict": "FCE5CD",
    "unknown": "FFE599", "planned": "CFE2F3", "not-sent": "D9D2E9",
}  # fmt: skip
#: Widths of COLUMNS, in characters.
_WIDTHS: Final = (22, 14, 7, 12, 11, 22, 32, 32, 12, 10, 16, 50, 12, 22, 26, 32, 20)
_NUMBERS: Final = ("row", "http_status", "attempts")


def write_workbook(
    path: Path,
    lines: Iterable[Cells],
    *,
    summary: Mapping[str, Json],
    info: Mapping[str, Json],
    sheet_rows: int = _SHEET_ROWS,
) -> None:
    """Write a sheet `summary` and sheets `rows`, `rows 2`, ... of `sheet_rows` rows each, with report.csv's columns.

    `row`, `http_status` and `attempts` are numbers, `finished_at` is a time (UTC), all else is text. `summary` is
    what a summary gives as JSON, `info` what the ledger keeps of the run. Raises OSError.
    """
    draft = path.with_name(f"{path.name}.new")
    rest = iter(lines)
    with open_workbook(draft, path.parent) as workbook:
        _write_facts(workbook, _facts(summary, info))
        _write_rows(workbook, "rows", islice(rest, sheet_rows))
        for number, first in enumerate(rest, 2):
            _write_rows(workbook, f"rows {number}", islice(chain([first], rest), sheet_rows))
    draft.replace(path)


def _facts(summary: Mapping[str, Json], info: Mapping[str, Json]) -> Iterator[tuple[str, str | float | None]]:
    """Yield names and values; a name without a value is a heading."""
    yield f"usersync run {summary['run']}", None
    yield "status", f"{summary['status']} (exit {summary['exit_code']})"
    if summary["stopped"]:
        yield "stopped", summary["stopped"]
    yield "platform", info.get("platform", "")
    yield "started", f"{info.get('started_at', '')} by {info.get('started_by', '')}"
    yield "seconds", summary["seconds"]
    for source in info.get("sources", ()):
        yield "file", ", ".join(filter(None, (source["file"], source["sheet"])))
    yield "overrides", ", ".join(info.get("overrides", ())) or "none"
    yield "rows by status", None
    yield from summary["counts"].items()
    yield "requests", None
    yield from summary["requests"].items()


def _write_facts(workbook: Workbook, facts: Iterable[tuple[str, str | float | None]]) -> None:
    sheet = workbook.add_worksheet("summary", TextSheet)
    bold = workbook.add_format({"bold": True})
    fills = {status: workbook.add_format({"bg_color": fill}) for status, fill in _FILLS.items()}
    fraction = workbook.add_format({"align": "left", "num_format": "#,##0.###"})
    whole = workbook.add_format({"align": "left", "num_format": "#,##0"})
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 80)
    for y, (name, value) in enumerate(facts):
        sheet.write_string(y, 0, name, bold if value is None else fills.get(name))
        if isinstance(value, str):
            sheet.write_string(y, 1, encodable(value))
        elif value is not None:
            sheet.write_number(y, 1, value, whole if isinstance(value, int) else fraction)


def _write_rows(workbook: Workbook, name: str, lines: Iterable[Cells]) -> None:
    sheet = workbook.add_worksheet(name, TextSheet)
    _write_header(workbook, sheet)
    time = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    last = 0
    for last, line in enumerate(lines, 1):
        _write_line(sheet, last, line, time)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, last, len(COLUMNS) - 1)
    sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{last + 1}"})
    for status, fill in _FILLS.items():
        colour = workbook.add_format({"bg_color": fill})
        rule = {"type": "cell", "criteria": "==", "value": f'"{status}"', "format": colour}
        sheet.conditional_format(1, STATUS, max(last, 1), STATUS, rule)


def _write_header(workbook: Workbook, sheet: Worksheet) -> None:
    header = workbook.add_format({"bold": True, "bg_color": "434343", "font_color": "FFFFFF"})
    centred = workbook.add_format({"align": "center"})
    for x, (column, width) in enumerate(zip(COLUMNS, _WIDTHS, strict=True)):
        sheet.write_string(0, x, column, header)
        sheet.set_column(x, x, width, centred if column in _NUMBERS else None)


def _write_line(sheet: Worksheet, y: int, line: Cells, time: Format) -> None:
    for x, cell in enumerate(line[: len(COLUMNS)]):
        if x == FINISHED_AT and cell:
            sheet.write_datetime(y, x, datetime.fromisoformat(str(cell)).replace(tzinfo=None), time)
        elif isinstance(cell, str):
            sheet.write_string(y, x, encodable(cell))
        elif cell is not None:
            sheet.write_number(y, x, cell)
