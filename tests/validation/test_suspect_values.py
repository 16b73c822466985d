"""Test which damaged texts are rejected, noted, or left alone."""
# ruff: noqa: RUF001 - characters that are easily taken for others are what these tests are about

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from tests.validation.tables import codes, table
from usersync.settings import FieldSettings
from usersync.tables import Column, DesiredValues, Table
from usersync.validation import validate

CITY = "custom_attributes.city"


def found_in(field: str, cell: str, **options: Any) -> DesiredValues:
    return validate(table({"id": "1", field: cell}), **options)


ERROR_WORDS = ["#N/A", "#NV", "#REF!", "#DIV/0!", "#¿NOMBRE?", "#¡DIV/0!", "#ДЕЛ/0!", "#Н/Д", "#N/D", "#BEZUG!",
               "#VÄRDEFEL!", "#I/T", "#HIÁNYZIK", "#SPILL!", "#DĚLENÍ_NULOU!", "#ERROR!",
               "Err:508", "Fehler:502"]  # fmt: skip
NARROW = ["########", "####", "#" * 40]
PLACEHOLDERS = ["NULL", "\\N", "(null)", "undefined", "Loading...", "[null]", "<NA>", "NaN", "null", "(blank)",
                "Wird geladen...", "Загрузка..."]  # fmt: skip
OBJECTS = ["[object Object]", "<User object at 0x7f31a0>", "System.Object[]", "[object Promise]", "System.String",
           "System.Data.DataRow", "System.Collections.Generic.List`1[System.String]", "[Record]", "[List]"]  # fmt: skip
TEMPLATES = ["{{ user.name }}", "${name}", "Dear <<Name>>", "%%first_name%%"]
LETTER_FIELDS = ["«Vorname» «Nachname»", "*|FNAME|*", "[First Name]", "{FIRSTNAME} {LASTNAME}", "%LASTNAME%",
                 "<first_name>", "__name__", "[contact.email]"]  # fmt: skip
ENCODING = ["JÃ¼rgen", "MÃ¼ller-LÃ¼denscheidt", "Å\x81ukasz", "JosÃ©", "ÐŸÑ‘Ñ‚Ñ€", "JĂĽrgen", "J√ºrgen", "J├╝rgen",
            "Oâ€™Brien", "voilÃ\u00a0tout", "РџРµС‚СЂ", "Ïåòð Èâàíîâ", "Anna Â\u00a0Lee", "JÃƒÂ¼rgen"]  # fmt: skip
LOST_LETTERS = ["J?rg", "?ukasz", "M?ller", "Zde?ka", "?????? ????", "??", "????-?????, ???"]
CODES = ["O&#39;Brien", "M&uuml;ller", "Tom &amp; Jerry", "J\\u00fcrgen", "&#x4f;lga", "=?utf-8?Q?J=C3=BCrg?="]
GUARDS = ['="007"', "'Anna", "'+49 30 1234", '="Anna"', "'007"]
FORMULAS = ['=HYPERLINK("x", "Ann")', "=A2", "=VLOOKUP(A2,Sheet2!A:B,2,0)", "=$B$4&C4", "=sum(a1)", "=-B2", "=(A1)",
            "=WENN(A1;1;2)+1", "=Sheet1!C3", "=cmd|' /C calc'!A0", "=СУММ(A1:A2)", "='My sheet'!$B$2",
            "{=A1&B1}"]  # fmt: skip
DITTO = ['"', '-"-', "〃", "„", "dito", "wie oben", "as above"]
ZERO_DATES = ["00.01.1900", "1/0/1900", "1900-01-00", "0000-00-00", "0000-00-00 00:00:00", "30.12.1899"]
NEARLY_CLEAR = ["#clear", "#Clear", "# CLEAR", "#clear!"]
ROUNDED = ["4.91702E+12", "4,9E+12", "1.5E-07", "-3E+20", "1.5e+16"]


@pytest.mark.parametrize("field", ["name", "display_name", CITY])
@pytest.mark.parametrize(
    "cell",
    [*ERROR_WORDS, *NARROW, *PLACEHOLDERS, *OBJECTS, *TEMPLATES, *ENCODING, *LOST_LETTERS, *CODES, *GUARDS, *FORMULAS,
     *ROUNDED, *NEARLY_CLEAR, *ZERO_DATES, *DITTO],
)  # fmt: skip
def test_rejects_damaged_text(field: str, cell: str) -> None:
    found = found_in(field, cell)
    assert codes(found.problems) == [(0, "value-suspect")]
    assert "suspect" not in found.problems[0].message, "the author of a sheet has no settings"


