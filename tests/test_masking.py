"""Test that secrets are masked by the names of their fields and keys."""

import pytest

from usersync.masking import mask_field, mask_secrets, mask_secrets_in
from usersync.models import MASK, Json


@pytest.mark.parametrize("field", ["password", "custom_attributes.botToken", "custom_attributes.wifi_password"])
def test_the_value_of_a_secret_field_is_masked(field: str) -> None:
    assert mask_field(field, "s3cret") == MASK
    assert mask_field(field, None) is None


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        pytest.param({"plan": "pro", "token": "x"}, {"plan": "pro", "token": MASK}, id="a key of an object"),
        pytest.param([{"a": {"API_SECRET": 1}}], [{"a": {"API_SECRET": MASK}}], id="at any depth, in any case"),
        pytest.param({"pwd": None}, {"pwd": None}, id="null stays null"),
        pytest.param({"tokens_used": 5}, {"tokens_used": 5}, id="a name that only begins like that of a secret"),
    ],
)
def test_secrets_in_json_are_masked(value: Json, masked: Json) -> None:
    assert mask_secrets(value) == masked


def test_secrets_are_masked_in_json_as_text() -> None:
    assert mask_secrets_in('{"custom_attributes.token":"x","name":"Ann"}') == (
        '{"custom_attributes.token":"***","name":"Ann"}'
    )
    assert mask_secrets_in("") == ""


def test_a_cell_of_json_that_cannot_be_read_is_masked_as_a_whole() -> None:
    assert mask_field("custom_attributes", '{"token": "x"') == MASK
    assert mask_field("custom_attributes", '{"plan": "pro"') == '{"plan": "pro"'
