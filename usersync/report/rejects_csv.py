"""Write rejects as a text file in the dialect and encoding of its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from usersync.formulas import escape_formula
from usersync.loader.export_base import base_lines, base_path
from usersync.report.rejects_rows import Layout, Reject
from usersync.tables import Base

_LINE_ENDS: Final = {"CR": "\r", "LF": "\n", "none": "\n"}


def write_csv(
    layout: Layout, dialect: Mapping[str, str], base: Base | None, folder: Path, rejects: Sequence[Reject]
) -> Path:
    """Write the file below `folder`, in UTF-8 where the source's encoding has not all characters.

    Where the rows come from an export, its `base` is written beside it. Raises OSError.
    """
    path = folder / "rejects.csv"
    encoding = dialect["encoding"]
    mark = "\ufeff" if dialect["why"].startswith("byte-order mark") and encoding in ("utf-16-be", "utf-32-be") else ""
    try:
        with path.open("w", encoding=encoding, newline="") as file:
            file.write(mark)
            file.writelines(_lines(layout, dialect, rejects))
    except UnicodeEncodeError:
        return write_csv(layout, {**dialect, "encoding": "utf-8-sig"}, base, folder, rejects)
    if base:
        lines = ",\n".join(base_lines(base))
        base_path(path).write_text(f"[{lines}]\n", encoding="ascii")
    return path


def _lines(layout: Layout, dialect: Mapping[str, str], rejects: Iterable[Reject]) -> Iterator[str]:
    end = _LINE_ENDS.get(dialect["line_end"], "\r\n")
    delimiter = {"tab": "\t"}.get(dialect["delimiter"], dialect["delimiter"])
    encoding = dialect["encoding"]
    quoted = _quoting(dialect, delimiter)
    yield end * (layout.header_row - 1)
    yield delimiter.join(map(quoted, layout.headings)) + end
    for reject in rejects:
        why = escape_formula(reject.why).encode(encoding, "replace").decode(encoding)
        if dialect["quote"] == "none":
            why = " ".join(why.replace(delimiter, " ").split())
        ours = (quoted(str(reject.label)), quoted(why, always=True))  # a quote in every row says what the quote is
        yield delimiter.join((*ours, *map(quoted, reject.cells))) + end


def _quoting(dialect: Mapping[str, str], delimiter: str) -> Callable[..., str]:
    quote = dialect["quote"]
    backslash = dialect["escape"] == "backslash"
    plain = re.compile("[^'\"\r\n\\\\" + re.escape(delimiter) + "]*+")

    def quoted(text: str, *, always: bool = False) -> str:
        if quote == "none" or (not always and quote == '"' and plain.fullmatch(text)):
            return text
        text = text.replace("\\", "\\\\").replace(quote, "\\" + quote) if backslash else text.replace(quote, quote * 2)
        return f"{quote}{text}{quote}"

    return quoted