@pytest.mark.parametrize(
    "name",
    ["Jürgen Müller", "São João", "AÑO NUEVO", "Łukasz Žižka", "Đỗ Thị Hà", "Şükrü Gülşen", "Ágnes Őrsi", "Пётр Ильич",
     "Рівне Січ", "Γιώργος", "山田 太郎", "محمد", "Ângela", "ÎLE-DE-FRANCE", "MAÇÃ", "«CAFÉ»", "O'Brien", "'t Hooft",
     "'s Gravesande", "'S-GRAVENHAGE", "Anne-Marie", "R&D; Sales", "Tom & Jerry",
     "Dr. No", "C# Team", "#1 Support", "#TEAM", "1e5",
     "E+ Team", "Sales (EMEA)", "[Bot] Ann", "<Ann>", "{Ann}", "100% Ann", "=1+1", "A/B", "Ann: Lead", "null and void",
     "Nullmeier", "Ann?", "Nataša Đžo", "Ærø Østergård", "Œuvre", "ĽUBOMÍR ŠŤASTNÝ", "Ñuñez", "Éa", "Groß & Klein",
     "Þórður Guðmundsson", "Sigþór Ægisson", "Mª José", "Núñez & Cía. ½", "Gal·la", "Guðrún Müller",
     "Sigríður Müller-Þórsdóttir", "Team²", "m² Team", "¿Quién?", "¡Hola, Ana!", "System.Admin", "'90s Team",
     "Err: 404", "Acme®", "5 £", "N° 5",
     "True", "June", "March 1", "April May", "May-Britt", "Mar-Lou", "A.B.", "1.2", "1/2", "12-34-56", "=)", "=> Ann"],
)  # fmt: skip
def test_accepts_names_that_only_look_unusual(name: str) -> None:
    found = found_in("name", name)
    assert not found.problems
    assert found.values["name"].tolist() == [name]


@pytest.mark.parametrize(
    "name", ["Pawe³", "£ukasz", "B¹k", "¡dam", "¯aneta!", "²ван", "Н±рлан", "Çaðlar", "Þükrü", "Özðür"]
)
def test_rejects_names_with_signs_and_letters_of_another_encoding(name: str) -> None:
    assert codes(found_in("name", name).problems) == [(0, "value-suspect")]


@pytest.mark.parametrize("name", LETTER_FIELDS)
def test_rejects_fields_of_serial_letters_as_names(name: str) -> None:
    assert codes(found_in("name", name).problems) == [(0, "value-suspect")]
    assert not found_in(CITY, f"Dear {name}").problems


@pytest.mark.parametrize("name", ["#1 Name", "[Names] Ann", "Name"])
def test_accepts_names_that_hold_the_word(name: str) -> None:
    assert not found_in("name", name).problems


@pytest.mark.parametrize("name", ["0", "1042", "+49 30 1234", "12,500"])
def test_rejects_numbers_in_place_of_a_name(name: str) -> None:
    assert codes(found_in("name", name).problems) == [(0, "value-suspect")]
    assert not found_in(CITY, name).problems


@pytest.mark.parametrize("name", ["-", "--", "—", "?", "???", ".", "...", "*", "_", "/", "#", "k. A.", "Н/Д", " - "])
def test_rejects_signs_that_stand_for_no_name(name: str) -> None:
    assert codes(found_in("name", name).problems) == [(0, "value-suspect")]


@pytest.mark.parametrize(
    "name",
    ["TRUE", "FALSE", "2026-03-01", "2026-03-01 10:30", "1.3.2026", "03/01/26", "1-Mar", "01-Mar-2026", "Mar-26"],
)
def test_rejects_what_a_spreadsheet_made_of_a_name(name: str) -> None:
    assert codes(found_in("name", name).problems) == [(0, "value-suspect")]
    assert not found_in(CITY, name).problems


@pytest.mark.parametrize(
    "text",
    ["https://x.org/a?b=c&d=e", "why? because", "a&b;c", "{\"a\": 1}", "C:\\Users\\Neil", "+49 30 1234", "E-5", "7E5",
     "2026-11-24", "n1=?", "#fff", "#channel", "TRUE", "NA", "first\nsecond",
     "5 > 4", "'n roll", "==A1", "=> B2", "#cleared", "#clear-cut", "clear", "=1+1", "=5",
     "1.5e-07", "Error: 500", "System.Admin", "'90s music", "<p>Tom &amp; Jerry</p>", "a&nbsp;b<br>", "System.Web"],
)  # fmt: skip
def test_accepts_attributes_that_only_look_unusual(text: str) -> None:
    found = found_in(CITY, text)
    assert not found.problems
    assert found.values[CITY].tolist() == [text]


