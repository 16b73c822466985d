"""Read the sheets of an .ods file, values and cell info in one pass.

calamine is not used: it gives neither error cells nor the digits that a number shows.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from xml.parsers import expat

from usersync.errors import SourceError
from usersync.loader.workbook_cell_info import MAX_COLUMNS, MAX_ROWS, CellInfo, Place, Sheet
from usersync.loader.workbook_package import Package, damaged, protected

#: Cells that repeated rows and columns may come to.
_CELLS: Final = 20_000_000
#: A number as it is shown: before it a plus, letters that end in a dash, or any letters if it begins with a zero; in
#: groups if these have dashes, or it begins with a zero, as thousands do not.
_DIGITS: Final = re.compile(
    r"""-?(\+|[^\d.,%"\s]{1,20}[-_/]|[^\d.,%"(]{1,20}(?=0\d))?"""
    r"""(\d+(?:\.\d+)?%?|\(?0\d*(?:[- ()/]+\d+)+|\d+(?:-\d+)+)""",
    re.ASCII,
)
#: A number with a decimal comma, or with a thousands separator: `12,5%`, `1,234`.
_COMMA: Final = re.compile(r"(-?\d+),(\d{1,15})(%?)", re.ASCII)
#: How an error is shown, in any language: `#REF!`, `#NOM ?`, `#NV`, `Err:502`; but `#CLEAR` is a text.
_ERROR: Final = re.compile(r"#[¡¿]?[^\W\d_a-z][^a-z\n]{0,20}[!?]|#(?:N/A|NV)|Err:\d+")
_DURATION: Final = re.compile(r"(-?)P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?", re.ASCII)
_GROUPS: Final = ("table-row-group", "table-column-group")
_UNSEEN: Final = frozenset({"annotation", "ruby-text", "note", "shapes", "tracked-changes", "table-source"})


def read_sheets(package: Package, file: str) -> list[Sheet]:
    """Read every sheet. Raises SourceError where the file is encrypted, damaged or too large for memory."""
    if "meta-inf/manifest.xml" in package.names and b"encryption-data" in package.read("META-INF/manifest.xml"):
        raise protected(file)
    reader = _Reader(file)
    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(package.read("content.xml"), True)
    except expat.ExpatError as error:
        raise damaged(file, error) from None
    return reader.sheets


class _Reader:
    """Handlers of the XML parser; names are those of the OpenDocument format."""

    def __init__(self, file: str) -> None:
        self.sheets: list[Sheet] = []
        self._file = file
        self._stack: list[str] = []
        self._unseen = 0
        self._sheet: Sheet | None = None
        self._next_row = self._next_column = 0
        self._hidden_styles: set[str] = set()
        self._struck_styles: set[str] = set()
        self._spans: list[bool] = []  # the open ones: whether they are struck through
        self._is_struck: set[bool] = set()  # of the parts of a cell's text
        self._style = ""
        self._groups: list[bool] = []  # the open ones of rows or columns: whether they are folded up
        self._row: dict[str, str] = {}
        self._cells: list[tuple[dict[str, str], str, int]] = []
        self._cell: dict[str, str] | None = None
        self._paragraphs: list[list[str]] = []
        self._cells_read = 0

    def start(self, tag: str, given: dict[str, str]) -> None:
        space, _, name = tag.rpartition(" ")
        parent = self._stack[-1] if self._stack else ""
        self._stack.append(name)
        if self._unseen or name in _UNSEEN or ":drawing:" in space or (name == "table" and parent != "spreadsheet"):
            self._unseen += 1
            return
        if name == "p":
            self._paragraphs.append([])
        elif name in ("table-cell", "covered-table-cell"):
            self._cell, self._paragraphs, self._is_struck = _attributes(given), [], set()
        elif name == "span":
            self._spans.append(_attributes(given).get("style-name") in self._struck_styles)
        elif name in _GROUPS:
            self._groups.append(_attributes(given).get("display") == "false")
        elif name == "table-row":
            self._row, self._cells = _attributes(given), []
        elif name in ("s", "tab", "line-break") and self._paragraphs:
            count = min(_count(_attributes(given).get("c", "1")), 32_767)
            self._paragraphs[-1].append({"s": " " * count, "tab": "\t", "line-break": "\n"}[name])
        elif name == "table-column" and self._sheet:
            self._add_column(self._sheet.info, _attributes(given))
        elif name == "style":
            self._style = _attributes(given).get("name", "")
        elif name == "text-properties" and _attributes(given).get("text-line-through-style", "none") != "none":
            self._struck_styles.add(self._style)
        elif name == "table-properties" and _attributes(given).get("display") == "false":
            self._hidden_styles.add(self._style)
        elif name == "table":
            a = _attributes(given)
            self._sheet = Sheet(a.get("name", ""), is_shown=a.get("style-name") not in self._hidden_styles)
            self._next_row = self._next_column = 0
            self.sheets.append(self._sheet)
        elif name == "database-range" and "display-filter-buttons" in str(given):
            for sheet in self.sheets:
                sheet.info.filtered = True

    def _add_column(self, info: CellInfo, a: dict[str, str]) -> None:
        first = self._next_column
        self._next_column += _count(a.get("number-columns-repeated", "1"))
        if a.get("visibility") in ("collapse", "filter") or any(self._groups):
            info.hidden_columns.update(range(first, min(self._next_column, MAX_COLUMNS)))

    def text(self, text: str) -> None:
        if self._paragraphs and not self._unseen and "p" in self._stack[-8:]:
            self._paragraphs[-1].append(re.sub(r"[ \t\r\n]+", " ", text))
            if text.strip():
                self._is_struck.add(any(self._spans))

    def end(self, tag: str) -> None:
        self._stack.pop()
        if self._unseen:
            self._unseen -= 1
            return
        name = tag.rpartition(" ")[2]
        if name in ("table-cell", "covered-table-cell") and self._cell is not None:
            shown = "\n".join("".join(parts) for parts in self._paragraphs)
            if self._paragraphs and not shown:
                self._cell["shown"] = "blank"
            if len(self._is_struck) > 1:
                self._cell["struck"] = "partly"
            self._cells.append((self._cell, shown, _count(self._cell.get("number-columns-repeated", "1"))))
            self._cell, self._paragraphs = None, []
        elif name == "span":
            self._spans.pop()
        elif name in _GROUPS:
            self._groups.pop()
        elif name == "table-row" and self._sheet:
            self._close_row(self._sheet)
        elif name == "table":
            self._sheet = None

    def _close_row(self, sheet: Sheet) -> None:
        info, first, repeated = sheet.info, self._next_row, _count(self._row.get("number-rows-repeated", "1"))
        self._next_row += repeated
        values, kinds = self._read_cells()
        for column, (a, _) in kinds.items():
            down, right = _count(a.get("number-rows-spanned", "1")), _count(a.get("number-columns-spanned", "1"))
            if down > 1 or right > 1:
                info.merged.append(((first, column), (first + down - 1, column + right - 1)))
        if not values and not any(kind for _, kind in kinds.values()):
            return
        self._cells_read += repeated * max(len(values), 1)
        if self._next_row > MAX_ROWS or len(values) > MAX_COLUMNS or self._cells_read > _CELLS:
            raise SourceError(
                self._file,
                f"sheet {sheet.name!r} repeats its cells as far as row {self._next_row:,}; "
                "delete the empty rows and columns beyond the table",
            )
        visibility = self._row.get("visibility")
        is_struck = any(shown.strip() and a.get("style-name") in self._struck_styles for a, shown, _ in self._cells)
        sheet.rows += [[]] * (first - len(sheet.rows)) + [values] * repeated
        for row in range(first, self._next_row):
            if visibility in ("collapse", "filter") or any(self._groups):
                info.hidden.add(row)
                info.filtered |= visibility == "filter"
            if is_struck:
                info.struck.add(row)
            for column, (_, kind) in kinds.items():
                _record_info(info, (row, column), kind)

    def _read_cells(self) -> tuple[list[Any], dict[int, tuple[dict[str, str], str]]]:
        """Return the values up to the last that is not blank, and by column the cells with info or spans."""
        values: list[Any] = []
        kinds: dict[int, tuple[dict[str, str], str]] = {}
        column = 0
        for a, shown, repeated in self._cells:
            value, kind = _value(a, shown)
            if value != "" or kind:
                count = max(1, min(repeated, MAX_COLUMNS + 1 - column))
                values.extend([""] * (column - len(values)))
                values.extend([value] * count)
                kinds.update((at, (a, kind)) for at in range(column, column + count) if kind)
            if "number-rows-spanned" in a or "number-columns-spanned" in a:
                kinds[column] = (a, kind)
            column = min(column + repeated, MAX_COLUMNS + 1)
        return values, kinds


def _attributes(given: dict[str, str]) -> dict[str, str]:
    """Return attributes by their local names; LibreOffice's own value-type as `calcext`."""
    return {("calcext" if "calcext" in k and k.endswith("type") else k.rpartition(" ")[2]): v for k, v in given.items()}


def _count(text: str) -> int:
    return max(1, min(int(text), 1 << 30)) if text.isascii() and text.isdecimal() and len(text) < 12 else 1


def _value(a: dict[str, str], shown: str) -> tuple[Any, str]:
    """Return the value of a cell and its info.

    That is `!` and an error, `f` and a number format (`;;;` for a number that is shown as a blank cell), `?` for a
    lost result, `-` for a text that is struck in part.
    """
    kind = a.get("value-type", "")
    if a.get("calcext") == "error":
        return "", "!" + (shown or "#ERROR!")
    if "calcext" not in a and _ERROR.fullmatch(shown):  # OpenOffice writes the number 0 for an error
        return "", "!" + shown
    if kind in ("float", "currency", "percentage"):
        value, kind = _number(a.get("value", ""), shown)
        return value, "f;;;" if "shown" in a and not kind else kind
    if kind == "boolean":
        return a.get("boolean-value", "") not in ("", "false", "0"), ""
    if kind == "date":
        return _date(a.get("date-value", ""), shown), ""
    if kind == "time":
        return _time(a.get("time-value", ""), shown), ""
    text = (kind == "string" and a.get("string-value")) or shown
    if not kind and "formula" in a and not shown and "shown" not in a:
        return "", "?"
    return text, "-" if "struck" in a else ""


def _number(text: str, shown: str) -> tuple[Any, str]:
    try:
        value = float(text)
    except ValueError:
        return "", "!" + (shown or "#ERROR!")
    if shown in ("TRUE", "FALSE") and value in (0.0, 1.0):
        return bool(value), ""
    digits = _DIGITS.fullmatch(_with_decimal_point(shown, value))
    if not digits or not (digits[1] or digits[2][0] == "0" or not digits[2].isdecimal()) or shown == "0":
        return value, ""
    before = f'"{digits[1]}"' if digits[1] else ""
    return value, "f" + before + re.sub(r"\d", "0", digits[2]).replace("/", "\\/")


def _with_decimal_point(shown: str, value: float) -> str:
    """Replace the decimal comma of a number as it is shown; 1,234 stays where its value is not 1.234."""
    found = _COMMA.fullmatch(shown)
    if not found:
        return shown
    text = f"{found[1]}.{found[2]}"
    exact = value * 100 if found[3] else value
    return text + found[3] if math.isclose(exact, float(text), abs_tol=10.0 ** -len(found[2])) else shown


def _date(text: str, shown: str) -> date | str:
    try:
        return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    except ValueError:
        return text or shown


def _time(text: str, shown: str) -> time | timedelta | str:
    found = _DURATION.fullmatch(text)
    if not found or len(text) > 40:
        return text or shown
    days, hours, minutes = (int(found[i] or 0) for i in (2, 3, 4))
    seconds = float((found[5] or "0").replace(",", "."))
    try:
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return text
    if found[1] or span >= timedelta(days=1):
        return -span if found[1] else span
    return (datetime(2000, 1, 1) + span).time()


def _record_info(info: CellInfo, place: Place, kind: str) -> None:
    if kind.startswith("!"):
        info.errors[place] = kind[1:]
    elif kind.startswith("f"):
        info.formats[place] = kind[1:]
    elif kind == "-":
        info.partly_struck.add(place)
    elif kind == "?":
        info.unsaved.add(place)
