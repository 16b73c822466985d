"""Test the names that rows are shown with."""

from dataclasses import replace
from pathlib import Path

import pytest

from usersync.loader import load
from usersync.loader.row_texts import name_of_row, names_in
from usersync.models import Row, Status
from usersync.settings import SourceSettings


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(
            "id,name,email\n1, Ann ,a@x.org\n2,,b@x.org\n3,,\n", ["Ann", "b@x.org", ""], id="name, then e-mail"
        ),
        pytest.param("id,email\n1,a@x.org\n", ["a@x.org"], id="no names"),
        pytest.param("id,custom_attributes.seats\n1,2\n", [""], id="neither"),
    ],
)
def test_a_sheet_has_names_or_addresses(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "a.csv").write_text(text)
    name_of = names_in(load([tmp_path / "a.csv"], options=SourceSettings()))
    assert [name_of(key) for key in range(len(names))] == names


def test_several_sheets_may_have_different_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,Ann\n")
    (tmp_path / "b.csv").write_text("id,email\n2,b@x.org\n")
    name_of = names_in(load([tmp_path / "a.csv", tmp_path / "b.csv"], options=SourceSettings()))
    assert [name_of(0), name_of(1)] == ["Ann", "b@x.org"]


def test_names_of_the_platform_are_preferred_to_those_of_the_sheet() -> None:
    row = Row(0, 0, 2, "7", Status.UPDATED, name="Ann", email="a@x.org")
    assert name_of_row(row, lambda _: "Bea") == "Ann"
    assert name_of_row(replace(row, name=None), lambda _: "Bea") == "a@x.org"
    assert name_of_row(replace(row, name=None, email=None), lambda _: "Bea") == "Bea"
