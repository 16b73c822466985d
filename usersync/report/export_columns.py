"""Choose the columns and the users of an export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from usersync.errors import UsageError
from usersync.formulas import escape_formula
from usersync.loader.headings import Headings
from usersync.loader.row_filter import list_values, split_condition
from usersync.models import ATTRIBUTE, User, value_of
from usersync.report.xlsx import encodable
from usersync.values import cell_text

#: The fields that every user has.
_FIELDS = ("name", "display_name", "email")


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column: its field, and the heading that means this field when the file comes back."""

    field: str
    heading: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell holds."""

    text: str | None
    """None: the cell is blank although the user may hold a value."""
    is_text: bool = True
    """Whether the user holds a text, not a number, a list or the like."""

    @property
    def guarded(self) -> str:
        """The text for a CSV file, where it is no formula that a spreadsheet would run."""
        return escape_formula(self.text or "") if self.is_text else self.text or ""


@dataclass(frozen=True, slots=True)
class UserTexts:
    """The cells of one user, in the order of the columns."""

    id: int
    cells: tuple[Cell, ...]


def all_columns(attribute_keys: Iterable[str], columns: Mapping[str, str]) -> tuple[list[ExportColumn], list[str]]:
    """Return the columns for these attributes, and notes on attributes that no heading can name.

    `columns` are the settings: where they give a field's own name another meaning, its author's heading is taken.
    """
    headings = Headings(columns)
    found = []
    notes = []
    for name in (*_FIELDS, *(f"{ATTRIBUTE}{key}" for key in sorted(attribute_keys))):
        spellings = [name, *(heading for heading, meaning in columns.items() if meaning == name)]
        heading = next((text for text in spellings if headings.fields([text]) == [name]), None)
        if heading is None:
            notes.append(f"left out {name!r}: no heading can mean it")
        else:
            found.append(ExportColumn(name, heading))
    return found, notes


def choose_columns(columns: Sequence[ExportColumn], asked: Sequence[str]) -> list[ExportColumn]:
    """Return the columns that were asked for, in that order; `custom_attributes` stands for all attributes.

    Raises UsageError for one that no user has.
    """
    chosen: dict[str, ExportColumn] = {}
    for name in (text.strip() for text in asked):
        if name != "id":
            chosen.update((column.field, column) for column in _named(columns, name, "--columns"))
    return list(chosen.values())


def find_conditions(columns: Sequence[ExportColumn], where: Sequence[str]) -> list[tuple[str, str]]:
    """Return field and value of each `COLUMN=VALUE`. Raises UsageError."""
    found = []
    for condition in where:
        name, value = split_condition(
            condition, lambda text: text.strip() == "id" or bool(_fitting(columns, text.strip()))
        )
        if name.strip() == "id":
            found.append(("id", value))
            continue
        found.extend((column.field, value) for column in _named(columns, name.strip(), "--where"))
    return found


def require_users(users: Callable[[], Iterable[tuple[User, bool]]], where: Sequence[tuple[str, str]]) -> None:
    """Raise UsageError where no user fulfils one of the conditions, and list the values that there are."""
    for name, value in where:
        held = Counter(_value_text(user, name) for user, _ in users())
        if held and value not in held:
            del held[""]
            values = list_values(held, none="nobody has any")
            raise UsageError(f"--where {name}={value}: no user has this value; {values}")


def _named(columns: Sequence[ExportColumn], name: str, option: str) -> list[ExportColumn]:
    if option == "--columns" and name == ATTRIBUTE.rstrip("."):
        return [column for column in columns if column.field.startswith(ATTRIBUTE)]
    found = _fitting(columns, name)
    if not found:
        known = ", ".join(["id", *(column.field for column in columns)])
        raise UsageError(f"{option} {name}: no such column; the columns are {known}")
    return found[:1]


def _fitting(columns: Sequence[ExportColumn], name: str) -> list[ExportColumn]:
    meant = Headings().field(name)
    return [c for c in columns if name in (c.field, c.heading)] or [c for c in columns if c.field == meant]


def user_texts(
    users: Iterable[tuple[User, bool]], columns: Sequence[ExportColumn], where: Sequence[tuple[str, str]]
) -> Iterator[UserTexts]:
    """Return the cells of the users for whom every condition holds; each user comes with whether its display name
    is known.
    """  # fmt: skip
    for user, knows_display_name in users:
        if all(_value_text(user, name) == value for name, value in where):
            cells = (_cell(user, column.field, knows_display_name=knows_display_name) for column in columns)
            yield UserTexts(user.id, tuple(cells))


def _cell(user: User, name: str, *, knows_display_name: bool) -> Cell:
    if name == "display_name" and not knows_display_name:
        return Cell(None)
    value = value_of(user, name)
    return Cell(encodable(cell_text(value)), is_text=value is None or isinstance(value, str))


def _value_text(user: User, name: str) -> str:
    return str(user.id) if name == "id" else cell_text(value_of(user, name)).strip()
