"""Test the comparison of changes with a user as the platform answered it."""

from dataclasses import replace
from typing import Any

import pytest

from usersync.diff.verification import are_applied, split_changes
from usersync.models import UNKNOWN, FieldChange, Json, User

SEATS = "custom_attributes.seats"
ANN = User(7, "Ann", None, "ann@x.org", {})


def having(seats: Json) -> User:
    return replace(ANN, custom_attributes={"seats": seats})


@pytest.mark.parametrize(
    ("old", "new", "held", "is_open"),
    [
        pytest.param(5, "5", 5, True, id="a number that becomes its text"),
        pytest.param(5, "5", "5", False, id="and became it"),
        pytest.param("5", 5, "5", True, id="a text that becomes its number"),
        pytest.param("5", 5, 5, False, id="and became it"),
        pytest.param(True, "true", True, True, id="a boolean that becomes its text"),
        pytest.param([1], "[1]", [1], True, id="a list that becomes its text"),
        pytest.param(4, "5", 5, False, id="a new text that the platform keeps as a number"),
        pytest.param(UNKNOWN, "5", 5, True, id="nobody knows what was there"),
    ],
)
def test_a_change_of_nothing_but_the_type_is_sent_until_the_type_is_right(
    old: Json, new: Json, held: Json, is_open: bool
) -> None:
    change = FieldChange(SEATS, old, new)
    assert split_changes([change], having(held)) == ([change] if is_open else [], [])


def test_a_type_that_somebody_else_changed_is_not_changed_again() -> None:
    assert split_changes([FieldChange(SEATS, 5, "5")], having(6)) == ([], [SEATS])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([FieldChange("name", "Al", "Ann")], True, id="the new value"),
        pytest.param([FieldChange("name", "Ann", "Bea")], False, id="the old value"),
        pytest.param([FieldChange("name", UNKNOWN, "Ann")], True, id="the new value, whatever was there"),
        pytest.param(
            [FieldChange("name", "Al", "Ann"), FieldChange("password", UNKNOWN, "***")], False, id="a password"
        ),
        pytest.param([FieldChange(SEATS, None, 5)], False, id="an attribute that is not there"),
    ],
)
def test_a_user_proves_that_changes_were_written(changes: list[Any], expected: bool) -> None:
    assert are_applied(changes, ANN) == expected


def test_a_value_of_the_old_type_does_not_prove_that_its_text_was_written() -> None:
    assert not are_applied([FieldChange(SEATS, 5, "5")], having(5))
