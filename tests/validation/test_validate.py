"""Test validation of tables: typed values, and every problem of every row."""
# ruff: noqa: RUF001 - letters of many scripts are what some of these tests are about

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.validation.tables import GOOD_PASSWORD, codes, table
from usersync.loader import load
from usersync.models import CLEAR
from usersync.settings import FieldSettings, SourceSettings
from usersync.validation import validate


def test_does_not_interpret_text_that_looks_like_another_type() -> None:
    texts = ["NA", "007", "1e5", "True", "#1!", "=1+1", "  two  blanks inside", "-Ann"]
    found = validate(table(*({"id": str(i), "name": text} for i, text in enumerate(texts, 1))))
    assert found.values["name"].tolist() == [text.strip() for text in texts]
    assert not found.problems


def test_a_blank_cell_leaves_its_field_alone() -> None:
    found = validate(table({"id": "1", "name": "Ann", "email": "  "}))
    assert found.values["email"].tolist() == [None]


def test_a_cell_without_visible_characters_is_blank() -> None:
    found = validate(table({"id": "1", "name": "\u200b", "email": "\u00a0\ufeff"}, {"id": "2", "name": "Jo\u200bAnn"}))
    assert codes(found.problems) == [(0, "nothing-to-do")]
    assert found.values["name"].tolist() == ["JoAnn"]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        pytest.param("Ann\u00a0Lee", "Ann Lee", id="a no-break space"),
        pytest.param("Ann\u202f\u2009Lee", "Ann Lee", id="narrow spaces"),
        pytest.param("Ann\tLee", "Ann Lee", id="a tab"),
        pytest.param("Ann \r\n Lee", "Ann Lee", id="a line break between blanks"),
        pytest.param("Jo\u200bAnn\ufeff", "JoAnn", id="zero-width characters"),
        pytest.param("\u202bAnn\u200e", "Ann", id="direction marks"),
        pytest.param("Ann\u200d", "Ann", id="a joiner that joins nothing"),
    ],
)
@pytest.mark.parametrize("field", ["name", "display_name"])
def test_cleans_a_name_with_a_note(field: str, cell: str, name: str) -> None:
    found = validate(table({"id": "1", field: cell}, headings={field: "Agent"}))
    assert found.values[field].tolist() == [name]
    assert found.notes == {0: "Agent: line breaks, special blanks or invisible characters removed"}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        pytest.param("pro\u200b", "pro", id="a zero-width blank"),
        pytest.param("Ber\u00adlin", "Berlin", id="a soft hyphen"),
        pytest.param("\u200eSales", "Sales", id="a direction mark"),
    ],
)
def test_removes_invisible_characters_from_an_attribute_with_a_note(cell: str, text: str) -> None:
    found = validate(table({"id": "1", "custom_attributes.team": cell}))
    assert found.values["custom_attributes.team"].tolist() == [text]
    assert found.notes == {0: "custom_attributes.team: invisible characters removed"}


@pytest.mark.parametrize("cell", ["first\nsecond", "two\u00a0words", "👩\u200d💻"])
def test_leaves_an_attribute_that_needs_its_characters(cell: str) -> None:
    found = validate(table({"id": "1", "custom_attributes.team": cell}))
    assert found.values["custom_attributes.team"].tolist() == [cell]
    assert not found.notes


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("نیم\u200cفاصله", id="a Persian non-joiner"),
        pytest.param("क्\u200dष", id="a Hindi joiner"),
        pytest.param("Ann 👩\u200d💻", id="an emoji of two"),
        pytest.param("Ann  Lee", id="two plain blanks"),
    ],
)
def test_leaves_a_name_that_needs_its_characters(name: str) -> None:
    found = validate(table({"id": "1", "name": name}))
    assert found.values["name"].tolist() == [name]
    assert not found.notes


def test_keeps_line_breaks_of_attributes() -> None:
    found = validate(table({"id": "1", "custom_attributes.address": "1 Main St\nSpringfield"}))
    assert found.values["custom_attributes.address"].tolist() == ["1 Main St\nSpringfield"]


