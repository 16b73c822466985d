"""Test how rows that number the columns are found."""

from pathlib import Path

import pytest

from usersync.loader import load
from usersync.settings import SourceSettings
from usersync.validation import validate


@pytest.mark.parametrize(
    ("text", "rejected"),
    [
        pytest.param("id,custom_attributes.plan,custom_attributes.team\n1,2,3\n5,pro,Sales\n", [0], id="all fields"),
        pytest.param("id;Department;custom_attributes.plan\n1; 2;3\n", [0], id="a column without a field"),
        pytest.param("Unit;custom_attributes.plan;id;\n1;2;3;\n", [0], id="the id last, and a blank column"),
        pytest.param("id,custom_attributes.seats\n1,2\n", [], id="too few columns"),
        pytest.param("id,custom_attributes.a,custom_attributes.b\n1,2,4\n", [], id="other numbers"),
        pytest.param("id,custom_attributes.a,custom_attributes.b\n5,a,b\n1,2,3\n", [], id="further down"),
    ],
)
def test_rejects_the_row_that_numbers_the_columns(tmp_path: Path, text: str, rejected: list[int]) -> None:
    path = tmp_path / "form.csv"
    path.write_text(text, encoding="utf-8")
    table = load([path], options=SourceSettings())
    assert [p.key for p in validate(table).problems] == rejected
    assert not validate(table, suspect="accept").problems