@pytest.mark.parametrize(
    ("field", "cell"),
    [("name", "Null"), ("name", "None"), ("name", "Nan"), ("display_name", "NONE"), (CITY, "Null"), (CITY, "none"),
     (CITY, "N/A"), (CITY, "n/a"), (CITY, "-"), (CITY, "—"), ("name", "Andr?")],
)  # fmt: skip
def test_only_notes_what_can_be_a_name_or_a_choice(field: str, cell: str) -> None:
    found = found_in(field, cell)
    assert found.values[field].tolist() == [cell]
    assert found.notes[0].startswith((f"{field}: this may be a placeholder", f"{field}: a letter may have been lost"))


@pytest.mark.parametrize("text", ["Hi {{contact.name}}!", "${HOME}/bin", "<% if x %>Hi", "cat <<EOF >> x"])
def test_only_notes_a_template_within_an_attribute(text: str) -> None:
    found = found_in(CITY, text)
    assert found.values[CITY].tolist() == [text]
    assert found.notes[0].endswith("this may be a template that nobody filled in")


def test_a_name_that_holds_null_gets_no_note() -> None:
    assert not found_in("name", "Christopher Null").notes


@pytest.mark.parametrize("cell", ["N/A", "n/a", "N.A.", "N.N.", "TBD"])
def test_rejects_not_available_as_a_name(cell: str) -> None:
    assert codes(found_in("name", cell).problems) == [(0, "value-suspect")]


@pytest.mark.parametrize("cell", ["#N/A", "#NV", "########", "NULL", "(null)", "undefined", "[object Object]", "n/a",
                                  "{{email}}", "jÃ¼rgen@x.org"])  # fmt: skip
def test_rejects_damaged_text_in_place_of_an_address(cell: str) -> None:
    assert codes(found_in("email", cell).problems) == [(0, "value-suspect")]


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("o’brien@x.org", id="a curly apostrophe"),
        pytest.param("anne–marie@x.org", id="a long dash"),
        pytest.param("ann@exam‑ple.org", id="a no-break hyphen"),
        pytest.param("\u0440etra@x.org", id="a Cyrillic letter among Latin ones"),
        pytest.param("anna@ex\u0430mple.org", id="a Cyrillic letter in the domain"),
        pytest.param("\u0430\u0441\u0435@x.org", id="only Cyrillic look-alikes"),
        pytest.param("\u03bfscar@x.org", id="a Greek letter"),
        pytest.param("al\u0131@x.org", id="a dotless i"),
        pytest.param("\u0130BRAH\u0130M@X.ORG", id="capitals that a Turkish spreadsheet made"),
        pytest.param("al\u0130@x.org", id="a dotted capital I, whose small letter has two characters"),
        pytest.param("ali\u0307@x.org", id="what other programs make of it"),
        pytest.param("ann\u00b2@x.org", id="a footnote, which is not ann2"),
        pytest.param("\u24d0nn@x.org", id="a letter in a circle"),
    ],
)
def test_rejects_typographic_and_look_alike_characters_in_an_address(cell: str) -> None:
    assert codes(found_in("email", cell).problems) == [(0, "value-suspect")]


@pytest.mark.parametrize("cell", ["jörg@x.org", "иван@пример.рф", "иван@x.org", "用户@x.org", "josé@x.org",
                                  "o'brien@x.org", "ann+b@x.org"])  # fmt: skip
def test_accepts_international_addresses(cell: str) -> None:
    assert not found_in("email", cell).problems


@pytest.mark.parametrize("cell", ["mailto:a@x.org", "Anna <a@x.org>", "<a@x.org>", "MAILTO:a@x.org?subject=Hi",
                                  '"a@x.org"', "a@x.org;", "[a@x.org](mailto:a@x.org)", "'a@x.org'",
                                  "a@x.org."])  # fmt: skip
def test_rejects_an_address_wrapped_in_other_text(cell: str) -> None:
    (problem,) = found_in("email", cell).problems
    assert problem.code == "email-invalid"
    assert problem.message == "there is other text around the address; enter the address alone"


@pytest.mark.parametrize("cell", [" Aa1!xx", "Aa1!xx ", "Aa1!xx\u00a0", "\u200bAa1!xx", "Aa1!xx\ufeff", "Aa1!xx\n",
                                  "Aa1!&amp;x", "Aa1!Ã¼x"])  # fmt: skip
def test_rejects_a_damaged_password_without_showing_it(cell: str) -> None:
    found = found_in("password", cell)
    assert codes(found.problems) == [(0, "value-suspect")]
    assert "Aa1!" not in str(found.problems)


@pytest.mark.parametrize("cell", ["Aa1! xx", "Aa1!ü?x", "#N/A1aXX!", "'Aa1!xx", "=Aa1!xx"])
def test_accepts_any_other_password(cell: str) -> None:
    assert found_in("password", cell).values["password"].tolist() == [cell]


