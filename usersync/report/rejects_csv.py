"""Write rejects as a text file in the dialect and encoding of its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from usersync.report.columns import escape_formula
from usersync.report.rejects_rows import ROW, WHY, Layout, Reject


def write_text(
    layout: Layout, header_row: int, dialect: Mapping[str, str], home: Path, rejects: Sequence[Reject]
) -> Path:
    """Write the file below `home`, with two columns more than its source has."""
    path, encoding = home / "rejects.csv", dialect["encoding"]
    marked = dialect["why"].startswith("byte-order mark") and encoding in ("utf-16-be", "utf-32-be")
    try:
        with path.open("w", encoding=encoding, newline="") as file:
            file.write("\ufeff" * marked)
            file.writelines(_text_lines(layout, header_row, dialect, rejects))
    except UnicodeEncodeError:
        return write_text(layout, header_row, {**dialect, "encoding": "utf-8-sig"}, home, rejects)
    return path


def _text_lines(
    layout: Layout, header_row: int, dialect: Mapping[str, str], rejects: Iterable[Reject]
) -> Iterator[str]:
    end = {"CR": "\r", "LF": "\n", "none": "\n"}.get(dialect["line_end"], "\r\n")
    delimiter = {"tab": "\t"}.get(dialect["delimiter"], dialect["delimiter"])
    encoding, quoted = dialect["encoding"], _quoting(dialect, delimiter)
    yield end * (header_row - 1)
    yield delimiter.join(map(quoted, (ROW, WHY, *(column.heading for column in layout.columns)))) + end
    for reject in rejects:
        why = escape_formula(reject.why).encode(encoding, "replace").decode(encoding)
        if dialect["quote"] == "none":
            why = " ".join(why.replace(delimiter, " ").split())
        ours = quoted(str(reject.label)), quoted(why, always=True)  # a quote in every row says what the quote is
        yield delimiter.join((*ours, *map(quoted, reject.cells))) + end


def _quoting(dialect: Mapping[str, str], delimiter: str) -> Callable[..., str]:
    quote, backslash = dialect["quote"], dialect["escape"] == "backslash"
    plain = re.compile("[^'\"\r\n\\\\" + re.escape(delimiter) + "]*+")

    def quoted(text: str, *, always: bool = False) -> str:
        if quote == "none" or (not always and quote == '"' and plain.fullmatch(text)):
            return text
        text = text.replace("\\", "\\\\").replace(quote, "\\" + quote) if backslash else text.replace(quote, quote * 2)
        return f"{quote}{text}{quote}"

    return quoted
