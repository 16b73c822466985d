"""Write files whole, and over nothing but earlier files of the same kind."""

from __future__ import annotations

from pathlib import Path

from usersync.errors import UsageError


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name and rename it, so that nobody reads half of it. Raises OSError.

    What is no plain file (a pipe, a device, a link) stays what it is, and is written to.
    """
    if not is_plain(path):
        path.write_text(text, encoding="utf-8")
        return
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def is_plain(path: Path) -> bool:
    """Return whether a path is a regular file, or does not exist yet."""
    return not path.is_symlink() and (path.is_file() or not path.exists())


def require_replaceable(path: Path, start: str, option: str) -> None:
    """Raise UsageError if a path holds a file that does not begin with `start`, so was not written by us."""
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            found = file.read(len(start.encode()))
    except OSError:
        return  # writing says what is wrong
    if found and found != start.encode():
        raise UsageError(f"{path}: this file was not written by {option}, and is not overwritten; name another file")
