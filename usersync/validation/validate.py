"""Validate a table of text: desired values of good rows, problems of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from usersync.models import ATTRIBUTE, Code
from usersync.settings import FieldSettings
from usersync.tables import DesiredValues, Table
from usersync.validation.cells import InvalidCellError
from usersync.validation.columns import read_column, read_ids
from usersync.validation.duplicates import resolve_duplicates
from usersync.validation.problems import ProblemLog
from usersync.validation.suspect_values import find_suspects
from usersync.validation.total_rows import find_total_rows

#: Columns of a row that numbers the columns, at least: user 1 may have the number 2 in another column.
_NUMBERED_COLUMNS = 3


def validate(
    table: Table,
    fields: Mapping[str, FieldSettings] | None = None,
    *,
    duplicates: str = "reject",
    suspect: str = "reject",
    names: Mapping[int, str] | None = None,
    exported: Collection[int] = (),
) -> DesiredValues:
    """Read every cell of a table, and report all problems of all rows together.

    `fields` are the settings by field name; `duplicates` is `reject`, or `last`: the last row of a user is sent;
    `suspect` is `reject`, `note` or `accept`: what becomes of cells that look damaged; `names` says how
    the author of the rows calls a user, by id, where that is not the id. `exported` are the keys of rows that come
    from an export: they may ask for nothing. No row is lost: each key is in `values` or in `untouched`, has a
    `Problem`, repeats a row in `values`, or is superseded by one.
    """
    log = ProblemLog(table)
    _check_parts(table, fields or {}, suspect, log)
    values = _read_columns(table, fields or {}, suspect, log)
    _reject_keys_given_twice(values, log)
    if suspect != "accept":
        _reject_rows_of_no_user(table, values, suspect, log)
    untouched = _reject_rows_without_values(values, log, frozenset(exported))
    found = resolve_duplicates(values, log.rejected_keys(), row_name=log.row_name, keep=duplicates, names=names)
    log.problems.extend(replace(p, column=log.heading(p.column, p.key)) for p in found.problems)
    left_out = np.zeros(len(values), dtype=bool)
    left_out[[*log.rejected_keys(), *found.repeats, *found.superseded, *untouched]] = True
    return DesiredValues(
        values[~left_out] if left_out.any() else values,
        tuple(sorted(log.problems, key=lambda problem: problem.key)),
        notes=log.notes | dict(found.notes),
        duplicates=found.repeats,
        superseded=found.superseded,
        untouched=untouched,
    )


def _check_parts(table: Table, fields: Mapping[str, FieldSettings], suspect: str, log: ProblemLog) -> None:
    """Reject or note damaged cells of which a field is composed: in `#N/A Lee` the damage is hard to see."""
    for number, source in enumerate(table.sources):
        places = table.places[table.places["source"] == number] if source.composed else table.places[:0]
        for field, positions in source.composed.items():
            policy = fields.get(field, FieldSettings()).suspect or suspect
            for i in positions if policy != "accept" else ():
                heading = source.columns[i].heading.strip()
                cells = [text.strip() for text in table.sheets[number].iloc[:, i].to_numpy(object)[places["at"]]]
                for at, check in find_suspects(field, cells).items():
                    key = int(places.index[at])
                    if check.rejects(policy):
                        log.reject_part(key, field, heading, InvalidCellError(check.code, check.sentence), cells[at])
                    else:
                        log.note(key, f"{heading}: {check.sentence}")


def _read_columns(table: Table, fields: Mapping[str, FieldSettings], suspect: str, log: ProblemLog) -> pd.DataFrame:
    values = pd.DataFrame({"id": read_ids(table.cells["id"].to_numpy(object), log)})
    for name in table.cells.columns:
        if name != "id":
            cells, field = table.cells[name].to_numpy(object), fields.get(name, FieldSettings())
            read = read_column(name, cells, field, log, suspect=suspect)
            values[name] = pd.Series(read, dtype=object)  # else pandas infers a text type
    return values


def _reject_keys_given_twice(values: pd.DataFrame, log: ProblemLog) -> None:
    """Reject rows that set an attribute both in the JSON object and in a column of its own."""
    if "custom_attributes" not in values:
        return
    for column in [c for c in values.columns if c.startswith(ATTRIBUTE)]:
        name = column[len(ATTRIBUTE) :]
        both = zip(values["custom_attributes"], values[column], strict=True)
        for key, (attributes, single) in enumerate(both):
            if attributes and name in attributes and single is not None:
                text = f"{name!r} is set here and in the column {column}; keep one of them"
                log.reject(key, "custom_attributes", InvalidCellError(Code.JSON_INVALID, text), name)


def _reject_rows_of_no_user(table: Table, values: pd.DataFrame, suspect: str, log: ProblemLog) -> None:
    found = find_total_rows(table, values["id"].to_numpy())
    for key in _column_numbers(table):
        found[key] = "this row numbers the columns, it is not a user", "delete it"
    if suspect == "reject":
        log.drop_cell_problems(found)
    for key, (message, remedy) in found.items():
        if suspect == "note":
            log.note(key, message)
        else:
            log.reject_row(key, Code.VALUE_SUSPECT, f"{message}; {remedy}")
            values.loc[key, "id"] = 0  # its number must not count as a duplicate of a real user's row


def _column_numbers(table: Table) -> Iterator[int]:
    """Yield the keys of first rows in which every column with a heading holds its number, as official forms have it."""
    if not table.sheets:
        return
    for key in np.flatnonzero(table.places["at"].to_numpy() == 0).tolist():
        source = table.places["source"].to_numpy()[key]
        sheet, columns = table.sheets[source], table.sources[source].columns
        headed = [i for i, column in enumerate(columns) if column.heading.strip() and i in sheet]
        numbers = [str(number) for number in range(1, len(headed) + 1)]
        if len(headed) >= _NUMBERED_COLUMNS and [sheet[i].iloc[0].strip() for i in headed] == numbers:
            yield key


def _reject_rows_without_values(values: pd.DataFrame, log: ProblemLog, exported: frozenset[int]) -> frozenset[int]:
    """Reject the rows that ask for nothing; those of an export are returned instead."""
    idle = np.ones(len(values), dtype=bool)
    for name in values.columns[1:]:
        idle &= values[name].isna().to_numpy()
        if not idle.any():
            return frozenset()
    idle[list(log.rejected_keys())] = False
    message = "the row names a user, but no values; fill in what should change"
    keys = np.flatnonzero(idle).tolist()
    for key in keys:
        if key not in exported:
            log.reject_row(key, Code.NOTHING_TO_DO, message)
    values.loc[idle, "id"] = 0  # a row that asks for nothing contradicts no other row of its user
    return exported.intersection(keys)
