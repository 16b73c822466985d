"""Test which texts must not replace the values of users."""

from typing import Any

import pandas as pd
import pytest

from tests.diff.tables import SEATS, current, desired
from usersync.diff.compare import compare
from usersync.diff.type_mismatches import InputColumns, type_mismatches
from usersync.models import CLEAR

NO_OTHERS = InputColumns({})


@pytest.mark.parametrize(
    ("text", "held", "reason"),
    [
        pytest.param("1.000", 12, "this number can have", id="a number with thousands"),
        pytest.param("2,5", 1.5, "not a number", id="a decimal comma"),
        pytest.param("twelve", 12, "not a number", id="a number in words"),
        pytest.param("ja", True, "neither true nor false", id="a word for true that is not known"),
        pytest.param("a, b", ["a"], "not valid JSON", id="a list without brackets"),
        pytest.param('{"a": 1}', ["a"], "JSON of another kind", id="an object in place of a list"),
        pytest.param("7", "007", "a spreadsheet may have rewritten the text", id="a text without its zeros"),
        pytest.param(
            "1234567890123450000", 1234567890123456789, "a spreadsheet may have rewritten the text", id="a long number"
        ),
        pytest.param("52.5200066", 52.52000659999999, "a spreadsheet may have rewritten the text", id="many decimals"),
    ],
)
def test_text_that_is_not_what_the_platform_holds_is_a_type_mismatch(text: str, held: Any, reason: str) -> None:
    rows = desired(custom_attributes__seats=text)
    found = type_mismatches(compare(rows, current(rows, custom_attributes={"seats": held})), NO_OTHERS)
    assert found[0]["custom_attributes.seats"].startswith(reason)


@pytest.mark.parametrize(
    ("want", "held", "typed"),
    [
        pytest.param({SEATS: "13"}, 12, (), id="a number for a number"),
        pytest.param({SEATS: "twelve"}, None, (), id="text where there is nothing"),
        pytest.param({SEATS: "twelve"}, "dozen", (), id="text for text"),
        pytest.param({SEATS: CLEAR}, 12, (), id="a cleared number"),
        pytest.param({SEATS: "twelve"}, 12, ("custom_attributes.seats",), id="a field that is configured as text"),
        pytest.param({"custom_attributes": {"seats": "twelve"}}, 12, (), id="text in JSON"),
    ],
)
def test_what_fits_is_no_type_mismatch(want: dict[str, Any], held: Any, typed: tuple[str, ...]) -> None:
    rows = desired(**want)
    users = current(rows, custom_attributes={"seats": held})
    assert type_mismatches(compare(rows, users, typed_fields=frozenset(typed)), NO_OTHERS) == {}


def test_a_number_that_a_person_types_may_have_fewer_digits() -> None:
    rows = desired(custom_attributes__seats="0.3")
    found = compare(rows, current(rows, custom_attributes={"seats": 0.30000000000000004}))
    assert type_mismatches(found, NO_OTHERS, is_hand_typed=True) == {}
    assert type_mismatches(found, NO_OTHERS) != {}


def test_a_name_without_its_accents_is_a_type_mismatch() -> None:
    rows = desired(name="Zoe")
    users = current(rows, name="Zo\u00eb")
    assert type_mismatches(compare(rows, users), NO_OTHERS)[0]["name"].startswith("the same without its accents")
    assert type_mismatches(compare(rows, users, typed_fields=frozenset({"name"})), NO_OTHERS) == {}


@pytest.mark.parametrize(
    ("cells", "is_meant"),
    [
        pytest.param(["Zoe", "Noël", "Jim"], True, id="others keep the letter"),
        pytest.param(["Zoe", "ZOË", "Jim"], True, id="a capital"),
        pytest.param(["Zoe", "José", "Jim"], False, id="others keep other letters alone"),
        pytest.param(["Zoe", "Noel", None], False, id="nobody keeps any"),
    ],
)
def test_a_name_may_lose_accents_that_other_names_keep(cells: list[str | None], is_meant: bool) -> None:
    rows = desired(name="Zoe")
    found = type_mismatches(
        compare(rows, current(rows, name="Zoë")), InputColumns(pd.DataFrame({"name": cells}, dtype=object))
    )
    assert bool(found) is not is_meant


@pytest.mark.parametrize(("losing", "keeping", "is_meant"), [(2, 10, True), (2, 9, False), (21, 200, False)])
def test_accents_that_many_names_lose_are_damage(losing: int, keeping: int, is_meant: bool) -> None:
    rows = pd.DataFrame({"id": range(losing), "name": pd.Series(["Zoe"] * losing, dtype=object)})
    held = pd.DataFrame({"name": pd.Series(["Zoë"] * losing, dtype=object)})
    cells = pd.DataFrame({"name": ["Zoe"] * losing + ["Noël"] * keeping}, dtype=object)
    assert bool(type_mismatches(compare(rows, held), InputColumns(cells))) is not is_meant


@pytest.mark.parametrize(
    ("rows", "others", "is_meant"),
    [
        pytest.param(5, ["12", None], True, id="a column of whole numbers"),
        pytest.param(5, ["2.1"], False, id="versions"),
        pytest.param(4, ["12"], False, id="few rows"),
    ],
)
def test_whole_numbers_that_pandas_had_spoilt_are_put_right(rows: int, others: list[str], is_meant: bool) -> None:
    field = "custom_attributes.floor"
    texts = [str(i) for i in range(rows)]
    want = pd.DataFrame({"id": range(rows), field: pd.Series(texts, dtype=object)})
    held = pd.DataFrame({field: pd.Series([f"{text}.0" for text in texts], dtype=object)})
    found = type_mismatches(compare(want, held), InputColumns(pd.DataFrame({field: [*texts, *others]}, dtype=object)))
    assert bool(found) is not is_meant
