"""`usersync inspect` shows what the loader reads: as text, as JSON, or cell by cell."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest

from usersync.cli import inspection
from usersync.loader import load
from usersync.models import Code, DesiredValues, Place, ProblemGroup, Table
from usersync.settings import SourceSettings
from usersync.validation import validate

TEXT = "id;Name;Mail;Comment\n1;Ann;;x\nx;Bo Reed;;\n3;Cy;c@x.org;\n3;Cy;c@x.org;\n4;Dot;d@x.org;z;too many\n"
Inspected = tuple[Table, DesiredValues, list[ProblemGroup]]


@pytest.fixture
def inspected(tmp_path: Path) -> Inspected:
    (tmp_path / "a.csv").write_text(TEXT)
    table = load([tmp_path / "a.csv"], options=SourceSettings(), columns={"Mail": "email"})
    desired = validate(table)
    groups = [
        ProblemGroup(problem.code, 1, ((Place("a.csv", "", problem.key + 2, "Bo Reed"), problem),))
        for problem in desired.problems
    ]
    return table, desired, groups


def test_text_shows_columns_and_problems_and_ends_with_the_counts(inspected: Inspected) -> None:
    text = click.unstyle(inspection.as_text(*inspected))
    assert "delimiter: ;" in text
    assert "header in row 1" in text
    assert [line.split() for line in text.splitlines() if line.startswith("  '")] == [
        ["'id'", "id"], ["'Name'", "name"], ["'Mail'", "email"], ["'Comment'", "(ignored)"],
    ]  # fmt: skip
    assert "id-invalid: 1 row\n  row 3 (Bo Reed), id 'x': " in text
    assert "note: row 5: " in text, "a row that repeats another has a note"
    assert [line.split() for line in text.splitlines()[-4:]] == [
        ["to", "send", "2"], ["rejected", "2"], ["repeated", "1"], ["rows", "5"],
    ]  # fmt: skip


def test_json_has_the_same(inspected: Inspected) -> None:
    document = inspection.as_json(*inspected)
    assert document["counts"] == {"rows": 5, "ready": 2, "rejected": 2, "repeated": 1}
    assert [column["field"] for column in document["sources"][0]["columns"]] == ["id", "name", "email", None]
    assert [problem["code"] for problem in document["problems"]] == [Code.ID_INVALID, Code.ROW_RAGGED]
    assert document["problems"][0]["first"][0]["name"] == "Bo Reed"
    assert [note["row"] for note in document["notes"]] == [4, 5]


def test_cells_are_the_rows_as_read_without_those_that_cannot_be(inspected: Inspected) -> None:
    out = io.BytesIO()
    (left_out,) = inspection.write_cells(inspected[0], out)
    assert out.getvalue().decode().replace("\r\n", "\n") == (
        "id,Name,Mail,Comment\n1,Ann,,x\nx,Bo Reed,,\n3,Cy,c@x.org,\n3,Cy,c@x.org,\n"
    )
    assert left_out.startswith("row 6: row-ragged: ")
