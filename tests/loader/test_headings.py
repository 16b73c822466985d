"""Test how headings are mapped to fields."""

from pathlib import Path
from typing import Literal

import pytest
import yaml
from openpyxl import Workbook

from usersync.errors import SourceError, UsageError
from usersync.loader import load
from usersync.loader.headings import Headings
from usersync.settings import SourceSettings


def refusal(header: list[str], mapping: dict[str, str] | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        Headings(mapping).columns(header, "staff.csv")
    return str(caught.value)


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        pytest.param("id", "id", id="as in the manual"),
        pytest.param(" ID ", "id", id="upper case and blanks"),
        pytest.param("\uff29\uff24", "id", id="full-width letters"),
        pytest.param("\ufeffId\u200b", "id", id="invisible characters"),
        pytest.param("ID*", "id", id="marked as required"),
        pytest.param("User ID", "id", id="a user's id"),
        pytest.param("user_id:", "id", id="an underscore and a colon"),
        pytest.param("Benutzer-ID", "id", id="German"),
        pytest.param("Display_Name", "display_name", id="mixed case"),
        pytest.param("Display\nname", "display_name", id="a line break"),
        pytest.param("Anzeigename", "display_name", id="a German display name"),
        pytest.param("Full name", "name", id="a full name"),
        pytest.param("E-Mail", "email", id="a hyphen"),
        pytest.param("E\u2011mail", "email", id="a no-break hyphen"),
        pytest.param("Email Address", "email", id="an address"),
        pytest.param("E-Mail-Adresse", "email", id="a German address"),
        pytest.param("New e-mail", "new_email", id="a new address"),
        pytest.param("Neue E-Mail-Adresse", "new_email", id="a German new address"),
        pytest.param("Passwort", "password", id="a German password"),
        pytest.param("Custom attributes", "custom_attributes", id="attributes"),
        pytest.param("custom attributes.seats", "custom_attributes.seats", id="one attribute"),
        pytest.param("custom_attributes.Seats", "custom_attributes.Seats", id="a key keeps its case"),
        pytest.param("custom_attributes.Valid-to_date", "custom_attributes.Valid-to_date", id="and its signs"),
        pytest.param("Custom_Attributes. plan ", "custom_attributes.plan", id="blanks around a key"),
        pytest.param("custom_attributes.plan*", "custom_attributes.plan", id="a key marked as required"),
        pytest.param("custom_attributes.plan :", "custom_attributes.plan", id="a key with a colon"),
        pytest.param("agent  NAME", "name", id="a mapped heading"),
        pytest.param("Agent-name", "name", id="a mapped heading with a hyphen"),
        pytest.param("Notes", None, id="no field"),
        pytest.param("username", None, id="another word that ends in name"),
        pytest.param("uid", None, id="another word that ends in id"),
        pytest.param("", None, id="no heading"),
    ],
)
def test_maps_a_heading_to_its_field(heading: str, field: str | None) -> None:
    assert Headings({"Agent name": "name"}).field(heading) == field


@pytest.mark.parametrize(
    ("heading", "meant"),
    [
        ("emial", "email"),
        ("Custom Atributes", "custom_attributes"),
        ("custom atributes.seats", "custom_attributes.seats"),
        ("pasword", "password"),
        ("I.D.", "id"),
        ("names", "name"),
        ("nmae", "name"),
        ("nam", "name"),
        ("Mial", "email"),
        ("emeil", "email"),
        ("E-Mail adress", "email"),
        ("new emial", "new_email"),
        ("User emial", "email"),
        ("New mail adress", "new_email"),
        ("passwrod", "password"),
        ("passwd", "password"),
        ("PWD", "password"),
        ("New password", "password"),
        ("Initial-Passwort", "password"),
        ("Contraseña", "password"),
        ("Mot de passe", "password"),
        ("custom_atribute", "custom_attributes"),
    ],
)
def test_refuses_a_heading_that_is_nearly_a_field(heading: str, meant: str) -> None:
    assert refusal(["id", heading]).startswith(
        f"staff.csv: this heading is nearly a field: {heading!r} ({meant}); correct it, or add under columns:"
    )


