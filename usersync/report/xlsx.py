"""Write text to a workbook as exactly that text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.worksheet import Worksheet

from usersync.loader.export_base import BASE_SHEET, split_cells


@contextmanager
def open_workbook(file: Path | BinaryIO, folder: Path) -> Iterator[Workbook]:
    """Yield a workbook that is written in constant memory, with temporary files in `folder`. Raises OSError."""
    try:
        with Workbook(file, {"constant_memory": True, "tmpdir": str(folder), "use_zip64": True}) as workbook:
            yield workbook
    except XlsxWriterException as error:
        raise OSError(0, str(error)) from error


class TextSheet(Worksheet):  # type: ignore[misc]
    """A sheet of a workbook that is written in constant memory, so that its text is in its cells."""

    def _xml_rich_inline_string(self, string: str, attributes: Sequence[Any] = ()) -> None:
        """Write a name that reads `<r>...</r>` as a name; XlsxWriter takes it for XML of its own."""
        self._xml_inline_string(string, preserve=True, attributes=attributes)


class BaseSheet:
    """The very hidden sheet with what a workbook held when it was exported (see `usersync.loader.export_base`)."""

    def __init__(self, workbook: Workbook) -> None:
        self._sheet = workbook.add_worksheet(BASE_SHEET, TextSheet)
        self._sheet.very_hidden()

    def write(self, y: int, line: str) -> None:
        """Write a line of the base into row `y`, from 0."""
        for x, text in enumerate(split_cells(line)):
            self._sheet.write_string(y, x, text)


def encodable(text: str) -> str:
    """Replace halves of a character, which no file can hold, with a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
