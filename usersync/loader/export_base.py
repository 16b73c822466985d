"""Write and read the base of an export: what its cells held.

A base is a list of JSON values: a head, `[id, text, ...]` for each user, and the SHA-256 of all of them. A workbook
carries it on a very hidden sheet, one value per row; beside a CSV file it lies as `NAME.base.json`. Values are plain
ASCII, so that no program that saves the file changes a character of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from usersync.errors import SourceError
from usersync.loader.remote import is_remote
from usersync.loader.unpack import ZIP
from usersync.models import Json
from usersync.tables import Base

if TYPE_CHECKING:
    from usersync.loader.workbook_sheets import Workbook

#: The very hidden sheet of a workbook.
BASE_SHEET: Final = "usersync base"
#: How a base is written.
VERSION: Final = 1
#: Characters of a cell, at most; Excel has room for 32,767.
_CELL: Final = 32_000
#: What the name of a base beside a file ends with.
_BASE: Final = ".base.json"
#: What stands at the beginning of a base.
_MARK: Final = b'"usersync_base'
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class BaseEncoder:
    """Encodes a base, one line of ASCII after the other: `head`, `user` for each user, `end`."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def head(self, platform: str, exported_at: str, fields: Sequence[str], *, is_escaped: bool) -> str:
        """Encode what holds for all users."""
        return self.line(
            {
                "usersync_base": VERSION,
                "usersync": version("usersync"),
                "platform": platform,
                "exported_at": exported_at,
                "fields": list(fields),
                "escaped": is_escaped,
            }
        )

    def user(self, user_id: int, texts: Sequence[str | None]) -> str:
        """Encode the texts of one user."""
        return self.line([user_id, *texts])

    def end(self) -> str:
        """Encode the digest of all lines before."""
        return _encode(self.digest())

    def digest(self) -> dict[str, str]:
        """Return the last value: the digest of all lines before."""
        return {"sha256": self._digest.hexdigest()}

    def line(self, value: Json) -> str:
        """Encode a value, and add it to the digest."""
        text = _encode(value)
        self._digest.update(f"{text}\n".encode())
        return text


def base_lines(base: Base) -> Iterator[str]:
    """Encode a base."""
    encoder = BaseEncoder()
    yield encoder.head(base.platform, base.exported_at, base.fields, is_escaped=base.is_escaped)
    for user_id, texts in base.texts.items():
        yield encoder.user(user_id, texts)
    yield encoder.end()


def base_of_rows(rows: Iterable[tuple[Base | None, int | None]]) -> Base | None:
    """Return one base for rows, given as the base of their file and the id of their user; None where there is none.

    Where a file did not export a field, its value is not known.
    """
    known = [(base, user_id) for base, user_id in rows if base and user_id in base.texts]
    if not known:
        return None
    bases = list({base.digest: base for base, _ in known}.values())
    fields = tuple(dict.fromkeys(name for base in bases for name in base.fields))
    texts: dict[int, tuple[str | None, ...]] = {}
    for base, user_id in known:
        assert user_id is not None  # noqa: S101 - it is in `texts`
        held = dict(zip(base.fields, base.texts[user_id], strict=True))
        texts.setdefault(user_id, tuple(held.get(name) for name in fields))
    exported_at = min(base.exported_at for base in bases)
    return Base(bases[0].platform, exported_at, fields, texts, "", any(base.is_escaped for base in bases))


def split_cells(line: str) -> list[str]:
    """Split a line into texts that fit into cells."""
    return [line[start : start + _CELL] for start in range(0, len(line), _CELL)]


def sheet_base(book: Workbook, file: str) -> Base | None:
    """Read the base that a workbook carries; None where it carries none. Raises SourceError for a damaged one."""
    if BASE_SHEET not in [name for name, _ in book.sheets]:
        return None
    rows = book.open_sheet(BASE_SHEET)(None).rows
    try:
        values = [json.loads("".join(map(str, row))) for row in rows]
    except (ValueError, RecursionError):
        raise _damaged(file) from None
    return parse_base(values, file)


def base_beside(file: str) -> Base | None:
    """Read the base that lies beside a file; None where there is none. Raises SourceError for a damaged one."""
    if file == "-" or is_remote(file):
        return None
    path = base_path(Path(file))
    return read_base(path) if path.is_file() else None


def base_path(path: Path) -> Path:
    """Return where the base of a file lies: `users.base.json` beside `users.csv` and `users.csv.gz`."""
    bare = path.with_suffix("") if path.suffix.lower() in (".gz", ".zip") else path
    return bare.with_suffix(_BASE)


def base_nearby(file: str) -> Path | None:
    """Return the base that a file may belong to: a copy `users (1).csv`, or a workbook that was saved as CSV."""
    if file == "-" or is_remote(file):
        return None
    path = Path(file)
    bases = [base for base in path.parent.glob("*.base.json") if path.name.startswith(base.name.removesuffix(_BASE))]
    workbook = path.with_suffix(".xlsx")
    if not bases and path.suffix.lower() == ".csv" and workbook.is_file():
        with suppress(SourceError):
            read_base(workbook)
            return workbook
    return max(bases, key=lambda base: len(base.name), default=None)


def read_base(path: Path) -> Base:
    """Read the base in a file of its own, or the one that an exported workbook carries. Raises SourceError."""
    file = str(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(file, f"cannot be read: {error.strerror}; name the base of the export with --base") from None
    if data.startswith(ZIP):
        from usersync.loader.workbook_sheets import Workbook  # a reader of workbooks is slow to import

        base = sheet_base(Workbook(data, file), file)
        if base is None:
            raise SourceError(file, f"carries no base (no hidden sheet {BASE_SHEET!r}); name the workbook as exported")
        return base
    if _MARK not in data[:100]:
        raise SourceError(file, "is not the base of an export; name its .base.json, or the workbook as exported")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(file) from None
    return parse_base(values, file)


def parse_base(values: Json, file: str) -> Base:
    """Return the base that a list of JSON values holds. Raises SourceError where it is not as it was written."""
    if not isinstance(values, list) or len(values) < 2 or not isinstance(values[0], dict):
        raise _damaged(file)
    head, *users, end = values
    if head.get("usersync_base") != VERSION:
        raise SourceError(file, f"its base is not of version {VERSION}; export the users again, and edit that file")
    encoder = BaseEncoder()
    for value in (head, *users):
        encoder.line(value)
    if end != encoder.digest():
        raise _damaged(file)
    try:
        return Base(
            platform=str(head["platform"]),
            exported_at=str(head["exported_at"]),
            fields=tuple(map(str, head["fields"])),
            texts=dict(_texts(users, len(head["fields"]))),
            digest=end["sha256"],
            is_escaped=bool(head["escaped"]),
        )
    except (KeyError, TypeError, ValueError):
        raise _damaged(file) from None


def _texts(users: Iterable[list[Json]], count: int) -> Iterator[tuple[int, tuple[str | None, ...]]]:
    for user_id, *texts in users:
        if len(texts) != count or not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError(user_id)
        yield int(user_id), tuple(texts)


def _damaged(file: str) -> SourceError:
    return SourceError(
        file,
        "the values stored at export (its base) are damaged or were edited, so untouched cells cannot be told from "
        "edited ones; export the users again, and enter the changes there",
    )
