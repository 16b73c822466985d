"""Read a column of text cells into the values of its field."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from usersync.models import ATTRIBUTE, CLEAR, SECRET_FIELDS, Code, Json
from usersync.settings import FieldSettings
from usersync.validation.cells import (
    PLAIN_COLUMNS,
    PLAIN_EMAIL,
    PLAIN_ID,
    CellError,
    has_decimals,
    read_attributes,
    read_email,
    read_id,
    read_name,
    read_password,
    typed_reader,
)
from usersync.validation.problems import ProblemLog
from usersync.validation.suspect_values import find_suspects
from usersync.values import visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Objects = NDArray[np.object_]

_DEFAULTS = FieldSettings()
_NAMES = frozenset(("name", "display_name"))


def read_ids(cells: Objects, log: ProblemLog) -> NDArray[np.int64]:
    """Return the ids of all rows; 0 where a cell holds none, which is logged as a problem."""
    joined = _joined(cells)
    if joined is not None and _is_plain(joined, "id"):
        return np.asarray(cells, dtype=np.int64)
    odd = [key for key, text in enumerate(cells) if not PLAIN_ID.fullmatch(text)]
    clean = cells.copy()
    clean[odd] = "0"
    ids = np.asarray(clean, dtype=np.int64)
    for key in odd:
        try:
            ids[key] = read_id(cells[key])
        except CellError as error:
            log.reject(key, "id", error, cells[key])
        else:
            if str(ids[key]) != cells[key].strip():
                log.note(key, f"id {cells[key]!r} read as {ids[key]}")
    return ids


def read_column(name: str, cells: Objects, field: FieldSettings, log: ProblemLog, *, suspect: str) -> Objects:
    """Return the values that a field's cells ask for: None where it is left alone, `CLEAR` for null.

    `suspect` is what becomes of cells that look damaged, where the field's settings do not say: `reject`, `note` or
    `accept`.
    """
    policy = field.suspect or suspect
    if _is_final(name, cells, field, policy):
        return cells if (cells != "").all() else _objects([text or None for text in cells])
    texts = _trimmed(cells) if field.trim and name not in SECRET_FIELDS else cells
    texts = _rewritten(texts, field)
    values = _objects([text or None for text in texts])
    if field.blank != "keep":
        _apply_blank(name, field, np.flatnonzero(texts == "").tolist(), values, log)
    if field.clear:
        for key in np.flatnonzero(texts == field.clear).tolist():
            _clear(key, name, field.clear, values, log)
    is_json = name == "custom_attributes" or field.type == "json"
    if policy != "accept" and not is_json:
        _apply_checks(name, values, policy, log)
    _convert(name, field, values, log)
    if policy != "accept" and is_json:
        _apply_checks(name, values, policy, log)
    return values


def _is_final(name: str, cells: Objects, field: FieldSettings, policy: str) -> bool:
    """Whether all cells are values as they stand, as one search over the whole column finds out."""
    if field.model_copy(update={"suspect": None}) != _DEFAULTS or name in SECRET_FIELDS | {"custom_attributes"}:
        return False
    joined = _joined(cells)
    if joined is None or (field.clear and field.clear in joined):
        return False
    if name == "email":
        return _is_plain(joined, "email")
    return _is_plain(joined, "text") and (policy == "accept" or not find_suspects(name, list(cells), joined))


def _apply_checks(name: str, values: Objects, policy: str, log: ProblemLog) -> None:
    """Reject or note the cells that look damaged; of JSON, all texts in it are looked at."""
    found = [(key, text) for key, value in enumerate(values) for text in _texts(value)]
    if name == "email":
        found = [(key, text) for key, text in found if not PLAIN_EMAIL.fullmatch(text)]
    for i, check in find_suspects(name, [text for _, text in found]).items():
        key, text = found[i]
        if policy == "reject" and check.verdict == "reject":
            values[key] = None
            log.reject(key, name, CellError(check.code, check.sentence), text)
        else:
            log.note(key, f"{log.heading(name, key)}: {check.sentence}")


def _texts(value: Json) -> Iterator[str]:
    """Yield a text, or all texts in a JSON value; without recursion, because JSON can be nested deeply."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())


