"""Create the files of an export, never over files that are there already."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from usersync.errors import UsageError
from usersync.loader.export_base import base_path
from usersync.report.export import ExportHead, write_csv, write_workbook
from usersync.report.export_columns import UserTexts

#: Stands for standard output.
STDOUT: Final = "-"


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
                return write_workbook(created[0], files[0].absolute().parent, users, head)
            created[0].write("\ufeff".encode())  # by which Excel knows UTF-8
            texts = [stack.enter_context(io.TextIOWrapper(file, "utf-8", newline="")) for file in created]
            return write_csv(texts[0], texts[1], users, head)
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
        return write_csv(file, None, users, head)
    finally:
        file.detach()
