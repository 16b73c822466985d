"""Test the comparison of desired values with current ones."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.diff.tables import SEATS, current, desired
from usersync.diff.compare import attribute_keys, compare, current_values, readable_fields
from usersync.models import CLEAR, UNKNOWN, FieldChange, User


@pytest.mark.parametrize(
    ("want", "have"),
    [
        pytest.param({"name": "Ann"}, {}, id="the same name"),
        pytest.param({"name": None}, {}, id="a field left alone"),
        pytest.param({"email": "ann@x.org"}, {"email": "Ann@X.ORG"}, id="an e-mail in another case"),
        pytest.param({SEATS: "5"}, {"custom_attributes": {"seats": "5"}}, id="the same attribute"),
        pytest.param({SEATS: "5"}, {"custom_attributes": {"seats": 5}}, id="text that spells the stored number"),
        pytest.param({SEATS: "5.0"}, {"custom_attributes": {"seats": 5}}, id="text of a number with decimals"),
        pytest.param({SEATS: "005"}, {"custom_attributes": {"seats": 5}}, id="text of a number with zeros"),
        pytest.param({SEATS: "TRUE"}, {"custom_attributes": {"seats": True}}, id="the word for a stored boolean"),
        pytest.param({SEATS: "no"}, {"custom_attributes": {"seats": False}}, id="another word for it"),
        pytest.param({SEATS: "WAHR"}, {"custom_attributes": {"seats": True}}, id="a German spreadsheet's word for it"),
        pytest.param({"name": "Zo\u00eb"}, {"name": "Zoe\u0308"}, id="a name stored in decomposed form"),
        pytest.param({SEATS: "K\u00f6ln"}, {"custom_attributes": {"seats": "Ko\u0308ln"}}, id="so is an attribute"),
        pytest.param({SEATS: 5}, {"custom_attributes": {"seats": 5.0}}, id="equal numbers"),
        pytest.param({SEATS: CLEAR}, {"custom_attributes": {"seats": None}}, id="cleared already"),
        pytest.param({SEATS: CLEAR}, {}, id="clearing what was never there"),
        pytest.param({SEATS: ["a"]}, {"custom_attributes": {"seats": ["a"]}}, id="equal lists"),
        pytest.param({SEATS: '[ "a" ]'}, {"custom_attributes": {"seats": ["a"]}}, id="the JSON of the stored list"),
        pytest.param(
            {"custom_attributes": {"a": {"x": 1, "y": 2}}},
            {"custom_attributes": {"a": {"y": 2, "x": 1}, "b": 3}},
            id="an object whose keys stand in another order, beside others",
        ),
    ],
)
def test_finds_nothing_to_change(want: dict[str, Any], have: dict[str, Any]) -> None:
    found = compare(desired(**want), current(desired(**want), **have))
    assert found.unchanged_keys.tolist() == [0]
    assert list(found.changes()) == []


@pytest.mark.parametrize(
    ("want", "have", "changes"),
    [
        pytest.param({"name": "Bea"}, {}, [FieldChange("name", "Ann", "Bea")], id="a name"),
        pytest.param({"name": "ann"}, {}, [FieldChange("name", "Ann", "ann")], id="the case of a name"),
        pytest.param({"display_name": "A"}, {}, [FieldChange("display_name", None, "A")], id="a first value"),
        pytest.param({"email": "b@x.org"}, {}, [FieldChange("email", "ann@x.org", "b@x.org")], id="an e-mail"),
        pytest.param({"password": "Aa1!xx"}, {}, [FieldChange("password", UNKNOWN, "Aa1!xx")], id="a password"),
        pytest.param(
            {SEATS: 1}, {"custom_attributes": {"seats": True}},
            [FieldChange("custom_attributes.seats", True, 1)], id="a number where there was a boolean",
        ),
        pytest.param(
            {SEATS: "13"}, {"custom_attributes": {"seats": 12}},
            [FieldChange("custom_attributes.seats", 12, 13)], id="a number in place of a number",
        ),
        pytest.param(
            {SEATS: "13.0"}, {"custom_attributes": {"seats": 12}},
            [FieldChange("custom_attributes.seats", 12, 13)], id="a whole number with decimals",
        ),
        pytest.param(
            {SEATS: "12.5"}, {"custom_attributes": {"seats": 12}},
            [FieldChange("custom_attributes.seats", 12, 12.5)], id="a fraction in place of a number",
        ),
        pytest.param(
            {SEATS: "FALSE"}, {"custom_attributes": {"seats": True}},
            [FieldChange("custom_attributes.seats", True, False)], id="a boolean in place of a boolean",
        ),
        pytest.param(
            {SEATS: "12 b"}, {"custom_attributes": {"seats": 12}},
            [FieldChange("custom_attributes.seats", 12, "12 b")], id="text that is no number",
        ),
        pytest.param(
            {SEATS: '["b"]'}, {"custom_attributes": {"seats": ["a"]}},
            [FieldChange("custom_attributes.seats", ["a"], ["b"])], id="JSON in place of a list",
        ),
        pytest.param(
            {SEATS: '{"a": 2}'}, {"custom_attributes": {"seats": {"a": 1}}},
            [FieldChange("custom_attributes.seats", {"a": 1}, {"a": 2})], id="JSON in place of an object",
        ),
        pytest.param(
            {SEATS: '["b"'}, {"custom_attributes": {"seats": ["a"]}},
            [FieldChange("custom_attributes.seats", ["a"], '["b"')], id="text that is no JSON",
        ),
        pytest.param(
            {SEATS: '["b"]'}, {"custom_attributes": {"seats": "x"}},
            [FieldChange("custom_attributes.seats", "x", '["b"]')], id="text that looks like JSON in place of text",
        ),
        pytest.param(
            {SEATS: "1.000"}, {"custom_attributes": {"seats": 1}},
            [FieldChange("custom_attributes.seats", 1, "1.000")], id="text that can be 1 or 1000",
        ),
        pytest.param(
            {SEATS: "13"}, {"custom_attributes": {"seats": "12"}},
            [FieldChange("custom_attributes.seats", "12", "13")], id="digits in place of text",
        ),
        pytest.param(
            {"custom_attributes": {"seats": "13"}}, {"custom_attributes": {"seats": 12}},
            [FieldChange("custom_attributes.seats", 12, "13")], id="text in JSON stays text",
        ),
        pytest.param(
            {SEATS: CLEAR}, {"custom_attributes": {"seats": 5}},
            [FieldChange("custom_attributes.seats", 5, None)], id="clearing sends null",
        ),
        pytest.param(
            {"custom_attributes": {"a": 1, "b": 2}}, {"custom_attributes": {"a": 1, "c": 3}},
            [FieldChange("custom_attributes.b", None, 2)], id="only the keys that differ",
        ),
    ],
)  # fmt: skip
def test_finds_the_fields_that_differ(want: dict[str, Any], have: dict[str, Any], changes: list[FieldChange]) -> None:
    assert list(compare(desired(**want), current(desired(**want), **have)).changes()) == [(0, 7, tuple(changes))]


def test_without_current_values_every_desired_value_is_a_change() -> None:
    ((_, _, fields),) = compare(desired(name="Ann", email=None, custom_attributes={"a": 1})).changes()
    assert fields == (FieldChange("name", UNKNOWN, "Ann"), FieldChange("custom_attributes.a", UNKNOWN, 1))


def test_changes_come_in_input_order_with_the_keys_of_their_rows() -> None:
    rows = pd.DataFrame({"id": [9, 8, 7], "name": pd.Series(["Bea", "Ann", "Cid"], dtype=object)})
    rows = rows.set_axis([10, 20, 30], axis=0)
    assert list(compare(rows, current(rows)).changes()) == [
        (10, 9, (FieldChange("name", "Ann", "Bea"),)), (30, 7, (FieldChange("name", "Ann", "Cid"),)),
    ]  # fmt: skip


def test_an_attribute_of_a_configured_type_is_not_converted() -> None:
    rows = desired(custom_attributes__seats="13")
    users = current(rows, custom_attributes={"seats": 12})
    found = compare(rows, users, typed_fields=frozenset({"custom_attributes.seats"}))
    assert list(found.changes()) == [(0, 7, (FieldChange("custom_attributes.seats", 12, "13"),))]


def test_a_sent_number_is_a_whole_number_where_it_can_be() -> None:
    rows = desired(custom_attributes__seats="13.0")
    ((_, _, (change,)),) = compare(rows, current(rows, custom_attributes={"seats": 1})).changes()
    assert type(change.new) is int


def test_names_the_attribute_keys_that_rows_set() -> None:
    rows = pd.concat(
        [
            desired(custom_attributes__seats="5", custom_attributes__plan=None),
            desired(custom_attributes={"a": 1, "b": 2}),
        ]
    )
    assert attribute_keys(rows) == {"seats", "a", "b"}
    assert attribute_keys(desired(name="Ann")) == set()


def test_only_if_blank_never_overwrites() -> None:
    blank_only = frozenset({"name", "display_name"})
    rows = desired(name="Bea", display_name="B")
    ((_, _, fields),) = compare(rows, current(rows), only_if_blank=blank_only).changes()
    assert [change.field for change in fields] == ["display_name"]


@pytest.mark.parametrize(
    ("blank_only", "changed", "kept"),
    [
        pytest.param("custom_attributes", {"new"}, {0: ["custom_attributes.seats"]}, id="all attributes"),
        pytest.param("custom_attributes.seats", {"plan", "new"}, {0: ["custom_attributes.seats"]}, id="one of them"),
    ],
)
def test_only_if_blank_never_overwrites_from_a_json_object(
    blank_only: str, changed: set[str], kept: dict[int, list[str]]
) -> None:
    rows = desired(custom_attributes={"seats": 9, "plan": "pro", "new": 1})
    held = {"seats": 5, "plan": "pro" if blank_only == "custom_attributes" else "trial"}
    found = compare(rows, current(rows, custom_attributes=held), only_if_blank=frozenset({blank_only}))
    ((_, _, changes),) = found.changes()
    assert ({change.field for change in changes}, found.kept_fields()) == (
        {f"custom_attributes.{key}" for key in changed},
        kept,
    )


def test_only_if_blank_sets_the_attributes_of_a_user_who_has_none() -> None:
    rows = desired(custom_attributes={"plan": "pro"})
    found = compare(rows, current(rows, custom_attributes={}), only_if_blank=frozenset({"custom_attributes"}))
    assert [change.field for _, _, changes in found.changes() for change in changes] == ["custom_attributes.plan"]
    assert found.kept_fields() == {}


values = st.none() | st.text(max_size=3) | st.integers(0, 3) | st.booleans() | st.lists(st.integers(0, 2), max_size=2)


@given(st.lists(st.tuples(st.text(max_size=3), values), min_size=1))
def test_no_user_differs_from_its_own_values(users: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in users]
    want = pd.DataFrame({"id": range(1, len(users) + 1)})
    want["name"] = pd.Series(names, dtype=object)
    want["custom_attributes.x"] = pd.Series([CLEAR if v is None else v for _, v in users], dtype=object)
    held = [User(i, name, None, None, {"x": value}) for i, (name, value) in enumerate(users, 1)]
    assert list(compare(want, current_values(held, readable_fields(want))).changes()) == []
