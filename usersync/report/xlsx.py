"""Write text to a workbook as exactly that text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xlsxwriter.worksheet import Worksheet


class TextSheet(Worksheet):  # type: ignore[misc]
    """A sheet of a workbook that is written in constant memory, so that its text is in its cells."""

    def _xml_rich_inline_string(self, string: str, attributes: Sequence[Any] = ()) -> None:
        """Write a name that reads `<r>...</r>` as a name; XlsxWriter takes it for XML of its own."""
        self._xml_inline_string(string, preserve=True, attributes=attributes)


def encodable(text: str) -> str:
    """Replace halves of a character, which no file can hold, with a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