@pytest.mark.parametrize(
    ("name", "cell", "field"),
    [
        pytest.param("name", "Zoe\u0308", FieldSettings(), id="a name"),
        pytest.param("custom_attributes.city", "Ko\u0308ln", FieldSettings(), id="a text"),
        pytest.param("custom_attributes.cities", "Ko\u0308ln,Bonn", FieldSettings(type="list"), id="a list"),
        pytest.param("custom_attributes", '{"city": "Ko\u0308ln"}', FieldSettings(), id="JSON"),
    ],
)
def test_composes_decomposed_letters_without_a_note(name: str, cell: str, field: FieldSettings) -> None:
    composed = cell.replace("e\u0308", "ë").replace("o\u0308", "ö")
    found = validate(table({"id": "1", name: cell}), {name: field})
    assert (
        found.values[name].tolist() == validate(table({"id": "1", name: composed}), {name: field}).values[name].tolist()
    )
    assert "\u0308" not in str(found.values[name].tolist())
    assert not found.notes


def test_a_row_with_only_an_id_is_rejected_as_nothing_to_do() -> None:
    found = validate(table({"id": "1", "name": ""}, {"id": "2", "name": "Bob"}))
    assert codes(found.problems) == [(0, "nothing-to-do")]
    assert found.values.index.tolist() == [1]


def test_reports_all_problems_of_all_rows_together() -> None:
    found = validate(
        table(
            {"id": "x", "email": "ann", "password": "short", "custom_attributes": "{"},
            {"id": "2", "email": "bob@example.org", "password": GOOD_PASSWORD, "custom_attributes": "{}"},
            {"id": "", "email": "cid", "password": "", "custom_attributes": ""},
        )
    )
    assert codes(found.problems) == [
        (0, "id-invalid"), (0, "email-invalid"), (0, "password-weak"), (0, "json-invalid"),
        (2, "id-missing"), (2, "email-invalid"),
    ]  # fmt: skip
    assert found.values.index.tolist() == [1]


def test_a_problem_shows_the_heading_as_written_and_never_a_password() -> None:
    found = validate(table({"id": "1", "password": "hunter2"}, headings={"password": "Kennwort"}))
    (problem,) = found.problems
    assert (problem.column, problem.value) == ("Kennwort", "***")
    assert "hunter2" not in repr(found.problems)


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        pytest.param(FieldSettings(), "5", "5", id="text stays text"),
        pytest.param(FieldSettings(type="integer"), "5.0", 5, id="an integer"),
        pytest.param(FieldSettings(type="number"), "1.5", 1.5, id="a number"),
        pytest.param(FieldSettings(type="boolean"), "TRUE", True, id="a boolean"),
        pytest.param(FieldSettings(type="boolean"), "YANLI\u015e", False, id="false in a Turkish spreadsheet"),
        pytest.param(FieldSettings(type="date"), "2026-11-24", "2026-11-24", id="a date"),
        pytest.param(FieldSettings(type="json"), '{"a": [1]}', {"a": [1]}, id="JSON"),
        pytest.param(FieldSettings(type="list", separator=";"), "a; b;", ["a", "b"], id="a list"),
        pytest.param(FieldSettings(type="list"), '["a,b", "c"]', ["a,b", "c"], id="a list as an export writes it"),
        pytest.param(FieldSettings(type="list"), "[1,2]", [1, 2], id="a list of numbers as an export writes it"),
        pytest.param(FieldSettings(type="list"), "[1] a,[b]", ["[1] a", "[b]"], id="a list of texts in brackets"),
        pytest.param(FieldSettings(type="boolean", replace={"Aktiv": "true"}), "Aktiv", True, id="a replaced word"),
        pytest.param(FieldSettings(case="upper"), "pro", "PRO", id="upper case"),
        pytest.param(FieldSettings(default="basic"), "", "basic", id="a default for blanks"),
        pytest.param(FieldSettings(trim=False), " x ", " x ", id="not trimmed"),
        pytest.param(FieldSettings(), "#CLEAR", CLEAR, id="cleared"),
        pytest.param(FieldSettings(blank="clear"), "", CLEAR, id="a blank clears"),
        pytest.param(FieldSettings(type="integer"), "#CLEAR", CLEAR, id="a typed field cleared"),
        pytest.param(FieldSettings(clear=None), "#CLEAR", "#CLEAR", id="no clear token"),
    ],
)
def test_reads_an_attribute_by_its_field_settings(field: FieldSettings, cell: str, value: object) -> None:
    name = "custom_attributes.plan"
    found = validate(table({"id": "1", name: cell}), {name: field})
    assert not found.problems
    assert found.values[name].tolist() == [value]
    assert type(found.values[name].iat[0]) is type(value)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("integer", "5.5"), ("integer", "five"), ("integer", "12\u00b2"), ("number", "1,5"), ("number", "1e999"),
     ("boolean", "maybe"), ("date", "1-2"), ("date", "24.11.2026"), ("date", "2026-02-30")],
)  # fmt: skip
def test_rejects_an_attribute_of_another_type(kind: str, cell: str) -> None:
    name = "custom_attributes.x"
    found = validate(table({"id": "1", name: cell}), {name: FieldSettings.model_validate({"type": kind})})
    assert codes(found.problems) == [(0, "type-invalid")]


