"""Define the values that pass between the stages of a run.

A row carries its *key*, its position in the input, through all of them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pandas import DataFrame

#: Whatever `json.loads` returns.
Json = Any
#: What rows come from: files, addresses as text (`s3://...`), DataFrames; one, or several for one run.
Files: TypeAlias = "str | Path | DataFrame | Sequence[str | Path | DataFrame]"

FIELDS: Final = ("name", "display_name", "email", "password", "custom_attributes")
#: A column with new addresses; the column `email` then only says who is meant.
NEW_EMAIL: Final = "new_email"
#: Before a key, the name of one attribute's field: `custom_attributes.seats`.
ATTRIBUTE: Final = "custom_attributes."


class Unknown:
    """The old value of a field that nobody looked up."""

    def __repr__(self) -> str:
        return "UNKNOWN"


class Clear:
    """A desired value: set the attribute to null."""

    def __repr__(self) -> str:
        return "CLEAR"


#: Fields whose values are never shown, logged or stored.
SECRET_FIELDS: Final = frozenset({"password"})
#: Stands for the value of a secret field.
MASK: Final = "***"

UNKNOWN: Final = Unknown()
CLEAR: Final = Clear()


class Status(StrEnum):
    """The status of a row; every row ends in exactly one of the first eight.

    `sending`, `parked` and `reverting` are states that a row passes through; they stay in the ledger only where a run
    was interrupted, and are reported as `unknown` or `not-sent`. A row that `--limit` leaves out is `left-out` until
    its plan is complete, and then deleted.
    """

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    PLANNED = "planned"
    NOT_SENT = "not-sent"
    SENDING = "sending"
    PARKED = "parked"
    REVERTING = "reverting"
    LEFT_OUT = "left-out"

    @property
    def needs_attention(self) -> bool:
        """Whether somebody has to look at the row: exit code 1, reasons in the summary and the notifications."""
        return self in (Status.REJECTED, Status.FAILED, Status.CONFLICT, Status.UNKNOWN)


class Owner(StrEnum):
    """Who has to act on a row (the column `who`)."""

    SHEET = "sheet"
    PERMISSION = "permission"
    PLATFORM = "platform"
    NOBODY = "nobody"


class Code(StrEnum):
    """Why a row did not go through, in one word."""

    ID_MISSING = "id-missing"
    ID_INVALID = "id-invalid"
    ID_DAMAGED = "id-damaged"
    DUPLICATE = "duplicate"
    EMAIL_INVALID = "email-invalid"
    EMAIL_CLAIMED = "email-claimed"
    PASSWORD_WEAK = "password-weak"  # noqa: S105 - the code, not a password
    JSON_INVALID = "json-invalid"
    TYPE_INVALID = "type-invalid"
    NAME_BLANK = "name-blank"
    CELL_ERROR = "cell-error"
    FORMULA_UNSAVED = "formula-unsaved"
    ROW_RAGGED = "row-ragged"
    ROW_HIDDEN = "row-hidden"
    ENCODING = "encoding"
    NOTHING_TO_DO = "nothing-to-do"
    VALUE_SUSPECT = "value-suspect"
    NO_MATCH = "no-match"
    ID_MISMATCH = "id-mismatch"
    NOT_FOUND = "not-found"
    NOT_PERMITTED = "not-permitted"
    REFUSED = "refused"
    THROTTLED = "throttled"
    PLATFORM_ERROR = "platform-error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    ECHO_DIFFERS = "echo-differs"
    STALE = "stale"
    PROTECTED = "protected"
    BLOCKED_BY = "blocked-by"
    SWAP_CYCLE = "swap-cycle"


#: Code -> who has to act on it; on all others, the author of the sheet.
OWNERS: Final = {
    Code.NOT_PERMITTED: Owner.PERMISSION,
    Code.STALE: Owner.NOBODY,
    **dict.fromkeys(
        (Code.THROTTLED, Code.PLATFORM_ERROR, Code.TIMEOUT, Code.CONNECTION, Code.ECHO_DIFFERS), Owner.PLATFORM
    ),
}


def owner_of(code: str) -> Owner:
    """Return who has to act on a row with `code`; nobody where there is none."""
    return OWNERS.get(Code(code), Owner.SHEET) if code else Owner.NOBODY


#: How the message of a row begins whose user the platform answered with other values than those that were sent.
ALTERED: Final = "the platform answered 200 but holds another value of "
#: Characters of a faulty value that a sentence quotes.
VALUE_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one row may not be sent. A row may have many."""

    key: int
    code: Code
    message: str
    """What is wrong and what to do next; never a secret."""
    column: str = ""
    """The heading as its author wrote it; empty when the whole row is meant."""
    value: str = ""
    """The cell as seen; `***` for a password."""

    def sentence(self) -> str:
        """Name the column and its value, where one column is meant, and what is wrong."""
        if not self.column:
            return self.message
        value = self.value if len(self.value) <= VALUE_SHOWN else f"{self.value[: VALUE_SHOWN - 1]}…"
        return f"{self.column} '{value}': {self.message}" if value else f"{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands."""

    file: str
    sheet: str
    row: int
    name: str = ""
    """Whom the row is about: a name or an e-mail address, where one is known."""


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """All problems of one kind: how many, and the first few."""

    code: str
    count: int
    first: tuple[tuple[Place, Problem], ...]

    def as_json(self) -> Json:
        """Return the group as summaries have it."""
        first = [
            {**asdict(place), "column": p.column, "value": p.value, "message": p.message} for place, p in self.first
        ]
        return {"code": self.code, "count": self.count, "first": first}


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


#: Writes a JSON value as compact text.
json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


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


@dataclass(frozen=True, slots=True)
class TimeSlice:
    """What the dispatcher measured in one slice of a run; slices follow each other without gaps."""

    at: float
    """Start of the slice, in seconds since the run began."""
    seconds: float
    """How long the slice is."""
    requests: int
    throttled: int
    """Requests answered with 429."""
    errors: int
    """Requests without an answer, or with a 5xx."""
    rate: float | None
    """Requests per second that were allowed at the slice's end; None: no limit."""
    median: float | None
    """Seconds to an answer, half of the requests; None where there were none. So is `slowest`."""
    slowest: float | None
    """Seconds to an answer, 95 % of the requests."""