@pytest.mark.parametrize(
    "heading",
    [
        "notes",
        "team",
        "city",
        "title",
        "male",
        "game",
        "main",
        "username",
        "file name",
        "passport",
        "date",
        "user uid",
        "Mai",
        "mal",
    ],
)
def test_other_words_are_not_nearly_a_field(heading: str) -> None:
    columns = Headings().columns(["id", heading], "staff.csv")
    assert [column.field for column in columns] == ["id", None]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(["id", "name", "email", "Email 2", "mname", "Display name"], id="second ones"),
        pytest.param(["id", "email", "fname", "lname"], id="the parts of a name"),
    ],
)
def test_headings_beside_a_field_of_that_name_are_other_columns(header: list[str]) -> None:
    headings = [c.heading for c in Headings().columns(header, "staff.csv") if c.field is None]
    assert headings == [heading for heading in header if heading.startswith(("Email 2", "mname", "fname", "lname"))]


def test_asks_about_a_new_password_beside_another_one() -> None:
    assert "'New password' (password)" in refusal(["id", "password", "New password"])


def test_the_parts_of_a_composed_field_are_not_nearly_that_field() -> None:
    headings = Headings({"name": "{Name 1} {Name 2}"})
    header = ["id", "Name 1", "Name 2"]
    assert [c.field for c in headings.columns(header, "staff.csv")] == ["id", None, None]
    assert [template.columns for template in headings.templates(header, "staff.csv")] == [(1, 2)]


def test_suggests_to_compose_the_name_of_its_short_headings() -> None:
    assert Headings().suggest_name(["id", "FName", "LName"]) == 'name: "{FName} {LName}"'


def test_suggested_lines_resolve_what_is_nearly_a_field() -> None:
    header = ["id", "emial", "Dispaly: name"]
    message = refusal(header)
    assert message == (
        "staff.csv: these headings are nearly fields: 'emial' (email), 'Dispaly: name' (display_name); "
        "correct them, or add under columns: (ignore if no field is meant)\n"
        '    emial: email\n    "Dispaly: name": display_name'
    )
    mapping = yaml.safe_load(message.partition("\n")[2])
    assert [c.field for c in Headings(mapping).columns(header, "staff.csv")] == ["id", "email", "display_name"]


def test_accepts_a_nearly_matching_heading_that_is_mapped() -> None:
    columns = Headings({"emial": "email", "names": "ignore"}).columns(["id", "EMIAL", "names"], "staff.csv")
    assert [c.field for c in columns] == ["id", "email", None]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(["ID", "Name", "Email", "Chatwoot ID"], id="a CRM's running number and the platform's id"),
        pytest.param(["User ID", "id"], id="two general names"),
        pytest.param(["platform_id", "Name", "Agent id"], id="two special names"),
    ],
)
def test_asks_which_of_two_columns_is_the_platforms_id(header: list[str]) -> None:
    message = refusal(header)
    assert "could both be the platform's user id; add one of these lines under columns:" in message
    for line in message.splitlines()[1:]:
        (heading,) = mapping = yaml.safe_load(line)
        columns = Headings(mapping).columns(header, "staff.csv")
        assert [c.heading for c in columns if c.field == "id"] == [heading]


def test_a_mapped_heading_beats_one_that_is_not() -> None:
    columns = Headings({"Mail": "email"}).columns(["id", "email", "Mail"], "staff.csv")
    assert [c.field for c in columns] == ["id", None, "email"]


