"""Test what `inspect` shows of a file: as text, as JSON, or cell by cell."""

from __future__ import annotations

import io
from pathlib import Path

import click
import click.testing
import pytest

from usersync.cli import cli, inspection
from usersync.errors import SettingsError
from usersync.loader import load
from usersync.models import Code, Place, ProblemGroup
from usersync.settings import SourceSettings
from usersync.tables import DesiredValues, Table
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


def test_text_says_what_the_columns_of_a_rejects_file_are(tmp_path: Path) -> None:
    (tmp_path / "rejects.csv").write_text("usersync: row,usersync: why,id,name\n17,no name,1,Ann\n")
    table = load([tmp_path / "rejects.csv"], options=SourceSettings())
    lines = inspection.as_text(table, validate(table), []).splitlines()
    assert "  'usersync: row'  (row of the original file)" in lines
    assert "  'usersync: why'  (why the row was rejected)" in lines


def test_json_holds_what_the_text_shows(inspected: Inspected) -> None:
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


def test_inspect_and_template_need_no_platform_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("Agent;Full name\n1;Ann\n")
    settings = tmp_path / "sheet.yaml"
    settings.write_text("columns: {Agent: id, Full name: name}\n")
    runner = click.testing.CliRunner()
    inspected = runner.invoke(cli, ["inspect", str(tmp_path / "users.csv"), "-c", str(settings)], standalone_mode=False)
    assert (inspected.return_value, "'Agent'      id" in inspected.output) == (0, True), inspected.output
    filled_in = runner.invoke(cli, ["template", str(tmp_path / "new.xlsx"), "-c", str(settings)], standalone_mode=False)
    assert filled_in.return_value == 0
    assert load([tmp_path / "new.xlsx"], options=SourceSettings(), columns={"Agent": "id"}).cells.empty


def test_inspect_reports_errors_of_a_settings_file_without_platform(tmp_path: Path) -> None:
    settings = tmp_path / "sheet.yaml"
    settings.write_text("colums: {Agent: id}\n")
    with pytest.raises(SettingsError, match="colums: unknown key; did you mean columns"):
        cli(["inspect", "users.csv", "-c", str(settings)], standalone_mode=False)


def test_cells_and_json_do_not_share_stdout(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("id,name\n1,Ann\n")
    with pytest.raises(click.UsageError, match="stdout cannot hold both --cells and --json"):
        cli(["inspect", str(tmp_path / "users.csv"), "--cells", "--json"], standalone_mode=False)
