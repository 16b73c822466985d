"""Test which rows at the end of a sheet are taken for totals."""

from dataclasses import replace

import pandas as pd
import pytest

from tests.validation.tables import codes, table
from usersync.tables import Column
from usersync.validation import validate

USERS = [{"id": str(i), "name": f"User {i}", "custom_attributes.seats": str(i + 20)} for i in range(1, 7)]
SEATS = "custom_attributes.seats"


@pytest.mark.parametrize(
    "word", ["Total", "Summe", "TOTAL:", "Grand Total", "Gesamt", "Итого", "Anzahl", "Total users: 6", "Summe (6)"]
)
def test_rejects_a_last_row_that_is_named_total(word: str) -> None:
    found = validate(table(*USERS, {"id": "6", "name": word, SEATS: "141"}))
    assert codes(found.problems) == [(6, "value-suspect")]
    assert found.problems[0].message == (
        f"this row at the end looks like a total, not like a user: {word!r}; delete it, or move it up if it is a user"
    )


@pytest.mark.parametrize("number", ["6", "21"], ids=["count", "sum"])
def test_rejects_a_total_row_with_other_words(number: str) -> None:
    found = validate(table(*USERS, {"id": number, "name": "Total", "custom_attributes.city": "all"}))
    assert codes(found.problems) == [(6, "value-suspect")]


def test_rejects_a_total_row_that_a_column_without_meaning_gives_away() -> None:
    rows = table(*USERS, {"id": "9", "name": "", SEATS: "141"})
    (source,) = rows.sources
    source = replace(source, columns=(*source.columns, Column("Note", None)))
    sheet = pd.DataFrame({3: [""] * 6 + ["Total"]})
    found = validate(replace(rows, sources=(source,), sheets=(sheet,), places=rows.places.assign(at=range(7))))
    assert codes(found.problems) == [(6, "value-suspect")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"id": "6", "name": "", SEATS: "141"}, f"{SEATS} is the sum of the cells above", id="a sum"),
        pytest.param({"id": "21", SEATS: "141"}, f"{SEATS} is the sum of the cells above", id="two sums"),
        pytest.param({"id": "6", "name": "6"}, "name is the number of rows above", id="two counts"),
    ],
)
def test_rejects_a_last_row_of_sums_and_counts(row: dict[str, str], reason: str) -> None:
    found = validate(table(*USERS, row))
    assert codes(found.problems) == [(6, "value-suspect")]
    assert reason in found.problems[0].message


def test_rejects_a_total_row_above_a_footnote() -> None:
    rows = [*USERS, {"id": "9", "name": "Total"}, {"id": "as of 2026-11-28", "name": ""}]
    assert codes(validate(table(*rows)).problems) == [(6, "value-suspect"), (7, "id-invalid")]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"id": "7", "name": "Total Recall"}, id="a name that begins with total"),
        pytest.param({"id": "7", "name": "Total", "email": "total@example.org"}, id="a user with an address"),
        pytest.param({"id": "7", "name": "Som", "custom_attributes.city": "Phnom Penh"}, id="a user with a city"),
        pytest.param({"id": "7", "name": "Eve", "custom_attributes.plan": "Total"}, id="an attribute"),
        pytest.param({"id": "7", "name": "Ann", SEATS: "141"}, id="a name, and a sum by chance"),
        pytest.param({"id": "60", "custom_attributes.plan": "6", SEATS: "5"}, id="numbers that add up to nothing"),
        pytest.param({"id": "21", SEATS: "1"}, id="an id that is a sum by chance"),
    ],
)
def test_accepts_a_last_row_that_is_a_user(row: dict[str, str]) -> None:
    assert not validate(table(*USERS, row)).problems


def test_rejects_a_total_row_without_an_id_as_a_total() -> None:
    found = validate(table(*USERS, {"id": "Total", "name": "", SEATS: "141"}))
    assert codes(found.problems) == [(6, "value-suspect")]


def test_accepts_an_only_row_with_the_name_total() -> None:
    assert not validate(table({"id": "9", "name": "Total"})).problems


def test_accepts_a_name_that_others_have_too() -> None:
    assert not validate(table({"id": "9", "name": "Sum"}, *USERS, {"id": "8", "name": "Sum"})).problems


