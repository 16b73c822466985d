"""Define the settings for source files, comparison and limits."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt, field_validator

from usersync.models import ATTRIBUTE
from usersync.settings.parsing import FilePath, Section, is_field, nearest_field, usable_file_name

#: What becomes of a cell that looks damaged (#N/A, NULL, JÃ¼rgen): its row is rejected, sent with a note, or sent as
#: any other.
SuspectPolicy = Literal["reject", "note", "accept"]

#: How the rows of a file are matched with users: by their ids; by their e-mail addresses; or by e-mail where a file has
#: no id column.
MatchBy = Literal["auto", "id", "email"]


class SourceSettings(Section):
    """How files are read, where the file itself does not decide."""

    sheet: str | None = None
    header_row: PositiveInt | None = None
    encoding: str | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    quote: Literal['"', "'", "none"] | None = None
    hidden_rows: Literal["reject", "include", "skip"] = "reject"
    #: Hidden columns of a workbook that have a field: reject the rows that hold a value in them, read them like all
    #: others, or leave the columns out. The id column is always read.
    hidden_columns: Literal["reject", "include", "skip"] = "reject"
    duplicates: Literal["reject", "last"] = "reject"
    suspect: SuspectPolicy = "reject"
    match_by: MatchBy = "auto"
    directory: FilePath | None = None
    """A file with the ids and e-mail addresses of users, for rows that are matched by e-mail where the platform's own
    list is not available."""

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
    """How the cells of one field are read."""

    type: FieldType = "text"
    separator: Annotated[str, Field(min_length=1)] = ","
    blank: Literal["keep", "clear", "reject"] = "keep"
    clear: str | None = "#CLEAR"
    trim: bool = True
    case: Literal["keep", "lower", "upper", "title"] = "keep"
    replace: dict[str, str] = Field(default_factory=dict)
    default: str | None = None
    only_if_blank: bool = False
    #: None: as `source.suspect` says.
    suspect: SuspectPolicy | None = None


class Diff(Section):
    """What the desired values are compared with."""

    #: remote, nothing, last-run, or a file's path.
    compare_with: Annotated[str, AfterValidator(usable_file_name)] = "remote"
    #: With last-run or a file: read the users that would change once more before sending.
    verify: bool = False
    #: If others changed a value that usersync wrote or exported: report it and leave it, or overwrite it.
    on_conflict: Literal["report", "overwrite"] = "report"
    #: The temporary address of a user while users swap addresses; `{run}` and `{key}` make it unique. None: such rows
    #: are rejected.
    swap_placeholder: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None


class FieldLimit(Section):
    """Limits on the changes of one field; None: no limit."""

    #: Most users for whom the field may change.
    changes: NonNegativeInt | None = None
    #: The same in percent of the input's rows.
    percent: Annotated[float, Field(ge=0, le=100)] | None = None


class Limits(Section):
    """How much one run may change; if a limit is exceeded, nothing is sent (exit 3). None (`null`) removes a limit.

    A limit that everybody overrides protects nobody: only those that point to an accident are set by default.
    """

    #: Most users that may change. None: how many are too many depends on the platform's size.
    changes: NonNegativeInt | None = None
    #: The same in percent of the input's rows. None: workbooks usually hold nothing but changes.
    changes_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    #: The same for one field. Empty: moving everybody to a new e-mail domain is legitimate; for a nightly file in
    #: which e-mails seldom change, set `email: {percent: 5}`.
    fields: dict[str, FieldLimit] = Field(default_factory=dict)
    #: Most users that may get the same name, or the same password. 20: more than share a name by chance in a workbook,
    #: fewer than a fill-down by mistake reaches.
    same_value: PositiveInt | None = 20
    #: Fewest rows of the input. 1: a workbook of one row is fine, a file without rows is an export that failed.
    min_rows: NonNegativeInt | None = 1
    #: How many more or fewer rows than the last finished run of the same source, in percent of that run's rows. 50: a
    #: nightly file seldom halves. It applies only if the last run had 50 rows or more, so that trying a few rows
    #: before sending all is not refused.
    rows_percent: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 50.0
    #: Refuse a column that is blank throughout and was not at the last run. True: an export that lost a column would
    #: clear it for everybody with `blank: clear`; a first run has nothing to lose.
    blank_column: bool | None = True
    #: Refuse a plan in which many rows (five, and a fifth of those sent) take a name, an e-mail or an attribute such as
    #: a telephone number that another user holds now: a column was shifted by a row, or sorted alone, or the ids are
    #: those of other users. Of an attribute it is a fifth of the rows that have it, or five from the next row.
    shifted: bool | None = True
    #: Refuse a plan in which most rows (five at least) give a user the name and the e-mail of somebody else: the ids
    #: are those of other people.
    identity: bool | None = True
    #: Refuse a source that would change more than ten times the users of any of its last ten runs, and more than 100.
    unusual: bool | None = True
    #: Users that are never changed: ids, or e-mail patterns with `*`.
    protect: tuple[str, ...] = ()

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
