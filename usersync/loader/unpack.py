"""Unpack a .gz, or a .zip with one table in it, and recognize text."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import PurePath
from typing import IO

from usersync.errors import SourceError

_GZIP = b"\x1f\x8b"
#: What zip files begin with, .xlsx among them, and what Office files of before 2007 do.
ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: Bytes that a packed file may have unpacked.
_MOST = 2 << 30
_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile)


def unpack(data: bytes, file: str, *, suffixes: tuple[str, ...]) -> tuple[bytes, str]:
    """Return the content of a packed file and its name, or both as they are if it is not packed.

    A zip is unpacked if one member alone has one of the `suffixes` (a workbook has none). Raises SourceError where
    the file is damaged, or too large.
    """
    try:
        if data.startswith(_GZIP):
            with gzip.open(io.BytesIO(data)) as packed:
                return _read(packed, file), file.removesuffix(".gz")
        if data.startswith(ZIP):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                member = _only_member(archive, file, suffixes)
                if member is not None:
                    with archive.open(member) as packed:
                        return _read(packed, file), member.filename
    except _DAMAGED:
        raise SourceError(file, "is damaged or cut short; fetch or export it again") from None
    return data, file


def _only_member(archive: zipfile.ZipFile, file: str, suffixes: tuple[str, ...]) -> zipfile.ZipInfo | None:
    shown = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith(("__MACOSX/", "."))]
    found = [member for member in shown if PurePath(member.filename).suffix.lower() in suffixes]
    if len(found) > 1:
        names = ", ".join(repr(member.filename) for member in found[:5])
        raise SourceError(file, f"holds several files ({names}); unpack it, and name the one to read")
    if found and found[0].flag_bits & 1:
        raise SourceError(file, "is protected by a password; unpack it first")
    return found[0] if found else None


def _read(packed: IO[bytes] | gzip.GzipFile, file: str) -> bytes:
    data = packed.read(_MOST + 1)
    if len(data) > _MOST:
        raise SourceError(file, f"would unpack to more than {_MOST >> 30} GB (a zip bomb?); nothing was read")
    return data


def is_text(data: bytes) -> bool:
    """Return whether a file is text that may be a table: no web page, no XML, no NULs but those of UTF-16."""
    start = data[:4000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<", b"%pdf", b"pk", b"{\\rtf")):
        return False
    return data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" not in data[:4000]
