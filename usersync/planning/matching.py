"""Match rows with users by e-mail address, where a file has no ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from usersync.models import NEW_EMAIL, Code, Problem, Row
from usersync.tables import Source, Table
from usersync.values import normalize_email, normalize_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from usersync.settings.source import MatchBy

#: The first of the numbers that stand for users whose id is not known; higher than any id that a total could be.
STAND_IN: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class EmailIndex:
    """Whose e-mail address is whose."""

    ids: Mapping[str, int]
    """Normalized address -> id."""
    origin: str
    """Where that comes from, for a sentence: `the 1,204 users of account 3`."""
    is_current: bool = True
    """Whether the platform says so now; else a user has to be read before the address is trusted."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How rows were matched by e-mail; empty where all rows have ids."""

    addresses: Mapping[int, str] = field(default_factory=dict)
    """Key -> the normalized address of a row without id, blank where it has none."""
    beside_ids: Mapping[int, str] = field(default_factory=dict)
    """Key -> the normalized address of a row with an id, where the row does not set that address."""
    index: EmailIndex | None = None
    """None: not known yet; stand-in ids are used, so that the rows can already be validated."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Id (or the number that stands for one) -> address."""

    @property
    def note(self) -> str:
        """What the author of the files should know first; blank where nothing was matched."""
        if not self.addresses or self.index is None:
            return ""
        found = sum(address in self.index.ids for address in self.addresses.values())
        rows = len(self.addresses)
        return f"rows are matched by e-mail address with {self.index.origin}: {found:,} of {rows:,} rows found"


def match_rows(table: Table, match_by: MatchBy, index: EmailIndex | None) -> tuple[Table, Table, Matching]:
    """Give the rows of files without ids the ids of their users.

    Returns three values: the table with these ids; the table to validate, in which `email` is only ever the address to
    set, not the one that identifies the user; and the Matching.
    """
    matched = [i for i, source in enumerate(table.sources) if _is_by_email(source, match_by)]
    by_email = _rows_of(table, matched)
    sets_new = _rows_of(table, [i for i, source in enumerate(table.sources) if _has(source, NEW_EMAIL)])
    if not (matched or sets_new.any()):
        return table, table, Matching()
    emails = table.cells["email"].to_numpy(object) if "email" in table.cells else np.full(len(table.cells), None)
    addresses = {key: _normalized(emails[key]) for key in np.flatnonzero(by_email).tolist()}
    beside_ids = {key: _normalized(emails[key]) for key in np.flatnonzero(sets_new & ~by_email).tolist()}
    ids = index.ids if index else stand_ins(addresses.values())
    problems = [*table.problems, *_unmatched(table, addresses, index)]
    cells = table.cells.assign(id=_ids(table, by_email, [ids.get(address) for address in addresses.values()]))
    understood = replace(
        table,
        cells=_with_new_emails(cells, by_email, sets_new),
        sources=tuple(_as_understood(source, match_by) for source in table.sources),
        problems=tuple(sorted(problems, key=lambda problem: problem.key)),
    )
    if index is None:
        cells = cells.assign(id=np.where(by_email, "", cells["id"].to_numpy(object)))
    names = {ids[address]: address for address in addresses.values() if address in ids}
    return replace(table, cells=cells), understood, Matching(addresses, beside_ids, index, names)


def index_of_rows(matching: Matching, rows: Iterable[Row], origin: str) -> EmailIndex:
    """Return the index that gives the rows of an earlier plan the same ids again.

    Rows that `--limit` left out of the plan get stand-in ids.
    """
    planned = {row.key: row.id for row in rows if row.key in matching.addresses}
    others = stand_ins(address for key, address in matching.addresses.items() if key not in planned)
    ids = {matching.addresses[key]: int(number) for key, number in planned.items() if number.isdecimal()}
    return EmailIndex(others | ids, origin)


def sources_with_both(table: Table, match_by: MatchBy) -> frozenset[int]:
    """Return the positions of sources whose rows have an id, and set an address that may be somebody else's."""
    return frozenset(
        i
        for i, source in enumerate(table.sources)
        if not _is_by_email(source, match_by) and _has(source, "email") and not _has(source, NEW_EMAIL)
    )


def stand_ins(addresses: Iterable[str]) -> dict[str, int]:
    """Assign a stand-in id to each address whose user is not known yet."""
    numbers = count(STAND_IN)
    return {address: next(numbers) for address in dict.fromkeys(addresses) if address}


def _has(source: Source, name: str) -> bool:
    return any(column.field == name for column in source.columns)


def _is_by_email(source: Source, match_by: MatchBy) -> bool:
    return match_by == "email" or (match_by == "auto" and not _has(source, "id"))


def _rows_of(table: Table, sources: list[int]) -> NDArray[np.bool_]:
    return np.isin(table.places["source"].to_numpy(), sources)


def _normalized(cell: str | None) -> str:
    return normalize_email(normalize_text(cell or ""))


def _ids(table: Table, by_email: NDArray[np.bool_], found: list[int | None]) -> NDArray[np.object_]:
    """Return the ids of all rows as text."""
    known = table.cells["id"].to_numpy(object) if "id" in table.cells else np.full(len(table.cells), "", object)
    ids = known.copy()
    ids[by_email] = ["" if number is None else str(number) for number in found]
    return ids


def _with_new_emails(cells: pd.DataFrame, by_email: NDArray[np.bool_], sets_new: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the cells with the addresses to set as `email`."""
    new = cells[NEW_EMAIL].to_numpy(object) if NEW_EMAIL in cells else np.full(len(cells), None)
    if "email" in cells:
        new = np.where(by_email | sets_new, new, cells["email"].to_numpy(object))
    bare = cells.drop(columns=["email", NEW_EMAIL], errors="ignore")
    is_set = sets_new.any() or not by_email.all()
    return bare.assign(email=pd.Series(new, cells.index, dtype=object)) if is_set else bare


def _as_understood(source: Source, match_by: MatchBy) -> Source:
    """Return the source with the meaning that its columns have once rows are matched."""
    by_email = _is_by_email(source, match_by)
    meaning: dict[str | None, str | None] = {}
    if by_email:
        meaning |= {"id": None, "email": "id", NEW_EMAIL: "email"}
    elif _has(source, NEW_EMAIL):
        meaning |= {"email": None, NEW_EMAIL: "email"}
    columns = tuple(replace(column, field=meaning.get(column.field, column.field)) for column in source.columns)
    return replace(source, columns=columns)


def _unmatched(table: Table, addresses: Mapping[int, str], index: EmailIndex | None) -> Iterator[Problem]:
    """Report the rows without an address, and those whose address nobody has; not what the loader has reported."""
    reported = {(problem.key, problem.column) for problem in table.problems}
    for key, address in addresses.items():
        if (index and address in index.ids) or (address and not index):
            continue
        heading = table.source_of(key).heading_of("email")
        if (key, "") in reported or (key, heading) in reported:
            continue
        if not address:
            message = "the cell is blank, and rows are matched by e-mail address; fill it in"
            yield Problem(key, Code.ID_MISSING, message, heading)
        elif index:
            yield Problem(key, Code.NO_MATCH, f"nobody among {index.origin} has this e-mail address", heading, address)