def test_accepts_a_user_named_total_in_the_middle() -> None:
    assert not validate(table({"id": "9", "name": "Total"}, *USERS)).problems


def test_settings_decide_about_total_rows() -> None:
    rows = table(*USERS, {"id": "9", "name": "Total"})
    noted = validate(rows, suspect="note")
    assert not noted.problems
    assert noted.notes == {6: "this row at the end looks like a total, not like a user: 'Total'"}
    accepted = validate(rows, suspect="accept")
    assert (accepted.problems, accepted.notes) == ((), {})


TEAM = "custom_attributes.team"


def in_groups(*subtotals: str) -> list[dict[str, str]]:
    """Rows of two groups as Data, Subtotal of a spreadsheet leaves them, and the row for all of them."""
    names = [("Sales", 3), ("IT", 2)]
    rows: list[dict[str, str]] = []
    for (team, size), subtotal in zip(names, subtotals, strict=False):
        rows += [{"id": str(1040 + len(rows) + i), "name": "Ann", TEAM: team} for i in range(size)]
        rows.append({"id": str(size), "name": "", TEAM: subtotal})
    return [*rows, {"id": "5", "name": "", TEAM: subtotals[-1]}]


@pytest.mark.parametrize(
    "subtotals",
    [
        pytest.param(("Sales Count", "IT Count", "Grand Count"), id="English"),
        pytest.param(("Sales Anzahl", "IT Anzahl", "Gesamtanzahl"), id="German"),
        pytest.param(("Nombre Sales", "Nombre IT", "Nombre total"), id="French, with the word first"),
        pytest.param(("Sales Итог", "IT Итог", "Общий итог"), id="Russian"),
    ],
)
def test_rejects_the_subtotals_of_groups(subtotals: tuple[str, ...]) -> None:
    rows = in_groups(*subtotals)
    found = validate(table(*rows))
    assert codes(found.problems) == [(3, "value-suspect"), (6, "value-suspect"), (7, "value-suspect")]
    assert found.problems[0].message == (
        f"this row looks like a subtotal of other rows, not like a user: {subtotals[0]!r}; delete it"
    )
    assert found.values.index.tolist() == [0, 1, 2, 4, 5]


def test_rejects_subtotals_above_their_groups() -> None:
    rows = in_groups("Sales Count", "IT Count", "Grand Count")[::-1]
    found = validate(table(*rows))
    assert codes(found.problems) == [(0, "value-suspect"), (1, "value-suspect"), (4, "value-suspect")]
    assert found.values.index.tolist() == [2, 3, 5, 6, 7]


def test_rejects_subtotals_that_are_sums_of_ids() -> None:
    rows = [{"id": "7", TEAM: "IT"}, {"id": "8", TEAM: "IT"}, {"id": "15", TEAM: "IT Total"}, {"id": "9", TEAM: "HR"}]
    assert codes(validate(table(*rows)).problems) == [(2, "value-suspect")]


def test_notes_subtotals_where_the_settings_want_no_rejection() -> None:
    found = validate(table(*in_groups("Sales Count", "IT Count", "Grand Count")[:4]), suspect="note")
    assert not found.problems
    assert "subtotal" in found.notes[3]


def test_rejects_a_total_row_that_an_attribute_gives_away() -> None:
    rows = [*USERS, {"id": "6", TEAM: "Total", SEATS: "141"}]
    assert codes(validate(table(*rows)).problems) == [(6, "value-suspect")]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"id": "2", TEAM: "Head Count"}, id="not the group above"),
        pytest.param({"id": "44", TEAM: "Sales Count"}, id="an id that counts nothing"),
        pytest.param({"id": "2", TEAM: "Sales Count", "email": "a@example.org"}, id="a row with an address"),
    ],
)
def test_accepts_a_team_that_only_sounds_like_a_subtotal(row: dict[str, str]) -> None:
    rows = [{"id": "71", TEAM: "Sales"}, {"id": "72", TEAM: "Sales"}, row, {"id": "73", TEAM: "Sales"}]
    assert not validate(table(*rows)).problems
