"""Make workbooks in memory, and read small files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping

import openpyxl
import pytest

from usersync.errors import SourceError
from usersync.loader.csv_reader import read_text
from usersync.loader.headings import Headings
from usersync.loader.raw_sheet import RawSheet
from usersync.loader.workbook import read_workbook
from usersync.settings import SourceSettings


def read_csv(data: bytes | str, **options: object) -> RawSheet:
    data = data.encode() if isinstance(data, str) else data
    return read_text(data, file="f.csv", headings=Headings(), options=SourceSettings.model_validate(options))


def read_book(data: bytes, **options: object) -> RawSheet:
    return read_workbook(data, file="users.xlsx", headings=Headings(), options=SourceSettings.model_validate(options))


def refusal(read: Callable[..., RawSheet], data: bytes | str, **options: object) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(SourceError) as caught:
        read(data, **options)
    return str(caught.value).removeprefix(f"{caught.value.file}: ")


def saved(book: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def xlsx(*rows: list[object]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return saved(book)


def pack(parts: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in parts.items():
            target.writestr(name, content)
    return out.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        return {name: source.read(name) for name in source.namelist()}
