"""Say why no header was found in a text file, and what to do about it."""

from __future__ import annotations

from usersync.loader.csv_parser import DELIMITERS
from usersync.loader.headings import Headings
from usersync.settings import SourceSettings

#: Records among which the header is looked for.
TOP = 100
#: Characters that may separate cells, but are not tried unless the settings name them.
_OTHER_DELIMITERS = ":^~\x01\x1f"
#: What other files begin with, in lower case.
_OTHER_FILES = {
    "<": "a web page or XML",
    "{\\rtf": "formatted text (RTF)",
    "{": "JSON",
    "[{": "JSON",
    "%pdf": "a PDF",
    "mime-version:": "a web archive (MHTML)",
}
#: Characters of a line that are looked at.
_LONGEST = 10_000


def explain_missing_header(data: bytes, start: int, headings: Headings) -> str:
    """Return a sentence if the lines have headings in another form; "" if not."""
    head = data[start : start + TOP * _LONGEST].decode("utf-8", "replace")
    beginning = "".join(head[:1000].split()).lower()
    for sign, kind in _OTHER_FILES.items():
        if beginning.startswith(sign):
            return f"the file is {kind}, not a table; export it again as .csv or .xlsx"
    lines = head.splitlines()[:TOP]
    for number, line in enumerate(lines, 1):
        text = line.strip()[:_LONGEST]
        for delimiter in DELIMITERS:
            if text[:1] == text[-1:] == '"' and headings.splits_into_header(text[1:-1], delimiter):
                return (
                    f"row {number} is one quoted cell that holds all headings; write the file again with quotes "
                    "around single cells, or none"
                )
        for delimiter in _OTHER_DELIMITERS:
            if headings.splits_into_header(text, delimiter):
                return f"row {number} has an id column if {delimiter!r} separates cells; set source.delimiter to it"
    return ""


def no_header(options: SourceSettings) -> str:
    """Return the message for a file without any hint at a header."""
    if options.header_row:
        return (
            f"row {options.header_row} has no id column; set source.header_row to the row of the headings, "
            "or map one of them under columns: {Your heading: id}"
        )
    return (
        f"none of the first {TOP} rows has an id column; name the column id, "
        "or map its heading under columns: {Your heading: id}"
    )
