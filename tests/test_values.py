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
