"""A `Table` of text in, `DesiredValues` values out: typed cells, and every problem of every row at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from usersync.models import ATTRIBUTE, CLEAR, MASK, SECRET_FIELDS, Code, DesiredValues, Problem, Source, Table
from usersync.settings import FieldSettings
from usersync.validation.cells import (
    PLAIN_COLUMNS,
    PLAIN_EMAIL,
    PLAIN_ID,
    CellError,
    read_attributes,
    read_email,
    read_id,
    read_name,
    read_password,
    typed_reader,
)
from usersync.validation.duplicates import settle_rivals
from usersync.values import visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Objects = NDArray[np.object_]

_VALUE_SHOWN = 80
_ORDINARY = FieldSettings()


def check(
    table: Table, fields: Mapping[str, FieldSettings] | None = None, *, duplicates: str = "reject"
) -> DesiredValues:
    """Turn cells into wanted values.

    `fields` says what the cells of a field mean; `duplicates` is `reject`, or `last`: the last row of a user
    wins. No row is lost: each key is in `values`, has a `Problem`, or is a twin of a row in `values`.
    """
    return _Check(table, fields or {}).wanted(duplicates)


class _Check:
    """One pass over a table, column by column; rows with a problem fall out at the end, all reasons told."""

    def __init__(self, table: Table, fields: Mapping[str, FieldSettings]) -> None:
        self._table = table
        self._fields = fields
        self._problems = list(table.problems)
        self._unreadable = np.zeros(len(table.cells), dtype=bool)
        self._unreadable[[p.key for p in table.problems if not p.column]] = True
        self._told = {(p.key, p.column) for p in table.problems}
        self._notes: dict[int, str] = {}

    def wanted(self, duplicates: str) -> DesiredValues:
        ids = self._ids()
        values = pd.DataFrame({"id": ids})
        for name in self._table.cells.columns:
            if name != "id":
                values[name] = pd.Series(self._column(name), dtype=object)  # else pandas infers text
        self._merge_attributes(values)
        self._nothing_to_do(values)
        bad_keys = frozenset(p.key for p in self._problems)
        settled = settle_rivals(values, bad_keys, row=self._row, duplicates=duplicates)
        self._problems.extend(replace(p, column=self._heading(p.column, p.key)) for p in settled.problems)
        bad = np.zeros(len(values), dtype=bool)
        bad[[p.key for p in self._problems]] = True
        bad[[*settled.twins, *settled.superseded]] = True
        kept = values if not bad.any() else values[~bad]
        order = sorted(range(len(self._problems)), key=lambda i: self._problems[i].key)
        return DesiredValues(
            kept,
            tuple(self._problems[i] for i in order),
            notes=self._notes | dict(settled.notes),
            twins=settled.twins,
            superseded=settled.superseded,
        )

    def _source(self, key: int) -> Source:
        return self._table.sources[int(self._table.places["source"].to_numpy()[key])]

    def _row(self, key: int) -> str:
        """Name a row the way its author finds it; its file only where there are several."""
        source = self._source(key)
        number = int(self._table.places["row"].to_numpy()[key])
        return f"row {number}" + (f" of {source.file}" if len(self._table.sources) > 1 else "")

    def _heading(self, name: str, key: int) -> str:
        source = self._source(key)
        return next((c.heading.strip() for c in source.columns if c.field == name), name)

    def _refuse(self, key: int, name: str, error: CellError, value: str) -> None:
        heading = self._heading(name, key)
        if (key, heading) in self._told or self._unreadable[key]:
            return
        seen = MASK if name in SECRET_FIELDS and value else value[:_VALUE_SHOWN]
        self._problems.append(Problem(key, error.code, str(error), heading, seen))

    def _ids(self) -> NDArray[np.int64]:
        cells = self._table.cells["id"].to_numpy(object)
        if _plain(cells, "id"):
            return np.asarray(cells, dtype=np.int64)
        plain = PLAIN_ID.fullmatch
        odd = [i for i, text in enumerate(cells) if not plain(text)]
        clean = cells.copy()
        clean[odd] = "0"
        ids = np.asarray(clean, dtype=np.int64)
        for key in odd:
            try:
                ids[key] = read_id(cells[key])
            except CellError as error:
                self._refuse(key, "id", error, cells[key])
            else:
                if str(ids[key]) != cells[key].strip():
                    self._note(key, f"id {cells[key]!r} read as {ids[key]}")
        return ids

    def _note(self, key: int, remark: str) -> None:
        self._notes[key] = f"{self._notes[key]}; {remark}" if key in self._notes else remark

    def _column(self, name: str) -> Objects:
        field = self._fields.get(name, FieldSettings())
        cells = self._table.cells[name].to_numpy(object)
        if field == _ORDINARY and name not in SECRET_FIELDS | {"custom_attributes"}:
            kind = "email" if name == "email" else "text"
            if not (cells == field.clear).any() and _plain(cells, kind):
                return cells if (cells != "").all() else _objects([text or None for text in cells])
        texts = _trimmed(cells) if field.trim and name not in SECRET_FIELDS else cells
        texts = _rewritten(texts, field)
        blank = texts == ""
        values = _objects([text or None for text in texts])
        if field.blank != "keep" and blank.any():
            self._blank_cells(name, field, np.flatnonzero(blank), values)
        if field.clear:
            for key in np.flatnonzero(texts == field.clear):
                self._clear(int(key), name, values)
        self._convert(name, field, values)
        return values

    def _blank_cells(self, name: str, field: FieldSettings, keys: NDArray[np.intp], values: Objects) -> None:
        for key in map(int, keys):
            if field.blank == "clear":
                self._clear(key, name, values)
            else:
                code = {"name": Code.NAME_BLANK, "email": Code.EMAIL_INVALID}.get(name, Code.TYPE_INVALID)
                self._refuse(key, name, CellError(code, "this cell may not be blank; fill it in"), "")

    def _clear(self, key: int, name: str, values: Objects) -> None:
        if name.startswith(ATTRIBUTE):
            values[key] = CLEAR
            return
        values[key] = None
        code = {"email": Code.EMAIL_INVALID, "password": Code.PASSWORD_WEAK}.get(name, Code.NAME_BLANK)
        text = "only a custom attribute can be cleared; write a value, or leave the cell blank to keep the old"
        self._refuse(key, name, CellError(code, text), str(self._table.cells[name].iat[key]))

    def _convert(self, name: str, field: FieldSettings, values: Objects) -> None:
        read, plain = _reader(name, field)
        for key, text in enumerate(values):
            if text is None or text is CLEAR or plain(text):
                continue
            try:
                values[key] = read(text)
            except CellError as error:
                values[key] = None
                self._refuse(key, name, error, text)
            else:
                if name == "email" and values[key] != text.lower():
                    self._note(key, f"e-mail read as {values[key]} (invisible characters removed)")

    def _merge_attributes(self, values: pd.DataFrame) -> None:
        """See that a key is not given twice, by the JSON object and by a column of its own."""
        if "custom_attributes" not in values:
            return
        for column in [c for c in values.columns if c.startswith(ATTRIBUTE)]:
            name = column[len(ATTRIBUTE) :]
            both = zip(values["custom_attributes"], values[column], strict=True)
            for key, (whole, single) in enumerate(both):
                if whole and name in whole and single is not None:
                    text = f"{name!r} stands in this object and in the column {column}; keep one of them"
                    self._refuse(key, "custom_attributes", CellError(Code.JSON_INVALID, text), name)

    def _nothing_to_do(self, values: pd.DataFrame) -> None:
        idle = np.ones(len(values), dtype=bool)
        for name in values.columns[1:]:
            idle &= values[name].isna().to_numpy()
        idle[[p.key for p in self._problems]] = False
        self._problems.extend(
            Problem(key, Code.NOTHING_TO_DO, "the row has an id and no value; fill in what is to change")
            for key in map(int, np.flatnonzero(idle))
        )
        values.loc[idle, "id"] = 0  # a row that asks for nothing is nobody's rival


def _plain(cells: Objects, kind: str) -> bool:
    """Whether no cell of a column needs a closer look; one search over all of them is ten times quicker."""
    try:
        text = "\n".join(cells)
    except TypeError:  # None: a file without this column
        return False
    if text.count("\n") != len(cells) - 1:
        return False
    if kind == "text":
        trimmed = not ("\n " in text or " \n" in text or text[:1] == " " or text[-1:] == " ")
        return trimmed and text.replace("\n", "").isprintable()
    return PLAIN_COLUMNS[kind].fullmatch(text + "\n") is not None


def _trimmed(cells: Objects) -> Objects:
    return _objects([text if text is None else _trim(text) for text in cells])


def _trim(text: str) -> str:
    """Take blanks off the ends; a cell that shows nothing is blank, whatever it holds."""
    bare = text.strip()
    return bare if bare.isprintable() or visible(bare) else ""


def _rewritten(texts: Objects, field: FieldSettings) -> Objects:
    """Apply the declarative rules in their order: replace, default, case."""
    if field.replace:
        texts = _objects([field.replace.get(text, text) for text in texts])
    if field.default is not None:
        texts = _objects([field.default if text == "" else text for text in texts])
    if field.case != "keep":
        change: Callable[[str], str] = getattr(str, field.case)
        texts = _objects([text if text is None or text == field.clear else change(text) for text in texts])
    return texts


def _objects(values: list[Any]) -> Objects:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _never(_: str) -> bool:
    return False


def _reader(name: str, field: FieldSettings) -> tuple[Callable[[str], Any], Callable[[str], object]]:
    """Give the function that reads a cell, and a quick test for cells that are fine as they are."""
    if name == "email":
        return read_email, PLAIN_EMAIL.fullmatch
    if name == "password":
        return read_password, _never
    if name == "custom_attributes":
        return lambda text: read_attributes(text) or None, _never
    return (read_name if name in ("name", "display_name") else typed_reader(field)), (
        str.isprintable if field.type == "text" else _never
    )