def typed(kind: str, *cells: str) -> tuple[list[object], list[tuple[int, str]]]:
    name = "custom_attributes.x"
    rows = [{"id": str(i), name: cell} for i, cell in enumerate(cells, 1)]
    found = validate(table(*rows), {name: FieldSettings.model_validate({"type": kind})})
    return found.values[name].tolist(), codes(found.problems)


@pytest.mark.parametrize(
    ("kind", "cell"), [("integer", "1.000"), ("integer", "12.500"), ("number", "1.000"), ("number", "2.500.000")]
)
def test_rejects_a_number_that_can_have_thousands_or_decimals(kind: str, cell: str) -> None:
    assert typed(kind, "7", cell) == ([7], [(1, "type-invalid")])


def test_reads_three_decimals_where_another_cell_shows_that_points_are_decimal() -> None:
    assert typed("number", "1.000", "12.250", "0.5") == ([1.0, 12.25, 0.5], [])
    assert typed("number", "1.000", "0.250") == ([1.0, 0.25], [])


@pytest.mark.parametrize(("levels", "codes_found"), [(60, []), (61, [(0, "json-invalid")])])
def test_rejects_json_that_could_not_be_read_back(levels: int, codes_found: list[tuple[int, str]]) -> None:
    text = '{"a": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"
    assert codes(validate(table({"id": "1", "custom_attributes": text})).problems) == codes_found


@pytest.mark.parametrize(("name", "code"), [("name", "name-blank"), ("email", "email-invalid")])
def test_name_and_email_cannot_be_cleared(name: str, code: str) -> None:
    assert codes(validate(table({"id": "1", name: "#CLEAR"})).problems) == [(0, code)]
    assert codes(validate(table({"id": "1", name: ""}), {name: FieldSettings(blank="clear")}).problems) == [(0, code)]


def test_rejects_an_attribute_set_in_two_columns() -> None:
    found = validate(table({"id": "1", "custom_attributes": '{"a": 1}', "custom_attributes.a": "2"}))
    assert codes(found.problems) == [(0, "json-invalid")]


@given(st.lists(st.fixed_dictionaries({"id": st.text(max_size=4), "name": st.text(max_size=3)}), min_size=1))
def test_every_row_is_kept_rejected_or_a_duplicate(rows: list[dict[str, str]]) -> None:
    found = validate(table(*rows))
    kept, rejected = set(found.values.index), {p.key for p in found.problems}
    assert kept | rejected | set(found.duplicates) == set(range(len(rows)))
    assert len(kept) + len(rejected) + len(found.duplicates) == len(rows)


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
