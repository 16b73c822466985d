"""Test rows that share a user, and addresses that several users claim."""

from collections.abc import Callable

import pandas as pd
import pytest

from tests.validation.tables import codes, table
from usersync.validation import validate
from usersync.validation.duplicates import resolve_duplicates


def test_rejects_all_rows_of_a_user_with_different_values() -> None:
    found = validate(table({"id": "7", "name": "A"}, {"id": "8", "name": "B"}, {"id": "7.0", "name": "C"}))
    assert codes(found.problems) == [(0, "duplicate"), (2, "duplicate")]
    assert found.problems[0].message == "other values for user 7 in row 4 (name); keep one row"


def test_sends_rows_with_the_same_values_once() -> None:
    found = validate(table({"id": "7", "name": "A"}, {"id": "7", "name": " A "}))
    assert not found.problems
    assert found.values.index.tolist() == [0]
    assert found.duplicates == {1: 0}
    assert found.notes == {0: "same values as row 3", 1: "same values as row 2"}


def test_sends_the_last_row_of_a_user_if_configured() -> None:
    found = validate(table({"id": "7", "name": "A"}, {"id": "7", "name": "B"}), duplicates="last")
    assert found.values["name"].to_dict() == {1: "B"}
    assert found.superseded == {0}
    assert found.notes == {0: "not sent: replaced by row 3 for the same user", 1: "replaces row 2 for the same user"}


def test_rejects_a_valid_row_if_another_row_of_its_user_is_invalid() -> None:
    found = validate(table({"id": "7", "name": "A", "email": "x"}, {"id": "7", "name": "A", "email": ""}))
    assert codes(found.problems) == [(0, "email-invalid"), (0, "duplicate"), (1, "duplicate")]


def test_rejects_all_rows_that_claim_one_address_for_different_users() -> None:
    found = validate(table({"id": "1", "email": "a@x.org"}, {"id": "2", "email": "A@X.org"}, {"id": "3", "email": ""}))
    assert codes(found.problems)[:2] == [(0, "email-claimed"), (1, "email-claimed")]
    assert found.problems[0].message == "this address is also claimed in row 3; an address can belong to only one user"


def test_straße_and_strasse_are_two_addresses() -> None:
    assert not validate(table({"id": "1", "email": "straße@x.org"}, {"id": "2", "email": "strasse@x.org"})).problems


def test_objects_with_their_keys_in_another_order_are_the_same_values() -> None:
    first, second = '{"a": 1, "b": 2}', '{"b": 2, "a": 1}'
    found = validate(table({"id": "7", "custom_attributes": first}, {"id": "7", "custom_attributes": second}))
    assert found.duplicates == {1: 0}


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        pytest.param(
            lambda i: {"id": "7", "name": f"User {i}"}, "duplicate",
            "other values for user 7 in row 2, row 3, row 4, row 5, row 6 and 19,994 more (name); keep one row",
            id="one id",
        ),
        pytest.param(
            lambda i: {"id": str(i), "email": "a@x.org"}, "email-claimed",
            "this address is also claimed in row 2, row 3, row 4, row 5, row 6 and 19,994 more; "
            "an address can belong to only one user",
            id="one address",
        ),
    ],
)  # fmt: skip
def test_names_only_the_first_five_of_many_other_rows(
    row: Callable[[int], dict[str, str]], code: str, message: str
) -> None:
    found = validate(table(*map(row, range(1, 20_001))))
    assert codes(found.problems) == [(key, code) for key in range(20_000)]
    assert found.problems[-1].message == message
    assert (
        found.problems[0].message.replace("row 3, row 4, row 5, row 6, row 7", "row 2, row 3, row 4, row 5, row 6")
        == message
    )


def test_names_a_bounded_number_of_rows_for_each_row_of_a_group() -> None:
    named = []

    def row_name(key: int) -> str:
        named.append(key)
        return f"row {key + 2}"

    values = pd.DataFrame({"id": [7] * 1000, "name": pd.Series([str(i) for i in range(1000)], dtype=object)})
    resolve_duplicates(values, frozenset(), row_name=row_name, keep="reject")
    assert len(named) <= 10
