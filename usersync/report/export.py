"""Write users as a workbook or CSV to edit and run again, never over another file.

Users come one by one and in the order of their ids, and are not kept: memory does not grow with them.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from usersync.errors import UsageError
from usersync.loader.export_base import BaseEncoder, base_path
from usersync.report.export_columns import ExportColumn, UserTexts
from usersync.report.template import heading_advice
from usersync.report.xlsx import BaseSheet, TextSheet, open_workbook
from usersync.settings import FieldSettings

#: Stands for standard output.
STDOUT: Final = "-"
#: Users that a workbook has room for: its hidden sheet needs two rows more than they are.
MOST_USERS: Final = 1_048_574
#: Characters of a cell, at most.
_CELL: Final = 32_767
#: Field -> width of its column, in characters.
_WIDTHS: Final = {"id": 12, "name": 28, "display_name": 20, "email": 34}
_ATTRIBUTE_WIDTH: Final = 22
_NOTE: Final = "Only cells that you change are sent; all others are left alone."


@dataclass(frozen=True, slots=True)
class ExportHead:
    """What an export says of itself."""

    platform: str
    exported_at: str
    columns: Sequence[ExportColumn]
    fields: Mapping[str, FieldSettings]
    """The settings of fields, for the notes on headings."""

    @property
    def headings(self) -> list[str]:
        """The headings of all columns, the id first."""
        return ["id", *(column.heading for column in self.columns)]

    def base_line(self, encoder: BaseEncoder, *, is_escaped: bool) -> str:
        """Encode the first line of the base."""
        names = [column.field for column in self.columns]
        return encoder.head(self.platform, self.exported_at, names, is_escaped=is_escaped)


def export_files(target: str) -> tuple[Path, ...]:
    """Return the files that an export to `target` creates: the file itself, and the base beside a CSV.

    Raises UsageError where one is there already, or where the file's name says neither .xlsx nor .csv.
    """
    if target == STDOUT:
        return ()
    path = Path(target)
    if path.suffix.lower() not in (".xlsx", ".csv"):
        raise UsageError(f"{path}: an export is an .xlsx or a .csv file; name it so")
    files = (path,) if path.suffix.lower() == ".xlsx" else (path, base_path(path))
    for file in files:
        if file.exists():
            raise UsageError(f"{file}: the file exists already; name another, or delete it")
    return files


def write_export(target: str, users: Iterable[UserTexts], head: ExportHead) -> int:
    """Write the files of an export; returns the number of users.

    Raises UsageError where a file exists already or cannot be written; nothing is left of half an export.
    """
    files = export_files(target)
    if not files:
        return _write_stdout(users, head)
    try:
        with ExitStack() as stack:
            created = [stack.enter_context(_created(file)) for file in files]
            if len(created) == 1:
                return _write_workbook(created[0], files[0].absolute().parent, users, head)
            created[0].write("\ufeff".encode())  # by which Excel knows UTF-8
            texts = [stack.enter_context(io.TextIOWrapper(file, "utf-8", newline="")) for file in created]
            return _write_csv(texts[0], texts[1], users, head)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}; name another file") from None


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """Create a file, and delete it where writing fails. Raises UsageError where it exists."""
    try:
        file = path.open("xb")
    except FileExistsError:
        raise UsageError(f"{path}: the file exists already; name another, or delete it") from None
    try:
        with file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_stdout(users: Iterable[UserTexts], head: ExportHead) -> int:
    file = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="", write_through=True)
    try:
        return _write_csv(file, None, users, head)
    finally:
        file.detach()


def _write_csv(file: TextIO, base: TextIO | None, users: Iterable[UserTexts], head: ExportHead) -> int:
    """Write users as CSV, and what its cells held as JSON into `base`; returns how many there are.

    Texts that a spreadsheet would run as a formula are guarded. Raises OSError.
    """
    encoder = BaseEncoder()
    writer = csv.writer(file)
    writer.writerow(head.headings)
    if base:
        base.write(f"[{head.base_line(encoder, is_escaped=True)}")
    count = 0
    for user in users:
        count += 1
        writer.writerow([user.id, *(cell.guarded for cell in user.cells)])
        if base:
            base.write(f",\n{encoder.user(user.id, [cell.text for cell in user.cells])}")
    if base:
        base.write(f",\n{encoder.end()}]\n")
    return count


def _write_workbook(file: BinaryIO, folder: Path, users: Iterable[UserTexts], head: ExportHead) -> int:
    """Write users as an .xlsx, which carries what it held on a very hidden sheet; returns how many there are.

    `folder` takes temporary files. Raises UsageError for more users than a sheet has rows, and OSError.
    """
    with open_workbook(file, folder) as workbook:
        return _Sheets(workbook, head).write(users)


class _Sheets:
    """The sheet to edit, and the hidden one."""

    def __init__(self, workbook: Workbook, head: ExportHead) -> None:
        self._users: Worksheet = workbook.add_worksheet("Users", TextSheet)
        self._base = BaseSheet(workbook)
        self._head = head
        self._encoder = BaseEncoder()
        self._text = workbook.add_format({"num_format": "@"})  # what is typed here next stays as it is typed
        self._heading = workbook.add_format({"bold": True, "bg_color": "DDE6F0", "num_format": "@"})

    def write(self, users: Iterable[UserTexts]) -> int:
        self._write_headings()
        self._base.write(0, self._head.base_line(self._encoder, is_escaped=False))
        count = 0
        for count, user in enumerate(users, 1):
            if count > MOST_USERS:
                raise UsageError(f"more than {MOST_USERS:,} users, which no sheet has room for; export them as .csv")
            self._write_user(count, user)
        self._base.write(count + 1, self._encoder.end())
        self._users.freeze_panes(1, 1)
        self._users.autofilter(0, 0, count, len(self._head.columns))
        self._users.ignore_errors({"number_stored_as_text": f"A1:XFD{count + 1}"})
        return count

    def _write_headings(self) -> None:
        names = ["id", *(column.field for column in self._head.columns)]
        for x, (name, heading) in enumerate(zip(names, self._head.headings, strict=True)):
            width = max(_WIDTHS.get(name, _ATTRIBUTE_WIDTH), len(heading) + 4)
            self._users.set_column(x, x, width, self._text)
            self._users.write_string(0, x, heading, self._heading)
            advice = heading_advice(name, self._head.fields.get(name, FieldSettings()))
            note = advice if name == "id" else f"{advice} {_NOTE}"
            self._users.write_comment(0, x, note, {"author": "usersync", "width": 320, "height": 110})

    def _write_user(self, y: int, user: UserTexts) -> None:
        self._users.write_string(y, 0, str(user.id), self._text)
        held: list[str | None] = []
        for x, cell in enumerate(user.cells, 1):
            fits = not cell.text or _length(cell.text) <= _CELL
            held.append(cell.text if fits else None)
            if cell.text and fits:
                self._users.write_string(y, x, cell.text, self._text)
        self._base.write(y, self._encoder.user(user.id, held))


def _length(text: str) -> int:
    """Return the length that a spreadsheet counts, in units of UTF-16."""
    return len(text) + sum(letter > "\uffff" for letter in text)
