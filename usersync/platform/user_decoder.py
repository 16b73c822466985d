"""Decode the platform's usual answer, a user as plain JSON, in compiled code."""

from __future__ import annotations

from typing import Final

from pydantic_core import SchemaValidator, core_schema

from usersync.models import User
from usersync.platform.body import is_plain


def _schema() -> core_schema.CoreSchema:
    """Return a schema of User: fields of the right types alone, and no number that is not finite."""
    text = core_schema.nullable_schema(core_schema.str_schema())
    json = core_schema.definition_reference_schema("json")
    json_object = core_schema.dict_schema(core_schema.str_schema(), json)
    fields = {
        "id": core_schema.int_schema(),
        "name": text,
        "display_name": core_schema.with_default_schema(text, default=None),
        "email": text,
        "custom_attributes": core_schema.with_default_schema(json_object, default_factory=dict),
    }
    arguments = [core_schema.dataclass_field(name, schema) for name, schema in fields.items()]
    user = core_schema.dataclass_args_schema("User", arguments, extra_behavior="ignore")
    any_json = core_schema.union_schema(
        [
            core_schema.str_schema(),
            core_schema.bool_schema(),
            core_schema.int_schema(),
            core_schema.float_schema(allow_inf_nan=False),
            core_schema.none_schema(),
            core_schema.list_schema(json),
            json_object,
        ],
        mode="left_to_right",
        ref="json",
    )
    return core_schema.definitions_schema(
        core_schema.dataclass_schema(User, user, list(fields), slots=True, config={"strict": True}), [any_json]
    )


_USER: Final = SchemaValidator(_schema(), {"strict": True})


def decode_plain(body: bytes) -> User | None:
    """Return the user in a body; None if the body needs the slower, tolerant parser."""
    try:
        user: User | None = _USER.validate_json(body) if is_plain(body) else None
    except ValueError:  # also what a validator raises
        return None
    return user
