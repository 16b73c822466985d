"""Test when two values of a field are the same to the platform."""

import pytest

from usersync.models import Json
from usersync.values import same_value


@pytest.mark.parametrize("field", ["name", "display_name", "email"])
@pytest.mark.parametrize(("desired", "current"), [(None, None), ("", None), (None, ""), ("", "")])
def test_no_name_or_address_is_the_same_as_a_blank_one(field: str, desired: Json, current: Json) -> None:
    assert same_value(field, desired, current)


@pytest.mark.parametrize("field", ["name", "display_name", "email"])
@pytest.mark.parametrize(("desired", "current"), [(None, "ann@x.org"), ("", "ann@x.org"), ("ann@x.org", None)])
def test_a_name_or_address_is_not_the_same_as_none(field: str, desired: Json, current: Json) -> None:
    assert not same_value(field, desired, current)


@pytest.mark.parametrize(("desired", "current"), [("", None), (None, ""), (0, None), (None, 0), (False, 0)])
def test_an_attribute_that_is_blank_is_not_one_that_is_null_or_zero(desired: Json, current: Json) -> None:
    assert not same_value("custom_attributes.seats", desired, current)


@pytest.mark.parametrize(
    ("desired", "current"),
    [
        pytest.param([1.0, {"a": 2.0}], [1, {"a": 2}], id="whole numbers with decimals, at any depth"),
        pytest.param({"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}, id="and the other way round, in another order"),
        pytest.param('{"a":[1]}', {"a": [1.0]}, id="the JSON of such an object"),
        pytest.param(1e22, 10**22, id="a large one"),
    ],
)
def test_equal_numbers_are_the_same_at_any_depth(desired: Json, current: Json) -> None:
    assert same_value("custom_attributes.all", desired, current)


@pytest.mark.parametrize(
    ("desired", "current"),
    [([1], [True]), ([0], [False]), ([1], ["1"]), ([2**53], [2**53 + 1]), ([0.1], [0.10000000000000002]), ([], None)],
)
def test_other_values_stay_different_at_any_depth(desired: Json, current: Json) -> None:
    assert not same_value("custom_attributes.all", desired, current)
