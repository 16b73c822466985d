"""Define the settings for source files, comparison and limits."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, field_validator

from usersync.models import ATTRIBUTE
from usersync.settings.parsing import Section, is_field, nearest_field, usable_file_name

#: What becomes of a cell that looks damaged (#N/A, NULL, JÃ¼rgen): its row is rejected, sent with a note, or sent as
#: any other.
SuspectPolicy = Literal["reject", "note", "accept"]


class SourceSettings(Section):
    """How files are to be understood where they do not say it themselves."""

    sheet: str | None = None
    header_row: PositiveInt | None = None
    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quote: Literal['"', "'", "none"] | None = None
    hidden_rows: Literal["reject", "include", "skip"] = "reject"
    hidden_columns: Literal["reject", "include", "skip"] = "reject"
    """Hidden columns of a workbook that have a field: reject the rows that hold a value in them, read them like all
    others, or leave the columns out. The id column is always read."""
    duplicates: Literal["reject", "last"] = "reject"
    suspect: SuspectPolicy = "reject"

    @field_validator("delimiter", mode="before")
    @classmethod
    def _tab_by_name(cls, text: object) -> object:
        return "\t" if text in ("tab", "\\t") else text

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                "".encode(name)
            except LookupError:
                raise ValueError(f"Python knows no encoding named {name}") from None
        return name


FieldType = Literal["text", "integer", "number", "boolean", "date", "json", "list"]


class FieldSettings(Section):
    """What the cells of one field mean."""

    type: FieldType = "text"
    separator: str = ","
    blank: Literal["keep", "clear", "reject"] = "keep"
    clear: str | None = "#CLEAR"
    trim: bool = True
    case: Literal["keep", "lower", "upper", "title"] = "keep"
    replace: dict[str, str] = Field(default_factory=dict)
    default: str | None = None
    only_if_blank: bool = False
    suspect: SuspectPolicy | None = None
    """None: as `source.suspect` says."""


class Diff(Section):
    """What the wanted values are compared with."""

    compare_with: Annotated[str, AfterValidator(usable_file_name)] = "remote"
    """remote, nothing, last-run, or a file's path."""
    verify: bool = False
    """With last-run or a file: read the users that would change once more before."""
    on_conflict: Literal["report", "overwrite"] = "report"
    """Where a person changed what we wrote earlier: leave it and say so, or write over it."""
    swap_placeholder: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """The address that a user gets for a moment where users exchange addresses in a ring; `{run}` and `{key}`
    make it unique. None: such rows are rejected."""


class FieldLimit(Section):
    """Limits on the changes of one field; None where there is none."""

    changes: NonNegativeInt | None = None
    """Most users for whom the field may change."""
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """The same as a share of the input's rows."""


class Limits(Section):
    """How much one run may change; beyond it nothing is sent (exit 3). None (`null`) lifts a limit.

    A limit that everybody overrides protects nobody: by default only those stand that speak of accidents.
    """

    changes: NonNegativeInt | None = None
    """Most users who may be changed. None: how many are too many depends on the platform's size."""
    changes_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """The same as a share of the input's rows. None: a workbook of nothing but changes is the usual one."""
    fields: dict[str, FieldLimit] = Field(default_factory=dict)
    """The same for one field. Empty: moving everybody to a new e-mail domain is an honest job; a nightly file
    in which e-mails seldom change does well to set `email: {percent: 5}`."""
    same_value: PositiveInt | None = 20
    """Most users who may get the same name, or the same password. 20: more than share a name by chance in a
    workbook, fewer than a fill-down by mistake reaches."""
    min_rows: NonNegativeInt | None = None
    """Fewest rows of the input. None: one row is a fine workbook; an export that broke off is not."""
    rows_percent: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 50.0
    """How much smaller or larger than at the last finished run of the same source, in percent of that run's
    rows. 50: a nightly file seldom halves. It holds only where the last run had 50 rows or more, so that
    trying a few rows before sending all is not refused."""
    blank_column: bool = True
    """Refuse a column that is blank throughout and was not at the last run. True: an export that lost a column
    would clear it for everybody where `blank: clear` is set; a first run has nothing to lose."""
    shifted: bool | None = True
    """Refuse a plan in which many rows (five, and a fifth of those sent) take a name or an e-mail that another user
    of them holds now: a column was shifted by a row, or sorted alone."""
    identity: bool | None = True
    """Refuse a plan in which most rows (five at least) give a user the name and the e-mail of somebody else: the ids
    are those of other people."""
    protect: tuple[str, ...] = ()
    """Users who are never sent: ids, or e-mail patterns with `*`."""

    @field_validator("fields")
    @classmethod
    def _single_fields(cls, fields: dict[str, FieldLimit]) -> dict[str, FieldLimit]:
        wrong = [f"{name} is not a field{nearest_field(name)}" for name in fields if not is_field(name)]
        if "custom_attributes" in fields:
            wrong.append(f"attributes are limited one by one, as {ATTRIBUTE}seats")
        if wrong:
            raise ValueError("; ".join(wrong))
        return fields

    @field_validator("protect", mode="before")
    @classmethod
    def _ids_and_patterns(cls, entries: object) -> object:
        if not isinstance(entries, list | tuple):
            return entries
        texts = tuple("" if isinstance(e, bool | None) else str(e).strip() for e in entries)
        wrong = [e for e, t in zip(entries, texts, strict=True) if not re.fullmatch(r"[0-9]+|\S*[@*]\S*", t)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}: write an id, or an e-mail pattern like *@example.org")
        return texts
