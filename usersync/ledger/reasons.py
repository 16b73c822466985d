"""A planned run in, why rows fell out when their users were looked at out."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby

from usersync.models import Code, Place, Problem, ProblemGroup, Status

_SHOWN = 5


def reasons(
    db: sqlite3.Connection, number: int, sources: Sequence[Mapping[str, str]], told: Sequence[ProblemGroup]
) -> tuple[ProblemGroup, ...]:
    """Group the rows of run `number` that need a person by code, with the first of each, but for codes `told`.

    A conflict has no code; it goes by its status.
    """
    known = {group.code for group in told}
    unknown = ["", *(code for code in Code if code not in known)]
    marks = ", ".join("?" * len(unknown))
    found = db.execute(
        "SELECT code, n, key, source, row, message || iif(message = '' OR note = '', '', '; ') || note FROM"
        " (SELECT *, count(*) OVER kind AS n, row_number() OVER (kind ORDER BY key) AS nth FROM row WHERE run = ?"
        f" AND status IN (?, ?, ?) AND code IN ({marks}) WINDOW kind AS (PARTITION BY code))"
        " WHERE nth <= ? ORDER BY code, key",
        (number, Status.REJECTED, Status.FAILED, Status.CONFLICT, *unknown, _SHOWN),
    )
    groups = []
    for (code, count), rows in groupby(found, key=lambda one: (one[0], one[1])):
        first = tuple(
            (
                Place(sources[source]["file"], sources[source]["sheet"], row),
                Problem(key, Code(code or Code.STALE), message),
            )
            for _, _, key, source, row, message in rows
        )
        groups.append(ProblemGroup(code or Status.CONFLICT, count, first))
    return tuple(groups)