def test_reports_all_columns_that_share_a_field_together() -> None:
    assert refusal(["id", "email", "Mail", "ID", "pasword"]).splitlines() == [
        "staff.csv: the columns 'id' and 'ID' both mean id; rename or delete one of them",
        "  the columns 'email' and 'Mail' could both be email; add one of these lines under columns:",
        "    email: email",
        "    Mail: email",
        "  this heading is nearly a field: 'pasword' (password); correct it, or add under columns: "
        "(ignore if no field is meant)",
        "    pasword: password",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        pytest.param({"names": "{First} {Last}"}, "columns: names: write a template as FIELD:", id="no field"),
        pytest.param({"id": "{First}"}, "columns: id: write a template as FIELD:", id="the id"),
        pytest.param({"name": "{First"}, "columns: name: write a template as FIELD:", id="an open brace"),
    ],
)
def test_refuses_a_template_without_a_field_or_a_heading(columns: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Headings(columns)


@pytest.mark.parametrize(
    ("match_by", "header", "key"),
    [
        pytest.param("id", ["name", "email", "id"], 2, id="the id"),
        pytest.param("id", ["name", "email"], None, id="no id"),
        pytest.param("auto", ["name", "email", "id"], 2, id="the id, where there is one"),
        pytest.param("auto", ["name", "email"], 1, id="else the address"),
        pytest.param("auto", ["Contact", "email"], None, id="an address and nothing to change"),
        pytest.param("auto", ["Contact", "email", "New mail"], 1, id="an address and a new one"),
        pytest.param("email", ["id", "name", "email"], 2, id="the address, though there is an id"),
        pytest.param("email", ["id", "name"], None, id="no address"),
    ],
)
def test_one_column_says_who_a_row_is_about(
    match_by: Literal["auto", "id", "email"], header: list[str], key: int | None
) -> None:
    assert Headings(match_by=match_by).key_column(header) == key


def test_a_template_beside_an_address_is_something_to_change() -> None:
    headings = Headings({"name": "{First} {Last}"}, match_by="auto")
    assert headings.key_column(["First", "Last", "Mail"]) == 2


@pytest.mark.parametrize(
    ("header", "text"),
    [
        pytest.param(
            ["e mial", "nmae", "Town"],
            "row 1 looks like the header and has no id column (headings: 'e mial', 'nmae', 'Town'); these headings are"
            " nearly fields: 'e mial' (email), 'nmae' (name); correct them, or add under columns: (ignore if no field"
            " is meant)\n    e mial: email\n    nmae: name",
            id="the one that says who",
        ),
        pytest.param(
            ["Agent no", "nmae"],
            "row 1 looks like the header and has no id column (headings: 'Agent no', 'nmae'); add a column id with the"
            " platform's user ids; if one of the columns has them, add under columns:\n    Agent no: id\n"
            "  this heading is nearly a field: 'nmae' (name); correct it, or add under columns: (ignore if no field is"
            " meant)\n    nmae: name",
            id="another one",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_missing_id_and_headings_that_are_nearly_fields_are_one_error(
    tmp_path: Path, kind: str, header: list[str], text: str
) -> None:
    path = tmp_path / f"staff.{kind}"
    if kind == "csv":
        path.write_text(f"{','.join(header)}\n{','.join('x' * len(header))}\n")
    else:
        book = Workbook()
        book.active.append(header)
        book.active.append(["x"] * len(header))
        book.save(path)
    with pytest.raises(SourceError) as caught:
        load(path, options=SourceSettings())
    assert str(caught.value).endswith(text)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        pytest.param(["ID", "Name", "Vorname", "Abteilung"], "last", id="German"),
        pytest.param(["id", "First name", "NAME"], "last", id="English, the first name first"),
        pytest.param(["Vorname(n)", "Name", "E-Mail"], "last", id="matched by e-mail"),
        pytest.param(["id", "Name", "Surname", "Team"], "first", id="a surname"),
        pytest.param(["Last name", "name", "Email"], "first", id="the last name first"),
    ],
)
def test_asks_whether_a_name_beside_the_other_part_is_the_whole_name(header: list[str], part: str) -> None:
    with pytest.raises(SourceError) as caught:
        Headings(match_by="auto").columns(header, "staff.csv")
    *_, composed, whole = str(caught.value).splitlines()
    assert f"so it may hold the {part} name alone" in str(caught.value)
    (name,) = (heading for heading in header if heading.lower() == "name")
    at = header.index(name)
    assert Headings(yaml.safe_load(whole)).columns(header, "staff.csv")[at].field == "name"
    understood = Headings(yaml.safe_load(composed))
    assert understood.columns(header, "staff.csv")[at].field is None
    (template,) = understood.templates(header, "staff.csv")
    assert template.field == "name"
    assert at in template.columns


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(["id", "Name", "First name", "Last name"], id="both parts have columns"),
        pytest.param(["id", "Full name", "Vorname"], id="a full name"),
    ],
)
def test_takes_a_name_beside_both_its_parts_as_it_is(header: list[str]) -> None:
    assert [column.field for column in Headings().columns(header, "staff.csv")][1] == "name"
