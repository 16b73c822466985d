"""Test that `report.xlsx` holds what report.csv holds, with types."""

import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from openpyxl.worksheet.worksheet import Worksheet
from python_calamine import CalamineWorkbook

from usersync.formulas import unescape_formula
from usersync.ledger import Cells
from usersync.report.columns import COLUMNS
from usersync.report.workbook import write_workbook
from usersync.wording import STATUS_MEANINGS

SUMMARY = {
    "run": "R1", "status": "partial", "exit_code": 1, "stopped": None, "seconds": 1.5,
    "counts": {"updated": 7, "rows": 7}, "requests": {"get": 7, "patch": 7, "retried": 0, "throttled": 0},
}  # fmt: skip
INFO = {
    "platform": "https://chat.example.org", "started_at": "2026-11-24T12:00:00.000Z", "started_by": "ann@desk",
    "sources": [{"file": "a.csv", "sheet": ""}, {"file": "b.xlsx", "sheet": "May"}], "overrides": ["changes"],
}  # fmt: skip


def report_lines(*names: str) -> Iterator[Cells]:
    for key, name in enumerate(names):
        yield (
            "a.csv", "", key + 2, "007", "updated", "name", '{"name": null}', '{"name": "x"}', 200, 1, "", "", "nobody",
            name, "", "", "2026-11-24T12:00:01.500Z", key,
        )  # fmt: skip


def sheet(path: Path, name: str = "rows") -> Worksheet:
    found = load_workbook(path)[name]
    assert isinstance(found, Worksheet)
    return found


def test_the_workbook_holds_what_report_csv_holds_and_the_summary_has_its_path(desk: Callable[..., Any]) -> None:
    with desk(report={"formats": ["csv", "xlsx"]}) as (_, at):
        at.write("changes.csv", "id,name\n007,Ann\n2,=1+1\nx,No one\n")
        ran = at.run("run", "changes.csv", "--yes", "--json")
        rows = sheet(at.folder / ran.summary["files"]["xlsx"]).iter_rows(values_only=True)
        assert tuple(next(rows)) == COLUMNS
        for cells, line in zip(rows, ran.report, strict=True):
            found = dict(zip(COLUMNS, cells, strict=True))
            time = found.pop("finished_at")
            finished = time.isoformat(timespec="milliseconds") + "Z" if isinstance(time, datetime) else ""
            assert line.pop("finished_at") == finished
            assert {name: str(v if v is not None else "") for name, v in found.items()} == {
                name: unescape_formula(v) for name, v in line.items()
            }
            assert {type(found[name]) for name in ("row", "attempts")} == {int}


def test_no_workbook_unless_settings_ask_for_it(desk: Callable[..., Any]) -> None:
    with desk() as (_, at):
        at.write("changes.csv", "id,name\n1,Ann\n")
        ran = at.run("run", "changes.csv", "--yes", "--json")
        assert "xlsx" not in ran.summary["files"]
        assert not list(at.folder.glob("runs/*/report.xlsx"))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        pytest.param("007", "007", id="leading zeros"),
        pytest.param("=1+1", "=1+1", id="a formula does not run"),
        pytest.param("https://a.example", "https://a.example", id="an address is no link"),
        pytest.param("9007199254740993001", "9007199254740993001", id="nineteen digits"),
        pytest.param(" a\tb\n", " a\tb\n", id="blanks around"),
        pytest.param("<r>a & b</r>", "<r>a & b</r>", id="what the library would take for XML"),
        pytest.param("a_x0041_b", "a_x0041_b", id="what Excel would take for an escape"),
        pytest.param("a\x00\x0b\x1fb\uffff", None, id="characters that XML cannot hold"),
        pytest.param("a\ud800b", "a?b", id="half a character"),
        pytest.param("\U0001f600" * 20_000, "\U0001f600" * 16_383, id="more than a cell holds"),
    ],
)
def test_text_is_read_back_as_that_text(tmp_path: Path, name: str, read: str | None) -> None:
    path = tmp_path / "report.xlsx"
    write_workbook(path, report_lines(name), summary=SUMMARY, info=INFO)
    cell = CalamineWorkbook.from_path(path).get_sheet_by_name("rows").to_python()[1][COLUMNS.index("name")]
    assert cell == read if read else str(cell).startswith("a")
    assert sheet(path).cell(2, COLUMNS.index("name") + 1).data_type == "s"


def test_rows_have_filters_a_frozen_header_and_a_colour_for_each_status(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    write_workbook(path, report_lines("Ann", "Bea"), summary=SUMMARY, info=INFO)
    rows = sheet(path)
    assert (rows.freeze_panes, rows.auto_filter.ref) == ("A2", "A1:Q3")
    (found,) = rows.conditional_formatting
    assert str(found.sqref) == "E2:E3"
    assert {rule.formula[0] for rule in found.rules} == {f'"{status}"' for status in STATUS_MEANINGS}


def test_the_first_sheet_is_the_summary(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    write_workbook(path, report_lines("Ann"), summary=SUMMARY, info=INFO)
    assert load_workbook(path).sheetnames == ["summary", "rows"]
    assert list(sheet(path, "summary").iter_rows(values_only=True)) == [
        ("usersync run R1", None),
        ("status", "partial (exit 1)"),
        ("platform", "https://chat.example.org"),
        ("started", "2026-11-24T12:00:00.000Z by ann@desk"),
        ("seconds", 1.5),
        ("file", "a.csv"),
        ("file", "b.xlsx, May"),
        ("overrides", "changes"),
        ("rows by status", None),
        ("updated", 7),
        ("rows", 7),
        ("requests", None),
        ("get", 7),
        ("patch", 7),
        ("retried", 0),
        ("throttled", 0),
    ]


@pytest.mark.parametrize(("count", "sheets"), [(0, [0]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_rows_beyond_a_sheet_continue_on_the_next(tmp_path: Path, count: int, sheets: list[int]) -> None:
    path = tmp_path / "report.xlsx"
    write_workbook(path, report_lines(*map(str, range(count))), summary=SUMMARY, info=INFO, sheet_rows=3)
    found = load_workbook(path).worksheets[1:]
    assert [rows.max_row - 1 for rows in found] == sheets
    names = [row[COLUMNS.index("name")] for rows in found for row in rows.iter_rows(min_row=2, values_only=True)]
    assert names == list(map(str, range(count)))
    assert list(tmp_path.iterdir()) == [path]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    peaks = []
    for count in (200, 200, 1_500):
        tracemalloc.start()
        write_workbook(tmp_path / "report.xlsx", report_lines(*["Ann Jones"] * count), summary=SUMMARY, info=INFO)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 100_000


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        write_workbook(tmp_path / "gone" / "report.xlsx", report_lines("Ann"), summary=SUMMARY, info=INFO)
