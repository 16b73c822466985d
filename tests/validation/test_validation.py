"""Cells in, wanted values and problems out."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usersync.models import CLEAR, Column, Problem, Source, Table
from usersync.settings import FieldSettings
from usersync.validation import check
from usersync.validation.cells import CellError, read_attributes, read_email, read_id, read_password

GOOD_PASSWORD = "Str0ng!pass"


def table(*rows: dict[str, str], headings: dict[str, str] | None = None) -> Table:
    """Make a table as the loader gives it: the header is row 1, so the first data row is row 2."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = pd.DataFrame({name: [row.get(name, "") for row in rows] for name in names}, dtype=object)
    columns = tuple(Column((headings or {}).get(name, name), name) for name in names)
    places = pd.DataFrame({"source": [0] * len(rows), "row": range(2, len(rows) + 2)})
    return Table(cells, places, (Source("staff.csv", "", columns=columns),))


def codes(problems: tuple[Problem, ...]) -> list[tuple[int, str]]:
    return [(p.key, p.code) for p in problems]


@pytest.mark.parametrize(
    ("cell", "user_id"),
    [
        pytest.param("12", 12, id="a whole number"),
        pytest.param("1234567890123456789", 1234567890123456789, id="nineteen digits survive"),
        pytest.param("12.0", 12, id="what Excel makes of 12"),
        pytest.param(" 12\u00a0", 12, id="blanks around, a no-break space among them"),
        pytest.param("\ufeff12\u200b", 12, id="invisible characters"),
        pytest.param("\uff11\uff12", 12, id="full-width digits"),
        pytest.param("007", 7, id="leading zeros"),
    ],
)
def test_reads_an_id(cell: str, user_id: int) -> None:
    assert read_id(cell) == user_id


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        pytest.param("", "id-missing", id="nothing"),
        pytest.param("\u200b", "id-missing", id="only an invisible character"),
        pytest.param("abc", "id-invalid", id="letters"),
        pytest.param("5/../7", "id-invalid", id="a path to another user"),
        pytest.param("-5", "id-invalid", id="a negative number"),
        pytest.param("0", "id-invalid", id="zero"),
        pytest.param("12.5", "id-invalid", id="a fraction"),
        pytest.param("1,234", "id-invalid", id="a thousands separator"),
        pytest.param("9223372036854775808", "id-invalid", id="larger than any id"),
        pytest.param("9" * 5000, "id-invalid", id="five thousand digits"),
        pytest.param("1.23457E+15", "id-damaged", id="E-notation"),
        pytest.param("1,23457E+15", "id-damaged", id="E-notation with a decimal comma"),
        pytest.param("1e5", "id-damaged", id="a short E-notation"),
    ],
)
def test_refuses_an_id(cell: str, code: str) -> None:
    with pytest.raises(CellError) as caught:
        read_id(cell)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("cell", "stored"),
    [
        pytest.param("ann@example.org", "ann@example.org", id="as it is"),
        pytest.param("ann+sales@mail.example.co.uk", "ann+sales@mail.example.co.uk", id="a tag and a long domain"),
        pytest.param("ann@team.test", "ann@team.test", id="a domain that is for tests"),
        pytest.param(" Ann@Example.org ", "ann@example.org", id="trimmed and lower-cased"),
        pytest.param("ann@example.org\u200b", "ann@example.org", id="a zero-width space"),
        pytest.param("jörg@example.org", "jörg@example.org", id="an international address"),
    ],
)
def test_reads_an_email(cell: str, stored: str) -> None:
    assert read_email(cell) == stored


@pytest.mark.parametrize(
    "cell", ["ann", "ann@", "@example.org", "ann@example", "a b@example.org", "ann@@example.org", "a@b@example.org",
             "ann@example..org", "ann@-x.org", "x" * 65 + "@example.org"]
)  # fmt: skip
def test_refuses_an_email(cell: str) -> None:
    with pytest.raises(CellError, match="no e-mail address"):
        read_email(cell)


