"""Write an empty workbook to fill in, with headings, drop-downs and advice."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.utility import xl_col_to_name
from xlsxwriter.worksheet import Worksheet

from usersync.errors import UsageError
from usersync.loader.template_example import EXAMPLE, EXAMPLE_TEXTS
from usersync.models import ATTRIBUTE, FIELDS
from usersync.settings import FieldSettings

#: The last row of a sheet, from 0.
_LAST_ROW: Final = 1_048_575
#: The largest number of which a spreadsheet keeps every digit.
_LARGEST: Final = 999_999_999_999_999
#: Width of the sheet that explains, in characters.
_ADVICE_WIDTH: Final = 110
#: Characters that Excel takes for a list within a rule; a longer one stands on a sheet of its own.
_LIST_LENGTH: Final = 255
#: Field -> what to write, in the note on its heading.
_ADVICE: Final = {
    "id": "The user's number, as the platform shows it. The column is text, so that long numbers keep all digits.",
    "name": "The full name.",
    "display_name": "The name that others see.",
    "email": "The e-mail address. It belongs to one user.",
    "password": "A new password: 6 to 128 characters, with an upper-case and a lower-case letter, a digit and "
    "a special character such as ! or #. It cannot be undone.",
}
#: Type of an attribute -> what to write.
_TYPE_ADVICE: Final = {
    "text": "Any text.",
    "integer": "A whole number, such as 12.",
    "number": "A number, such as 1.5.",
    "boolean": "true or false.",
    "date": "A date, such as 2026-11-24.",
    "json": 'JSON, such as ["a", "b"] or {"a": 1}.',
    "list": "Several values, with {separator} between them.",
}
#: Setting `blank` of a field -> what a blank cell does.
_BLANK_ADVICE: Final = {
    "keep": "Blank: stays as it is.",
    "clear": "Blank: is cleared.",
    "reject": "Must not be blank.",
}
#: Field or type -> the cell of the example row.
_EXAMPLES: Final = {
    "id": EXAMPLE, **EXAMPLE_TEXTS, "text": "some text",
    "integer": 12, "number": 1.5, "boolean": "true", "date": date(2026, 11, 24), "json": '["a"]',
}  # fmt: skip
#: Type -> the rule for its cells, as XlsxWriter takes it.
_RULES: Final[Mapping[str, Mapping[str, Any]]] = {
    "integer": {"validate": "integer", "criteria": "between", "minimum": -_LARGEST, "maximum": _LARGEST},
    "number": {"validate": "decimal", "criteria": "between", "minimum": -_LARGEST, "maximum": _LARGEST},
    "date": {"validate": "date", "criteria": ">", "value": date(1900, 1, 1)},
}
#: Type -> number format of its cells; all others are text.
_FORMATS: Final = {"integer": "General", "number": "General", "date": "yyyy-mm-dd"}
_HOW_TO: Final = (
    "How to fill in the first sheet",
    "One row is one user. Write the number of the user, and only what is to change.",
    "A blank cell leaves its value as it is, unless the note on its heading says otherwise.",
    "Columns that you do not need may stay blank or be deleted. The headings must stay as they are.",
    f"The grey row, {EXAMPLE}, shows what cells look like. It is left out; you may delete it.",
    "Do not merge cells, and do not hide rows or columns that are to be sent.",
    "Two rows for one user must say the same.",
    "List its mistakes, without sending anything: usersync inspect FILE",
    "Show what would change: usersync plan FILE",
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
        """The texts to choose from; empty where any text may be written."""
        return tuple(self.rules.replace) or (("true", "false") if self.rules.type == "boolean" else ())

    @property
    def kind(self) -> str:
        """The type of the cells; a `replace` map takes any text."""
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
            yield _BLANK_ADVICE[self.rules.blank]
        if self.rules.clear and self.field.startswith(ATTRIBUTE):
            yield f"{self.rules.clear} clears it."
        if self.rules.only_if_blank:
            yield "Is written only where the platform has no value yet."


def write_template(
    path: Path, *, columns: Mapping[str, str], fields: Mapping[str, FieldSettings], sheet: str | None = None
) -> None:
    """Write an .xlsx with a sheet to fill in and one that explains it.

    `columns` maps the author's headings to fields, `fields` says what their cells mean, `sheet` is the name that
    `source.sheet` asks for. Raises UsageError where `path` exists or cannot be written, or the name cannot be used.
    """
    if path.suffix.lower() != ".xlsx":
        raise UsageError(f"{path}: a template is an .xlsx file; name it so")
    try:
        data = _workbook(_columns(columns, fields), sheet or "Changes")
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(f"{path}: the file exists already; name another, or delete it") from None
    except XlsxWriterException as error:
        raise UsageError(f"source.sheet: {sheet!r} cannot be the name of this sheet: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def heading_advice(field: str, rules: FieldSettings) -> str:
    """Return what to write in the cells of a field, in sentences, for the note on its heading."""
    return _Column(field, field, rules).advice


def _columns(columns: Mapping[str, str], fields: Mapping[str, FieldSettings]) -> list[_Column]:
    heading = {name: text for text, name in reversed(list(columns.items()))}
    plain = [name for name in FIELDS if name != "custom_attributes"]
    attributes = [name for name in (*columns.values(), *fields) if name.startswith(ATTRIBUTE)]
    names = dict.fromkeys(["id", *plain, *attributes])
    return [_Column(heading.get(name, name), name, fields.get(name, FieldSettings())) for name in names]


def _workbook(columns: Sequence[_Column], sheet_name: str) -> bytes:
    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet(sheet_name)
        how_to = workbook.add_worksheet("How to")
        sheet.freeze_panes(1, 0)
        for x, column in enumerate(columns):
            _write_column(workbook, sheet, x, column)
        _write_advice(workbook, how_to, columns)
    return file.getvalue()


def _write_column(workbook: Workbook, sheet: Worksheet, x: int, column: _Column) -> None:
    shown = _FORMATS.get(column.kind, "@")
    heading = workbook.add_format({"bold": True, "bg_color": "DDE6F0", "num_format": "@"})
    example = workbook.add_format({"italic": True, "font_color": "808080", "bg_color": "F2F2F2", "num_format": shown})
    sheet.set_column(x, x, max(18, len(column.heading) + 4), workbook.add_format({"num_format": shown}))
    sheet.write_string(0, x, column.heading, heading)
    sheet.write_comment(0, x, column.advice, {"author": "usersync", "width": 320, "height": 110})
    if isinstance(column.example, str):
        sheet.write_string(1, x, column.example, example)
    else:
        sheet.write(1, x, column.example, example)
    rule = _rule(workbook, column)
    if rule:
        sheet.data_validation(1, x, _LAST_ROW, x, rule)


def _rule(workbook: Workbook, column: _Column) -> dict[str, Any]:
    """Return what Excel asks of a column's cells: a question and not a refusal, since `#CLEAR` may be right."""
    if column.choices:
        rule: dict[str, Any] = {"validate": "list", "source": _list_source(workbook, column.choices)}
    elif column.kind in _RULES:
        rule = dict(_RULES[column.kind])
    else:
        return {}
    return rule | {"error_type": "warning", "error_title": column.heading[:32], "error_message": column.advice[:255]}


