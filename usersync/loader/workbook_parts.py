"""Read the parts of an .xlsx that describe its sheets: list, styles, tables."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

from usersync.loader.workbook_cell_info import (
    BUILT_IN_FORMATS,
    CellInfo,
    Place,
    TableArea,
    parse_reference,
    relevant_format,
)
from usersync.loader.workbook_package import Package

#: A text of the shared strings, and a run of one format in it.
_STRING: Final = re.compile(rb"<(?:\w+:)?si\b.*?</(?:\w+:)?si>|<(?:\w+:)?si\s*/>", re.DOTALL)
_RUN: Final = re.compile(rb"<(?:\w+:)?r>.*?</(?:\w+:)?r>", re.DOTALL)
_RUN_TEXT: Final = re.compile(rb"<(?:\w+:)?t\b[^>]*>[^<]*[^<\s]")
_STRIKE: Final = re.compile(rb"""<(?:\w+:)?d?strike\b(?!\s+val\s*=\s*["'](?:0|false))""")
_CELL: Final = re.compile(rb"<(?:\w+:)?c\b([^>]*[^/])>(.*?)</(?:\w+:)?c>", re.DOTALL)
_REFERENCE: Final = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{1,3}\d{1,7})["']""")
_SHARED: Final = re.compile(rb"""\bt\s*=\s*["']s["'].*?<(?:\w+:)?v>(\d+)</""", re.DOTALL)
_AREA: Final = re.compile(r"([A-Z]{1,3}\d{1,7}):([A-Z]{1,3}\d{1,7})")


def sheet_parts(package: Package) -> dict[str, str]:
    """Map the name of each sheet to the member that holds it."""
    home = _home(package)
    targets = {a.get("Id", ""): target for a, target in relationships(package, home)}
    parts = {}
    for tag, a in elements(package.read(home)):
        if tag == "sheet":
            link = next((value for key, value in a.items() if key.endswith(":id")), "")
            parts[a.get("name", "")] = targets.get(link, "")
    return parts


def is_calculated(package: Package) -> bool:
    """Whether the workbook holds the results of its formulas; XlsxWriter writes 0 and asks Excel to calculate them."""
    tags = elements(package.read(_home(package)))
    return all(a.get("fullCalcOnLoad", "0") in ("0", "false") for tag, a in tags if tag == "calcPr")


def _home(package: Package) -> str:
    return next(name for name in package.names if name.endswith(("xl/workbook.xml", "workbook.xml")))


def relationships(package: Package, member: str) -> list[tuple[dict[str, str], str]]:
    """Return the relationships of a member: the attributes of each, and the member that it points to."""
    folder, _, base = member.rpartition("/")
    name = f"{folder}/_rels/{base}.rels".lstrip("/")
    found = elements(package.read(name)) if name in package.names else ()
    return [(a, _target(folder, a)) for tag, a in found if tag == "Relationship"]


def elements(xml: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """List the elements of a small document, names without prefix, up to where it cannot be parsed."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = lambda tag, a: found.append((tag.rpartition(":")[2], a))
    with contextlib.suppress(expat.ExpatError):
        parser.Parse(xml, True)
    return iter(found)


@dataclass(frozen=True, slots=True)
class Styles:
    """What matters of the styles of cells, by the numbers that cells refer to them by."""

    formats: dict[str, str]
    """Number formats that say how digits are shown."""
    struck: set[str]
    """Styles that strike text through."""


def read_styles(package: Package) -> Styles:
    """Read the number formats and fonts of all cell styles."""
    codes = {str(number): code for number, code in BUILT_IN_FORMATS.items()}
    fonts: list[bool] = []
    styles = Styles({}, set())
    section, number = "", 0
    name = next((name for name in package.names if name.endswith("styles.xml")), None)
    for tag, a in elements(package.read(name)) if name else ():
        if tag in ("fonts", "cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
            section = tag
        elif tag == "numFmt":
            codes[a.get("numFmtId", "")] = a.get("formatCode", "")
        elif tag == "font" and section == "fonts":
            fonts.append(False)
        elif tag == "strike" and section == "fonts" and fonts:
            fonts[-1] = a.get("val", "1") not in ("0", "false")
        elif tag == "xf" and section == "cellXfs":
            font = a.get("fontId", "0")
            if code := relevant_format(codes.get(a.get("numFmtId", ""), "")):
                styles.formats[str(number)] = code
            if font.isdecimal() and int(font) < len(fonts) and fonts[int(font)]:
                styles.struck.add(str(number))
            number += 1
    return styles


def struck_rows(xml: bytes, styles: Collection[str]) -> set[int]:
    """Return the rows of a sheet, from 0, that hold cells of these styles with a value."""
    if not styles:
        return set()
    numbers = "|".join(sorted(styles)).encode()
    cell = re.compile(rb'<c r="[A-Z]{1,3}(\d{1,7})" s="(?:' + numbers + rb')"(?:[^>]*[^/>])?>')
    return {int(row) - 1 for row in cell.findall(xml)}


def partly_struck_cells(package: Package, sheet: bytes) -> set[Place]:
    """Return the cells of a sheet with a text of which a part is struck through."""
    name = next((name for name in package.names if name.endswith("sharedstrings.xml")), None)
    strings = package.read(name) if name else b""
    struck: set[bytes] = set()
    if b"strike" in strings:
        items = enumerate(_STRING.findall(strings))
        struck = {str(number).encode() for number, item in items if _is_partly_struck(item)}
    if not struck and b"strike" not in sheet:
        return set()
    places: set[Place] = set()
    for cell in _CELL.finditer(sheet):
        shared, reference = _SHARED.search(cell[0]), _REFERENCE.search(cell[1])
        place = parse_reference(reference[1].decode()) if reference else None
        if place and ((shared and shared[1] in struck) or _is_partly_struck(cell[2])):
            places.add(place)
    return places


def _is_partly_struck(text: bytes) -> bool:
    """Return whether some of the runs of a rich text are struck through, and others are not."""
    runs = [run for run in _RUN.findall(text) if _RUN_TEXT.search(run)] if b"strike" in text else []
    return len({_STRIKE.search(run) is not None for run in runs}) > 1


def read_tables(package: Package, part: str, info: CellInfo) -> None:
    """Record the tables of a sheet."""
    for a, member in relationships(package, part):
        if a.get("Type", "").endswith("/table") and member in package.names:
            tag, table = next(elements(package.read(member)), ("", {}))
            area = _AREA.fullmatch(table.get("ref", ""))
            first, last = (parse_reference(reference) for reference in area.groups()) if area else (None, None)
            if tag == "table" and first and last:
                count = table.get("totalsRowCount", "0")
                info.tables.append(TableArea(first, last, int(count) if re.fullmatch("[0-9]", count) else 0))


def _target(folder: str, relationship: dict[str, str]) -> str:
    path = posixpath.join("/", folder, relationship.get("Target", ""))
    return posixpath.normpath(path).lstrip("/").lower()
