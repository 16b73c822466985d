"""Read a column of text cells into the values of its field."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from usersync.models import ATTRIBUTE, CLEAR, SECRET_FIELDS, Code, Json
from usersync.settings import FieldSettings
from usersync.validation.cells import (
    PLAIN_COLUMNS,
    PLAIN_EMAIL,
    PLAIN_ID,
    InvalidCellError,
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
from usersync.values import normalize_text

Objects = NDArray[np.object_]
_DEFAULTS = FieldSettings()
_NAMES = frozenset(("name", "display_name"))


def read_ids(cells: Objects, log: ProblemLog) -> NDArray[np.int64]:
    """Return the ids of all rows; 0 where a cell holds none, which is logged as a problem."""
    lines = "\n".join((*cells, ""))
    if lines.count("\n") == len(cells) and PLAIN_COLUMNS["id"].fullmatch(lines):
        return np.asarray(cells, dtype=np.int64)
    odd = [key for key, text in enumerate(cells) if not PLAIN_ID.fullmatch(text)]
    clean = cells.copy()
    clean[odd] = "0"
    ids = np.asarray(clean, dtype=np.int64)
    for key in odd:
        try:
            ids[key] = read_id(cells[key])
        except InvalidCellError as error:
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
    plain, odd = _split_plain_cells(name, cells, field, policy)
    values = plain if (plain != "").all() else _objects([text or None for text in plain])
    if odd:
        values = values.copy()
        texts = {key: text for key, text in zip(odd, cells[odd], strict=True) if text is not None}
        read = _read_cells(name, texts, field, policy, log)
        values[odd] = _objects([read.get(key) for key in odd])
    return values


def _split_plain_cells(name: str, cells: Objects, field: FieldSettings, policy: str) -> tuple[Objects, list[int]]:
    """Return the cells as they are to be sent, and the positions of those that have to be read one by one.

    For most columns, a few searches over the whole column show that there are none. Blanks around cells and accents
    that stand apart from their letters are no reason: they are put right in the whole column.
    """
    if field.model_copy(update={"suspect": None}) != _DEFAULTS or name in SECRET_FIELDS | {"custom_attributes"}:
        return cells, list(range(len(cells)))
    texts = cells.tolist()
    if None in texts:  # the file of such a row has no such column
        texts = [text or "" for text in texts]
    lines = "\n".join(texts)
    if lines.count("\n") != len(texts) - 1:  # a line break within a cell; the cell stays one that has to be read
        texts = [text.replace("\n", "\0") for text in texts]
        lines = "\n".join(texts)
    values = texts
    if "\n " in lines or " \n" in lines or " " in (lines[:1], lines[-1:]):
        values = [text.strip(" ") for text in texts]
        lines = "\n".join(values)
    split = _split_plain_emails if name == "email" else _split_plain_texts
    values, odd = split(name, values, lines, policy)
    if field.clear and field.clear in lines:
        odd.update(at for at, text in enumerate(values) if text == field.clear)
    return cells if values is texts else _objects(values), sorted(odd)


def _split_plain_texts(name: str, texts: list[str], lines: str, policy: str) -> tuple[list[str], set[int]]:
    """Return the texts with their letters composed, and the positions of those that have to be read one by one."""
    composed = unicodedata.normalize("NFC", lines)
    if composed != lines:
        texts, lines = composed.split("\n"), composed
    is_printable = lines.replace("\n", "").isprintable()
    odd = set() if is_printable else {at for at, text in enumerate(texts) if not text.isprintable()}
    if policy != "accept":
        odd.update(find_suspects(name, texts, lines))
    return texts, odd


def _split_plain_emails(name: str, texts: list[str], lines: str, policy: str) -> tuple[list[str], set[int]]:
    """Return the addresses in lower case, as they are sent, and the positions of those to be read one by one."""
    if _are_plain_emails(lines):
        return texts, set()
    lowered = lines.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")  # A to Z alone
    values = lowered.split("\n")
    is_plain = PLAIN_EMAIL.fullmatch
    odd = set() if _are_plain_emails(lowered) else {at for at, text in enumerate(values) if text and not is_plain(text)}
    if policy != "accept":
        cased = [at for at, text in enumerate(texts) if text != values[at]]
        odd.update(cased[i] for i in find_suspects(name, [texts[at] for at in cased]))
    return values, odd


def _read_cells(
    name: str, cells: Mapping[int, str], field: FieldSettings, policy: str, log: ProblemLog
) -> dict[int, Any]:
    """Return the values of cells that may need reading, by key; no value where a cell asks for none."""
    texts = list(map(_trim, cells.values())) if field.trim and name not in SECRET_FIELDS else list(cells.values())
    texts = _rewritten(texts, field)
    values: dict[int, Any] = {key: text for key, text in zip(cells, texts, strict=True) if text}
    if field.blank != "keep":
        _apply_blank(name, field, [key for key in cells if key not in values], values, log)
    if field.clear:
        for key in [key for key, text in values.items() if text == field.clear]:
            _clear(key, name, field.clear, values, log)
    is_json = name == "custom_attributes" or field.type == "json"
    if policy != "accept" and not is_json:
        _apply_checks(name, values, policy, log)
    _convert(name, field, values, log)
    if policy != "accept" and is_json:
        _apply_checks(name, values, policy, log)
    return values


def _apply_checks(name: str, values: dict[int, Any], policy: str, log: ProblemLog) -> None:
    """Reject or note the cells that look damaged; of JSON, all texts in it are looked at."""
    found = [(key, text) for key, value in values.items() for text in _texts(value)]
    if name == "email":
        found = [(key, text) for key, text in found if not PLAIN_EMAIL.fullmatch(text)]
    for i, check in find_suspects(name, [text for _, text in found]).items():
        key, text = found[i]
        if check.rejects(policy):
            values.pop(key, None)
            log.reject(key, name, InvalidCellError(check.code, check.sentence), text)
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


def _apply_blank(
    name: str, field: FieldSettings, blank: Sequence[int], values: dict[int, Any], log: ProblemLog
) -> None:
    code = {"name": Code.NAME_BLANK, "email": Code.EMAIL_INVALID}.get(name, Code.TYPE_INVALID)
    for key in blank:
        if field.blank == "clear":
            _clear(key, name, "", values, log)
        else:
            log.reject(key, name, InvalidCellError(code, "must not be blank; enter a value"), "")


def _clear(key: int, name: str, text: str, values: dict[int, Any], log: ProblemLog) -> None:
    if name.startswith(ATTRIBUTE):
        values[key] = CLEAR
        return
    values.pop(key, None)
    code = {"email": Code.EMAIL_INVALID, "password": Code.PASSWORD_WEAK}.get(name, Code.NAME_BLANK)
    message = "only custom attributes can be cleared; enter a value, or leave the cell blank to keep the present one"
    log.reject(key, name, InvalidCellError(code, message), text)


def _convert(name: str, field: FieldSettings, values: dict[int, Any], log: ProblemLog) -> None:
    read, is_final = _reader(name, field, values.values())
    is_text = field.type == "text" and name not in ("email", "password", "custom_attributes")
    for key, text in list(values.items()):
        if text is CLEAR or is_final(text):
            continue
        try:
            value = values[key] = read(text)
        except InvalidCellError as error:
            del values[key]
            log.reject(key, name, error, text)
            continue
        if name == "email" and value != text.lower():
            log.note(key, f"e-mail read as {value} (invisible characters removed)")
        if is_text and value != unicodedata.normalize("NFC", text):
            what = "line breaks, special blanks or invisible characters" if name in _NAMES else "invisible characters"
            log.note(key, f"{log.heading(name, key)}: {what} removed")


def _are_plain_emails(lines: str) -> bool:
    return PLAIN_COLUMNS["email"].fullmatch(lines + "\n") is not None


def _trim(text: str) -> str:
    """Remove surrounding blanks; a cell of invisible characters alone is blank."""
    bare = text.strip()
    return bare if bare.isprintable() or normalize_text(bare) else ""


def _rewritten(texts: list[str], field: FieldSettings) -> list[str]:
    """Apply the field's rules in their order: replace, default, case."""
    if field.replace:
        texts = [field.replace.get(text, text) for text in texts]
    if field.default is not None:
        texts = [text or field.default for text in texts]
    if field.case != "keep":
        change: Callable[[str], str] = getattr(str, field.case)
        texts = [text if text == field.clear else change(text) for text in texts]
    return texts


def _objects(values: list[Any]) -> Objects:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _never(_: str) -> bool:
    return False


def _reader(
    name: str, field: FieldSettings, texts: Iterable[Any]
) -> tuple[Callable[[str], Any], Callable[[str], object]]:
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
    return text.isprintable() and _is_composed(text)


def _is_composed(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)
