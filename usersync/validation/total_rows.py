"""Find rows at the end of a sheet that are totals of the rows above, not users."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from usersync.models import Table
from usersync.values import visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What total rows are called, in the languages of spreadsheets; in lower case.
_WORDS: Final = (
    "total", "totals", "grand total", "subtotal", "sum", "count", "average", "summe", "gesamt", "gesamtsumme",
    "insgesamt", "gesamtergebnis", "zwischensumme", "teilergebnis", "ergebnis", "anzahl", "mittelwert",
    "total général", "somme", "totaux", "sous-total", "nombre", "moyenne", "totale", "somma",
    "conteggio", "suma", "total general", "recuento", "soma",
    "total geral", "contagem", "totaal", "som", "aantal", "razem", "celkem", "součet", "összesen", "yhteensä", "summa",
    "totalt", "i alt", "toplam", "итого", "всего", "сумма", "количество", "合計", "总计", "總計",
)  # fmt: skip
_TOTAL: Final = re.compile(
    rf"(?:{'|'.join(map(re.escape, _WORDS))})(?: (?:rows|users|agents|records|entries|count|number))?\s*[:=]?"
    r"\s*\(?(?:[0-9][0-9.,' ]*)?\)?"
)
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
#: Rows at the end that are looked at; below a total there can be an average, a date, a footnote.
_LAST_ROWS: Final = 5
#: Rows above a row of bare numbers, at least: the sum of two or three is often met by chance.
_ROWS_ABOVE: Final = 4


def find_total_rows(table: Table, ids: NDArray[np.int64]) -> dict[int, str]:
    """Return the rows that look like a total: key -> what gives them away.

    `ids` are those of all rows, 0 where there is none. The first row of a sheet is no total: there is nothing above it.
    """
    found: dict[int, str] = {}
    source_of = table.places["source"].to_numpy()
    for source in range(len(table.sources)):
        keys = np.flatnonzero(source_of == source)
        for count in range(len(keys) - 1, max(len(keys) - 1 - _LAST_ROWS, 0), -1):
            key = int(keys[count])
            down_to_row = keys[: count + 1]
            reason = _word_of_total(table, source, down_to_row) or _numbers_of_total(table, ids, down_to_row)
            if reason:
                found[key] = reason
            elif ids[key]:
                break
    return found


def _word_of_total(table: Table, source: int, keys: NDArray[np.intp]) -> str | None:
    """Return the cell of the last row that says "Total" as none above it does; a row with an address is a user's."""
    if any("@" in text for text in _cells_of(table, int(keys[-1]))):
        return None
    for column in _columns_of_words(table, source, keys):
        text = column[-1] or ""
        if _TOTAL.fullmatch(visible(text).lower()) and (column == text).sum() == 1:
            return repr(text.strip())
    return None


def _columns_of_words(table: Table, source: int, keys: NDArray[np.intp]) -> Iterator[NDArray[np.object_]]:
    """Yield the columns that may name a row: id, names, and columns without a field."""
    for name in ("id", "name", "display_name"):
        if name in table.cells:
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