def test_looks_at_the_texts_in_json_but_not_at_how_they_are_written() -> None:
    rows = [
        '{"city": "J\\u00fclich"}',
        '{"city": "JÃ¼lich"}',
        '{"a": [{"b": "#N/A"}]}',
        '{"n": 4.9E+12}',
        '{"a": null}',
    ]
    found = validate(table(*({"id": str(i), "custom_attributes": cell} for i, cell in enumerate(rows, 1))))
    assert codes(found.problems) == [(1, "value-suspect"), (2, "value-suspect")]


@pytest.mark.parametrize("cell", ["4.91702E+12", "1.5e+3"])
def test_rejects_a_rounded_number_where_a_number_is_expected(cell: str) -> None:
    found = found_in(CITY, cell, fields={CITY: FieldSettings(type="number")})
    assert codes(found.problems) == [(0, "value-suspect")]


@pytest.mark.parametrize(
    ("suspect", "fields", "sent", "noted"),
    [
        pytest.param("reject", {}, False, False, id="rejected by default"),
        pytest.param("note", {}, True, True, id="all fields noted"),
        pytest.param("accept", {}, True, False, id="all fields accepted"),
        pytest.param("reject", {"name": FieldSettings(suspect="accept")}, True, False, id="this field accepted"),
        pytest.param("accept", {"name": FieldSettings(suspect="reject")}, False, False, id="this field rejected"),
        pytest.param("reject", {"name": FieldSettings(suspect="note")}, True, True, id="this field noted"),
    ],
)
def test_settings_decide_what_becomes_of_suspect_values(
    suspect: str, fields: dict[str, FieldSettings], sent: bool, noted: bool
) -> None:
    found = found_in("name", "NULL", suspect=suspect, fields=fields)
    assert (found.values["name"].tolist() == ["NULL"], 0 in found.notes) == (sent, noted)


def test_text_that_settings_replace_or_clear_is_not_suspect() -> None:
    fields = {CITY: FieldSettings(clear="NULL"), "name": FieldSettings(replace={"#N/A": "Nobody"})}
    found = validate(table({"id": "1", CITY: "NULL", "name": "#N/A"}), fields)
    assert not found.problems
    assert found.values["name"].tolist() == ["Nobody"]


def test_finds_one_damaged_cell_among_many_clean_ones() -> None:
    rows = [{"id": str(i), "name": f"User {i}"} for i in range(1, 1001)]
    rows[500]["name"] = "J?rg"
    assert codes(validate(table(*rows)).problems) == [(500, "value-suspect")]


@pytest.mark.parametrize(
    "unit",
    ["a", " ", "\t", "<", "a@", "?", "#A", "=A(", "{{", "Ã", "\u0440a", "&a", "%%", "<%", "1.000", "þ", "ü", "³", "-"],
    ids=ascii,
)
@pytest.mark.parametrize("field", ["name", "email", CITY])
def test_looks_at_a_very_long_cell_in_linear_time(field: str, unit: str) -> None:
    found = found_in(field, f"a\tb{unit * 100_000}b")  # quadratic work would not end
    assert len(found.values) + len({problem.key for problem in found.problems}) == 1


def composed_of(*parts: tuple[str, str]) -> Table:
    """A table whose names are composed of two columns, First and Last."""
    made = table(*({"id": str(i), "name": f"{first} {last}"} for i, (first, last) in enumerate(parts, 1)))
    (source,) = made.sources
    columns = (Column("id", "id"), Column("First", None), Column("Last", None))
    sheet = pd.DataFrame([(str(i), *part) for i, part in enumerate(parts, 1)], dtype=object)
    return replace(
        made,
        sources=(replace(source, columns=columns, composed={"name": (1, 2)}),),
        sheets=(sheet,),
        places=made.places.assign(at=range(len(parts))),
    )


@pytest.mark.parametrize("part", ["#N/A", "NULL", "-", "TRUE", "=A2", "(null)", "2026-03-01", "#clear"])
@pytest.mark.parametrize("first", [True, False])
def test_rejects_a_damaged_part_of_a_composed_name(part: str, *, first: bool) -> None:
    found = validate(composed_of(("Ann", "Lee"), (part, "Lee") if first else ("Ann", part)))
    assert [(p.key, p.code, p.column, p.value) for p in found.problems] == [
        (1, "value-suspect", "First" if first else "Last", part)
    ]
    assert found.values["name"].tolist() == ["Ann Lee"]


def test_reports_a_damaged_part_once() -> None:
    assert len(validate(composed_of(("JÃ¼rgen", "Lee"))).problems) == 1


def test_a_part_that_can_be_a_name_gets_a_note_and_settings_soften_the_check() -> None:
    assert "First: this may be" in validate(composed_of(("Null", "Lee"))).notes[0]
    assert not validate(composed_of(("NULL", "Lee")), suspect="accept").problems
    found = validate(composed_of(("NULL", "Lee")), {"name": FieldSettings(suspect="note")})
    assert (found.problems, "First: a placeholder" in found.notes[0]) == ((), True)