@pytest.mark.parametrize(
    ("password", "missing"),
    [
        pytest.param("Aa1!x", "6 to 128 characters", id="too short"),
        pytest.param("Aa1!" + "x" * 125, "6 to 128 characters", id="too long"),
        pytest.param("aa1!xx", "an upper-case letter", id="no upper-case letter"),
        pytest.param("AA1!XX", "a lower-case letter", id="no lower-case letter"),
        pytest.param("Aax!xx", "a digit", id="no digit"),
        pytest.param("Aa1xxx", "a special character such as ! or #", id="no special character"),
        pytest.param("Aa1 xxx", "a special character such as ! or #", id="a blank is not special"),
    ],
)
def test_refuses_a_weak_password_and_says_what_it_needs(password: str, missing: str) -> None:
    with pytest.raises(CellError) as caught:
        read_password(password)
    assert str(caught.value) == f"the password needs {missing}"


@pytest.mark.parametrize("password", ["Aa1!xx", "Aa1!" + "x" * 124, " Aa1!x ", "Aa1_xx"])
def test_leaves_a_good_password_as_it_is(password: str) -> None:
    assert read_password(password) == password


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        pytest.param("{seats: 5}", "this is no JSON", id="not JSON"),
        pytest.param("[1]", "custom attributes are a JSON object", id="a list"),
        pytest.param('"{}"', "custom attributes are a JSON object", id="text that holds JSON"),
        pytest.param('{"a": 1, "a": 2}', "the key 'a' stands twice", id="a doubled key"),
        pytest.param('{"a": NaN}', "aN is no JSON number", id="NaN"),
        pytest.param('{"a": 1e999}', "too large a number", id="a number beyond floats"),
        pytest.param('{"a": "\\ud800"}', "this is no JSON", id="half a character"),
        pytest.param('{"a":' + "[" * 100_000, "nested too deeply", id="nested without end"),
    ],
)
def test_refuses_custom_attributes(cell: str, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        read_attributes(cell)


def test_leaves_text_that_looks_like_something_else_alone() -> None:
    texts = ["NA", "null", "007", "1e5", "TRUE", "#N/A!", "=1+1", "  two  blanks inside", "-"]
    wanted = check(table(*({"id": str(i), "name": text} for i, text in enumerate(texts, 1))))
    assert wanted.values["name"].tolist() == [text.strip() for text in texts]
    assert not wanted.problems


def test_a_blank_cell_leaves_its_field_alone() -> None:
    wanted = check(table({"id": "1", "name": "Ann", "email": "  "}))
    assert wanted.values["email"].tolist() == [None]


def test_a_cell_that_shows_nothing_is_blank() -> None:
    wanted = check(table({"id": "1", "name": "\u200b", "email": "\u00a0\ufeff"}, {"id": "2", "name": "Jo\u200bAnn"}))
    assert codes(wanted.problems) == [(0, "nothing-to-do")]
    assert wanted.values["name"].tolist() == ["Jo\u200bAnn"]


def test_an_id_and_nothing_else_is_nothing_to_do() -> None:
    wanted = check(table({"id": "1", "name": ""}, {"id": "2", "name": "Bob"}))
    assert codes(wanted.problems) == [(0, "nothing-to-do")]
    assert wanted.values.index.tolist() == [1]


def test_tells_all_problems_of_all_rows_at_once() -> None:
    wanted = check(
        table(
            {"id": "x", "email": "ann", "password": "short", "custom_attributes": "{"},
            {"id": "2", "email": "bob@example.org", "password": GOOD_PASSWORD, "custom_attributes": "{}"},
            {"id": "", "email": "cid", "password": "", "custom_attributes": ""},
        )
    )
    assert codes(wanted.problems) == [
        (0, "id-invalid"), (0, "email-invalid"), (0, "password-weak"), (0, "json-invalid"),
        (2, "id-missing"), (2, "email-invalid"),
    ]  # fmt: skip
    assert wanted.values.index.tolist() == [1]


def test_a_problem_names_the_column_as_its_author_wrote_it_and_hides_passwords() -> None:
    wanted = check(table({"id": "1", "password": "hunter2"}, headings={"password": "Kennwort"}))
    (problem,) = wanted.problems
    assert (problem.column, problem.value) == ("Kennwort", "***")
    assert "hunter2" not in repr(wanted.problems)


def test_rows_of_one_user_that_contradict_each_other_are_all_rejected() -> None:
    wanted = check(table({"id": "7", "name": "A"}, {"id": "8", "name": "B"}, {"id": "7.0", "name": "C"}))
    assert codes(wanted.problems) == [(0, "duplicate"), (2, "duplicate")]
    assert wanted.problems[0].message == "row 4 asks for other values for user 7 (name); keep one row"


def test_rows_of_one_user_that_say_the_same_collapse() -> None:
    wanted = check(table({"id": "7", "name": "A"}, {"id": "7", "name": " A "}))
    assert not wanted.problems
    assert wanted.values.index.tolist() == [0]
    assert wanted.twins == {1: 0}
    assert wanted.notes == {0: "says the same as row 3; sent once", 1: "says the same as row 2; sent once"}


def test_the_last_row_of_a_user_wins_where_settings_say_so() -> None:
    wanted = check(table({"id": "7", "name": "A"}, {"id": "7", "name": "B"}), duplicates="last")
    assert wanted.values["name"].to_dict() == {1: "B"}
    assert wanted.superseded == {0}
    assert wanted.notes[0] == "nothing sent: row 3 for the same user wins"


def test_a_good_row_is_not_sent_when_a_bad_row_is_about_the_same_user() -> None:
    wanted = check(table({"id": "7", "name": "A", "email": "x"}, {"id": "7", "name": "A", "email": ""}))
    assert codes(wanted.problems) == [(0, "email-invalid"), (0, "duplicate"), (1, "duplicate")]


def test_an_email_that_two_users_claim_goes_to_neither() -> None:
    wanted = check(table({"id": "1", "email": "a@x.org"}, {"id": "2", "email": "A@X.org"}, {"id": "3", "email": ""}))
    assert codes(wanted.problems)[:2] == [(0, "email-claimed"), (1, "email-claimed")]
    assert "row 3 wants this address as well" in wanted.problems[0].message


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        pytest.param(FieldSettings(), "5", "5", id="text stays text"),
        pytest.param(FieldSettings(type="integer"), "5.0", 5, id="an integer"),
        pytest.param(FieldSettings(type="number"), "1.5", 1.5, id="a number"),
        pytest.param(FieldSettings(type="boolean"), "TRUE", True, id="a boolean"),
        pytest.param(FieldSettings(type="date"), "2026-11-24", "2026-11-24", id="a date"),
        pytest.param(FieldSettings(type="json"), '{"a": [1]}', {"a": [1]}, id="JSON"),
        pytest.param(FieldSettings(type="list", separator=";"), "a; b;", ["a", "b"], id="a list"),
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
def test_reads_an_attribute_as_its_field_says(field: FieldSettings, cell: str, value: object) -> None:
    name = "custom_attributes.plan"
    wanted = check(table({"id": "1", name: cell}), {name: field})
    assert not wanted.problems
    assert wanted.values[name].tolist() == [value]
    assert type(wanted.values[name].iat[0]) is type(value)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("integer", "5.5"), ("integer", "five"), ("number", "1,5"), ("number", "1e999"), ("boolean", "maybe"),
     ("date", "1-2"), ("date", "24.11.2026"), ("date", "2026-02-30")],
)  # fmt: skip
def test_refuses_an_attribute_of_another_type(kind: str, cell: str) -> None:
    name = "custom_attributes.x"
    wanted = check(table({"id": "1", name: cell}), {name: FieldSettings.model_validate({"type": kind})})
    assert codes(wanted.problems) == [(0, "type-invalid")]


@pytest.mark.parametrize(("name", "code"), [("name", "name-blank"), ("email", "email-invalid")])
def test_name_and_email_cannot_be_cleared(name: str, code: str) -> None:
    assert codes(check(table({"id": "1", name: "#CLEAR"})).problems) == [(0, code)]
    assert codes(check(table({"id": "1", name: ""}), {name: FieldSettings(blank="clear")}).problems) == [(0, code)]


def test_an_attribute_given_twice_is_refused() -> None:
    wanted = check(table({"id": "1", "custom_attributes": '{"a": 1}', "custom_attributes.a": "2"}))
    assert codes(wanted.problems) == [(0, "json-invalid")]


@given(st.lists(st.fixed_dictionaries({"id": st.text(max_size=4), "name": st.text(max_size=3)}), min_size=1))
def test_every_row_is_wanted_refused_or_a_twin(rows: list[dict[str, str]]) -> None:
    wanted = check(table(*rows))
    kept, refused = set(wanted.values.index), {p.key for p in wanted.problems}
    assert kept | refused | set(wanted.twins) == set(range(len(rows)))
    assert len(kept) + len(refused) + len(wanted.twins) == len(rows)
