"""Check how headings are mapped to fields."""

import pytest

from usersync.errors import SourceError
from usersync.loader.headings import Headings


@pytest.mark.parametrize(
    ("heading", "field"),
    [
        pytest.param("id", "id", id="as written in the manual"),
        pytest.param(" ID ", "id", id="upper case and blanks"),
        pytest.param("\uff29\uff24", "id", id="full-width column_letters"),
        pytest.param("\ufeffId\u200b", "id", id="invisible characters"),
        pytest.param("Display_Name", "display_name", id="mixed case"),
        pytest.param("custom_attributes.Seats", "custom_attributes.Seats", id="a key keeps its case"),
        pytest.param("Custom_Attributes. plan ", "custom_attributes.plan", id="blanks around a key"),
        pytest.param("agent  NAME", "name", id="a mapped heading"),
        pytest.param("Notes", None, id="means nothing"),
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
        ("e-mail", "email"),
        ("E Mail", "email"),
        ("emial", "email"),
        ("Custom Atributes", "custom_attributes"),
        ("custom attributes.seats", "custom_attributes.seats"),
        ("display name", "display_name"),
        ("pasword", "password"),
        ("I.D.", "id"),
        ("names", "name"),
    ],
)
def test_refuses_a_heading_that_is_nearly_a_field(heading: str, meant: str) -> None:
    with pytest.raises(SourceError, match=f"is nearly {meant}; write {meant}"):
        Headings().columns(["id", heading], "staff.csv")


def test_accepts_a_nearly_matching_heading_that_is_mapped() -> None:
    columns = Headings({"e-mail": "email", "names": "ignore"}).columns(["id", "E-Mail", "names"], "staff.csv")
    assert [c.field for c in columns] == ["id", "email", None]


def test_reports_all_columns_that_share_a_field_together() -> None:
    with pytest.raises(SourceError) as caught:
        Headings({"Mail": "email"}).columns(["id", "email", "Mail", "ID", "pasword"], "staff.csv")
    remedy = "write password, or map it with columns: {pasword: password}, or to ignore"
    assert str(caught.value).splitlines() == [
        f"staff.csv: the column 'pasword' is nearly password; {remedy}",
        "  the columns 'id' and 'ID' both mean id; keep one of them",
        "  the columns 'email' and 'Mail' both mean email; keep one of them",
    ]
