"""Test reports: one line per row, in input order, and whole files."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.report.report_lines import lines_of
from usersync.context import StopReason
from usersync.errors import RowCountError, StoppedError, UsageError
from usersync.ledger import Cells, Ledger, RunInfo, UnchangedRange, report_cells
from usersync.loader.row_texts import RowTexts
from usersync.models import Code, FieldChange, Place, Problem, ProblemGroup, Row, Status, owner_of
from usersync.report import RunFacts, require_writable_folder, verify_row_count, write_report
from usersync.report.columns import COLUMNS, FILE, ID, KEY, MESSAGE, ROW, STATUS, WHO

REQUESTS = {"get": 3, "patch": 2, "retried": 1, "throttled": 0}
INFO = {
    "run": "R1", "kind": "run", "platform": "https://chat.example.org", "started_at": "2026-11-24T12:00:00.000Z",
    "started_by": "ann@desk", "sources": [{"file": "a.csv", "sheet": "", "sha256": ""}], "settings": {},
}  # fmt: skip
ROWS = (
    Row(
        0, 0, 2, "7", Status.UPDATED, http_status=200, attempts=2, name="=Ann", email="ann@example.org",
        custom_attributes='{"seats":12}', finished_at="2026-11-24T12:00:01.500Z", file="a.csv", note="same as row 3",
    ).with_changes([FieldChange("name", "Bea", "=Ann"), FieldChange("password", None, "Sesame#2026")]),
    Row(1, 0, 3, "x", Status.REJECTED, code="id-invalid;name-blank", message="not a whole number", file="a.csv"),
    Row(2, 0, 4, "9", Status.FAILED, code="not-found", message="no such user", http_status=404, file="a.csv"),
    Row(3, 0, 5, "y", Status.REJECTED, code="id-invalid", message="not a whole number", file="a.csv"),
    Row(4, 0, 6, "10", Status.NOT_SENT, file="a.csv"),
)  # fmt: skip
LINES = lines_of(ROWS)


def facts(**more: object) -> RunFacts:
    return RunFacts(INFO, REQUESTS, **more)  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_report_csv_has_the_columns_and_rows_of_the_contract(tmp_path: Path) -> None:
    write_report(lambda: LINES, tmp_path, facts())
    path = tmp_path / "R1" / "report.csv"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf" + ",".join(COLUMNS).encode())
    first, *others = lines(path)
    assert first == {
        "file": "a.csv", "sheet": "", "row": "2", "id": "7", "status": "updated", "changed": "name;password",
        "old": '{"name":"Bea","password":null}', "new": '{"name":"=Ann","password":"***"}', "http_status": "200",
        "attempts": "2", "code": "", "message": "same as row 3", "who": "nobody", "name": "'=Ann",
        "email": "ann@example.org", "custom_attributes": '{"seats":12}', "finished_at": "2026-11-24T12:00:01.500Z",
    }  # fmt: skip
    assert [(line["row"], line["code"], line["who"]) for line in others] == [
        ("3", "id-invalid;name-blank", "sheet"),
        ("4", "not-found", "sheet"),
        ("5", "id-invalid", "sheet"),
        ("6", "", "nobody"),
    ]


def test_the_summary_counts_rows_and_reasons_and_names_the_files(tmp_path: Path) -> None:
    group = ProblemGroup("id-invalid", 2, ((Place("a.csv", "", 3), Problem(1, "id-invalid", "m", "id", "x")),))  # type: ignore[arg-type]
    limits = [{"rule": "changes", "sentence": "too many", "overridden": True}]
    names = ("", "Cid", "Dot", "Eve", "Fay")
    run = facts(responses={"200": 4, "404": 1}, problems=[group], limits=limits, texts=RowTexts(names.__getitem__))
    summary = write_report(lambda: LINES, tmp_path, run, formats=["html"])
    document = json.loads((tmp_path / "R1" / "summary.json").read_text())
    assert document == summary.as_json()
    assert (document["status"], document["exit_code"]) == ("partial", 1)
    assert document["counts"] == {"updated": 1, "rejected": 2, "failed": 1, "not-sent": 1, "rows": 5}
    assert document["reasons"] == [
        {"code": "id-invalid", "rows": 2, "row": 3, "id": "x", "name": "Cid", "message": "not a whole number"},
        {"code": "name-blank", "rows": 1, "row": 3, "id": "x", "name": "Cid", "message": "not a whole number"},
        {"code": "not-found", "rows": 1, "row": 4, "id": "9", "name": "Dot", "message": "no such user"},
    ]
    assert (document["requests"], document["responses"]) == (REQUESTS, {"200": 4, "404": 1})
    assert (document["problems"][0]["count"], document["limits"]) == (2, limits)
    assert {name: Path(path).name for name, path in document["files"].items() if path} == {
        "report": "report.csv",
        "html": "report.html",
        "summary": "summary.json",
    }


@pytest.mark.parametrize(
    ("rows", "stop", "status", "exit_code"),
    [
        pytest.param(ROWS[:1], None, "done", 0, id="all updated"),
        pytest.param((), None, "done", 0, id="no rows"),
        pytest.param(ROWS, None, "partial", 1, id="some need attention"),
        pytest.param(ROWS, StopReason(4, "out of time"), "stopped", 4, id="stopped"),
        pytest.param(ROWS[:1], StopReason(3, "not confirmed"), "refused", 3, id="refused"),
    ],
)
def test_status_and_exit_code_follow_from_rows_and_stop(
    tmp_path: Path, rows: tuple[Row, ...], stop: StopReason | None, status: str, exit_code: int
) -> None:
    summary = write_report(lambda: lines_of(rows), tmp_path, facts(stop=stop))
    assert (summary.status, summary.exit_code, summary.stopped) == (status, exit_code, stop.message if stop else None)
    verify_row_count(len(rows), summary)


def test_a_frame_of_the_report_has_the_text_that_people_wrote(tmp_path: Path) -> None:
    frame = write_report(lambda: LINES, tmp_path, facts()).report_frame()
    assert frame["row"].tolist() == [2, 3, 4, 5, 6]
    assert frame["name"].tolist() == ["=Ann", "", "", "", ""]


def test_a_row_that_is_lost_is_an_internal_error(tmp_path: Path) -> None:
    summary = write_report(lambda: LINES, tmp_path, facts())
    with pytest.raises(RowCountError, match="internal error: row counts do not match; please report it"):
        verify_row_count(len(ROWS) + 1, summary)


def test_rejects_are_asked_for_only_where_rows_need_attention(tmp_path: Path) -> None:
    asked: list[Path] = []

    def write_rejects(home: Path) -> Path:
        asked.append(home)
        return home / "rejects.csv"

    assert write_report(lambda: [LINES[0][:1]], tmp_path, facts(), write_rejects=write_rejects).files["rejects"] is None
    summary = write_report(lambda: LINES, tmp_path, facts(), write_rejects=write_rejects)
    assert (asked, summary.files["rejects"]) == ([tmp_path / "R1"], str(tmp_path / "R1" / "rejects.csv"))


def test_a_report_that_breaks_off_stops_the_run_and_leaves_the_former_report_whole(tmp_path: Path) -> None:
    def breaking() -> Iterator[list[Cells]]:
        yield LINES[0][:1]
        raise OSError(errno.ENOSPC, "No space left on device")

    write_report(lambda: LINES, tmp_path, facts())
    whole = (tmp_path / "R1" / "report.csv").read_bytes()
    with pytest.raises(StoppedError, match="the ledger has every row"):
        write_report(breaking, tmp_path, facts())
    assert (tmp_path / "R1" / "report.csv").read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UsageError, match="name another folder"):
        require_writable_folder(tmp_path / "runs", "R1")
    require_writable_folder(tmp_path / "others", "R1")
    assert not list((tmp_path / "others" / "R1").iterdir())


def test_a_folder_that_is_lost_after_the_rows_were_sent_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StoppedError, match="`usersync resume R1` writes it"):
        write_report(lambda: LINES, tmp_path / "runs", facts())


def test_a_line_says_what_its_row_says_whatever_its_code() -> None:
    codes = ["", *Code, f"{Code.NOT_PERMITTED};{Code.REFUSED}"]
    rows = [
        Row(key, key % 2, key + 2, str(key), Status.FAILED, code=code, message="m" * (key % 3 > 0),
            note="n" * (key % 2), name=None if key % 5 else "Ann", email="", file=f"{key % 2}.csv")
        for key, code in enumerate(codes)
    ]  # fmt: skip
    assert list(chain.from_iterable(lines_of(rows))) == [
        (row.file, row.sheet, row.row, row.id, row.status, row.changed, row.old, row.new, row.http_status, row.attempts,
         row.code, row.reason, owner_of(row.code.partition(";")[0]), row.name or "", row.email, row.custom_attributes,
         row.finished_at, row.key)
        for row in rows
    ]  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 3, 4, 100])
def test_lines_of_unchanged_rows_stand_among_the_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_cells, "LINES_AT_ONCE", at_once)
    sources = ({"file": "a.csv", "sheet": ""}, {"file": "b.xlsx", "sheet": "May"})
    with Ledger(None) as ledger:
        run = ledger.start(RunInfo("R1", "run", "https://chat.example.org", "", "", sources=sources))
        run.insert(Row(key, 1, key + 2, str(key), Status.UPDATED) for key in (0, 4, 5, 30))
        run.insert_unchanged(
            [UnchangedRange(1, 0, 3, "as it was", '["7","008"]'), UnchangedRange(7, 1, 9, "", '["9","10","11"]')]
        )
        lines = list(chain.from_iterable(run.report_cells()))
        rows = list(run.rows())
    assert [line[KEY] for line in lines] == [row.key for row in rows] == [0, 1, 2, 4, 5, 7, 8, 9, 30]
    assert [(line[FILE], line[ROW], line[ID], line[STATUS], line[MESSAGE], line[WHO]) for line in lines] == [
        (row.file, row.row, row.id, row.status, row.reason, "nobody") for row in rows
    ]
    assert {len(line) for line in lines} == {len(COLUMNS) + 1}
