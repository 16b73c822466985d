"""Settings in, an empty workbook out for the people who fill it in, with headings, drop-downs and advice."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from usersync.errors import UsageError
from usersync.models import ATTRIBUTE, FIELDS
from usersync.settings import FieldSettings

EXAMPLE: Final = "EXAMPLE"
"""The id of the example row, which the loader leaves out."""
_LAST_ROW: Final = 1_048_576
_WHOLE: Final = "999999999999999"
"""The largest number of which a spreadsheet keeps every digit."""
_LIST_LENGTH: Final = 255
"""Characters that Excel takes for a list within a rule; a longer one stands on a sheet of its own."""
_ADVICE: Final = {
    "id": "The user's number, as the platform shows it. The column is text, so that long numbers keep all digits.",
    "name": "The full name.",
    "display_name": "The name that others see.",
    "email": "The e-mail address. It belongs to one user.",
    "password": "A new password: 6 to 128 characters, with an upper-case and a lower-case letter, a digit and "
    "a special character such as ! or #. It cannot be put back.",
}
_TYPE_ADVICE: Final = {
    "text": "Any text.",
    "integer": "A whole number, such as 12.",
    "number": "A number, such as 1.5.",
    "boolean": "true or false.",
    "date": "A date, such as 2026-11-24.",
    "json": 'JSON, such as ["a", "b"] or {"a": 1}.',
    "list": "Several values, with {separator} between them.",
}
_EXAMPLES: Final = {
    "id": EXAMPLE, "name": "Ann Jones", "display_name": "Ann", "email": "ann@example.org", "text": "some text",
    "integer": 12, "number": 1.5, "boolean": "true", "date": date(2026, 11, 24), "json": '["a"]',
}  # fmt: skip
_RULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "integer": {"type": "whole", "operator": "between", "formula1": f"-{_WHOLE}", "formula2": _WHOLE},
    "number": {"type": "decimal", "operator": "between", "formula1": f"-{_WHOLE}", "formula2": _WHOLE},
    "date": {"type": "date", "operator": "greaterThan", "formula1": "0"},
}
_FORMATS: Final = {"integer": "General", "number": "General", "date": "yyyy-mm-dd"}
_HOW_TO: Final = (
    "How to fill in the first sheet",
    "One row is one user. Write the number of the user, and only what is to change.",
    "A blank cell leaves its value as it is, unless the note on its heading says otherwise.",
    "Columns that you do not need may stay blank, be hidden or be deleted. The headings must stay as they are.",
    f"The grey row, {EXAMPLE}, shows what cells look like. It is left out; you may delete it.",
    "Do not merge cells, and do not hide rows that are to be sent.",
    "Two rows for one user must say the same.",
    "See what is wrong in it, without sending anything: usersync inspect FILE",
    "See what would change: usersync plan FILE",
    "Change it: usersync run FILE",
    "Rows that were not sent come back in a file named rejects, with the reason: correct them there, and run it.",
    "The columns:",
)


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    field: str
    rules: FieldSettings

    @property
    def choices(self) -> Sequence[str]:
        """What may be chosen from a list; nothing where any text may be written."""
        return tuple(self.rules.replace) or (("true", "false") if self.rules.type == "boolean" else ())

    @property
    def kind(self) -> str:
        """The type, if cells are typed in as such; a `replace` map takes any text."""
        return "text" if self.rules.replace else self.rules.type

    @property
    def example(self) -> object:
        """What the example row shows; no password, which somebody would send."""
        if self.choices:
            return self.choices[0]
        if self.kind == "list":
            return f"a{self.rules.separator}b"
        return _EXAMPLES.get(self.field) or (_EXAMPLES[self.kind] if self.field.startswith(ATTRIBUTE) else None)

    @property
    def advice(self) -> str:
        """What to write, in sentences."""
        return " ".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        if self.rules.replace:
            yield f"One of: {', '.join(self.choices)}."
        else:
            text = _TYPE_ADVICE[self.kind].format_map({"separator": self.rules.separator})
            yield _ADVICE.get(self.field, text)
        if self.field == "id":
            return
        if self.rules.default is not None:
            yield f"Blank: {self.rules.default}."
        else:
            yield {"keep": "Blank: stays as it is.", "clear": "Blank: is cleared.", "reject": "Never blank."}[
                self.rules.blank
            ]
        if self.rules.clear and self.field.startswith(ATTRIBUTE):
            yield f"{self.rules.clear} clears it."
        if self.rules.only_if_blank:
            yield "Is written only where the platform has no value yet."


def write_template(
    path: Path, *, columns: Mapping[str, str], fields: Mapping[str, FieldSettings], sheet: str | None = None
) -> None:
    """Write an .xlsx with a sheet to fill in and one that explains it.

    `columns` maps the author's headings to fields, `fields` says what their cells mean, `sheet` is the name that
    `source.sheet` asks for. Raises UsageError where `path` exists, or cannot be written.
    """
    if path.suffix.lower() != ".xlsx":
        raise UsageError(f"{path}: a template is an .xlsx; name it so")
    data = _workbook(_columns(columns, fields), sheet or "Changes")
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(f"{path}: there is such a file already; name another, or delete it") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def _columns(columns: Mapping[str, str], fields: Mapping[str, FieldSettings]) -> list[_Column]:
    heading = {name: text for text, name in reversed(list(columns.items()))}
    plain = [name for name in FIELDS if name != "custom_attributes"]
    attributes = [name for name in (*columns.values(), *fields) if name.startswith(ATTRIBUTE)]
    names = dict.fromkeys(["id", *plain, *attributes])
    return [_Column(heading.get(name, name), name, fields.get(name, FieldSettings())) for name in names]


def _workbook(columns: Sequence[_Column], name: str) -> bytes:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font

    book = Workbook()
    sheet: Any = book.active
    sheet.title = name
    sheet.freeze_panes = "A2"
    how_to: Any = book.create_sheet("How to")
    for number, column in enumerate(columns, 1):
        _fill(book, sheet, number, column)
    how_to.column_dimensions["A"].width = 110
    for line in (*_HOW_TO, *(f"{column.heading}: {column.advice}" for column in columns)):
        how_to.append([line])
        how_to.cell(how_to.max_row, 1).data_type = "s"
        how_to.cell(how_to.max_row, 1).alignment = Alignment(wrap_text=True)
    how_to["A1"].font = Font("Calibri", 14, bold=True)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _fill(book: Any, sheet: Any, number: int, column: _Column) -> None:
    from openpyxl.comments import Comment
    from openpyxl.styles import Font, PatternFill
    from openpyxl.utils import get_column_letter

    letter = get_column_letter(number)
    shown = _FORMATS.get(column.kind, "@")
    sheet.column_dimensions[letter].width = max(18, len(column.heading) + 4)
    sheet.column_dimensions[letter].number_format = shown
    head, example = sheet.cell(1, number, column.heading), sheet.cell(2, number, column.example)
    head.data_type, head.number_format = "s", "@"
    head.font, head.fill = Font("Calibri", 11, bold=True), PatternFill("solid", fgColor="DDE6F0")
    head.comment = Comment(column.advice, "usersync", width=320, height=110)
    example.number_format = shown
    example.font = Font("Calibri", 11, italic=True, color="808080")
    example.fill = PatternFill("solid", fgColor="F2F2F2")
    rule = _rule(book, column)
    if rule:
        sheet.add_data_validation(rule)
        rule.add(f"{letter}2:{letter}{_LAST_ROW}")


def _rule(book: Any, column: _Column) -> Any:
    """Give what Excel asks of a column's cells: a question and not a refusal, since `#CLEAR` may be right."""
    from openpyxl.worksheet.datavalidation import DataValidation

    if column.choices:
        rule = DataValidation("list", formula1=_list(book, column.choices))
    elif column.kind in _RULES:
        rule = DataValidation(**_RULES[column.kind])
    else:
        return None
    rule.allow_blank, rule.errorStyle, rule.showErrorMessage = True, "warning", True
    rule.errorTitle, rule.error = column.heading[:32], column.advice[:255]
    return rule


def _list(book: Any, choices: Sequence[str]) -> str:
    joined = ",".join(choices)
    if len(joined) <= _LIST_LENGTH and '"' not in joined and joined.count(",") == len(choices) - 1:
        return f'"{joined}"'
    sheet = book["Lists"] if "Lists" in book.sheetnames else book.create_sheet("Lists")
    sheet.sheet_state = "hidden"
    number = sheet.max_column + 1
    for row, choice in enumerate(choices, 1):
        sheet.cell(row, number, choice).data_type = "s"
    name = sheet.cell(1, number).column_letter
    return f"Lists!${name}$1:${name}${len(choices)}"