def _list_source(workbook: Workbook, choices: Sequence[str]) -> list[str] | str:
    """Return the choices, or where they stand on a hidden sheet: a rule has no room for long texts or commas."""
    if len(",".join(choices)) <= _LIST_LENGTH and not any("," in choice or '"' in choice for choice in choices):
        return list(choices)
    sheet = workbook.get_worksheet_by_name("Lists") or workbook.add_worksheet("Lists")
    sheet.hide()
    x = 0 if sheet.dim_colmax is None else sheet.dim_colmax + 1
    for y, choice in enumerate(choices):
        sheet.write_string(y, x, choice)
    letter = xl_col_to_name(x)
    return f"=Lists!${letter}$1:${letter}${len(choices)}"


def _write_advice(workbook: Workbook, sheet: Worksheet, columns: Sequence[_Column]) -> None:
    title = workbook.add_format({"bold": True, "font_size": 14})
    wrapped = workbook.add_format({"text_wrap": True, "valign": "top"})
    sheet.set_column(0, 0, _ADVICE_WIDTH)
    sheet.write_string(0, 0, _HOW_TO[0], title)
    for y, line in enumerate((*_HOW_TO[1:], *(f"{column.heading}: {column.advice}" for column in columns)), 1):
        sheet.set_row(y, 15.0 * -(-len(line) // _ADVICE_WIDTH))  # not every program makes room for wrapped text
        sheet.write_string(y, 0, line, wrapped)
