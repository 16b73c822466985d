"""Open the zip package of a workbook, and refuse anything else.

Members are read within limits, so that a zip bomb or an XML entity bomb is refused unread.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import Final

from usersync.errors import SourceError
from usersync.loader.unpack import OLE

#: Bytes that all members together may unpack to; a million rows of thirty columns stay below.
_TOTAL: Final = 2 << 30
#: A member of so many bytes with a higher compression ratio is not a sheet: a million rows of one value reach about 60.
_LARGE: Final = 64 << 20
_RATIO: Final = 300
#: Bytes that are read at once.
_PIECE: Final = 1 << 20
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    MemoryError,
)
_DTD: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCODING: Final = re.compile(rb"\s*<\?xml[^>]*encoding\s*=\s*[\"']([^\"']*)")
_BOOK: Final = re.compile("book\0".encode("utf-16-le")[:-1], re.IGNORECASE)
#: Members whose text is read, here or by calamine.
_READ: Final = re.compile(r"content\.xml|.*(?:workbook|styles|sharedstrings|worksheets/[^/]*)\.xml")
_AGAIN: Final = "open it in the spreadsheet program and save it again as .xlsx"


def damaged(file: str, reason: object, what: str = "") -> SourceError:
    """Return the error of a workbook, or of its sheet `what`, that cannot be read because it is broken."""
    return SourceError(file, f"{what}is damaged ({reason}); open it and save it again")


def unreadable(file: str, error: Exception, what: str = "") -> SourceError:
    """Return the error of a workbook that a library refuses: it is encrypted, broken, or none."""
    reason = " ".join(str(error).split())[:200]
    if re.search("encrypted|password", reason, re.IGNORECASE) or type(error).__name__ == "PasswordError":
        return protected(file)
    return SourceError(file, f"{what}is damaged or not a workbook ({reason}); open it and save it again")


def protected(file: str) -> SourceError:
    """Return the error of an encrypted workbook."""
    return SourceError(file, "is protected by a password; save it without one and try again")


def check_xls(data: bytes, file: str) -> None:
    """Raise SourceError for data that is neither a zip nor an .xls."""
    if data.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise protected(file)
        if not _BOOK.search(data):
            raise SourceError(file, "is an Office file, but not a workbook; save the sheet as .xlsx")
        return
    if data[:4] in (b"\x09\x08\x10\x00", b"\x09\x08\x08\x00", b"\x09\x04\x06\x00", b"\x09\x02\x06\x00"):
        raise SourceError(file, f"was written by an Excel older than 1997; {_AGAIN}")
    raise SourceError(file, _other_format(data))


def _other_format(data: bytes) -> str:
    start = data[:2000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<html", b"<!doctype html", b"<table", b"<meta", b"<head", b"<div")):
        return f"is a web page (HTML) under a workbook's name; {_AGAIN}"
    if start.startswith((b"<?xml", b"<workbook")):
        return f"is an XML file under a workbook's name; {_AGAIN}"
    if data.startswith(b"%PDF"):
        return "is a PDF under a workbook's name; export the sheet as .xlsx instead"
    if data.startswith(b"PK"):
        return "is an empty or damaged zip file, not a workbook; fetch or export it again"
    if b"\x00" not in data[:4000] or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is a text file under a workbook's name; rename it to .csv and try again"
    return "is not a workbook, or its beginning is damaged; fetch or export it again"


class Package:
    """The members of a zipped workbook, each read within limits and without document type definitions."""

    def __init__(self, data: bytes, file: str) -> None:
        self._file = file
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGED as error:
            raise self._damaged() from error
        infos = self._zip.infolist()
        self._check_sizes(infos)
        self.names = {info.filename.replace("\\", "/").lstrip("/").lower(): info for info in infos}
        if len(self.names) != len(infos):
            raise SourceError(file, f"holds two members of one name; {_AGAIN}")

    def _check_sizes(self, infos: list[zipfile.ZipInfo]) -> None:
        total = sum(info.file_size for info in infos)
        worst = [i for i in infos if i.file_size > _LARGE and i.file_size > _RATIO * max(i.compress_size, 1)]
        if total > _TOTAL or worst:
            size = worst[0].file_size if worst else total
            raise SourceError(
                self._file,
                f"would unpack to {size:,} bytes, more than any real sheet (a zip bomb?); nothing was read",
            )
        if any(info.flag_bits & 1 for info in infos):
            raise protected(self._file)

    def kind(self) -> str:
        """Return `xlsx` (or .xlsm), `xlsb` or `ods`; SourceError for anything else."""
        for name, kind in (("xl/workbook.bin", "xlsb"), ("xl/workbook.xml", "xlsx"), ("content.xml", "ods")):
            if name in self.names:
                return kind
        if any(name.endswith("workbook.xml") for name in self.names):
            return "xlsx"
        is_word = any(name.startswith("word/") for name in self.names)
        what = "a Word document" if is_word else "a zip file without a workbook"
        raise SourceError(self._file, f"is {what}; name the .xlsx (.xls, .xlsb, .ods) file itself")

    def check(self) -> None:
        """Read every small XML member once: sizes as declared, no DTD. Sheets are checked when they are read."""
        for name in self.names:
            if name.endswith((".xml", ".rels", ".bin")) and "/worksheets/" not in name and "/media/" not in name:
                self.read(name)

    def read(self, name: str) -> bytes:
        """Unpack one member, never more than it declares.

        Raises SourceError where it is absent or damaged, and for XML with a DTD or not in UTF-8.
        """
        try:
            info = self.names[name.lower().lstrip("/")]
            with self._zip.open(info) as member:
                data = b"".join(iter(lambda: member.read(_PIECE), b""))
        except NotImplementedError as error:
            raise SourceError(self._file, f"is packed in an unusual way; {_AGAIN}") from error
        except _DAMAGED as error:
            raise self._damaged() from error
        if len(data) != info.file_size:
            raise self._damaged()
        if name.endswith((".xml", ".rels")):
            self._check_xml(data, name.lower())
        return data

    def _check_xml(self, data: bytes, name: str) -> None:
        declared = _ENCODING.match(data.removeprefix(b"\xef\xbb\xbf")[:300])
        encoding = declared[1].lower() if declared else b"utf-8"
        foreign = b"\x00" in data[:4] or data[:2] in (b"\xff\xfe", b"\xfe\xff")
        foreign = foreign or encoding not in (b"utf-8", b"us-ascii")
        if foreign and _READ.fullmatch(name):
            raise SourceError(self._file, f"is not written in UTF-8; {_AGAIN}")
        if b"<!" in data and _DTD.search(data):
            raise SourceError(
                self._file, f"holds XML entity definitions, which a workbook never needs (an attack?); {_AGAIN}"
            )

    def replaced(self, members: dict[str, bytes]) -> bytes:
        """Return the package with some members replaced."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
            for name, info in self.names.items():
                target.writestr(info.filename, members[name] if name in members else self.read(name))
        return out.getvalue()

    def _damaged(self) -> SourceError:
        return SourceError(self._file, "is damaged or cut short; fetch or export it again")
