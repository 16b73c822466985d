"""Read a list of user ids: one per line, or the id column of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from usersync.errors import UsageError
from usersync.loader.load import load, read_bytes
from usersync.settings import SourceSettings

#: The largest id that the platform's database can hold.
_MAX_ID = 2**63 - 1


def read_id_list(file: Path, *, options: SourceSettings, columns: Mapping[str, str] | None = None) -> list[int]:
    """Return the ids of a file, sorted, each once; `-` is standard input, with one id per line.

    Raises UsageError for a line that is no id, or a file without ids.
    """
    texts = _plain_lines(read_bytes(str(file)))
    if texts is None and str(file) != "-":
        table = load([file], options=options, columns=columns)
        texts = list(zip(table.places["row"].tolist(), table.cells["id"].tolist(), strict=True))
    if not texts:
        raise UsageError(f"--ids {file}: no ids; write one per line, or name a table with an id column")
    return sorted({_id(file, row, text) for row, text in texts})


def _plain_lines(data: bytes) -> list[tuple[int, str]] | None:
    """Return number and text of the lines of a plain list; None where it is something else."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return None
    found = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if found and found[0][1].lower() == "id":
        del found[0]
    return found if all(text.isascii() and text.isdigit() for _, text in found) else None


def _id(file: Path, row: int, text: str) -> int:
    bare = text.strip()
    if not (bare.isascii() and bare.isdigit() and len(bare) <= 19 and 0 < int(bare) <= _MAX_ID):
        raise UsageError(f"--ids {file}: row {row}: {bare[:40]!r} is not a user's id; ids are whole numbers such as 12")
    return int(bare)
