"""Find rows that are totals of rows above, at the end of a sheet or of a group."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from usersync.models import ATTRIBUTE
from usersync.tables import Table
from usersync.values import normalize_text

#: What total rows are called, in the languages of spreadsheets; in lower case.
_WORDS: Final = (
    "total", "totals", "grand total", "subtotal", "sum", "count", "average", "summe", "gesamt", "gesamtsumme",
    "insgesamt", "gesamtergebnis", "zwischensumme", "teilergebnis", "ergebnis", "anzahl", "mittelwert",
    "total général", "somme", "totaux", "sous-total", "nombre", "moyenne", "totale", "somma",
    "conteggio", "suma", "total general", "recuento", "soma",
    "total geral", "contagem", "totaal", "som", "aantal", "razem", "celkem", "součet", "összesen", "yhteensä", "summa",
    "totalt", "i alt", "toplam", "итого", "всего", "сумма", "количество", "合計", "总计", "總計",
    "grand count", "grand average", "gesamtanzahl", "gesamtmittelwert", "nombre total", "общий итог",
    "общее количество", "итог", "cuenta", "cuenta general", "suma total", "say", "genel toplam",
)  # fmt: skip
_TOTAL: Final = re.compile(
    rf"(?:{'|'.join(map(re.escape, _WORDS))})(?: (?:rows|users|agents|records|entries|count|number))?\s*[:=]?"
    r"\s*\(?(?:[0-9][0-9.,' ]*)?\)?"
)
#: The same with the name of a group, as spreadsheets write subtotals: `Sales Count`, `Total Ventas`.
_SUBTOTAL: Final = re.compile("(?P<before>.+) (?:{0})|(?:{0}) (?P<after>.+)".format("|".join(_WORDS)))
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
#: Rows at the end that are looked at; below a total there can be an average, a date, a footnote.
_LAST_ROWS: Final = 5
#: Rows above a row of bare numbers, at least: the sum of two or three is often met by chance.
_ROWS_ABOVE: Final = 4
#: Rows that are looked at because their ids are those of a first subtotal; where there are more, ids are row numbers.
_CANDIDATES: Final = 10_000


def find_total_rows(table: Table, ids: NDArray[np.int64]) -> dict[int, tuple[str, str]]:
    """Return the rows that look like a total: key -> a sentence that says so, and what to do.

    `ids` are those of all rows, 0 where there is none. The first row of a sheet is never one: nothing is above it.
    """
    found: dict[int, tuple[str, str]] = {}
    source_of = table.places["source"].to_numpy()
    for source in range(len(table.sources)):
        keys = np.flatnonzero(source_of == source)
        found |= {
            key: (f"this row looks like a subtotal of other rows, not like a user: {text!r}", "delete it")
            for order in (keys, keys[::-1] if _begins_with_total(table, source, keys) else keys[:0])
            for key, text in _subtotals(table, source, order, ids[order])
        }
        for count in range(len(keys) - 1, max(len(keys) - 1 - _LAST_ROWS, 0), -1):
            key = int(keys[count])
            down_to_row = keys[: count + 1]
            reason = _word_of_total(table, source, down_to_row, ids) or _numbers_of_total(table, ids, down_to_row)
            if reason and key not in found:
                message = f"this row at the end looks like a total, not like a user: {reason}"
                found[key] = message, "delete it, or move it up if it is a user"
            elif ids[key] and key not in found:
                break
    return found


def _begins_with_total(table: Table, source: int, keys: NDArray[np.intp]) -> bool:
    """Return whether the first row is that of all rows: spreadsheets can put subtotals above their groups."""
    first = _columns_of_words(table, source, keys[:1], attributes=True)
    return any(_TOTAL.fullmatch(_folded(column[0])) for column in first if len(column))


def _subtotals(table: Table, source: int, keys: NDArray[np.intp], ids: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    """Yield the rows after groups of rows, and the cell that names the group; the last one may be of all rows.

    The first such row is found by its id: the number of the group's rows, or the sum of their ids. Few rows have such
    an id by chance.
    """
    candidates = (np.cumsum(ids > 0) == ids + 1) | (np.cumsum(ids) == 2 * ids)
    candidates &= ids > 0
    places = np.flatnonzero(candidates)[:_CANDIDATES].tolist()
    if not places:
        return
    beginnings = list(_columns_of_words(table, source, keys[: places[-1] + 1], attributes=True))
    for at in places:
        named = [i for i, column in enumerate(beginnings) if _names_group(column, at, at - 1)]
        if named and not _has_address(table, int(keys[at])):
            column = list(_columns_of_words(table, source, keys, attributes=True))[named[0]]
            yield from ((int(keys[i]), text) for i, text in _group_names(column, at) if ids[i])
            return


def _group_names(column: NDArray[np.object_], start: int) -> Iterator[tuple[int, str]]:
    """Yield position and text of the cells from `start` on that name the group above them, or all rows."""
    last = start - 1
    for at in range(start, len(column)):
        if _names_group(column, at, last) or _TOTAL.fullmatch(_folded(column[at])):
            yield at, column[at].strip()
        else:
            last = at


def _names_group(column: NDArray[np.object_], at: int, above: int) -> bool:
    found = _SUBTOTAL.fullmatch(_folded(column[at]))
    return found is not None and _folded(column[above]) in found.groupdict().values()


def _folded(text: str | None) -> str:
    return normalize_text(text or "").lower()


def _word_of_total(table: Table, source: int, keys: NDArray[np.intp], ids: NDArray[np.int64]) -> str | None:
    """Return the cell of the last row that says "Total" as none above it does.

    A row with an address is a user's, and so is one with other words and an id that is neither number nor sum of rows.
    """
    last = int(keys[-1])
    if _has_address(table, last):
        return None
    texts = [text for text in _cells_of(table, last) if text.strip() and not _NUMBER.fullmatch(text.strip())]
    words = [text for text in texts if text.replace(" ", "").isalpha() and not _TOTAL.fullmatch(_folded(text))]
    if words and ids[last] and ids[last] not in (len(keys) - 1, ids[keys[:-1]].sum()):
        return None
    for column in _columns_of_words(table, source, keys, attributes=len(texts) == 1):
        text = column[-1] or ""
        if _TOTAL.fullmatch(_folded(text)) and (column == text).sum() == 1:
            return repr(text.strip())
    return None


def _has_address(table: Table, key: int) -> bool:
    return any("@" in text for text in _cells_of(table, key))


def _columns_of_words(
    table: Table, source: int, keys: NDArray[np.intp], *, attributes: bool
) -> Iterator[NDArray[np.object_]]:
    """Yield the columns that may name a row: id, names, and columns without a field; attributes where they may too."""
    for name in map(str, table.cells):
        if name in ("id", "name", "display_name") or (attributes and name.startswith(ATTRIBUTE)):
            yield table.cells[name].to_numpy(object)[keys]
    if table.sheets:
        places = table.places["at"].to_numpy()[keys]
        for i, column in enumerate(table.sources[source].columns):
            if column.field is None:
                yield table.sheets[source][i].to_numpy(object)[places]


def _numbers_of_total(table: Table, ids: NDArray[np.int64], keys: NDArray[np.intp]) -> str | None:
    """Return what a row of bare numbers adds up to: the last one of `keys`, against the others."""
    above, last = keys[:-1], int(keys[-1])
    texts = [text.strip() for text in _cells_of(table, last) if text.strip()]
    if len(above) < _ROWS_ABOVE or not ids[last] or ids[last] not in (len(above), ids[above].sum()):
        return None
    if not all(map(_NUMBER.fullmatch, texts)):
        return None
    for name in table.cells.columns.drop("id"):
        cells = table.cells[name].to_numpy(object)
        number = _as_number(cells[last])
        column = [_as_number(text) for text in cells[above]]
        numbers = [value for value in column if value is not None]
        if number and numbers and np.isclose(number, sum(numbers)):
            return f"{name} is the sum of the cells above"
        if number == len(above) and not numbers:
            return f"{name} is the number of rows above"
    return None


def _as_number(text: str | None) -> float | None:
    bare = (text or "").strip()
    return float(bare.replace(",", ".")) if _NUMBER.fullmatch(bare) else None


def _cells_of(table: Table, key: int) -> Iterator[str]:
    return (text for text in table.cells.iloc[key] if isinstance(text, str))
