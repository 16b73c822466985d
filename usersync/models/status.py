"""Define how a row can end: status, code, and who has to act."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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