def _apply_blank(name: str, field: FieldSettings, keys: list[int], values: Objects, log: ProblemLog) -> None:
    code = {"name": Code.NAME_BLANK, "email": Code.EMAIL_INVALID}.get(name, Code.TYPE_INVALID)
    for key in keys:
        if field.blank == "clear":
            _clear(key, name, "", values, log)
        else:
            log.reject(key, name, CellError(code, "this cell must not be blank; fill it in"), "")


def _clear(key: int, name: str, text: str, values: Objects, log: ProblemLog) -> None:
    if name.startswith(ATTRIBUTE):
        values[key] = CLEAR
        return
    values[key] = None
    code = {"email": Code.EMAIL_INVALID, "password": Code.PASSWORD_WEAK}.get(name, Code.NAME_BLANK)
    message = "only custom attributes can be cleared; enter a value, or leave the cell blank to keep the present one"
    log.reject(key, name, CellError(code, message), text)


def _convert(name: str, field: FieldSettings, values: Objects, log: ProblemLog) -> None:
    read, is_final = _reader(name, field, values)
    for key, text in enumerate(values):
        if text is None or text is CLEAR or is_final(text):
            continue
        try:
            values[key] = read(text)
        except CellError as error:
            values[key] = None
            log.reject(key, name, error, text)
        else:
            if name == "email" and values[key] != text.lower():
                log.note(key, f"e-mail read as {values[key]} (invisible characters removed)")
            if name in _NAMES and values[key] != unicodedata.normalize("NFC", text):
                log.note(key, f"{log.heading(name, key)}: line breaks, special blanks or invisible characters removed")


def _joined(cells: Objects) -> str | None:
    """Return all cells, each on a line of its own; None where that cannot be, or a file has no such column."""
    try:
        text = "\n".join(cells)
    except TypeError:
        return None
    return text if text.count("\n") == len(cells) - 1 else None


def _is_plain(joined: str, kind: str) -> bool:
    """Whether no cell of a column needs a closer look; one search over all of them is ten times faster."""
    if kind == "text":
        trimmed = not ("\n " in joined or " \n" in joined or joined[:1] == " " or joined[-1:] == " ")
        return trimmed and joined.replace("\n", "").isprintable() and unicodedata.is_normalized("NFC", joined)
    return PLAIN_COLUMNS[kind].fullmatch(joined + "\n") is not None


def _trimmed(cells: Objects) -> Objects:
    return _objects([text if text is None else _trim(text) for text in cells])


def _trim(text: str) -> str:
    """Remove surrounding blanks; a cell with nothing visible in it is blank."""
    bare = text.strip()
    return bare if bare.isprintable() or visible(bare) else ""


def _rewritten(texts: Objects, field: FieldSettings) -> Objects:
    """Apply the field's rules in their order: replace, default, case."""
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


def _reader(name: str, field: FieldSettings, texts: Objects) -> tuple[Callable[[str], Any], Callable[[str], object]]:
    """Return the function that reads a cell, and a quick test for cells that need no reading."""
    if name == "email":
        return read_email, PLAIN_EMAIL.fullmatch
    if name == "password":
        return read_password, _never
    if name == "custom_attributes":
        return lambda text: read_attributes(text) or None, _never
    if name in _NAMES:
        return read_name, _is_printable
    if field.type == "number" and not any(isinstance(text, str) and has_decimals(text) for text in texts):
        return typed_reader(field, reject_thousands=True), _never
    return typed_reader(field), _is_printable if field.type == "text" else _never


def _is_printable(text: str) -> bool:
    return text.isprintable() and unicodedata.is_normalized("NFC", text)
