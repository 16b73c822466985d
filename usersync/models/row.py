"""Define a row, the user it is about, and how its requests ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic_core import from_json

from usersync.models.fields import ATTRIBUTE, MASK, SECRET_FIELDS, UNKNOWN, Json, json_text
from usersync.models.status import Status

#: How the message of a row begins whose user the platform answered with other values than those that were sent.
ALTERED: Final = "the platform answered 200 but holds another value of "


@dataclass(slots=True)  # not frozen, which would take three times as long to make
class FieldChange:
    """One field, from its old value to its new one."""

    field: str
    old: Json
    """`UNKNOWN` where nobody looked it up; None where the platform has none."""
    new: Json


@dataclass(slots=True)  # not frozen, which would take three times as long to make
class User:
    """A user as the platform returned it, without its tokens."""

    id: int
    name: str | None
    display_name: str | None
    email: str | None
    custom_attributes: Mapping[str, Json]


def value_of(user: User, name: str) -> Json:
    """Return the value of a field of a user; None where there is none."""
    return attribute_of(user.custom_attributes, name) if name.startswith("custom_attributes") else getattr(user, name)


def attribute_of(attributes: Mapping[str, Json], name: str) -> Json:
    """Return the value of the field of one attribute, or of all of them, `custom_attributes`; None for no value."""
    return attributes.get(name[len(ATTRIBUTE) :]) if name.startswith(ATTRIBUTE) else attributes


@dataclass(slots=True)  # not frozen, which would take three times as long to make
class Result:
    """How the requests for one user ended."""

    status: Status
    code: str = ""
    message: str = ""
    http_status: int | None = None
    attempts: int = 0
    user: User | None = None
    """The user as the platform answered."""
    finished_at: str = ""


@dataclass(slots=True)  # not frozen, which would take three times as long to make
class Row:
    """One data row of the input, from the plan to the report; one row of the ledger's table `row`."""

    key: int
    """Position in the input, from 0."""
    source: int
    """Position of its file in the sources of the run."""
    row: int
    """The row number as the spreadsheet shows it."""
    id: str
    """The user's id as it stands in the sheet, or as it was understood."""
    status: Status
    changed: str = ""
    """Field names, `;`-separated; a `;` within one is `\\u003b`."""
    old: str = field(default="", repr=False)
    """JSON object of the changed fields, as text; a field is missing where its old value is unknown."""
    new: str = field(default="", repr=False)
    """JSON object of the changed fields, as text; secrets are `***`."""
    code: str = ""
    """Why the row needs attention; several codes are `;`-separated."""
    message: str = ""
    note: str = ""
    """A remark that stays whatever becomes of the row."""
    http_status: int | None = None
    attempts: int = 0
    name: str | None = field(default=None, repr=False)
    """As the platform last answered; so are `display_name`, `email` and `custom_attributes`."""
    display_name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    custom_attributes: str = field(default="", repr=False)
    """JSON object as text; empty where the platform gave no answer."""
    finished_at: str = ""
    duplicate_of: int | None = None
    """Key of the row that this one repeats, and whose status it takes."""
    wave: int = 0
    """Rows of wave 1 are sent after those of wave 0, and so on."""
    depends_on: int | None = None
    """Key of the row that must give up its e-mail address first."""
    placeholder: str | None = None
    """The temporary address that this user gets, so that an e-mail swap can begin."""
    file: str = ""
    """The file of `source`, filled in when the row is read from the ledger; so is `sheet`."""
    sheet: str = ""

    @property
    def user_id(self) -> int:
        """The user's id as a number; only rows that were understood have one."""
        return int(self.id)

    @property
    def user(self) -> User | None:
        """The user as the platform last answered, secrets among the attributes masked; None without an answer."""
        if not self.custom_attributes:
            return None
        return User(self.user_id, self.name, self.display_name, self.email, from_json(self.custom_attributes))

    @property
    def changes(self) -> tuple[FieldChange, ...]:
        """The changed fields, old and new; the new value of a secret is `***`."""
        old = from_json(self.old or "{}")
        return tuple(FieldChange(name, old.get(name, UNKNOWN), value) for name, value in self.new_values.items())

    @property
    def new_values(self) -> dict[str, Json]:
        """The changed fields, name -> new value; a secret is `***`."""
        return from_json(self.new) if self.new else {}

    @property
    def old_email(self) -> Json:
        """The address that the row changes; None where it changes none, or nobody looked it up."""
        old = from_json(self.old or "{}")
        return old.get("email")

    def with_changes(self, changes: Iterable[FieldChange]) -> Row:
        """Return the row with other changes."""
        changed, old, new = encode_changes(changes)
        return replace(self, changed=changed, old=old, new=new)

    @property
    def was_sent_before(self) -> bool:
        """Whether the row is to be sent once more: the answer was lost, and the user may hold its values in part."""
        return self.status in (Status.PLANNED, Status.NOT_SENT) and self.attempts > 0

    @property
    def reason(self) -> str:
        """Message and note in one text."""
        return "; ".join(part for part in (self.message, self.note) if part)


def encode_changes(changes: Iterable[FieldChange]) -> tuple[str, str, str]:
    """Return the columns `changed`, `old` and `new` of a row; secrets are masked, unknown old values left out."""
    changes = tuple(changes)
    old = {c.field: c.old for c in changes if c.old is not UNKNOWN}
    new = {c.field: MASK if c.field in SECRET_FIELDS else c.new for c in changes}
    return _joined(new), json_text(old), json_text(new)


def _joined(names: Collection[str]) -> str:
    """Join field names with `;`; one in the key of an attribute becomes `\\u003b`, as JSON may write it."""
    joined = ";".join(names)
    if joined.count(";") >= len(names) > 0:
        return ";".join(name.replace(";", "\\u003b") for name in names)
    return joined
