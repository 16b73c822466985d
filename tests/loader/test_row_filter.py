"""Test which rows and users `--where` means."""

from pathlib import Path

import pytest

from usersync.errors import UsageError
from usersync.loader import load
from usersync.loader.row_filter import select, split_condition
from usersync.report.export_columns import ExportColumn, find_conditions
from usersync.settings import SourceSettings


@pytest.mark.parametrize(
    ("condition", "split"),
    [
        ("plan=pro", ("plan", "pro")),
        ("plan=a=b", ("plan", "a=b")),
        ("plan= pro ", ("plan", "pro")),
        ("plan=", ("plan", "")),
        ("a=b=pro", ("a=b", "pro")),
        ("a=b==", ("a=b", "=")),
        ("other=a=b", ("other", "a=b")),
    ],
)
def test_a_column_may_have_an_equals_sign_in_its_name(condition: str, split: tuple[str, str]) -> None:
    assert split_condition(condition, {"plan", "a=b"}.__contains__) == split


def test_a_condition_needs_an_equals_sign() -> None:
    with pytest.raises(UsageError, match="--where plan: write COLUMN=VALUE"):
        split_condition("plan", {"plan"}.__contains__)


def test_rows_and_users_are_selected_by_such_a_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,name,x=y\n1,Ann,1\n2,Bea,2\n3,Cy,2\n")
    table = select(load([path], options=SourceSettings(), columns={}), where=["x=y=2"])
    assert table.cells["id"].tolist() == ["2", "3"]
    columns = [ExportColumn("name", "name"), ExportColumn("custom_attributes.a=b", "custom_attributes.a=b")]
    found = find_conditions(columns, ["custom_attributes.a=b=c=d", "name=x=y", "id = 4"])
    assert found == [("custom_attributes.a=b", "c=d"), ("name", "x=y"), ("id", "4")]
